#include "framework/files.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "framework/memory.h"
#include "tests/test.h"

static char root[64];

static const char *at(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void begin(void)
{
    snprintf(root, sizeof root, "/tmp/zeroth-files-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
}

static void end(void)
{
    CHECK_OK(directory_remove(root));
    CHECK(!file_exists(root));
}

static void check_content(const char *path, const char *expected)
{
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    CHECK_INT(bytes, strlen(expected));
    CHECK_STRING(data, expected);
    memory_free(data);
}

static size_t count_names(const char *path)
{
    char **names;
    size_t count;
    CHECK_OK(directory_list(path, &names, &count));
    names_free(names, count);
    return count;
}

static void test_read_write(void)
{
    begin();
    char *data = NULL;
    size_t bytes = 0;
    int64_t size = 0;
    CHECK_FAILS(file_read(at("a"), 0, &data, &bytes), STATUS_NOT_FOUND, at("a"));
    CHECK_FAILS(file_size(at("a"), &size), STATUS_NOT_FOUND, at("a"));
    CHECK_OK(file_write(at("a"), "first", 5));
    check_content(at("a"), "first");
    CHECK_OK(file_write(at("a"), "", 0));
    check_content(at("a"), "");
    CHECK_OK(file_write(at("a"), "second", 6));
    CHECK_OK(file_size(at("a"), &size));
    CHECK_INT(size, 6);
    CHECK_FAILS(file_read(at("a"), 5, &data, &bytes), STATUS_INVALID, "larger than the 5 bytes");
    CHECK_OK(file_read(at("a"), 6, &data, &bytes));
    memory_free(data);
    CHECK_OK(file_read("/proc/self/status", 0, &data, &bytes)); /* says it has no bytes */
    CHECK(bytes > 100 && strlen(data) == bytes);
    memory_free(data);
    CHECK_FAILS(file_read(root, 0, &data, &bytes), STATUS_IO, root);
    CHECK_FAILS(file_write(at("no/where"), "x", 1), STATUS_NOT_FOUND, at("no/where"));
    CHECK(file_exists(at("a")));
    CHECK_INT(count_names(root), 1);
    CHECK_OK(file_remove(at("a")));
    CHECK_OK(file_remove(at("a")));
    CHECK(!file_exists(at("a")));
    end();
}

static void test_permissions(void)
{
    begin();
    mode_t old = umask(027);
    Status status = file_write(at("a"), "x", 1);
    umask(old);
    CHECK_OK(status);
    struct stat info;
    CHECK(stat(at("a"), &info) == 0);
    CHECK_INT(info.st_mode & 0777, 0640);
    end();
}

static void test_large(void)
{
    begin();
    enum { BYTES = 300007 };
    char *data = malloc(BYTES), *back;
    size_t bytes;
    for (int i = 0; i < BYTES; i++) data[i] = (char)(i % 101);
    CHECK_OK(file_write(at("large"), data, BYTES));
    CHECK_OK(file_read(at("large"), 0, &back, &bytes));
    CHECK_INT(bytes, BYTES);
    CHECK(memcmp(data, back, BYTES) == 0);
    memory_free(back);
    free(data);
    end();
}

static void test_append(void)
{
    begin();
    CHECK_OK(file_append(at("log"), "one\n", 4, false));
    CHECK_OK(file_append(at("log"), "two\n", 4, true));
    CHECK_OK(files_inject("write:short"));
    CHECK_OK(file_append(at("log"), "three\n", 6, true));
    check_content(at("log"), "one\ntwo\nthree\n");
    CHECK_OK(files_inject("write:nospace"));
    CHECK_FAILS(file_append(at("log"), "four\n", 5, true), STATUS_NO_SPACE, at("log"));
    CHECK_OK(files_inject("sync:nospace"));
    CHECK_FAILS(file_append(at("log"), "four\n", 5, true), STATUS_NO_SPACE, at("log"));
    check_content(at("log"), "one\ntwo\nthree\nfour\n");
    end();
}

/* A disk that fills in mid-record, by the limit on the size of files: the
 * half that was written is taken back. */
static void test_append_torn(void)
{
    begin();
    CHECK_OK(file_append(at("log"), "12345678\n", 9, false));
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN); /* so that write(2) fails instead */
        struct rlimit limit = {12, 12};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(9);
        _exit(status_exit_code(status_code(file_append(at("log"), "abcdefgh\n", 9, false))));
    }
    int result;
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result));
    CHECK_INT(WEXITSTATUS(result), status_exit_code(STATUS_IO));
    check_content(at("log"), "12345678\n");
    end();
}

/* file_write in a child with the injection; the child's wait status. */
static int write_in_child(const char *injection, const char *path, const char *data)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        Status status = files_inject(injection);
        if (status == OK) status = file_write(path, data, strlen(data));
        _exit(status_exit_code(status_code(status)));
    }
    int result = 0;
    CHECK(waitpid(child, &result, 0) == child);
    return result;
}

static const char OLD[] = "the old content";
static const char NEW[] = "some new content, longer than the old";

static void test_kill_at_every_point(void)
{
    static const struct {
        const char *injection, *expected;
    } cases[] = {{"open:kill", OLD},   {"write:kill", OLD},   {"sync:kill", OLD},
                 {"rename:kill", OLD}, {"dirsync:kill", NEW}, {"dirsync:kill:0", NEW}};
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_OK(file_write(at("a"), OLD, strlen(OLD)));
        int result = write_in_child(cases[i].injection, at("a"), NEW);
        CHECK(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL);
        check_content(at("a"), cases[i].expected);
        CHECK_OK(file_write(at("a"), NEW, strlen(NEW))); /* what the dead left is in nobody's way */
        check_content(at("a"), NEW);
        if (cases[i].expected != OLD) continue;
        char fresh[32]; /* where there was nothing, there is nothing, or the whole */
        snprintf(fresh, sizeof fresh, "fresh%zu", i);
        result = write_in_child(cases[i].injection, at(fresh), NEW);
        CHECK(WIFSIGNALED(result));
        CHECK(!file_exists(at(fresh)));
    }
    end();
}

static void test_no_space_at_every_point(void)
{
    static const struct {
        const char *injection, *expected;
    } cases[] = {{"open:nospace", OLD}, {"write:nospace", OLD}, {"sync:nospace", OLD},
                 {"rename:nospace", OLD}, {"dirsync:nospace", NEW}};
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_OK(file_write(at("a"), OLD, strlen(OLD)));
        CHECK_OK(files_inject(cases[i].injection));
        CHECK_FAILS(file_write(at("a"), NEW, strlen(NEW)), STATUS_NO_SPACE, root);
        check_content(at("a"), cases[i].expected);
        CHECK_INT(count_names(root), 1); /* no temporary is left */
    }
    end();
}

static void test_short_write(void)
{
    begin();
    CHECK_OK(files_inject("write:short"));
    CHECK_OK(file_write(at("a"), NEW, strlen(NEW)));
    check_content(at("a"), NEW);
    end();
}

static void test_allocation_failures(void)
{
    begin();
    CHECK_OK(file_write(at("a"), OLD, strlen(OLD)));
    Status status = OK;
    for (int64_t point = 0; point < 50; point++) {
        memory_fail_after(point);
        status = file_write(at("a"), NEW, strlen(NEW));
        memory_fail_after(-1);
        if (status == OK) break;
        CHECK_FAILS(status, STATUS_NO_MEMORY, "no memory");
        CHECK_INT(count_names(root), 1);
    }
    CHECK(status == OK);
    check_content(at("a"), NEW);
    end();
}

static void test_inject(void)
{
    CHECK_FAILS(files_inject("nowhere:kill"), STATUS_USAGE, "nowhere");
    CHECK_FAILS(files_inject("write"), STATUS_USAGE, "write");
    CHECK_FAILS(files_inject("write:none"), STATUS_USAGE, "none");
    CHECK_FAILS(files_inject("write:kill:x"), STATUS_USAGE, "kill:x");
    CHECK_FAILS(files_inject("write:kill:-1"), STATUS_USAGE, "kill:-1");
    CHECK_FAILS(files_inject("sync:short"), STATUS_USAGE, "only a write");
    begin();
    CHECK_OK(files_inject("write:nospace:2")); /* the third, and only it */
    for (int i = 0; i < 5; i++) {
        Status status = file_write(at("a"), "x", 1);
        CHECK_INT(status_code(status), i == 2 ? STATUS_NO_SPACE : STATUS_OK);
        status_free(status);
    }
    CHECK_OK(files_inject("write:nospace"));
    CHECK_OK(files_inject(NULL));
    CHECK_OK(file_write(at("a"), "x", 1));
    end();
}

static void test_inject_from_environment(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setenv("ZEROTH_FILES_INJECT", "write:nospace", 1);
        execl("/proc/self/exe", "test_files", "as_child", (char *)NULL);
        _exit(9);
    }
    int result;
    CHECK(waitpid(child, &result, 0) == child);
    CHECK(WIFEXITED(result));
    CHECK_INT(WEXITSTATUS(result), 0);
}

static void as_child(void)
{
    if (getenv("ZEROTH_FILES_INJECT") == NULL) return;
    begin();
    CHECK_FAILS(file_write(at("a"), "x", 1), STATUS_NO_SPACE, "a");
    CHECK_OK(file_write(at("a"), "x", 1));
    end();
}

static void test_temporary(void)
{
    begin();
    char *first, *second;
    CHECK_OK(file_temporary_name(at("a.h5"), &first));
    CHECK_OK(file_temporary_name(at("a.h5"), &second));
    CHECK(strcmp(first, second) != 0);
    CHECK(strncmp(first, root, strlen(root)) == 0);
    check_content(first, "");
    FILE *file = fopen(first, "w");
    fputs("data", file);
    fclose(file);
    CHECK_OK(file_commit(first, at("a.h5")));
    check_content(at("a.h5"), "data");
    file_discard(second);
    file_discard(NULL);
    CHECK_INT(count_names(root), 1);
    CHECK_FAILS(file_commit(first, at("a.h5")), STATUS_NOT_FOUND, "a.h5");
    memory_free(first);
    memory_free(second);
    end();
}

static void test_directories(void)
{
    begin();
    CHECK_OK(directory_create(at("x/y/z")));
    CHECK_OK(directory_create(at("x/y/z/")));
    CHECK_OK(file_write(at("x/b"), "", 0));
    CHECK_OK(file_write(at("x/.a"), "", 0));
    CHECK_FAILS(directory_create(at("x/b/c")), STATUS_IO, "x/b");
    CHECK_FAILS(directory_create(at("x/b")), STATUS_IO, "x/b");
    char **names;
    size_t count;
    CHECK_OK(directory_list(at("x"), &names, &count));
    CHECK_INT(count, 3);
    CHECK_STRING(names[0], ".a");
    CHECK_STRING(names[1], "b");
    CHECK_STRING(names[2], "y");
    names_free(names, count);
    CHECK_OK(directory_list(at("x/y/z"), &names, &count));
    CHECK_INT(count, 0);
    names_free(names, count);
    CHECK_FAILS(directory_list(at("none"), &names, &count), STATUS_NOT_FOUND, at("none"));
    for (int64_t point = 0; point < 6; point++) {
        memory_fail_after(point);
        Status status = directory_list(at("x"), &names, &count);
        memory_fail_after(-1);
        if (status == OK) names_free(names, count);
        else CHECK_FAILS(status, STATUS_NO_MEMORY, "names");
    }
    /* A link is removed, what it points at is not. */
    CHECK_OK(directory_create(at("kept")));
    CHECK_OK(file_write(at("kept/file"), "", 0));
    CHECK(symlink(at("kept"), at("x/link")) == 0);
    CHECK_OK(directory_remove(at("x")));
    CHECK_OK(directory_remove(at("x")));
    CHECK(!file_exists(at("x")));
    CHECK(file_exists(at("kept/file")));
    end();
}

static void test_directory_commit(void)
{
    begin();
    CHECK_OK(directory_create(at("run/out/deep")));
    CHECK_OK(file_write(at("run/out/deep/file"), "data", 4));
    CHECK_OK(directory_create(at("artifacts")));
    CHECK_OK(files_inject("rename:nospace"));
    CHECK_FAILS(directory_commit(at("run/out"), at("artifacts/k")), STATUS_NO_SPACE, at("artifacts/k"));
    CHECK_OK(files_inject("sync:nospace"));
    CHECK_FAILS(directory_commit(at("run/out"), at("artifacts/k")), STATUS_NO_SPACE, "deep/file");
    CHECK(file_exists(at("run/out/deep/file")) && !file_exists(at("artifacts/k")));
    CHECK_OK(directory_commit(at("run/out"), at("artifacts/k")));
    check_content(at("artifacts/k/deep/file"), "data");
    CHECK(!file_exists(at("run/out")));
    CHECK_OK(directory_create(at("run/again")));
    CHECK_FAILS(directory_commit(at("run/again"), at("artifacts/k")), STATUS_LOCKED, at("artifacts/k"));
    CHECK_OK(directory_create(at("artifacts/empty"))); /* rename(2) alone would replace this */
    CHECK_FAILS(directory_commit(at("run/again"), at("artifacts/empty")), STATUS_LOCKED, "exists");
    CHECK_FAILS(directory_commit(at("run/none"), at("artifacts/n")), STATUS_NOT_FOUND, at("run/none"));
    end();
}

static void test_paths(void)
{
    static const struct {
        const char *a, *b, *joined, *beside;
    } cases[] = {{"a", "b", "a/b", "b"},
                 {"a/", "b", "a/b", "a/b"},
                 {"", "b", "b", "b"},
                 {"/", "b", "/b", "/b"},
                 {"dir/study.yaml", "base.yaml", "dir/study.yaml/base.yaml", "dir/base.yaml"},
                 {"dir/study.yaml", "/abs", "dir/study.yaml//abs", "/abs"},
                 {"./s.yaml", ".//b/./c/", "./s.yaml/.//b/./c/", "b/c"},
                 {"no-such/s.yaml", "../b", "no-such/s.yaml/../b", "no-such/../b"},
                 {"../s.yaml", "../b", "../s.yaml/../b", "../../b"},
                 {"/usr/bin/x", "../../b", "/usr/bin/x/../../b", "/b"},
                 {"/x", "..", "/x/..", "/.."}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *joined = path_join(cases[i].a, cases[i].b), *beside = path_beside(cases[i].a, cases[i].b);
        CHECK_STRING(joined, cases[i].joined);
        CHECK_STRING(beside, cases[i].beside);
        memory_free(joined);
        memory_free(beside);
    }
    begin();
    CHECK_OK(directory_create(at("real/below")));
    CHECK(symlink("real/below", at("link")) == 0);
    char *up = path_beside(at("real/study.yaml"), "../work"), *expected_up = memory_copy_string(at("work"));
    char *through = path_beside(at("link/study.yaml"), "../work"), *kept = memory_copy_string(at("link/../work"));
    CHECK_STRING(up, expected_up);
    CHECK_STRING(through, kept);
    memory_free(up);
    memory_free(expected_up);
    memory_free(through);
    memory_free(kept);
    end();
    CHECK_STRING(path_name("a/b.c"), "b.c");
    CHECK_STRING(path_name("b.c"), "b.c");
    CHECK_STRING(path_name("a/"), "");
    char here[1000], expected[1100];
    CHECK(getcwd(here, sizeof here) != NULL);
    snprintf(expected, sizeof expected, "%s/x", here);
    const char *const relative[] = {"x", "./x", "././x"};
    for (int i = 0; i < 3; i++) {
        char *absolute = path_absolute(relative[i]);
        CHECK_STRING(absolute, expected);
        memory_free(absolute);
    }
    char *absolute = path_absolute("/x"), *dot = path_absolute(".");
    CHECK_STRING(absolute, "/x");
    CHECK_STRING(dot, here);
    memory_free(absolute);
    memory_free(dot);
    memory_fail_after(0);
    CHECK(path_join("a", "b") == NULL);
    memory_fail_after(-1);
}

static void test_lock(void)
{
    begin();
    int ready[2], done[2];
    char byte = 0, host[128] = "", expected[64];
    CHECK(pipe(ready) == 0 && pipe(done) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        FileLock *lock;
        close(done[1]);
        Status status = file_lock(at("lock"), &lock);
        if (write(ready[1], "x", 1) != 1 || read(done[0], &byte, 1) < 0) _exit(9);
        _exit(status != OK); /* without unlocking */
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    FileLock *lock = NULL;
    snprintf(expected, sizeof expected, "process %d on ", (int)child);
    CHECK_FAILS(file_lock(at("lock"), &lock), STATUS_LOCKED, expected);
    gethostname(host, sizeof host - 1);
    CHECK_FAILS(file_lock(at("lock"), &lock), STATUS_LOCKED, host);
    CHECK(lock == NULL);
    close(done[1]);
    int result;
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result) && WEXITSTATUS(result) == 0);
    CHECK_OK(file_lock(at("lock"), &lock)); /* its end released it */
    FileLock *second = NULL;
    snprintf(expected, sizeof expected, "process %d on ", (int)getpid());
    CHECK_FAILS(file_lock(at("lock"), &second), STATUS_LOCKED, expected); /* within one process too */
    char *data;
    size_t bytes;
    CHECK_OK(file_read(at("lock"), 0, &data, &bytes)); /* reading it does not release it */
    CHECK(strstr(data, expected) == data);
    memory_free(data);
    CHECK_FAILS(file_lock(at("lock"), &second), STATUS_LOCKED, expected);
    file_unlock(lock);
    CHECK_OK(file_lock(at("lock"), &lock));
    file_unlock(lock);
    file_unlock(NULL);
    memory_fail_after(0);
    CHECK_FAILS(file_lock(at("lock"), &lock), STATUS_NO_MEMORY, "lock");
    CHECK_OK(file_lock(at("lock"), &lock));
    file_unlock(lock);
    CHECK_FAILS(file_lock(at("no/lock"), &lock), STATUS_NOT_FOUND, "no/lock");
    for (int i = 0; i < 2; i++) close(ready[i]);
    close(done[0]);
    end();
}

/* Looks while another process takes and leaves the lock ten thousand times: it is never refused. */
static void test_lock_look(void)
{
    begin();
    bool held = true;
    char *holder, expected[64];
    FileLock *lock;
    CHECK_OK(file_lock_look(at("lock"), &held, &holder));
    CHECK(!held && holder == NULL && !file_exists(at("lock")));
    CHECK_OK(file_lock(at("lock"), &lock));
    CHECK_OK(file_lock_look(at("lock"), &held, NULL));
    CHECK(held);
    CHECK_OK(file_lock_look(at("lock"), &held, &holder));
    snprintf(expected, sizeof expected, "process %d on ", (int)getpid());
    CHECK(held && holder != NULL && strstr(holder, expected) != NULL);
    memory_free(holder);
    file_unlock(lock);
    CHECK_OK(file_lock_look(at("lock"), &held, &holder));
    CHECK(!held && holder == NULL);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int refused = 0;
        for (int i = 0; i < 10000 && refused == 0; i++) {
            Status status = file_lock(at("lock"), &lock);
            refused += status != OK;
            status_free(status);
            if (status == OK) file_unlock(lock);
        }
        _exit(refused);
    }
    int result;
    while (waitpid(child, &result, WNOHANG) == 0) CHECK_OK(file_lock_look(at("lock"), &held, NULL));
    CHECK(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    end();
}

TEST_MAIN(TEST(test_read_write), TEST(test_permissions), TEST(test_large), TEST(test_append), TEST(test_append_torn),
          TEST(test_kill_at_every_point), TEST(test_no_space_at_every_point), TEST(test_short_write),
          TEST(test_allocation_failures), TEST(test_inject), TEST(test_inject_from_environment), TEST(as_child),
          TEST(test_temporary), TEST(test_directories), TEST(test_directory_commit), TEST(test_paths), TEST(test_lock),
          TEST(test_lock_look))
