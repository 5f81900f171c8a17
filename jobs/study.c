/* Reading a study file. */
#include "jobs/study.h"

#include <ctype.h>
#include <string.h>

#include "framework/files.h"
#include "framework/text.h"
#include "jobs/study_private.h"

#define MAX_BYTES ((size_t)16 << 20)

Status study_apply_overrides(const StudyReader *reader, Config *config)
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

/* Parts of the file -------------------------------------------------------------- */

static bool is_safe_name(const char *name)
{
    if (name[0] == '\0' || name[0] == '.' || name[0] == '-' || strlen(name) > 100) return false;
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '_' && *c != '-' && *c != '+') return false;
    return true;
}

static Status read_name(StudyReader *reader, const Yaml *root)
{
    Study *study = reader->study;
    const Yaml *name = yaml_member(root, "name");
    if (name != NULL) {
        if (name->type != YAML_SCALAR || !is_safe_name(name->scalar))
            return study_bad(reader, name,
                             "a name is of letters, digits, '.', '_', '-' and '+', and names a directory");
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
    if (work->type != YAML_SCALAR || work->scalar[0] == '\0') return study_bad(reader, work, "'work' is a directory");
    char *path = path_beside(study->path, work->scalar);
    study->work = path != NULL ? arena_copy_string(study->arena, path) : NULL;
    memory_free(path);
    return study->work != NULL ? OK : study_no_memory();
}

static Status read_names(StudyReader *reader, const Yaml *list, bool keys, const char ***out, size_t *count)
{
    if (list == NULL) return OK;
    if (list->type != YAML_LIST) return study_bad(reader, list, "expected a list of names");
    *out = arena_alloc(reader->study->arena, (list->count + 1) * sizeof **out);
    if (*out == NULL) return study_no_memory();
    for (size_t i = 0; i < list->count; i++) {
        const Yaml *item = &list->items[i];
        if (item->type != YAML_SCALAR) return study_bad(reader, item, "expected a name");
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
    if (report->type != YAML_MAP) return study_bad(reader, report, "report has metrics and group_by");
    TRY(study_check_members(reader, report, "report", KNOWN, sizeof KNOWN / sizeof KNOWN[0]));
    Study *study = reader->study;
    TRY(read_names(reader, yaml_member(report, "metrics"), false, &study->metrics, &study->metric_count));
    return read_names(reader, yaml_member(report, "group_by"), true, &study->group_by, &study->group_by_count);
}

static Status read_excluded(StudyReader *reader, const Yaml *list, Exclusions *out)
{
    *out = (Exclusions){0};
    if (list == NULL) return OK;
    if (list->type != YAML_LIST)
        return study_bad(reader, list, "exclude is a list of maps of keys and values, as [{variant: full, seed: 2}]");
    out->items = study_allocate(reader, list->count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < list->count; i++)
        TRY(study_read_conditions(reader, &list->items[i], &out->items[out->count++]));
    return OK;
}

static Status read_variants(StudyReader *reader, const Yaml *variants)
{
    Study *study = reader->study;
    if (variants == NULL) return OK;
    if (variants->type != YAML_MAP || variants->count == 0)
        return study_bad(reader, variants, "variants is a map of names, each with its keys, as "
                         "{vanilla: {generator.kind: gmmn}, full: {}}");
    study->variants = study_allocate(reader, variants->count, sizeof *study->variants);
    if (study->variants == NULL) return study_no_memory();
    for (size_t i = 0; i < variants->count; i++) {
        const char *name = arena_copy_string(study->arena, variants->keys[i]);
        if (name == NULL) return study_no_memory();
        if (name[0] == '\0' || strpbrk(name, ",\n\t=") != NULL)
            return study_bad(reader, &variants->items[i], "a variant's name is not empty and has no ',' or '='");
        study->variants[study->variant_count++] = name;
    }
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
                bool known = config_find_key(point->settings[k].key, NULL)->stages == 0; /* no difference to a result */
                for (size_t a = 0; a < study->axis_count && !known; a++)
                    known = study->axes[a] == point->settings[k].key;
                if (!known) study->axes[study->axis_count++] = point->settings[k].key;
            }
        }
    return OK;
}

static Status read_trials(StudyReader *reader, const Yaml *root, const Config *base)
{
    Study *study = reader->study;
    const Yaml *variants = yaml_member(root, "variants");
    Sweep sweep;
    Exclusions exclusions;
    TRY(read_variants(reader, variants));
    TRY(study_read_sweep(reader, yaml_member(root, "sweep"), &sweep));
    TRY(study_check_variants(reader, variants, &sweep));
    TRY(collect_axes(reader, &sweep));
    TRY(read_excluded(reader, yaml_member(root, "exclude"), &exclusions));
    TRY(study_expand(reader, &sweep, &exclusions, base, variants));
    if (study->trial_count == 0)
        return status_error(STATUS_INVALID, "%s:%d: every trial is excluded: narrow an exclusion", study->path,
                            yaml_member(root, "exclude")->line);
    return study_add_rungs(reader);
}

static Status read_root(StudyReader *reader, const Yaml *root, Config *base)
{
    static const char *const KNOWN[] = {"name", "work", "config", "variants", "sweep", "exclude", "report", "halving"};
    Study *study = reader->study;
    if (root->type != YAML_MAP)
        return study_bad(reader, root, "a study is a map with name, config, variants, sweep, report");
    TRY(study_check_members(reader, root, "a study", KNOWN, sizeof KNOWN / sizeof KNOWN[0]));
    TRY(read_name(reader, root));
    if (yaml_member(root, "config") != NULL) TRY(config_set_map(base, yaml_member(root, "config"), study->path));
    TRY(study_apply_overrides(reader, base));
    TRY(read_work(reader, root, base));
    TRY(read_report(reader, yaml_member(root, "report")));
    TRY(study_read_halving(reader, yaml_member(root, "halving")));
    return read_trials(reader, root, base);
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
    memory_free(study->groups);
    memory_free(study->text);
    arena_destroy(study->arena);
    memory_free(study);
}
