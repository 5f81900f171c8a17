/* Axes of a sweep and their expansion; between study.c and study_sweep.c. */
#ifndef JOBS_STUDY_PRIVATE_H
#define JOBS_STUDY_PRIVATE_H

#include "jobs/study.h"

typedef struct Setting {
    const char *key; /* the schema's own string */
    const Yaml *value;
} Setting;

/* What one step along a dimension sets. */
typedef struct Point {
    Setting *settings;
    size_t count;
} Point;

/* Holds where the text of `key` is one of `texts`. */
typedef struct Condition {
    const char *key;
    const char **texts;
    size_t count;
} Condition;

typedef struct Conditions {
    Condition *items;
    size_t count;
} Conditions;

typedef struct Dimension {
    Point *points;
    size_t count;
    Conditions when; /* none: always */
} Dimension;

typedef struct Sweep {
    Dimension *dimensions; /* conditional ones last */
    size_t count;
} Sweep;

/* What reading needs throughout. */
typedef struct StudyReader {
    Study *study;
    Config *scratch; /* every value is set here once, to be checked */
    char *const *overrides;
    int override_count;
} StudyReader;

bool study_is_overridden(const StudyReader *reader, const char *key);
Status study_no_memory(void);
/* Finds the key and checks the value by setting it in the scratch config. */
Status study_check_value(StudyReader *reader, const char *name, const Yaml *value, const char **key);
Status study_read_conditions(StudyReader *reader, const Yaml *map, Conditions *out);
bool study_conditions_hold(const Conditions *conditions, const Config *config);
/* `yaml` may be NULL: one trial. */
Status study_read_sweep(StudyReader *reader, const Yaml *yaml, Sweep *out);

#endif
