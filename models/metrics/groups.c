#include "models/metrics/groups.h"

#define X(group, name) name,
static const char *const GROUP_NAMES[] = {METRIC_GROUPS(X)};
#undef X
_Static_assert(sizeof GROUP_NAMES / sizeof *GROUP_NAMES == GROUP_COUNT, "a name per group");

const char *metric_group_name(MetricGroup group)
{
    return GROUP_NAMES[group];
}

bool metric_group_has(MetricGroup group, const ClassEntry *entry)
{
    switch (group) {
    case GROUP_ALL: return true;
    case GROUP_THINGS: return entry->is_thing;
    case GROUP_STUFF: return !entry->is_thing;
    case GROUP_SEEN: return !entry->is_unseen;
    case GROUP_UNSEEN: return entry->is_unseen;
    case GROUP_COUNT: break;
    }
    return false;
}

double metric_harmonic(double seen, double unseen)
{
    return seen + unseen > 0.0 ? 2.0 * seen * unseen / (seen + unseen) : 0.0;
}
