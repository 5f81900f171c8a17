#include "jobs/resources.h"

#include <stdio.h>

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
