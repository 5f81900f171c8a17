/* Conditions of axes and exclusions, and the small helpers of reading. */
#include <string.h>

#include "framework/text.h"
#include "jobs/study_private.h"

Status study_no_memory(void)
{
    return status_no_memory(0, "a study");
}

Status study_bad(const StudyReader *reader, const Yaml *yaml, const char *what)
{
    return status_error(STATUS_INVALID, "%s:%d: %s", reader->study->path, yaml->line, what);
}

void *study_allocate(StudyReader *reader, size_t count, size_t size)
{
    size_t bytes = (count > 0 ? count : 1) * size;
    void *block = arena_alloc(reader->study->arena, bytes);
    if (block != NULL) memset(block, 0, bytes);
    return block;
}

bool study_is_told_by(const char *key)
{
    return strcmp(key, "seed") != 0 && config_find_key(key, NULL)->stages != 0;
}

bool study_is_overridden(const StudyReader *reader, const char *key)
{
    size_t length = strlen(key);
    for (int i = 0; i < reader->override_count; i++)
        if (strncmp(reader->overrides[i], key, length) == 0 && reader->overrides[i][length] == '=') return true;
    return false;
}

Status study_check_value(StudyReader *reader, const char *name, const Yaml *value, const char **key)
{
    TRY(config_set_yaml(reader->scratch, name, value, reader->study->path));
    *key = config_find_key(name, NULL)->name;
    return OK;
}

Status study_check_members(const StudyReader *reader, const Yaml *map, const char *what, const char *const *known,
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

/* Groups ------------------------------------------------------------------- */

static bool is_group(const char *name, const Yaml *value)
{
    return value->type == YAML_MAP && config_find_key(name, NULL) == NULL && config_is_group(name);
}

static size_t count_members(const Yaml *map)
{
    size_t count = map->count;
    for (size_t i = 0; i < map->count; i++)
        if (map->items[i].type == YAML_MAP) count += count_members(&map->items[i]);
    return count;
}

static Status add_members(StudyReader *reader, const char *prefix, const Yaml *map, Members *out)
{
    for (size_t i = 0; i < map->count; i++) {
        const Yaml *value = &map->items[i];
        const char *name = map->keys[i];
        if (prefix[0] != '\0') name = arena_format(reader->study->arena, "%s.%s", prefix, name);
        if (name == NULL) return study_no_memory();
        if (is_group(name, value))
            TRY(add_members(reader, name, value, out));
        else
            out->items[out->count++] = (Member){name, value};
    }
    return OK;
}

Status study_flatten(StudyReader *reader, const Yaml *map, Members *out)
{
    *out = (Members){.items = study_allocate(reader, count_members(map), sizeof *out->items)};
    return out->items != NULL ? add_members(reader, "", map, out) : study_no_memory();
}

/* Conditions --------------------------------------------------------------- */

static Status check_variant(const StudyReader *reader, const Yaml *value)
{
    const Study *study = reader->study;
    const char *nearest = NULL;
    if (study->variant_count == 0)
        return study_bad(reader, value, "the condition names a variant, and this study has none: add 'variants:'");
    if (value->type != YAML_SCALAR) return study_bad(reader, value, "expected the name of a variant");
    for (size_t i = 0; i < study->variant_count; i++) {
        if (strcmp(study->variants[i], value->scalar) == 0) return OK;
        if (nearest == NULL || text_distance(value->scalar, study->variants[i]) < text_distance(value->scalar, nearest))
            nearest = study->variants[i];
    }
    return status_error(STATUS_INVALID, "%s:%d: no variant '%s': did you mean '%s'?", study->path, value->line,
                        value->scalar, nearest);
}

static Status read_condition_value(StudyReader *reader, const char *name, const Yaml *value, Condition *out)
{
    const char *text = value->scalar;
    if (strcmp(name, VARIANT_KEY) == 0) {
        TRY(check_variant(reader, value));
        out->key = VARIANT_KEY;
    } else {
        TRY(study_check_value(reader, name, value, &out->key));
        text = config_text(reader->scratch, out->key);
    }
    out->texts[out->count] = arena_copy_string(reader->study->arena, text);
    return out->texts[out->count++] != NULL ? OK : study_no_memory();
}

static Status read_condition(StudyReader *reader, const char *name, const Yaml *value, Condition *out)
{
    if (value->type == YAML_MAP && value->count == 1 && strcmp(value->keys[0], "not") == 0) {
        out->negated = true;
        value = &value->items[0];
    }
    /* A list means any of its values, except where the key itself holds lists. */
    const ConfigKey *known = config_find_key(name, NULL);
    bool plain = known == NULL ? strcmp(name, VARIANT_KEY) == 0 : known->type < CONFIG_INTEGER_LIST;
    bool any = value->type == YAML_LIST && (plain || (value->count > 0 && value->items[0].type == YAML_LIST));
    if (any && value->count == 0)
        return study_bad(reader, value, "an empty list matches nothing: name one value or more");
    out->texts = study_allocate(reader, any ? value->count : 1, sizeof *out->texts);
    if (out->texts == NULL) return study_no_memory();
    if (!any) return read_condition_value(reader, name, value, out);
    for (size_t i = 0; i < value->count; i++) TRY(read_condition_value(reader, name, &value->items[i], out));
    return OK;
}

Status study_read_conditions(StudyReader *reader, const Yaml *map, Conditions *out)
{
    *out = (Conditions){.line = map->line};
    if (map->type != YAML_MAP || map->count == 0)
        return study_bad(reader, map, "a condition is a map of keys and values, as {generator.kind: primitive}, "
                         "{variant: full} or {generator.kind: {not: none}}");
    Members members;
    TRY(study_flatten(reader, map, &members));
    out->items = study_allocate(reader, members.count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < members.count; i++)
        TRY(read_condition(reader, members.items[i].name, members.items[i].value, &out->items[out->count++]));
    return OK;
}

bool study_conditions_hold(Conditions *conditions, const Config *config, const char *variant)
{
    for (size_t i = 0; i < conditions->count; i++) {
        const Condition *condition = &conditions->items[i];
        bool by_variant = strcmp(condition->key, VARIANT_KEY) == 0, found = false;
        const char *text = by_variant ? variant : config_text(config, condition->key);
        for (size_t j = 0; j < condition->count && !found; j++) found = strcmp(text, condition->texts[j]) == 0;
        if (found == condition->negated) return false;
    }
    conditions->held = true;
    return true;
}
