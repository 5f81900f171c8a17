/* Locks by leases: one holder at a time, whoever dies or is slow. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "tests/test.h"

static char directory[64], path[96];

static void begin(void)
{
    strcpy(directory, "/tmp/zeroth-lease-XXXXXX");
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/lock", directory);
    setenv(FILE_LOCKS_ENVIRONMENT, "lease", 1);
}

static void end(void)
{
    unsetenv(FILE_LOCKS_ENVIRONMENT);
    CHECK_OK(directory_remove(directory));
}

static void write_file(const char *name, const char *text)
{
    char *file = path_join(directory, name);
    CHECK_OK(file_write(file, text, strlen(text)));
    memory_free(file);
}

/* The names in the directory that begin so. */
static int count_names(const char *start)
{
    char **names;
    size_t count;
    int found = 0;
    CHECK_OK(directory_list(directory, &names, &count));
    for (size_t i = 0; i < count; i++) found += strncmp(names[i], start, strlen(start)) == 0;
    names_free(names, count);
    return found;
}

/* A child that holds the lease until it is killed. */
static pid_t start_holder(void)
{
    int ready[2];
    char byte;
    CHECK_INT(pipe(ready), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        FileLock *lock;
        if (file_lock(path, &lock) != OK || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    CHECK_INT(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void end_holder(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
}

static void test_lease_has_one_holder(void)
{
    FileLock *lock, *second;
    bool held;
    char *holder, pid[40];
    begin();
    CHECK_OK(file_lock_look(path, &held, NULL));
    CHECK(!held);
    CHECK_OK(file_lock(path, &lock));
    snprintf(pid, sizeof pid, "held by process %d on ", (int)getpid());
    CHECK_FAILS(file_lock(path, &second), STATUS_LOCKED, pid);
    CHECK_OK(file_lock_look(path, &held, &holder));
    CHECK(held);
    CHECK(strstr(holder, pid) != NULL && strstr(holder, " since 20") != NULL);
    memory_free(holder);
    file_unlock(lock);
    CHECK_OK(file_lock_look(path, &held, &holder));
    CHECK(!held && holder == NULL);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(file_lock(path, &lock));
        file_unlock(lock);
    }
    CHECK_INT(count_names("lock.lease-"), 1); /* what was taken over is gone */
    CHECK_INT(count_names("."), 0);
    end();
}

static void test_killed_holder_loses_at_once(void)
{
    FileLock *lock;
    bool held;
    begin();
    pid_t child = start_holder();
    CHECK_FAILS(file_lock(path, &lock), STATUS_LOCKED, "held by process");
    kill(child, SIGKILL);
    /* Dead, but not waited for: its number is in /proc yet. */
    siginfo_t info;
    CHECK_INT(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    CHECK_OK(file_lock_look(path, &held, NULL));
    CHECK(!held);
    CHECK_OK(file_lock(path, &lock));
    CHECK_INT(waitpid(child, NULL, 0), child);
    file_unlock(lock);
    end();
}

/* The same number, but another process: its start tells. */
static void test_reused_process_number(void)
{
    FileLock *lock;
    begin();
    pid_t child = start_holder();
    char *name = memory_format("%s.lease-000001", path), *text;
    size_t bytes;
    CHECK_OK(file_read(name, 0, &text, &bytes));
    end_holder(child);
    char *last = strrchr(text, ' ');
    CHECK(last != NULL);
    *last = '\0';
    char *line = strrchr(text, '\n');
    CHECK(line != NULL);
    *line = '\0';
    char *forged = memory_format("%s\n%d 12345\n", text, (int)getpid()); /* this process did not start then */
    write_file("lock.lease-000001", forged);
    CHECK_OK(file_lock(path, &lock));
    file_unlock(lock);
    memory_free(forged);
    memory_free(text);
    memory_free(name);
    end();
}

/* Of another machine: by the age of its renewal. */
static void test_lease_of_another_machine(void)
{
    FileLock *lock;
    bool held;
    begin();
    write_file("lock.lease-000007", "process 1 on elsewhere since 2020-01-01 00:00:00\nother-boot/pid:[1]\n1 1\n");
    CHECK_FAILS(file_lock(path, &lock), STATUS_LOCKED, "process 1 on elsewhere since");
    char *name = memory_format("%s.lease-000007", path);
    struct timespec times[2] = {{.tv_sec = time(NULL) - FILE_LEASE_STALE - 5},
                                {.tv_sec = time(NULL) - FILE_LEASE_STALE - 5}};
    CHECK_INT(utimensat(AT_FDCWD, name, times, 0), 0);
    CHECK_OK(file_lock_look(path, &held, NULL));
    CHECK(!held);
    CHECK_OK(file_lock(path, &lock));
    char *next = memory_format("%s.lease-000008", path);
    CHECK(file_exists(next) && !file_exists(name));
    file_unlock(lock);
    memory_free(next);
    memory_free(name);
    end();
}

/* Many want the lease of a dead process: one gets it, each time. */
static void test_takers_race(void)
{
    enum { TAKERS = 8, ROUNDS = 25 };
    begin();
    for (int round = 0; round < ROUNDS; round++) {
        end_holder(start_holder()); /* takes over from the winner of the round before, and leaves it stale */
        int go[2], done[2], won = 0, lost = 0;
        pid_t children[TAKERS];
        CHECK(pipe(go) == 0 && pipe(done) == 0);
        fflush(NULL);
        for (int i = 0; i < TAKERS; i++) {
            children[i] = fork();
            if (children[i] != 0) continue;
            char byte, answer;
            FileLock *lock;
            close(go[1]);
            if (read(go[0], &byte, 1) < 0) _exit(1); /* returns when all ends that write are closed */
            Status status = file_lock(path, &lock);
            answer = status == OK ? 'w' : status_code(status) == STATUS_LOCKED ? 'l' : '?';
            if (write(done[1], &answer, 1) != 1) _exit(1);
            for (;;) pause(); /* the winner holds it until all have tried */
        }
        close(go[0]);
        close(go[1]);
        for (int i = 0; i < TAKERS; i++) {
            char answer;
            CHECK_INT(read(done[0], &answer, 1), 1);
            CHECK(answer != '?');
            won += answer == 'w';
            lost += answer == 'l';
        }
        close(done[0]);
        close(done[1]);
        for (int i = 0; i < TAKERS; i++) end_holder(children[i]);
        CHECK_INT(won, 1);
        CHECK_INT(lost, TAKERS - 1);
    }
    CHECK_INT(count_names("lock.lease-"), 1);
    end();
}

/* One says lease, the others are told by the file that it left. */
static void test_kind_is_recorded(void)
{
    FileLockKind kind;
    begin();
    char *below = memory_format("%s/runs/key", directory), *lock = memory_format("%s/lock", below);
    CHECK_OK(directory_create(below));
    CHECK_OK(file_lock_record_kind(directory));
    unsetenv(FILE_LOCKS_ENVIRONMENT);
    CHECK_OK(file_lock_kind(lock, &kind));
    CHECK_INT(kind, FILE_LOCK_LEASE);
    setenv(FILE_LOCKS_ENVIRONMENT, "fcntl", 1);
    CHECK_FAILS(file_lock_kind(lock, &kind), STATUS_INVALID, "has locks of kind lease, not fcntl");
    setenv(FILE_LOCKS_ENVIRONMENT, "flock", 1);
    CHECK_FAILS(file_lock_kind(lock, &kind), STATUS_USAGE, "no kind of locks 'flock': there are fcntl and lease");
    unsetenv(FILE_LOCKS_ENVIRONMENT);
    CHECK_OK(file_lock_kind("/tmp/lock", &kind));
    CHECK_INT(kind, FILE_LOCK_FCNTL);
    memory_free(lock);
    memory_free(below);
    end();
}

TEST_MAIN(TEST(test_lease_has_one_holder), TEST(test_killed_holder_loses_at_once), TEST(test_reused_process_number),
          TEST(test_lease_of_another_machine), TEST(test_takers_race), TEST(test_kind_is_recorded))
