/* zeroth doctor: what this machine and the work directory offer. */
#include <errno.h>
#include <fcntl.h>
#include <dlfcn.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/study_command.h"
#include "commands/version.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"

typedef struct Doctor {
    int problems;
} Doctor;

static void line(const char *what, const char *text)
{
    printf("  %-18s %s\n", what, text);
}

static void problem(Doctor *doctor, const char *what, const char *text)
{
    doctor->problems++;
    printf("! %-18s %s\n", what, text);
}

/* Versions as the loaded libraries tell them; no header of theirs is needed here. */
static void check_libraries(void)
{
    char text[160];
    line("program", VERSION_NUMBER);
    line("commit", version_commit());
    line("compiler", "gcc " __VERSION__);
    line("SQLite", sqlite3_libversion());
    unsigned major = 0, minor = 0, patch = 0;
    int (*hdf5)(unsigned *, unsigned *, unsigned *) = NULL;
    *(void **)&hdf5 = dlsym(RTLD_DEFAULT, "H5get_libversion");
    if (hdf5 != NULL && hdf5(&major, &minor, &patch) >= 0) {
        snprintf(text, sizeof text, "%u.%u.%u", major, minor, patch);
        line("HDF5", text);
    }
    const struct { int major, minor, patch; const char *hash; unsigned cpu, gpu; } *(*dnnl)(void) = NULL;
    *(void **)&dnnl = dlsym(RTLD_DEFAULT, "dnnl_version");
    if (dnnl != NULL) {
        snprintf(text, sizeof text, "%d.%d.%d", dnnl()->major, dnnl()->minor, dnnl()->patch);
        line("oneDNN", text);
    }
    int (*mpi)(char *, int *) = NULL;
    *(void **)&mpi = dlsym(RTLD_DEFAULT, "MPI_Get_library_version");
    char version[8192] = "";
    int length = 0;
    if (mpi != NULL && mpi(version, &length) == 0) {
        version[strcspn(version, ",")] = '\0';
        line("MPI", version);
    }
}

static void check_processor(Doctor *doctor)
{
    cpu_set_t set;
    char text[200];
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    snprintf(text, sizeof text, "%d usable of %ld", cores, sysconf(_SC_NPROCESSORS_ONLN));
    line("cores", text);
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    char size[16];
    text_bytes(bytes, size, sizeof size);
    line("memory", size);
    snprintf(text, sizeof text, "%s%s%s%s", __builtin_cpu_supports("avx2") ? "AVX2 " : "",
             __builtin_cpu_supports("fma") ? "FMA " : "", __builtin_cpu_supports("avx512f") ? "AVX-512 " : "",
             __builtin_cpu_supports("avx512bf16") ? "BF16" : "");
    if (__builtin_cpu_supports("avx2"))
        line("instructions", text);
    else
        problem(doctor, "instructions", "no AVX2: correct, but slow");
    if (system("mpirun --version >/dev/null 2>&1") == 0)
        line("mpirun", "found");
    else
        problem(doctor, "mpirun", "not found: run.ranks above 1 will not work (apt-get install mpi-default-bin)");
}

static const char *filesystem_name(long type, bool *network)
{
    static const struct { long type; const char *name; bool network; } KNOWN[] = {
        {0xEF53, "ext4", false},      {0x58465342, "xfs", false},   {0x9123683E, "btrfs", false},
        {0x01021994, "tmpfs", false}, {0x794C7630, "overlay", false}, {0x6969, "NFS", true},
        {0x0BD00BD0, "Lustre", true}, {0x47504653, "GPFS", true},   {0xFF534D42, "CIFS", true},
        {0x65735546, "FUSE", true},   {0x00C36400, "Ceph", true},   {0x2FC12FC1, "ZFS", false}};
    *network = false;
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        if (KNOWN[i].type != type) continue;
        *network = KNOWN[i].network;
        return KNOWN[i].name;
    }
    return "unknown";
}

/* A lock that a second process must not get. */
static bool locks_work(const char *path)
{
    FileLock *lock;
    Status status = file_lock(path, &lock);
    bool works = status == OK;
    status_free(status);
    if (!works) return false;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path, O_RDWR);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _exit(fd >= 0 && fcntl(fd, F_OFD_SETLK, &whole) != 0 ? 0 : 1);
    }
    int how = 0;
    works = pid > 0 && waitpid(pid, &how, 0) == pid && WIFEXITED(how) && WEXITSTATUS(how) == 0;
    file_unlock(lock);
    return works;
}

static Status check_work(Doctor *doctor, const char *work)
{
    line("work directory", work);
    const bool was_there = file_exists(work);
    TRY(directory_create(work));
    struct statfs info;
    struct statvfs space;
    char text[120], size[16];
    if (statfs(work, &info) == 0) {
        bool network;
        const char *name = filesystem_name((long)info.f_type, &network);
        snprintf(text, sizeof text, "%s%s", name, network ? " (network): one machine at a time writes the ledger" : "");
        line("file system", text);
    }
    if (statvfs(work, &space) == 0) {
        double left = (double)space.f_bavail * (double)space.f_frsize;
        text_bytes(left, size, sizeof size);
        snprintf(text, sizeof text, "%s left", size);
        if (left > 2e9)
            line("space", text);
        else
            problem(doctor, "space", text);
    }
    char *path = path_join(work, ".doctor");
    if (path == NULL) return status_no_memory(0, "a path");
    if (locks_work(path))
        line("file locks", "work");
    else
        problem(doctor, "file locks", "do not work here: choose another directory by --work");
    Status status = file_write(path, "x", 1);
    if (status == OK) line("atomic writes", "work");
    status = status_first(status, file_remove(path));
    memory_free(path);
    if (!was_there) rmdir(work); /* a look leaves nothing behind */
    return status;
}

int command_doctor(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    Doctor doctor = {0};
    Status status = flags_parse(NULL, 0, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 0, 0, "");
    if (status == OK) {
        check_libraries();
        check_processor(&doctor);
        status = check_work(&doctor, default_work(&common));
    }
    if (status == OK && doctor.problems > 0)
        status = status_error(STATUS_LIBRARY, "%d thing%s to look at, marked '!' above", doctor.problems,
                              doctor.problems == 1 ? "" : "s");
    arguments_free(&arguments);
    return command_end(status);
}
