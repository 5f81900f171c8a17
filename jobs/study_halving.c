/* Successive halving in a study: its settings, and the shorter trials. */
#include <math.h>
#include <string.h>

#include "framework/text.h"
#include "jobs/study_private.h"

#define MOST_RUNGS 16

static Status read_integer(const StudyReader *reader, const Yaml *map, const char *name, int64_t low, int64_t high,
                           int64_t *value)
{
    const Yaml *yaml = yaml_member(map, name);
    if (yaml == NULL) return OK; /* the default that is there */
    if (yaml->type == YAML_SCALAR && parse_integer(yaml->scalar, value) && *value >= low && *value <= high) return OK;
    return status_error(STATUS_INVALID, "%s:%d: halving: %s is an integer between %lld and %lld", reader->study->path,
                        yaml->line, name, (long long)low, (long long)high);
}

/* The budget is a number of steps or the like: an integer that a stage reads. */
static Status read_key(StudyReader *reader, const Yaml *map, StudyHalving *halving)
{
    const Yaml *yaml = yaml_member(map, "key");
    const char *nearest = NULL;
    if (yaml == NULL || yaml->type != YAML_SCALAR)
        return study_bad(reader, yaml != NULL ? yaml : map, "halving wants a key, the budget that the first rungs cut "
                         "down: key: generator.steps");
    const ConfigKey *key = config_find_key(yaml->scalar, &nearest);
    if (key == NULL)
        return status_error(STATUS_INVALID, "%s:%d: unknown key '%s': did you mean '%s'?", reader->study->path,
                            yaml->line, yaml->scalar, nearest);
    if (key->type != CONFIG_INTEGER || key->stages == 0 || strcmp(key->name, "seed") == 0)
        return status_error(STATUS_INVALID, "%s:%d: halving: '%s' is no budget: name an integer that a stage reads, as "
                            "generator.steps or train.steps", reader->study->path, yaml->line, key->name);
    halving->key = key->name;
    return OK;
}

Status study_read_halving(StudyReader *reader, const Yaml *yaml)
{
    static const char *const KNOWN[] = {"metric", "key", "factor", "rungs", "maximize"};
    StudyHalving *halving = &reader->study->halving;
    int64_t rungs = 3;
    *halving = (StudyHalving){.factor = 3, .rungs = 1, .maximize = true};
    if (yaml == NULL) return OK;
    if (yaml->type != YAML_MAP)
        return study_bad(reader, yaml,
                         "halving is a map: {metric: pq.unseen, key: generator.steps, factor: 3, rungs: 3}");
    TRY(study_check_members(reader, yaml, "halving", KNOWN, sizeof KNOWN / sizeof KNOWN[0]));
    const Yaml *metric = yaml_member(yaml, "metric"), *maximize = yaml_member(yaml, "maximize");
    if (metric == NULL || metric->type != YAML_SCALAR || metric->scalar[0] == '\0')
        return study_bad(reader, metric != NULL ? metric : yaml, "halving wants a metric, by which the best go on: "
                         "metric: pq.unseen");
    TRY(read_key(reader, yaml, halving));
    TRY(read_integer(reader, yaml, "factor", 2, 1000, &halving->factor));
    TRY(read_integer(reader, yaml, "rungs", 2, MOST_RUNGS, &rungs));
    if (maximize != NULL && (maximize->type != YAML_SCALAR || !parse_bool(maximize->scalar, &halving->maximize)))
        return study_bad(reader, maximize, "halving: maximize is true or false: false for a loss");
    halving->rungs = (int)rungs;
    halving->metric = arena_copy_string(reader->study->arena, metric->scalar);
    return halving->metric != NULL ? OK : study_no_memory();
}

int64_t study_rung_budget(const Study *study, int64_t full, int rung)
{
    double share = pow((double)study->halving.factor, study->halving.rungs - 1 - rung);
    int64_t budget = (int64_t)llround((double)full / share);
    if (budget < 1) budget = 1;
    return budget < full ? budget : full;
}

size_t study_rung_trial(const Study *study, size_t full, int rung)
{
    return rung == study->halving.rungs - 1 ? full : study->full_count * (size_t)(rung + 1) + full;
}

/* The values of the trial itself, with the budget's in its place or at the end. */
static Status set_values(const StudyReader *reader, const Trial *full, Trial *trial)
{
    Arena *arena = reader->study->arena;
    const char *key = reader->study->halving.key;
    TrialValue *values = arena_alloc(arena, (full->value_count + 1) * sizeof *values);
    const char *text = arena_copy_string(arena, config_text(trial->config, key));
    if (values == NULL || text == NULL) return study_no_memory();
    memcpy(values, full->values, full->value_count * sizeof *values);
    trial->values = values;
    size_t place = 0;
    while (place < full->value_count && values[place].key != key) place++;
    values[place] = (TrialValue){key, text};
    if (place == full->value_count) trial->value_count++;
    return OK;
}

static Status add_rung_trial(StudyReader *reader, size_t number, int rung, const char *group)
{
    Study *study = reader->study;
    const Trial *full = &study->trials[number];
    Trial *trial = &study->trials[study->trial_count];
    char budget[24];
    *trial = *full;
    trial->rung = rung;
    trial->full = (uint32_t)number;
    trial->group = group;
    TRY(config_copy(full->config, &trial->config));
    study->trial_count++;
    snprintf(budget, sizeof budget, "%lld",
             (long long)study_rung_budget(study, config_integer(full->config, study->halving.key), rung));
    TRY(config_set(trial->config, study->halving.key, budget, study->path));
    return set_values(reader, full, trial);
}

Status study_add_rungs(StudyReader *reader)
{
    Study *study = reader->study;
    size_t rungs = (size_t)study->halving.rungs, count = study->full_count;
    if (study->halving.metric == NULL) return OK;
    if (count * rungs > STUDY_MAX_TRIALS)
        return status_error(STATUS_INVALID, "%s: %zu trials at %zu rungs are more than %d", study->path, count, rungs,
                            STUDY_MAX_TRIALS);
    Trial *trials = memory_resize(study->trials, count * rungs * sizeof *trials);
    if (trials == NULL) return study_no_memory();
    study->trials = trials;
    const char **groups = study_allocate(reader, study->group_count, sizeof *groups);
    if (groups == NULL) return study_no_memory();
    for (size_t i = 0; i < count; i++) study->trials[i].rung = (int)rungs - 1;
    for (int rung = 0; rung + 1 < (int)rungs; rung++) {
        for (size_t g = 0; g < study->group_count; g++) {
            groups[g] = arena_format(study->arena, "%s, rung %d of %zu", study->groups[g], rung + 1, rungs);
            if (groups[g] == NULL) return study_no_memory();
        }
        for (size_t i = 0; i < count; i++)
            TRY(add_rung_trial(reader, i, rung, groups[study->trials[i].group_index]));
    }
    return OK;
}
