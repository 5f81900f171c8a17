/* Advisory locks of both kinds; see files.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/file_lease.h"
#include "framework/files.h"
#include "framework/memory.h"

struct FileLock {
    int fd;           /* of an fcntl lock */
    FileLease *lease; /* or a lease */
};

/* Kinds ------------------------------------------------------------------------- */

static const char *const KIND_NAMES[] = {
#define X(kind, name) [kind] = name,
    FILE_LOCK_KINDS(X)
#undef X
};
static_assert(sizeof KIND_NAMES / sizeof KIND_NAMES[0] == FILE_LOCK_KIND_COUNT, "every kind of lock has a name");

#define KINDS_TEXT "there are fcntl and lease"

const char *file_lock_kind_name(FileLockKind kind)
{
    return kind < FILE_LOCK_KIND_COUNT ? KIND_NAMES[kind] : "?";
}

bool file_lock_kind_from_name(const char *name, FileLockKind *kind)
{
    for (int i = 0; i < FILE_LOCK_KIND_COUNT; i++) {
        if (strcmp(name, KIND_NAMES[i]) != 0) continue;
        *kind = (FileLockKind)i;
        return true;
    }
    return false;
}

/* What the nearest file says; `*where` is its path, or NULL where there is none. Freed by memory_free. */
static Status find_recorded(const char *path, FileLockKind *kind, char **where)
{
    enum { LEVELS = 4 }; /* WORK/runs/KEY/NNNN */
    char *directory = memory_copy_string(path);
    Status status = directory == NULL ? status_no_memory(strlen(path), path) : OK;
    *where = NULL;
    for (int level = 0; status == OK && level < LEVELS; level++) {
        char *slash = strrchr(directory, '/');
        char *file = slash != NULL ? memory_format("%.*s/" FILE_LOCKS_NAME, (int)(slash - directory), directory)
                                   : memory_copy_string(FILE_LOCKS_NAME), *text = NULL;
        size_t bytes;
        Status read = file != NULL ? file_read(file, 64, &text, &bytes) : status_no_memory(strlen(path), path);
        if (read == OK) {
            text[strcspn(text, "\n")] = '\0';
            if (file_lock_kind_from_name(text, kind)) *where = file; /* else it is somebody else's */
        } else if (status_code(read) != STATUS_NOT_FOUND && status_code(read) != STATUS_IO) { /* IO: a directory */
            status = read;
            read = OK;
        }
        status_free(read);
        memory_free(text);
        if (*where == NULL) memory_free(file);
        if (*where != NULL || slash == NULL) break;
        *slash = '\0';
    }
    memory_free(directory);
    return status;
}

Status file_lock_kind(const char *path, FileLockKind *kind)
{
    FileLockKind recorded = FILE_LOCK_FCNTL, wished = FILE_LOCK_FCNTL;
    const char *wish = getenv(FILE_LOCKS_ENVIRONMENT);
    bool wishes = wish != NULL && wish[0] != '\0';
    char *where;
    if (wishes && !file_lock_kind_from_name(wish, &wished))
        return status_error(STATUS_USAGE, "--locks or " FILE_LOCKS_ENVIRONMENT ": no kind of locks '%s': " KINDS_TEXT,
                            wish);
    TRY(find_recorded(path, &recorded, &where));
    Status status = OK;
    if (where != NULL && wishes && recorded != wished)
        status = status_error(STATUS_INVALID,
                              "%s: this work directory has locks of kind %s, not %s: to change it, remove "
                              "that file while nothing runs there", where, KIND_NAMES[recorded], wish);
    *kind = where != NULL ? recorded : wished;
    memory_free(where);
    return status;
}

Status file_lock_record_kind(const char *directory)
{
    FileLockKind kind;
    char *path = path_join(directory, FILE_LOCKS_NAME), line[32];
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = file_exists(path) ? OK : file_lock_kind(path, &kind);
    if (status == OK && !file_exists(path)) {
        int length = snprintf(line, sizeof line, "%s\n", KIND_NAMES[kind]);
        status = file_write(path, line, (size_t)length);
    }
    memory_free(path);
    return status;
}

/* fcntl -------------------------------------------------------------------------- */

/* Locks of open descriptions (OFD), not of processes: those would let one
 * process take a lock twice, and drop it when any descriptor of the file is
 * closed. */
static bool lock_descriptor(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, F_OFD_SETLK, &whole) != 0)
        if (errno != EINTR) return false;
    return true;
}

static Status held_by_other(int fd, const char *path)
{
    char holder[256];
    ssize_t length = pread(fd, holder, sizeof holder - 1, 0);
    /* Empty for the moment between another's lock and its writing of this. */
    if (length <= 0) return status_error(STATUS_LOCKED, "%s: held by another process; try again", path);
    holder[length] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return status_error(STATUS_LOCKED, "%s: held by %s; wait for it to end, or end it", path, holder);
}

static Status no_locks(int cause, const char *path)
{
    return status_error(STATUS_IO, "%s: this file system has no working locks (%s): use --locks lease, or "
                        FILE_LOCKS_ENVIRONMENT "=lease, from the first command in this work directory on", path,
                        strerror(cause));
}

static Status write_holder(int fd, const char *path)
{
    char host[128] = "unknown-host", when[32] = "", line[256];
    if (gethostname(host, sizeof host) == 0) host[sizeof host - 1] = '\0';
    time_t now = time(NULL);
    struct tm broken;
    if (localtime_r(&now, &broken) != NULL) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &broken);
    int length = snprintf(line, sizeof line, "process %d on %s since %s\n", (int)getpid(), host, when);
    bool written = ftruncate(fd, 0) == 0 && pwrite(fd, line, (size_t)length, 0) == length;
    return written ? OK : status_errno(errno, "write", path);
}

static Status take_fcntl(const char *path, int *out)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return status_errno(errno, "open", path);
    Status status;
    if (lock_descriptor(fd)) status = write_holder(fd, path);
    else if (errno == EAGAIN || errno == EACCES) status = held_by_other(fd, path);
    else status = no_locks(errno, path);
    if (status == OK)
        *out = fd;
    else
        close(fd);
    return status;
}

static Status look_fcntl(int fd, const char *path, bool *held, char **holder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, F_OFD_GETLK, &whole) != 0)
        if (errno != EINTR) return no_locks(errno, path);
    *held = whole.l_type != F_UNLCK;
    if (!*held || holder == NULL) return OK;
    Status said = held_by_other(fd, path);
    *holder = memory_copy_string(status_message(said));
    status_free(said);
    return *holder != NULL ? OK : status_no_memory(strlen(path), "the holder of a lock");
}

/* Both ----------------------------------------------------------------------------- */

Status file_lock(const char *path, FileLock **lock)
{
    FileLockKind kind;
    *lock = NULL;
    TRY(file_lock_kind(path, &kind));
    FileLock *made = memory_alloc_zero(1, sizeof *made);
    if (made == NULL) return status_no_memory(sizeof *made, "a file lock");
    made->fd = -1;
    Status status = kind == FILE_LOCK_LEASE ? file_lease_take(path, &made->lease) : take_fcntl(path, &made->fd);
    if (status == OK)
        *lock = made;
    else
        memory_free(made);
    return status;
}

Status file_lock_look(const char *path, bool *held, char **holder)
{
    FileLockKind kind;
    *held = false;
    if (holder != NULL) *holder = NULL;
    TRY(file_lock_kind(path, &kind));
    if (kind == FILE_LOCK_LEASE) return file_lease_look(path, held, holder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? OK : status_errno(errno, "open", path);
    Status status = look_fcntl(fd, path, held, holder);
    close(fd);
    return status;
}

void file_unlock(FileLock *lock)
{
    if (lock == NULL) return;
    if (lock->lease != NULL) {
        file_lease_release(lock->lease);
    } else {
        /* The file stays: unlinking it could unlink another's fresh lock. */
        (void)!ftruncate(lock->fd, 0);
        close(lock->fd);
    }
    memory_free(lock);
}
