/* Values of the schema's keys. Values are immutable and counted, so that the
 * ten thousand configs of a large study share all that they have in common. */
#include "framework/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "framework/config_private.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"

struct Config {
    ConfigValue **values; /* one per key of the schema */
};

static const char *const STAGE_NAMES[] = {
#define X(id, name) [id] = name,
    STAGES(X)
#undef X
};
static_assert(sizeof STAGE_NAMES / sizeof STAGE_NAMES[0] == STAGE_COUNT, "every stage has a name");

const char *stage_name(StageId stage)
{
    return stage < STAGE_COUNT ? STAGE_NAMES[stage] : "?";
}

bool stage_from_name(const char *name, StageId *stage)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        if (strcmp(name, STAGE_NAMES[i]) != 0) continue;
        *stage = (StageId)i;
        return true;
    }
    return false;
}

/* Keys ------------------------------------------------------------------ */

/* How unlike `key` is what was written: its distance, but 0 where only the
 * group is missing ("primitives" for "generator.primitives"). */
static int unlikeness(const char *written, const char *key)
{
    const char *dot = strchr(key, '.');
    if (dot != NULL && strcmp(dot + 1, written) == 0) return 0;
    return text_distance(written, key);
}

const ConfigKey *config_find_key(const char *name, const char **nearest)
{
    size_t length = strlen(name);
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++)
        if (CONFIG_SCHEMA[i].length == length && memcmp(CONFIG_SCHEMA[i].name, name, length) == 0)
            return &CONFIG_SCHEMA[i];
    if (nearest == NULL) return NULL;
    int best = -1;
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        int distance = unlikeness(name, CONFIG_SCHEMA[i].name);
        if (best >= 0 && distance >= best) continue;
        best = distance;
        *nearest = CONFIG_SCHEMA[i].name;
    }
    return NULL;
}

bool config_is_group(const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++)
        if (strncmp(CONFIG_SCHEMA[i].name, name, length) == 0 && CONFIG_SCHEMA[i].name[length] == '.') return true;
    return false;
}

static Status find_key(const char *name, const char *where, const ConfigKey **key)
{
    const char *nearest = NULL;
    *key = config_find_key(name, &nearest);
    if (*key != NULL) return OK;
    if (config_is_group(name))
        return status_error(STATUS_INVALID, "%s: '%s' is a group of keys and takes no value itself: see 'zeroth config %s'",
                            where, name, name);
    return status_error(STATUS_INVALID, "%s: unknown key '%s': did you mean '%s'?", where, name, nearest);
}

/* Lifetime --------------------------------------------------------------- */

Status config_create(Config **out)
{
    *out = NULL;
    size_t count = (size_t)CONFIG_SCHEMA_COUNT;
    Config *config = memory_alloc_zero(1, sizeof *config);
    if (config == NULL) return status_no_memory(sizeof *config, "a config");
    config->values = memory_alloc_zero(count, sizeof *config->values);
    Status status = config->values == NULL ? status_no_memory(count * sizeof *config->values, "a config") : OK;
    for (size_t i = 0; i < count && status == OK; i++)
        status = config_value_from_text(&CONFIG_SCHEMA[i], CONFIG_SCHEMA[i].fallback, "config_schema.c",
                                        &config->values[i]);
    if (status != OK) {
        config_destroy(config);
        return status;
    }
    *out = config;
    return OK;
}

Status config_copy(const Config *from, Config **to)
{
    size_t bytes = (size_t)CONFIG_SCHEMA_COUNT * sizeof *from->values;
    *to = NULL;
    Config *config = memory_alloc(sizeof *config);
    ConfigValue **values = memory_alloc(bytes);
    if (config == NULL || values == NULL) {
        memory_free(config);
        memory_free(values);
        return status_no_memory(bytes, "a config");
    }
    memcpy(values, from->values, bytes);
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) values[i]->users++;
    config->values = values;
    *to = config;
    return OK;
}

void config_destroy(Config *config)
{
    if (config == NULL) return;
    for (int i = 0; config->values != NULL && i < CONFIG_SCHEMA_COUNT; i++) config_value_release(config->values[i]);
    memory_free(config->values);
    memory_free(config);
}

/* Setting ----------------------------------------------------------------- */

static void replace(Config *config, const ConfigKey *key, ConfigValue *value)
{
    ConfigValue **slot = &config->values[key - CONFIG_SCHEMA];
    config_value_release(*slot);
    *slot = value;
}

Status config_set(Config *config, const char *key_name, const char *value, const char *where)
{
    const ConfigKey *key;
    ConfigValue *made;
    TRY(find_key(key_name, where, &key));
    TRY(config_value_from_text(key, value, where, &made));
    replace(config, key, made);
    return OK;
}

static Status set_at(Config *config, const char *key_name, const Yaml *yaml, const char *source, const char *where)
{
    const ConfigKey *key;
    ConfigValue *made;
    TRY(find_key(key_name, where, &key));
    TRY(config_value_from_yaml(key, yaml, where, &made));
    if (key->type == CONFIG_PATH && made->text[0] != '\0' && made->text[0] != '/') {
        char *path = path_beside(source, made->text);
        if (path == NULL) {
            config_value_release(made);
            return status_no_memory(strlen(source), "a path");
        }
        memory_free(made->text);
        made->text = path;
    }
    replace(config, key, made);
    return OK;
}

Status config_set_yaml(Config *config, const char *key_name, const Yaml *value, const char *source)
{
    char *where = memory_format("%s:%d", source, value->line);
    if (where == NULL) return status_no_memory(strlen(source), "a place in a file");
    Status status = set_at(config, key_name, value, source, where);
    memory_free(where);
    return status;
}

static Status set_below(Config *config, const char *prefix, const Yaml *map, const char *source)
{
    for (size_t i = 0; i < map->count; i++) {
        char *name = prefix[0] != '\0' ? memory_format("%s.%s", prefix, map->keys[i]) : memory_copy_string(map->keys[i]);
        if (name == NULL) return status_no_memory(strlen(prefix), "a config key");
        const Yaml *item = &map->items[i];
        Status status = item->type == YAML_MAP && config_find_key(name, NULL) == NULL
                            ? set_below(config, name, item, source)
                            : config_set_yaml(config, name, item, source);
        memory_free(name);
        TRY(status);
    }
    return OK;
}

Status config_set_map(Config *config, const Yaml *map, const char *source)
{
    if (map->type == YAML_MAP) return set_below(config, "", map, source);
    if (map->type == YAML_SCALAR && map->scalar[0] == '\0' && !map->quoted) return OK; /* "config:" and nothing */
    return status_error(STATUS_INVALID, "%s:%d: expected keys and values", source, map->line);
}

/* Access ------------------------------------------------------------------ */

static void defect(const char *key, const char *what)
{
    fprintf(stderr, "zeroth: defect: config key '%s' %s\n", key, what);
    abort();
}

static const ConfigValue *get(const Config *config, const char *name, unsigned types)
{
    const ConfigKey *key = config_find_key(name, NULL);
    if (key == NULL) defect(name, "is not in the schema");
    if ((types & (1u << key->type)) == 0) defect(name, "is read as another type");
    return config->values[key - CONFIG_SCHEMA];
}

bool config_bool(const Config *config, const char *key)
{
    return get(config, key, 1u << CONFIG_BOOL)->number != 0;
}

int64_t config_integer(const Config *config, const char *key)
{
    return (int64_t)get(config, key, 1u << CONFIG_INTEGER)->number;
}

double config_real(const Config *config, const char *key)
{
    return get(config, key, 1u << CONFIG_REAL | 1u << CONFIG_DURATION | 1u << CONFIG_BYTES)->number;
}

const char *config_string(const Config *config, const char *key)
{
    return get(config, key, 1u << CONFIG_STRING | 1u << CONFIG_PATH | 1u << CONFIG_CHOICE)->text;
}

int config_choice(const Config *config, const char *key)
{
    return (int)get(config, key, 1u << CONFIG_CHOICE)->number;
}

#define LISTS (1u << CONFIG_INTEGER_LIST | 1u << CONFIG_REAL_LIST | 1u << CONFIG_STRING_LIST)

int64_t config_list_count(const Config *config, const char *key)
{
    return get(config, key, LISTS)->count;
}

static const ConfigValue *get_item(const Config *config, const char *key, unsigned types, int64_t index)
{
    const ConfigValue *value = get(config, key, types);
    if (index < 0 || index >= value->count) defect(key, "is read past its end");
    return value;
}

int64_t config_list_integer(const Config *config, const char *key, int64_t index)
{
    return (int64_t)get_item(config, key, 1u << CONFIG_INTEGER_LIST, index)->numbers[index];
}

double config_list_real(const Config *config, const char *key, int64_t index)
{
    return get_item(config, key, 1u << CONFIG_INTEGER_LIST | 1u << CONFIG_REAL_LIST, index)->numbers[index];
}

const char *config_list_string(const Config *config, const char *key, int64_t index)
{
    return get_item(config, key, 1u << CONFIG_STRING_LIST, index)->strings[index];
}

const char *config_text(const Config *config, const char *key)
{
    return get(config, key, ~0u)->text;
}

/* Hash and JSON ------------------------------------------------------------ */

static void hash_keys(const Config *config, unsigned stages, bool paths, bool others, Hasher *hasher)
{
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        const ConfigKey *key = &CONFIG_SCHEMA[i];
        if ((key->stages & stages) == 0 || !(key->type == CONFIG_PATH ? paths : others)) continue;
        hasher_add_string(hasher, key->name);
        hasher_add_string(hasher, config->values[i]->text);
    }
}

void config_hash_stage(const Config *config, StageId stage, Hasher *hasher)
{
    hash_keys(config, 1u << stage, false, true, hasher);
}

void config_hash_stage_paths(const Config *config, StageId stage, Hasher *hasher)
{
    hash_keys(config, 1u << stage, true, false, hasher);
}

void config_hash_all(const Config *config, Hasher *hasher)
{
    hash_keys(config, ~0u, true, true, hasher);
}

void config_write_json(const Config *config, StageId stage, JsonWriter *writer)
{
    json_begin_object(writer);
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        if (stage < STAGE_COUNT && (CONFIG_SCHEMA[i].stages & 1u << stage) == 0) continue;
        json_key(writer, CONFIG_SCHEMA[i].name);
        json_string(writer, config->values[i]->text);
    }
    json_end_object(writer);
}

Status config_read_json(Config *config, const Json *object, const char *source)
{
    if (object == NULL || object->type != JSON_OBJECT)
        return status_error(STATUS_INVALID, "%s: the config is not a JSON object", source);
    for (size_t i = 0; i < object->count; i++) {
        const ConfigKey *key;
        ConfigValue *made;
        TRY(find_key(object->keys[i], source, &key));
        if (object->items[i].type != JSON_STRING)
            return status_error(STATUS_INVALID, "%s: '%s' is not a string", source, key->name);
        TRY(config_value_from_canonical(key, object->items[i].string, source, &made));
        replace(config, key, made);
    }
    return OK;
}
