/* Reading a study file and expanding it into trials. */
#include "jobs/study.h"

#include <ctype.h>
#include <string.h>

#include "framework/files.h"
#include "framework/text.h"
#include "jobs/hash_map.h"
#include "jobs/study_private.h"

#define MAX_BYTES ((size_t)16 << 20)

static Status bad(const StudyReader *reader, const Yaml *yaml, const char *what)
{
    return status_error(STATUS_INVALID, "%s:%d: %s", reader->study->path, yaml->line, what);
}

/* Expansion ------------------------------------------------------------------ */

typedef struct Expansion {
    StudyReader *reader;
    const Sweep *sweep;
    const Conditions *excluded;
    size_t excluded_count;
    const char *variant;
    const Setting **chosen; /* settings in force, innermost last */
    size_t chosen_count;
    HashMap seen;
    size_t capacity;
} Expansion;

static Status name_group(Expansion *expansion, Trial *trial)
{
    const Study *study = expansion->reader->study;
    Text text = {0};
    bool by_default = study->group_by_count == 0;
    if (by_default && trial->variant[0] != '\0') text_append(&text, trial->variant);
    for (size_t i = 0; by_default && i < trial->value_count; i++)
        if (strcmp(trial->values[i].key, "seed") != 0)
            text_format(&text, "%s%s=%s", text.length > 0 ? ", " : "", trial->values[i].key, trial->values[i].text);
    for (size_t i = 0; i < study->group_by_count; i++) {
        const char *key = study->group_by[i], *comma = text.length > 0 ? ", " : "";
        if (strcmp(key, "variant") == 0)
            text_format(&text, "%s%s", comma, trial->variant);
        else
            text_format(&text, "%s%s=%s", comma, key, config_text(trial->config, key));
    }
    if (text.length == 0) text_append(&text, study->name);
    trial->group = text.failed ? NULL : arena_copy_string(study->arena, text_string(&text));
    text_free(&text);
    return trial->group != NULL ? OK : study_no_memory();
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
    return name_group(expansion, trial);
}

static Status grow_trials(Expansion *expansion)
{
    Study *study = expansion->reader->study;
    if (study->trial_count < expansion->capacity) return OK;
    if (study->trial_count >= STUDY_MAX_TRIALS)
        return status_error(STATUS_INVALID, "%s: more than %d trials", study->path, STUDY_MAX_TRIALS);
    size_t capacity = expansion->capacity > 0 ? expansion->capacity * 2 : 16;
    Trial *trials = memory_resize(study->trials, capacity * sizeof *trials);
    if (trials == NULL) return study_no_memory();
    study->trials = trials;
    expansion->capacity = capacity;
    return OK;
}

/* Takes `config`. */
static Status add_trial(Expansion *expansion, Config *config)
{
    Study *study = expansion->reader->study;
    for (size_t i = 0; i < expansion->excluded_count; i++) {
        if (!study_conditions_hold(&expansion->excluded[i], config)) continue;
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
    *trial = (Trial){.config = config};
    return describe_trial(expansion, trial);
}

/* Every combination of the dimensions from `depth` on; takes `config`. */
static Status expand(Expansion *expansion, size_t depth, Config *config)
{
    const Sweep *sweep = expansion->sweep;
    while (depth < sweep->count && !study_conditions_hold(&sweep->dimensions[depth].when, config)) depth++;
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

static Status apply_overrides(const StudyReader *reader, Config *config)
{
    for (int i = 0; i < reader->override_count; i++) {
        const char *equals = strchr(reader->overrides[i], '=');
        if (equals == NULL)
            return status_error(STATUS_USAGE, "'%s' is not KEY=VALUE", reader->overrides[i]);
        char *key = memory_format("%.*s", (int)(equals - reader->overrides[i]), reader->overrides[i]);
        if (key == NULL) return study_no_memory();
        Status status = config_set(config, key, equals + 1, "command line");
        memory_free(key);
        TRY(status);
    }
    return OK;
}

/* One variant: base, its overrides, the command line's, then the axes. */
static Status expand_variant(Expansion *expansion, const Config *base, const char *name, const Yaml *overrides)
{
    Config *config;
    TRY(config_copy(base, &config));
    Status status = overrides != NULL ? config_set_map(config, overrides, expansion->reader->study->path) : OK;
    if (status == OK) status = apply_overrides(expansion->reader, config);
    if (status != OK) {
        config_destroy(config);
        return status;
    }
    expansion->variant = name;
    return expand(expansion, 0, config);
}

/* Parts of the file -------------------------------------------------------------- */

static bool is_safe_name(const char *name)
{
    if (name[0] == '\0' || name[0] == '.' || name[0] == '-' || strlen(name) > 100) return false;
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '_' && *c != '-' && *c != '+') return false;
    return true;
}

static Status check_members(const StudyReader *reader, const Yaml *map, const char *what, const char *const *known,
                            size_t count)
{
    for (size_t i = 0; i < map->count; i++) {
        const char *nearest = known[0];
        bool found = false;
        for (size_t j = 0; j < count; j++) {
            found |= strcmp(map->keys[i], known[j]) == 0;
            if (text_distance(map->keys[i], known[j]) < text_distance(map->keys[i], nearest)) nearest = known[j];
        }
        if (found) continue;
        if (config_find_key(map->keys[i], NULL) != NULL)
            return status_error(STATUS_INVALID, "%s:%d: '%s' is a config key, and belongs below 'config:'",
                                reader->study->path, map->items[i].line, map->keys[i]);
        return status_error(STATUS_INVALID, "%s:%d: unknown '%s' in %s: did you mean '%s'?", reader->study->path,
                            map->items[i].line, map->keys[i], what, nearest);
    }
    return OK;
}

static Status read_name(StudyReader *reader, const Yaml *root)
{
    Study *study = reader->study;
    const Yaml *name = yaml_member(root, "name");
    if (name != NULL) {
        if (name->type != YAML_SCALAR || !is_safe_name(name->scalar))
            return bad(reader, name, "a name is of letters, digits, '.', '_', '-' and '+', and names a directory");
        study->name = arena_copy_string(study->arena, name->scalar);
        return study->name != NULL ? OK : study_no_memory();
    }
    char *stem = arena_copy_string(study->arena, path_name(study->path));
    if (stem == NULL) return study_no_memory();
    char *dot = strrchr(stem, '.');
    if (dot != NULL && dot != stem) *dot = '\0';
    study->name = stem;
    return is_safe_name(stem) ? OK : status_error(STATUS_INVALID, "%s: the file's name is no study name: set 'name'",
                                                  study->path);
}

static Status read_work(StudyReader *reader, const Yaml *root, const Config *base)
{
    Study *study = reader->study;
    const Yaml *work = yaml_member(root, "work");
    if (work == NULL || study_is_overridden(reader, "work")) {
        study->work = arena_copy_string(study->arena, config_string(base, "work"));
        return study->work != NULL ? OK : study_no_memory();
    }
    if (work->type != YAML_SCALAR || work->scalar[0] == '\0') return bad(reader, work, "'work' is a directory");
    char *path = path_beside(study->path, work->scalar);
    study->work = path != NULL ? arena_copy_string(study->arena, path) : NULL;
    memory_free(path);
    return study->work != NULL ? OK : study_no_memory();
}

static Status read_names(StudyReader *reader, const Yaml *list, bool keys, const char ***out, size_t *count)
{
    if (list == NULL) return OK;
    if (list->type != YAML_LIST) return bad(reader, list, "expected a list of names");
    *out = arena_alloc(reader->study->arena, (list->count + 1) * sizeof **out);
    if (*out == NULL) return study_no_memory();
    for (size_t i = 0; i < list->count; i++) {
        const Yaml *item = &list->items[i];
        if (item->type != YAML_SCALAR) return bad(reader, item, "expected a name");
        const char *nearest = NULL;
        if (keys && strcmp(item->scalar, "variant") != 0 && config_find_key(item->scalar, &nearest) == NULL)
            return status_error(STATUS_INVALID, "%s:%d: unknown key '%s': did you mean '%s'?", reader->study->path,
                                item->line, item->scalar, nearest);
        (*out)[*count] = arena_copy_string(reader->study->arena, item->scalar);
        if ((*out)[(*count)++] == NULL) return study_no_memory();
    }
    return OK;
}

static Status read_report(StudyReader *reader, const Yaml *report)
{
    static const char *const KNOWN[] = {"metrics", "group_by"};
    if (report == NULL) return OK;
    if (report->type != YAML_MAP) return bad(reader, report, "report has metrics and group_by");
    TRY(check_members(reader, report, "report", KNOWN, sizeof KNOWN / sizeof KNOWN[0]));
    Study *study = reader->study;
    TRY(read_names(reader, yaml_member(report, "metrics"), false, &study->metrics, &study->metric_count));
    return read_names(reader, yaml_member(report, "group_by"), true, &study->group_by, &study->group_by_count);
}

static Status read_excluded(StudyReader *reader, const Yaml *list, Conditions **out, size_t *count)
{
    *out = NULL;
    *count = 0;
    if (list == NULL) return OK;
    if (list->type != YAML_LIST) return bad(reader, list, "exclude is a list of maps of keys and values");
    *out = arena_alloc(reader->study->arena, (list->count + 1) * sizeof **out);
    if (*out == NULL) return study_no_memory();
    for (size_t i = 0; i < list->count; i++) TRY(study_read_conditions(reader, &list->items[i], &(*out)[(*count)++]));
    return OK;
}

/* The keys that trials vary in, once each. */
static Status collect_axes(StudyReader *reader, const Sweep *sweep)
{
    Study *study = reader->study;
    study->axes = arena_alloc(study->arena, (size_t)CONFIG_SCHEMA_COUNT * sizeof *study->axes);
    if (study->axes == NULL) return study_no_memory();
    for (size_t i = 0; i < sweep->count; i++)
        for (size_t j = 0; j < sweep->dimensions[i].count; j++) {
            const Point *point = &sweep->dimensions[i].points[j];
            for (size_t k = 0; k < point->count; k++) {
                bool known = false;
                for (size_t a = 0; a < study->axis_count && !known; a++) known = study->axes[a] == point->settings[k].key;
                if (!known) study->axes[study->axis_count++] = point->settings[k].key;
            }
        }
    return OK;
}

static Status expand_all(Expansion *expansion, const Config *base, const Yaml *variants)
{
    Study *study = expansion->reader->study;
    size_t deepest = 0;
    for (size_t i = 0; i < expansion->sweep->count; i++) {
        size_t widest = 0;
        for (size_t j = 0; j < expansion->sweep->dimensions[i].count; j++)
            if (expansion->sweep->dimensions[i].points[j].count > widest)
                widest = expansion->sweep->dimensions[i].points[j].count;
        deepest += widest;
    }
    expansion->chosen = arena_alloc(study->arena, (deepest + 1) * sizeof *expansion->chosen);
    if (expansion->chosen == NULL) return study_no_memory();
    if (variants == NULL) return expand_variant(expansion, base, "", NULL);
    if (variants->type != YAML_MAP || variants->count == 0)
        return bad(expansion->reader, variants, "variants is a map of names, each with its keys");
    study->variants = arena_alloc(study->arena, variants->count * sizeof *study->variants);
    if (study->variants == NULL) return study_no_memory();
    for (size_t i = 0; i < variants->count; i++) {
        const char *name = arena_copy_string(study->arena, variants->keys[i]);
        if (name == NULL) return study_no_memory();
        if (name[0] == '\0' || strpbrk(name, ",\n\t=") != NULL)
            return bad(expansion->reader, &variants->items[i], "a variant's name is not empty and has no ',' or '='");
        study->variants[study->variant_count++] = name;
        TRY(expand_variant(expansion, base, name, &variants->items[i]));
    }
    return OK;
}

static Status read_root(StudyReader *reader, const Yaml *root, Config *base)
{
    static const char *const KNOWN[] = {"name", "work", "config", "variants", "sweep", "exclude", "report"};
    Study *study = reader->study;
    if (root->type != YAML_MAP) return bad(reader, root, "a study is a map with name, config, variants, sweep, report");
    TRY(check_members(reader, root, "a study", KNOWN, sizeof KNOWN / sizeof KNOWN[0]));
    TRY(read_name(reader, root));
    if (yaml_member(root, "config") != NULL) TRY(config_set_map(base, yaml_member(root, "config"), study->path));
    TRY(apply_overrides(reader, base));
    TRY(read_work(reader, root, base));
    TRY(read_report(reader, yaml_member(root, "report")));
    Sweep sweep;
    Expansion expansion = {.reader = reader, .sweep = &sweep};
    Conditions *excluded;
    TRY(study_read_sweep(reader, yaml_member(root, "sweep"), &sweep));
    TRY(collect_axes(reader, &sweep));
    TRY(read_excluded(reader, yaml_member(root, "exclude"), &excluded, &expansion.excluded_count));
    expansion.excluded = excluded;
    Status status = expand_all(&expansion, base, yaml_member(root, "variants"));
    hash_map_free(&expansion.seen);
    if (status == OK && study->trial_count == 0)
        status = status_error(STATUS_INVALID, "%s: every trial is excluded", study->path);
    return status;
}

static Status keep_overrides(const StudyReader *reader)
{
    Study *study = reader->study;
    study->overrides = arena_alloc(study->arena, ((size_t)reader->override_count + 1) * sizeof *study->overrides);
    if (study->overrides == NULL) return study_no_memory();
    for (int i = 0; i < reader->override_count; i++) {
        const char *text = arena_copy_string(study->arena, reader->overrides[i]);
        if (text == NULL) return study_no_memory();
        study->overrides[study->override_count++] = text;
    }
    return OK;
}

Status study_read(const char *path, char *const *overrides, int override_count, Study **out)
{
    *out = NULL;
    Study *study = memory_alloc_zero(1, sizeof *study);
    if (study == NULL) return study_no_memory();
    StudyReader reader = {.study = study, .overrides = overrides, .override_count = override_count};
    Yaml *root = NULL;
    Config *base = NULL;
    Status status = OK;
    study->arena = arena_create(64 * 1024);
    if (study->arena == NULL || (study->path = arena_copy_string(study->arena, path)) == NULL)
        TRY_GOTO(status, study_no_memory(), end);
    TRY_GOTO(status, keep_overrides(&reader), end);
    TRY_GOTO(status, file_read(path, MAX_BYTES, &study->text, &study->bytes), end);
    TRY_GOTO(status, yaml_parse(study->text, study->bytes, path, &root), end);
    TRY_GOTO(status, config_create(&base), end);
    TRY_GOTO(status, config_create(&reader.scratch), end);
    status = read_root(&reader, root, base);
end:
    config_destroy(base);
    config_destroy(reader.scratch);
    yaml_destroy(root);
    if (status == OK)
        *out = study;
    else
        study_destroy(study);
    return status;
}

void study_destroy(Study *study)
{
    if (study == NULL) return;
    for (size_t i = 0; i < study->trial_count; i++) config_destroy(study->trials[i].config);
    memory_free(study->trials);
    memory_free(study->text);
    arena_destroy(study->arena);
    memory_free(study);
}
