/* A lease is a file PATH.lease-N. Among those of one PATH the highest N counts;
 * it is held unless its text begins with "free", and never removed but by who
 * has made a higher one. So what is taken over cannot be taken over twice, and
 * a taker that was slow finds a higher lease than its own, and yields. */
#include "framework/file_lease.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"

#define HOLDER_SIZE 512
#define FREE "free\n"
#define MARK ".lease-"

struct FileLease {
    char *path;           /* of the lease file itself */
    int fd;
    ino_t inode;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool ending;
};

/* Who ---------------------------------------------------------------------------- */

/* One line of a file of /proc, without its end; "" where it cannot be read. */
static void read_line(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t got = read(fd, out, size - 1);
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    close(fd);
}

/* Clock ticks from boot to the start of a process; 0 where it does not live (or is dead and not yet waited for). */
static unsigned long long start_ticks(long pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    read_line(path, line, sizeof line);
    /* The name, in brackets, may hold anything; state and 19 more numbers follow it. */
    const char *at = strrchr(line, ')');
    char state;
    unsigned long long ticks;
    if (at == NULL || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                             &state, &ticks) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : ticks;
}

/* This boot of this machine, and the space in which its process numbers count. */
static void write_place(char *out, size_t size)
{
    char boot[64], space[64] = "";
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[length > 0 ? length : 0] = '\0';
    snprintf(out, size, "%s/%s", boot, space);
}

/* Three lines: for people; place; pid and start. */
static int write_holder(char *out, size_t size)
{
    char host[128] = "unknown-host", when[32] = "", place[160];
    if (gethostname(host, sizeof host) == 0) host[sizeof host - 1] = '\0';
    time_t now = time(NULL);
    struct tm broken;
    if (localtime_r(&now, &broken) != NULL) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &broken);
    write_place(place, sizeof place);
    return snprintf(out, size, "process %ld on %s since %s\n%s\n%ld %llu\n", (long)getpid(), host, when, place,
                    (long)getpid(), start_ticks((long)getpid()));
}

/* Leases --------------------------------------------------------------------------- */

static char *lease_name(const char *path, int64_t number)
{
    return memory_format("%s" MARK "%06lld", path, (long long)number);
}

static char *directory_of(const char *path)
{
    const char *name = path_name(path);
    return name == path ? memory_copy_string(".") : memory_format("%.*s", (int)(name - path), path);
}

/* Calls `visit` for the number of every lease of `path`. */
static Status each_lease(const char *path, void (*visit)(void *context, int64_t number), void *context)
{
    char *directory = directory_of(path), *mark = memory_format("%s" MARK, path_name(path)), **names = NULL;
    size_t count = 0;
    Status status = directory != NULL && mark != NULL ? directory_list(directory, &names, &count)
                                                      : status_no_memory(0, "a path");
    for (size_t i = 0; status == OK && i < count; i++) {
        int64_t number;
        if (strncmp(names[i], mark, strlen(mark)) != 0) continue;
        const char *digits = names[i] + strlen(mark);
        while (digits[0] == '0' && digits[1] != '\0') digits++;
        if (parse_integer(digits, &number)) visit(context, number);
    }
    names_free(names, count);
    memory_free(directory);
    memory_free(mark);
    return status;
}

static void keep_highest(void *context, int64_t number)
{
    int64_t *highest = context;
    if (number > *highest) *highest = number;
}

typedef struct Lower {
    const char *path;
    int64_t below;
} Lower;

static void remove_lower(void *context, int64_t number)
{
    const Lower *lower = context;
    char *name = number < lower->below ? lease_name(lower->path, number) : NULL;
    if (name != NULL) unlink(name);
    memory_free(name);
}

typedef struct LeaseLook {
    int64_t number;            /* 0: there is none */
    bool held;
    char holder[HOLDER_SIZE];  /* its first line */
} LeaseLook;

/* Whether the lease's holder lives. `now` is the file system's time. */
static bool holder_lives(const char *text, time_t renewed, time_t now)
{
    char place[160];
    const char *second = strchr(text, '\n'), *third = second != NULL ? strchr(second + 1, '\n') : NULL;
    long pid;
    unsigned long long started;
    write_place(place, sizeof place);
    if (third != NULL && (size_t)(third - second - 1) == strlen(place) &&
        strncmp(second + 1, place, strlen(place)) == 0 &&
        sscanf(third + 1, "%ld %llu", &pid, &started) == 2)
        return start_ticks(pid) == started && started != 0;
    return now - renewed < FILE_LEASE_STALE;
}

/* `now` 0: by this machine's clock. */
static Status look(const char *path, time_t now, LeaseLook *out)
{
    for (;;) {
        *out = (LeaseLook){0};
        TRY(each_lease(path, keep_highest, &out->number));
        if (out->number == 0) return OK;
        char *name = lease_name(path, out->number), text[HOLDER_SIZE] = "";
        if (name == NULL) return status_no_memory(0, "a path");
        int fd = open(name, O_RDONLY | O_CLOEXEC), cause = errno;
        struct stat info = {0};
        ssize_t length = fd >= 0 && fstat(fd, &info) == 0 ? pread(fd, text, sizeof text - 1, 0) : -1;
        if (fd >= 0) close(fd);
        Status status = fd < 0 && cause != ENOENT ? status_errno(cause, "open", name) : OK;
        memory_free(name);
        TRY(status);
        if (length < 0) continue; /* taken over between list and look: there is a higher one */
        text[length] = '\0';
        bool is_free = strncmp(text, FREE, strlen(FREE)) == 0;
        out->held = !is_free && holder_lives(text, info.st_mtime, now != 0 ? now : time(NULL));
        snprintf(out->holder, sizeof out->holder, "%.*s", (int)strcspn(text, "\n"), text);
        return OK;
    }
}

static Status held_by_other(const char *path, const LeaseLook *seen)
{
    if (seen->holder[0] == '\0') return status_error(STATUS_LOCKED, "%s: held by another process; try again", path);
    return status_error(STATUS_LOCKED, "%s: held by %s; wait for it to end, or end it", path, seen->holder);
}

/* Renewal --------------------------------------------------------------------------- */

static bool still_ours(const FileLease *lease)
{
    struct stat info;
    return stat(lease->path, &info) == 0 && info.st_ino == lease->inode;
}

static void *renew(void *context)
{
    FileLease *lease = context;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    pthread_mutex_lock(&lease->mutex);
    while (!lease->ending) {
        until.tv_sec += FILE_LEASE_RENEWAL;
        while (!lease->ending && pthread_cond_timedwait(&lease->wake, &lease->mutex, &until) == 0) {}
        if (lease->ending) break;
        clock_gettime(CLOCK_REALTIME, &until);
        if (!still_ours(lease)) {
            LOG_ERROR("%s: taken over by another process, as this one had not renewed it for %d s; stopping",
                      lease->path, FILE_LEASE_STALE);
            kill(getpid(), SIGTERM);
            break;
        }
        futimens(lease->fd, NULL);
    }
    pthread_mutex_unlock(&lease->mutex);
    return NULL;
}

static Status start_renewal(FileLease *lease)
{
    sigset_t all, before;
    pthread_mutex_init(&lease->mutex, NULL);
    pthread_cond_init(&lease->wake, NULL);
    sigfillset(&all); /* signals are the business of the other threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&lease->thread, NULL, renew, lease);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    lease->has_thread = result == 0;
    return result == 0 ? OK : status_errno(result, "start a thread for", lease->path);
}

/* Taking ------------------------------------------------------------------------------ */

/* Makes the file `name` with `text` unless it is there; false where it is. `ours` is a file with that text. */
static Status make_exclusively(const char *ours, const char *name, const char *text, int length, bool *made)
{
    struct stat info;
    *made = true;
    if (link(ours, name) == 0) return OK;
    int cause = errno;
    /* The answer of a network file system may be lost, though the link was made. */
    if (stat(ours, &info) == 0 && info.st_nlink == 2) return OK;
    *made = false;
    if (cause == EEXIST) return OK;
    if (cause != EPERM && cause != EOPNOTSUPP && cause != ENOSYS && cause != EMLINK)
        return status_errno(cause, "make", name);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); /* a file system without links */
    if (fd < 0) return errno == EEXIST ? OK : status_errno(errno, "make", name);
    *made = true;
    Status status = write(fd, text, (size_t)length) == length ? OK
                                                              : status_errno(errno != 0 ? errno : EIO, "write", name);
    close(fd);
    return status;
}

/* Makes the lease after the one that was seen free or stale. */
static Status take_next(const char *path, const char *ours, const char *text, int length, const LeaseLook *seen,
                        char **name)
{
    bool made;
    *name = lease_name(path, seen->number + 1);
    if (*name == NULL) return status_no_memory(0, "a path");
    TRY(make_exclusively(ours, *name, text, length, &made));
    LeaseLook now;
    if (made) {
        int64_t highest = 0;
        TRY(each_lease(path, keep_highest, &highest));
        if (highest == seen->number + 1) {
            Lower lower = {.path = path, .below = highest};
            return each_lease(path, remove_lower, &lower);
        }
        unlink(*name); /* others were faster, and the name was free again */
    }
    TRY(look(path, 0, &now));
    return held_by_other(path, &now);
}

static Status open_lease(char *name, FileLease **out)
{
    FileLease *lease = memory_alloc_zero(1, sizeof *lease);
    struct stat info;
    Status status = lease == NULL ? status_no_memory(sizeof *lease, "a lease") : OK;
    int fd = status == OK ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (status == OK && (fd < 0 || fstat(fd, &info) != 0)) status = status_errno(errno, "open", name);
    if (status == OK) {
        *lease = (FileLease){.path = name, .fd = fd, .inode = info.st_ino};
        status = start_renewal(lease);
    }
    if (status == OK) {
        *out = lease;
        return OK;
    }
    if (fd >= 0) close(fd);
    memory_free(lease);
    unlink(name);
    return status;
}

Status file_lease_take(const char *path, FileLease **lease)
{
    *lease = NULL;
    char *ours, *name = NULL, text[HOLDER_SIZE];
    int length = write_holder(text, sizeof text);
    TRY(file_temporary_name(path, &ours));
    struct stat info = {0};
    int fd = open(ours, O_WRONLY | O_CLOEXEC);
    Status status = fd < 0 || write(fd, text, (size_t)length) != length || fstat(fd, &info) != 0
                        ? status_errno(errno != 0 ? errno : EIO, "write", ours) : OK;
    if (fd >= 0) close(fd);
    LeaseLook seen;
    /* The time of the file just written is the file system's own, by which renewals are dated. */
    if (status == OK) status = look(path, info.st_mtime, &seen);
    if (status == OK && seen.held) status = held_by_other(path, &seen);
    if (status == OK) status = take_next(path, ours, text, length, &seen, &name);
    file_discard(ours);
    memory_free(ours);
    if (status == OK) status = open_lease(name, lease);
    if (status != OK) memory_free(name);
    return status;
}

void file_lease_release(FileLease *lease)
{
    if (lease->has_thread) {
        pthread_mutex_lock(&lease->mutex);
        lease->ending = true;
        pthread_cond_signal(&lease->wake);
        pthread_mutex_unlock(&lease->mutex);
        pthread_join(lease->thread, NULL);
    }
    pthread_mutex_destroy(&lease->mutex);
    pthread_cond_destroy(&lease->wake);
    /* The file stays: its number must not be made again. */
    (void)!pwrite(lease->fd, FREE, strlen(FREE), 0);
    close(lease->fd);
    memory_free(lease->path);
    memory_free(lease);
}

Status file_lease_look(const char *path, bool *held, char **holder)
{
    LeaseLook seen;
    Status status = look(path, 0, &seen);
    if (status_code(status) == STATUS_NOT_FOUND) { /* no directory, no lease */
        status_free(status);
        return OK;
    }
    TRY(status);
    *held = seen.held;
    if (!seen.held || holder == NULL) return OK;
    Status said = held_by_other(path, &seen);
    *holder = memory_copy_string(status_message(said));
    status_free(said);
    return *holder != NULL ? OK : status_no_memory(strlen(path), "the holder of a lock");
}
