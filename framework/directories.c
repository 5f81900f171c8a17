/* Directories made, listed, removed and moved into place; see files.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "framework/files_private.h"
#include "framework/memory.h"

static Status make_one(const char *path)
{
    if (mkdir(path, 0777) == 0) return OK;
    int cause = errno;
    struct stat info;
    /* Read-only and automounted parents may answer otherwise than EEXIST. */
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return OK;
    return status_errno(cause, "create directory", path);
}

Status directory_create(const char *path)
{
    char *partial = memory_copy_string(path);
    if (partial == NULL) return status_no_memory(strlen(path), "a directory name");
    Status status = OK;
    for (char *c = partial + 1; status == OK && *partial != '\0' && *c != '\0'; c++) {
        if (*c != '/') continue;
        *c = '\0';
        status = make_one(partial);
        *c = '/';
    }
    if (status == OK) status = make_one(path);
    memory_free(partial);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_free(char **names, size_t count)
{
    for (size_t i = 0; names != NULL && i < count; i++) memory_free(names[i]);
    memory_free(names);
}

/* Room is doubled whenever the count is a power of two. */
static bool add_name(char ***names, size_t *count, const char *name)
{
    if ((*count & (*count - 1)) == 0) {
        char **larger = memory_resize(*names, (*count > 0 ? *count * 2 : 1) * sizeof **names);
        if (larger == NULL) return false;
        *names = larger;
    }
    (*names)[*count] = memory_copy_string(name);
    if ((*names)[*count] == NULL) return false;
    (*count)++;
    return true;
}

Status directory_list(const char *path, char ***names, size_t *count)
{
    *names = NULL;
    *count = 0;
    DIR *directory = opendir(path);
    if (directory == NULL) return status_errno(errno, "list", path);
    Status status = OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            if (errno != 0) status = status_errno(errno, "list", path);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (!add_name(names, count, entry->d_name)) {
            status = status_no_memory(strlen(entry->d_name), "a list of file names");
            break;
        }
    }
    closedir(directory);
    if (status != OK) {
        names_free(*names, *count);
        *names = NULL;
        *count = 0;
    } else if (*count > 1) {
        qsort(*names, *count, sizeof **names, compare_names);
    }
    return status;
}

Status directory_list_any(const char *path, char ***names, size_t *count)
{
    Status status = directory_list(path, names, count);
    if (status_code(status) != STATUS_NOT_FOUND) return status;
    status_free(status);
    return OK;
}

/* Calls `visit` for everything below `path`, contents before their directory,
 * links not followed, and last for `path` itself. */
static Status walk(const char *path, Status (*visit)(const char *path, mode_t mode))
{
    struct stat info;
    if (lstat(path, &info) != 0) return status_errno(errno, "look at", path);
    if (!S_ISDIR(info.st_mode)) return visit(path, info.st_mode);
    char **names;
    size_t count;
    TRY(directory_list(path, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        char *child = path_join(path, names[i]);
        status = child != NULL ? walk(child, visit) : status_no_memory(strlen(path), "a file name");
        memory_free(child);
    }
    names_free(names, count);
    return status != OK ? status : visit(path, info.st_mode);
}

static Status remove_visited(const char *path, mode_t mode)
{
    int result = S_ISDIR(mode) ? rmdir(path) : unlink(path);
    if (result != 0 && errno != ENOENT) return status_errno(errno, "remove", path);
    return OK;
}

Status directory_remove(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0 && errno == ENOENT) return OK;
    return walk(path, remove_visited);
}

static Status sync_visited(const char *path, mode_t mode)
{
    if (S_ISREG(mode)) return files_sync_path(path);
    if (!S_ISDIR(mode)) return OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    Status status = OK;
    if (files_fault_fails(FILES_DIRSYNC)) status = status_errno(errno, "flush", path);
    else if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) status = status_errno(errno, "flush", path);
    close(fd);
    return status;
}

/* rename(2), but an existing target stands, even an empty directory. */
static int rename_to_new(const char *from, const char *to)
{
    if (files_fault_fails(FILES_RENAME)) return -1;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    /* NFS has no such flag. Between the look and the move only an empty
     * directory could be replaced: rename(2) refuses any other. */
    struct stat info;
    if (lstat(to, &info) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

Status directory_commit(const char *temporary, const char *path)
{
    TRY(walk(temporary, sync_visited));
    if (rename_to_new(temporary, path) != 0) {
        if (errno == EEXIST || errno == ENOTEMPTY)
            return status_error(STATUS_LOCKED, "%s: exists already; another attempt finished first", path);
        return status_errno(errno, "move a finished directory to", path);
    }
    return files_sync_parent(path);
}
