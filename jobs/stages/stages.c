/* The table of stages. */
#include "jobs/stage.h"

#include <assert.h>

static const Stage *const STAGE_TABLE[] = {
    [STAGE_SHARD] = &STAGE_DEF_SHARD,
    [STAGE_BACKBONE] = &STAGE_DEF_BACKBONE,
    [STAGE_EXTRACT] = &STAGE_DEF_EXTRACT,
    [STAGE_GENERATOR] = &STAGE_DEF_GENERATOR,
    [STAGE_EVALUATE] = &STAGE_DEF_EVALUATE,
};
static_assert(sizeof STAGE_TABLE / sizeof STAGE_TABLE[0] == STAGE_COUNT, "every stage has its definition");

const Stage *stage_get(StageId id)
{
    return STAGE_TABLE[id];
}

void stage_metric(StageMetrics *metrics, const char *name, double value)
{
    if (metrics->count == STAGE_MAX_METRICS) return;
    metrics->items[metrics->count].name = name;
    metrics->items[metrics->count++].value = value;
}
