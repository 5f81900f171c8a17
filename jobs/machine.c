#include "jobs/machine.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_PART 0.9 /* the rest is for the system and the runner */

int machine_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

/* Memory --------------------------------------------------------------------------- */

/* A number that the line of `name` gives; -1 where there is none. */
static int64_t read_field(const char *path, const char *name)
{
    char line[256];
    int64_t value = -1;
    size_t length = strlen(name);
    FILE *file = fopen(path, "re");
    if (file == NULL) return -1;
    while (value < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, length) == 0) sscanf(line + length, "%*[: ]%" SCNd64, &value);
    fclose(file);
    return value;
}

/* The number that a file holds; infinite where it says "max" or is not there. */
static double read_limit(const char *directory, const char *below, const char *name)
{
    char path[PATH_MAX];
    double limit = 0;
    snprintf(path, sizeof path, "%s%s/%s", directory, below, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 1e30;
    bool found = fscanf(file, "%lf", &limit) == 1;
    fclose(file);
    return found ? limit : 1e30;
}

/* The least limit of a group and of those it lies in. In a container the path may be the host's: then only the
 * mount's own directory is there, which is the container's. */
static double least_limit(const char *mount, char *group, const char *name)
{
    double least = read_limit(mount, "", name);
    while (group[0] != '\0') {
        double limit = read_limit(mount, group, name);
        if (limit < least) least = limit;
        *strrchr(group, '/') = '\0';
    }
    return least;
}

/* Both forms of control groups: "0::/PATH" and "N:memory:/PATH". */
static double group_memory(void)
{
    char line[PATH_MAX];
    double least = 1e30;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) return least;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *kind = strchr(line, ':'), *group = kind != NULL ? strchr(kind + 1, ':') : NULL;
        if (group == NULL || group[1] != '/') continue;
        *group++ = '\0';
        bool unified = kind[1] == '\0', memory = strcmp(kind + 1, "memory") == 0;
        double limit = unified  ? least_limit("/sys/fs/cgroup", group, "memory.max")
                       : memory ? least_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes")
                                : least;
        if (limit < least) least = limit;
    }
    fclose(file);
    return least;
}

double machine_memory(void)
{
    double total = (double)read_field("/proc/meminfo", "MemTotal") * 1024, group = group_memory();
    if (total <= 0) return 0;
    return MEMORY_PART * (group < total ? group : total);
}

int64_t machine_memory_kills(void)
{
    return read_field("/proc/vmstat", "oom_kill");
}

/* GPUs ------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int machine_gpus(int devices[MACHINE_MAX_GPUS])
{
    int count = 0;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible != NULL) { /* ends at the first that is no number, as CUDA reads it */
        for (char *end; count < MACHINE_MAX_GPUS; visible = end + 1) {
            long number = strtol(visible, &end, 10);
            if (end == visible || number < 0) break;
            devices[count++] = (int)number;
            if (*end != ',') break;
        }
        return count;
    }
    DIR *directory = opendir("/dev");
    const struct dirent *entry;
    while (directory != NULL && count < MACHINE_MAX_GPUS && (entry = readdir(directory)) != NULL) {
        char *end;
        if (strncmp(entry->d_name, "nvidia", 6) != 0 || entry->d_name[6] < '0' || entry->d_name[6] > '9') continue;
        long number = strtol(entry->d_name + 6, &end, 10);
        if (*end == '\0' && number < INT_MAX) devices[count++] = (int)number;
    }
    if (directory != NULL) closedir(directory);
    qsort(devices, (size_t)count, sizeof *devices, compare_numbers);
    return count;
}
