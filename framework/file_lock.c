/* Advisory locks with the holder's name in the locked file; see files.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"

struct FileLock {
    int fd;
};

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

static Status write_holder(int fd, const char *path)
{
    char host[128] = "unknown-host", when[32] = "", line[256];
    if (gethostname(host, sizeof host) == 0) host[sizeof host - 1] = '\0';
    time_t now = time(NULL);
    struct tm broken;
    if (localtime_r(&now, &broken) != NULL) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &broken);
    int length = snprintf(line, sizeof line, "process %d on %s since %s\n", (int)getpid(), host, when);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, line, (size_t)length, 0) != length) return status_errno(errno, "write", path);
    return OK;
}

Status file_lock(const char *path, FileLock **lock)
{
    *lock = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return status_errno(errno, "open", path);
    Status status;
    if (lock_descriptor(fd)) status = write_holder(fd, path);
    else if (errno == EAGAIN || errno == EACCES) status = held_by_other(fd, path);
    else status = status_errno(errno, "lock", path);
    FileLock *made = NULL;
    if (status == OK) {
        made = memory_alloc(sizeof *made);
        if (made == NULL) status = status_no_memory(sizeof *made, "a file lock");
    }
    if (status != OK) {
        close(fd);
        return status;
    }
    made->fd = fd;
    *lock = made;
    return OK;
}

static Status look(int fd, const char *path, bool *held, char **holder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, F_OFD_GETLK, &whole) != 0)
        if (errno != EINTR) return status_errno(errno, "look at the lock of", path);
    *held = whole.l_type != F_UNLCK;
    if (!*held || holder == NULL) return OK;
    Status said = held_by_other(fd, path);
    *holder = memory_copy_string(status_message(said));
    status_free(said);
    return *holder != NULL ? OK : status_no_memory(strlen(path), "the holder of a lock");
}

Status file_lock_look(const char *path, bool *held, char **holder)
{
    *held = false;
    if (holder != NULL) *holder = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? OK : status_errno(errno, "open", path);
    Status status = look(fd, path, held, holder);
    close(fd);
    return status;
}

void file_unlock(FileLock *lock)
{
    if (lock == NULL) return;
    /* The file stays: unlinking it could unlink another's fresh lock. */
    (void)!ftruncate(lock->fd, 0);
    close(lock->fd);
    memory_free(lock);
}
