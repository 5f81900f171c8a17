/* For LD_PRELOAD: a machine on whose file systems no lock can be had. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <unistd.h>

static int is_lock(int command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK ||
           command == F_OFD_SETLKW || command == F_OFD_GETLK;
}

static int pass(const char *name, int fd, int command, void *argument)
{
    if (is_lock(command)) {
        errno = ENOLCK;
        return -1;
    }
    int (*real)(int, int, ...) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, name);
    return real(fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return pass("fcntl", fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return pass("fcntl64", fd, command, argument);
}

int flock(int fd, int operation)
{
    (void)fd;
    (void)operation;
    errno = ENOLCK;
    return -1;
}

int lockf(int fd, int command, off_t bytes)
{
    (void)fd;
    (void)command;
    (void)bytes;
    errno = ENOLCK;
    return -1;
}
