/* Groups of classes that metrics are averaged over. */
#ifndef MODELS_METRICS_GROUPS_H
#define MODELS_METRICS_GROUPS_H

#include <stdbool.h>

#include "storage/dataset.h"

/* group, name in metrics.json ("panoptic.pq.seen") and in tables */
#define METRIC_GROUPS(X)            \
    X(GROUP_ALL, "all")             \
    X(GROUP_THINGS, "things")       \
    X(GROUP_STUFF, "stuff")         \
    X(GROUP_SEEN, "seen")           \
    X(GROUP_UNSEEN, "unseen")

typedef enum MetricGroup {
#define X(group, name) group,
    METRIC_GROUPS(X)
#undef X
    GROUP_COUNT
} MetricGroup;

const char *metric_group_name(MetricGroup group);
bool metric_group_has(MetricGroup group, const ClassEntry *entry);
/* 2su / (s + u), and 0 where both are 0. */
double metric_harmonic(double seen, double unseen);

#endif
