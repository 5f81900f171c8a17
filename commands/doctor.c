/* zeroth doctor: what this machine and the work directory offer. */
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
#include "jobs/provenance.h"

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

static void print_facts(Doctor *doctor)
{
    Provenance provenance;
    provenance_gather(&provenance);
    line("program", VERSION_NUMBER);
    line("commit", version_commit());
    for (int fact = 0; fact < FACT_COUNT; fact++)
        if (provenance.facts[fact][0] != '\0') line(provenance_label((ProvenanceFact)fact), provenance.facts[fact]);
    if (strstr(provenance.facts[FACT_INSTRUCTIONS], "AVX2") == NULL)
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
        FileLock *second;
        _exit(status_code(file_lock(path, &second)) == STATUS_LOCKED ? 0 : 1);
    }
    int how = 0;
    works = pid > 0 && waitpid(pid, &how, 0) == pid && WIFEXITED(how) && WEXITSTATUS(how) == 0;
    file_unlock(lock);
    return works;
}

/* In a directory of its own below the work directory, which locks as that does, and goes. */
static Status check_locks(Doctor *doctor, const char *work)
{
    char *place = path_join(work, ".doctor"), *path = place != NULL ? path_join(place, "lock") : NULL, text[160];
    FileLockKind kind = FILE_LOCK_FCNTL;
    Status status = path == NULL ? status_no_memory(0, "a path") : directory_create(place);
    if (status == OK) status = file_lock_kind(path, &kind);
    if (status == OK) {
        bool works = locks_work(path);
        snprintf(text, sizeof text, "%s%s%s", file_lock_kind_name(kind), works ? " locks work" : " locks do not work here: ",
                 works                       ? ""
                 : kind == FILE_LOCK_FCNTL   ? "use --locks lease from the first command on, or another directory"
                                             : "choose another directory by --work");
        if (works) line("file locks", text);
        else problem(doctor, "file locks", text);
        status = directory_remove(place);
    }
    memory_free(path);
    memory_free(place);
    return status;
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
    Status status = check_locks(doctor, work);
    char *path = path_join(work, ".doctor");
    if (status == OK) status = path != NULL ? file_write(path, "x", 1) : status_no_memory(0, "a path");
    if (status == OK) line("atomic writes", "work");
    if (path != NULL) status = status_first(status, file_remove(path));
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
        print_facts(&doctor);
        status = check_work(&doctor, default_work(&common));
    }
    if (status == OK && doctor.problems > 0)
        status = status_error(STATUS_LIBRARY, "%d thing%s to look at, marked '!' above", doctor.problems,
                              doctor.problems == 1 ? "" : "s");
    arguments_free(&arguments);
    return command_end(status);
}
