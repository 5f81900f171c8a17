/* Axes of a sweep and their expansion; between the files of study*.c. */
#ifndef JOBS_STUDY_PRIVATE_H
#define JOBS_STUDY_PRIVATE_H

#include "jobs/study.h"

#define VARIANT_KEY "variant" /* in conditions and group_by: a variant's name */

typedef struct Setting {
    const char *key; /* the schema's own string */
    const Yaml *value;
} Setting;

/* What one step along a dimension sets. */
typedef struct Point {
    Setting *settings;
    size_t count;
} Point;

/* Holds where the text of `key` is one of `texts`, or with `negated` none of them. */
typedef struct Condition {
    const char *key; /* the schema's own string, or VARIANT_KEY */
    const char **texts;
    size_t count;
    bool negated;
} Condition;

typedef struct Conditions {
    Condition *items;
    size_t count;
    int line;
    bool held; /* at least once: one that never does is warned of */
} Conditions;

typedef struct Dimension {
    Point *points;
    size_t count;
    Conditions when; /* none: always */
    int line;
} Dimension;

typedef struct Sweep {
    Dimension *dimensions; /* conditional ones behind those that their conditions are about */
    size_t count;
} Sweep;

/* What reading needs throughout. */
typedef struct StudyReader {
    Study *study;    /* its variants are known before the sweep is read */
    Config *scratch; /* every value is set here once, to be checked */
    char *const *overrides;
    int override_count;
} StudyReader;

/* A member of a map whose nested groups ({generator: {layers: 2}}) are written out. */
typedef struct Member {
    const char *name;
    const Yaml *value;
} Member;

typedef struct Members {
    Member *items;
    size_t count;
} Members;

/* Whether groups are told apart by an axis of this key: seeds are what a group has several of, and what no stage reads
 * (run.generator.memory, zipped with a size) makes no difference to a result. */
bool study_is_told_by(const char *key);
bool study_is_overridden(const StudyReader *reader, const char *key);
Status study_no_memory(void);
Status study_bad(const StudyReader *reader, const Yaml *yaml, const char *what); /* "FILE:LINE: what" */
void *study_allocate(StudyReader *reader, size_t count, size_t size);            /* cleared, in the arena */
/* Finds the key and checks the value by setting it in the scratch config. */
Status study_check_value(StudyReader *reader, const char *name, const Yaml *value, const char **key);
/* Whatever is no key but begins keys, and is a map, is a group. `map` is one. */
Status study_flatten(StudyReader *reader, const Yaml *map, Members *out);
/* A map may have only these members; the nearest is named. */
Status study_check_members(const StudyReader *reader, const Yaml *map, const char *what, const char *const *known,
                           size_t count);

Status study_read_conditions(StudyReader *reader, const Yaml *map, Conditions *out);
bool study_conditions_hold(Conditions *conditions, const Config *config, const char *variant);

/* Values of one axis, and draws of a random one. */
typedef struct Values {
    const Yaml **items;
    size_t count;
} Values;

/* `yaml` is a list, or a map with one of the notations and, where `when` is not NULL, perhaps `when`. */
Status study_read_values(StudyReader *reader, const char *key, const Yaml *yaml, Values *out, Conditions *when);
/* Draws are keyed by seed, number and key: another key changes none of them. */
Status study_draw(StudyReader *reader, const char *key, const Yaml *distribution, uint64_t seed, uint64_t number,
                  const Yaml **out);

/* `yaml` may be NULL: one trial. */
Status study_read_sweep(StudyReader *reader, const Yaml *yaml, Sweep *out);
/* Variants whose own values the sweep would always overwrite are errors. `variants` is a map or NULL. */
Status study_check_variants(StudyReader *reader, const Yaml *variants, const Sweep *sweep);

/* What the command line sets, last of all. */
Status study_apply_overrides(const StudyReader *reader, Config *config);
/* All trials of all variants, and what excludes some of them. `variants` is a checked map or NULL. */
typedef struct Exclusions {
    Conditions *items;
    size_t count;
} Exclusions;
Status study_expand(StudyReader *reader, const Sweep *sweep, Exclusions *exclusions, const Config *base,
                    const Yaml *variants);
/* `yaml` may be NULL. */
Status study_read_halving(StudyReader *reader, const Yaml *yaml);
/* Adds the shorter trials of halving behind the others. */
Status study_add_rungs(StudyReader *reader);

#endif
