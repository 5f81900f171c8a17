/* From axes to trials. */
#include <string.h>

#include "framework/log.h"
#include "framework/text.h"
#include "jobs/hash_map.h"
#include "jobs/study_private.h"

typedef struct Expansion {
    StudyReader *reader;
    const Sweep *sweep;
    Exclusions *exclusions;
    const char *variant;
    const Setting **chosen; /* settings in force, innermost last */
    size_t chosen_count;
    HashMap seen, groups;
    size_t capacity, group_capacity;
} Expansion;

static Status write_group(const Study *study, const Trial *trial, Text *text)
{
    bool by_default = study->group_by_count == 0;
    if (by_default && trial->variant[0] != '\0') text_append(text, trial->variant);
    for (size_t i = 0; by_default && i < trial->value_count; i++)
        if (study_is_told_by(trial->values[i].key))
            text_format(text, "%s%s=%s", text->length > 0 ? ", " : "", trial->values[i].key, trial->values[i].text);
    for (size_t i = 0; i < study->group_by_count; i++) {
        const char *key = study->group_by[i], *comma = text->length > 0 ? ", " : "";
        if (strcmp(key, VARIANT_KEY) == 0)
            text_format(text, "%s%s", comma, trial->variant);
        else
            text_format(text, "%s%s=%s", comma, key, config_text(trial->config, key));
    }
    if (text->length == 0) text_append(text, study->name);
    return text->failed ? study_no_memory() : OK;
}

static Status add_group(Expansion *expansion, const char *name)
{
    Study *study = expansion->reader->study;
    if (study->group_count == expansion->group_capacity) {
        size_t capacity = expansion->group_capacity > 0 ? expansion->group_capacity * 2 : 16;
        const char **groups = memory_resize(study->groups, capacity * sizeof *groups);
        if (groups == NULL) return study_no_memory();
        study->groups = groups;
        expansion->group_capacity = capacity;
    }
    const char *copy = arena_copy_string(study->arena, name);
    if (copy == NULL) return study_no_memory();
    study->groups[study->group_count++] = copy;
    return OK;
}

static Status find_group(Expansion *expansion, Trial *trial)
{
    Study *study = expansion->reader->study;
    Text text = {0};
    Status status = write_group(study, trial, &text);
    if (status == OK)
        status = hash_map_insert(&expansion->groups, hash_bytes(text_string(&text), text.length),
                                 (uint32_t)study->group_count, &trial->group_index);
    if (status == OK && trial->group_index == study->group_count) status = add_group(expansion, text_string(&text));
    if (status == OK) trial->group = study->groups[trial->group_index];
    text_free(&text);
    return status;
}

static Status describe_trial(Expansion *expansion, Trial *trial)
{
    Arena *arena = expansion->reader->study->arena;
    trial->variant = expansion->variant;
    trial->seed = config_integer(trial->config, "seed");
    trial->values = arena_alloc(arena, (expansion->chosen_count + 1) * sizeof *trial->values);
    if (trial->values == NULL) return study_no_memory();
    for (size_t i = 0; i < expansion->chosen_count; i++) {
        const char *key = expansion->chosen[i]->key;
        bool later = false; /* set again by a later axis, whose value counts */
        for (size_t j = i + 1; j < expansion->chosen_count && !later; j++) later = expansion->chosen[j]->key == key;
        if (later) continue;
        TrialValue *value = &trial->values[trial->value_count++];
        value->key = key;
        value->text = arena_copy_string(arena, config_text(trial->config, key));
        if (value->text == NULL) return study_no_memory();
    }
    return find_group(expansion, trial);
}

static Status grow_trials(Expansion *expansion)
{
    Study *study = expansion->reader->study;
    if (study->trial_count < expansion->capacity) return OK;
    if (study->trial_count >= STUDY_MAX_TRIALS)
        return status_error(STATUS_INVALID, "%s: more than %d trials: sweep fewer values, or draw some of them by "
                            "'random'", study->path, STUDY_MAX_TRIALS);
    size_t capacity = expansion->capacity > 0 ? expansion->capacity * 2 : 16;
    Trial *trials = memory_resize(study->trials, capacity * sizeof *trials);
    if (trials == NULL) return study_no_memory();
    study->trials = trials;
    expansion->capacity = capacity;
    return OK;
}

/* Every exclusion is asked, so that those which never hold are known. */
static bool is_excluded(Expansion *expansion, const Config *config)
{
    bool excluded = false;
    for (size_t i = 0; i < expansion->exclusions->count; i++)
        excluded |= study_conditions_hold(&expansion->exclusions->items[i], config, expansion->variant);
    return excluded;
}

/* Takes `config`. */
static Status add_trial(Expansion *expansion, Config *config)
{
    Study *study = expansion->reader->study;
    if (is_excluded(expansion, config)) {
        study->excluded++;
        config_destroy(config);
        return OK;
    }
    Hasher *hasher = hasher_create();
    if (hasher != NULL) {
        hasher_add_string(hasher, expansion->variant);
        config_hash_all(config, hasher);
    }
    uint32_t found = 0;
    Status status = hasher == NULL ? study_no_memory() : grow_trials(expansion);
    if (status == OK)
        status = hash_map_insert(&expansion->seen, hasher_result(hasher), (uint32_t)study->trial_count, &found);
    hasher_destroy(hasher);
    if (status != OK || found != study->trial_count) {
        if (status == OK) study->duplicates++;
        config_destroy(config);
        return status;
    }
    Trial *trial = &study->trials[study->trial_count++];
    *trial = (Trial){.config = config, .full = found};
    return describe_trial(expansion, trial);
}

/* Every combination of the dimensions from `depth` on; takes `config`. */
static Status expand(Expansion *expansion, size_t depth, Config *config)
{
    const Sweep *sweep = expansion->sweep;
    while (depth < sweep->count &&
           !study_conditions_hold(&sweep->dimensions[depth].when, config, expansion->variant)) depth++;
    if (depth == sweep->count) return add_trial(expansion, config);
    const Dimension *dimension = &sweep->dimensions[depth];
    size_t chosen_before = expansion->chosen_count;
    Status status = OK;
    for (size_t i = 0; i < dimension->count && status == OK; i++) {
        const Point *point = &dimension->points[i];
        Config *copy;
        status = config_copy(config, &copy);
        for (size_t j = 0; j < point->count && status == OK; j++) {
            status = config_set_yaml(copy, point->settings[j].key, point->settings[j].value,
                                     expansion->reader->study->path);
            expansion->chosen[expansion->chosen_count++] = &point->settings[j];
        }
        if (status == OK)
            status = expand(expansion, depth + 1, copy);
        else
            config_destroy(copy);
        expansion->chosen_count = chosen_before;
    }
    config_destroy(config);
    return status;
}

/* One variant: base, its overrides, the command line's, then the axes. */
static Status expand_variant(Expansion *expansion, const Config *base, const char *name, const Yaml *overrides)
{
    Config *config;
    TRY(config_copy(base, &config));
    Status status = overrides != NULL ? config_set_map(config, overrides, expansion->reader->study->path) : OK;
    if (status == OK) status = study_apply_overrides(expansion->reader, config);
    if (status != OK) {
        config_destroy(config);
        return status;
    }
    expansion->variant = name;
    return expand(expansion, 0, config);
}

static Status reserve_chosen(Expansion *expansion)
{
    size_t deepest = 0;
    for (size_t i = 0; i < expansion->sweep->count; i++) {
        const Dimension *dimension = &expansion->sweep->dimensions[i];
        size_t widest = 0;
        for (size_t j = 0; j < dimension->count; j++)
            if (dimension->points[j].count > widest) widest = dimension->points[j].count;
        deepest += widest;
    }
    expansion->chosen = study_allocate(expansion->reader, deepest, sizeof *expansion->chosen);
    return expansion->chosen != NULL ? OK : study_no_memory();
}

/* What never holds is most often a slip of the pen. Values given on the command line may take away what it is about. */
static void warn_of_idle(const Expansion *expansion)
{
    const char *path = expansion->reader->study->path;
    if (expansion->reader->override_count > 0) return;
    for (size_t i = 0; i < expansion->sweep->count; i++) {
        const Conditions *when = &expansion->sweep->dimensions[i].when;
        if (when->count > 0 && !when->held)
            LOG_WARNING("%s:%d: this condition holds in no trial, so its axis is left out of all", path, when->line);
    }
    for (size_t i = 0; i < expansion->exclusions->count; i++)
        if (!expansion->exclusions->items[i].held)
            LOG_WARNING("%s:%d: this exclusion fits no trial", path, expansion->exclusions->items[i].line);
}

Status study_expand(StudyReader *reader, const Sweep *sweep, Exclusions *exclusions, const Config *base,
                    const Yaml *variants)
{
    Study *study = reader->study;
    Expansion expansion = {.reader = reader, .sweep = sweep, .exclusions = exclusions};
    Status status = reserve_chosen(&expansion);
    if (status == OK && variants == NULL) status = expand_variant(&expansion, base, "", NULL);
    for (size_t i = 0; i < study->variant_count && status == OK; i++)
        status = expand_variant(&expansion, base, study->variants[i], &variants->items[i]);
    hash_map_free(&expansion.seen);
    hash_map_free(&expansion.groups);
    study->full_count = study->trial_count;
    if (status == OK) warn_of_idle(&expansion);
    return status;
}
