#include "jobs/resources.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

typedef struct Keys {
    char own[64], common[32];
} Keys;

static Keys keys_of(StageId stage, const char *what)
{
    Keys keys;
    snprintf(keys.own, sizeof keys.own, "run.%s.%s", stage_name(stage), what);
    snprintf(keys.common, sizeof keys.common, "run.%s", what);
    return keys;
}

/* `unset` is what run.STAGE.WHAT is where the study says nothing. */
static int integer_of(const Config *config, StageId stage, const char *what, int64_t unset)
{
    Keys keys = keys_of(stage, what);
    int64_t own = config_integer(config, keys.own);
    return (int)(own != unset ? own : config_integer(config, keys.common));
}

static double real_of(const Config *config, StageId stage, const char *what)
{
    Keys keys = keys_of(stage, what);
    double own = config_real(config, keys.own);
    return own > 0 ? own : config_real(config, keys.common);
}

JobResources resources_of(const Config *config, StageId stage, bool parallel)
{
    return (JobResources){.threads = integer_of(config, stage, "threads", 0),
                          .ranks = parallel ? integer_of(config, stage, "ranks", 0) : 1,
                          .gpus = integer_of(config, stage, "gpus", -1),
                          .memory = real_of(config, stage, "memory"),
                          .time = real_of(config, stage, "time")};
}

int resources_cores(const JobResources *resources)
{
    return resources->threads * resources->ranks;
}

static int usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

HostResources resources_of_host(const Config *config)
{
    int cores = (int)config_integer(config, "run.cores");
    double memory = config_real(config, "run.host_memory");
    double pages = (double)sysconf(_SC_PHYS_PAGES), page = (double)sysconf(_SC_PAGESIZE);
    return (HostResources){.cores = cores > 0 ? cores : usable_cores(),
                           .memory = memory > 0 ? memory : 0.9 * pages * page,
                           .gpus = (int)config_integer(config, "run.host_gpus"),
                           .jobs = (int)config_integer(config, "run.jobs")};
}
