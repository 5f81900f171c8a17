/* Configuration: values of the keys of one schema table (config_schema.c).
 * Keys are dotted ("generator.primitives"). A Config always holds every key,
 * at its default until set; setting checks type and range. */
#ifndef FRAMEWORK_CONFIG_H
#define FRAMEWORK_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "framework/hash.h"
#include "framework/json.h"
#include "framework/status.h"
#include "framework/yaml.h"

/* Stages in the order of the pipeline; names as in commands and the ledger. */
#define STAGES(X)                  \
    X(STAGE_SHARD, "shard")        \
    X(STAGE_BACKBONE, "backbone")  \
    X(STAGE_EXTRACT, "extract")    \
    X(STAGE_GENERATOR, "generator")\
    X(STAGE_EVALUATE, "evaluate")

typedef enum StageId {
#define X(id, name) id,
    STAGES(X)
#undef X
    STAGE_COUNT
} StageId;
const char *stage_name(StageId stage);
bool stage_from_name(const char *name, StageId *stage);

typedef enum ConfigType { CONFIG_BOOL, CONFIG_INTEGER, CONFIG_REAL, CONFIG_STRING, CONFIG_PATH, CONFIG_CHOICE,
                          CONFIG_DURATION, /* seconds: "90", "30m", "2h", "1-12:00:00" */
                          CONFIG_BYTES,    /* "512M", "8G": units of 1024 */
                          CONFIG_INTEGER_LIST, CONFIG_REAL_LIST, CONFIG_STRING_LIST, CONFIG_TYPE_COUNT } ConfigType;

typedef struct ConfigKey {
    const char *name;
    ConfigType type;
    const char *fallback;  /* the default, as YAML text; "" is an empty string or list */
    double low, high;      /* inclusive range of numbers (and of a list's numbers) */
    const char *choices;   /* CONFIG_CHOICE: "a|b|c" */
    unsigned stages;       /* bit 1 << StageId for each stage that reads it; 0: read by the runner, in no job's key */
    const char *help;
    size_t length;         /* of the name: looking a key up compares lengths first */
} ConfigKey;

extern const ConfigKey CONFIG_SCHEMA[];
extern const int CONFIG_SCHEMA_COUNT;
/* NULL where unknown; then *nearest (may be NULL) is the closest known name. */
const ConfigKey *config_find_key(const char *name, const char **nearest);
/* Whether keys of the schema begin with NAME and a dot. */
bool config_is_group(const char *name);

typedef struct Config Config;
Status config_create(Config **config); /* all defaults */
Status config_copy(const Config *from, Config **to);
void config_destroy(Config *config);

/* From YAML text of a scalar or flow list ("0.5", "[a, b]"). `where` names the
 * place in errors ("demo.yaml:12", "command line"). Errors name the key, the
 * nearest known key or the allowed range. */
Status config_set(Config *config, const char *key, const char *value, const char *where);
Status config_set_yaml(Config *config, const char *key, const Yaml *value, const char *source);
/* Every nested key below a map. Paths (CONFIG_PATH) are made relative to the
 * directory of `source` unless absolute or empty. */
Status config_set_map(Config *config, const Yaml *map, const char *source);

/* Access: a wrong key or type is a defect of the program and aborts with its name. */
bool config_bool(const Config *config, const char *key);
int64_t config_integer(const Config *config, const char *key);
double config_real(const Config *config, const char *key); /* REAL; seconds of a DURATION, bytes of a BYTES */
const char *config_string(const Config *config, const char *key); /* STRING, PATH, CHOICE; "" where unset */
int config_choice(const Config *config, const char *key);         /* index in the schema's choices */
int64_t config_list_count(const Config *config, const char *key);
int64_t config_list_integer(const Config *config, const char *key, int64_t index);
double config_list_real(const Config *config, const char *key, int64_t index);
const char *config_list_string(const Config *config, const char *key, int64_t index);
/* The canonical text of a value: equal values give equal text. Valid until the next set. */
const char *config_text(const Config *config, const char *key);

/* Adds to `hasher` the name and canonical text of every key that `stage` reads,
 * in schema order. CONFIG_PATH keys are left out: their contents are inputs. */
void config_hash_stage(const Config *config, StageId stage, Hasher *hasher);
/* The same for the CONFIG_PATH keys that `stage` reads: what its fingerprint depends on besides. */
void config_hash_stage_paths(const Config *config, StageId stage, Hasher *hasher);
/* Name and text of every key that any stage reads, paths included: equal for configs that mean the same trial. */
void config_hash_all(const Config *config, Hasher *hasher);
/* All keys, or those of one stage (stage < STAGE_COUNT), as a JSON object of canonical texts. */
void config_write_json(const Config *config, StageId stage, JsonWriter *writer);
Status config_read_json(Config *config, const Json *object, const char *source);
/* The schema as an aligned table with types, ranges, defaults, stages, help. `prefix` narrows it to the keys that
 * begin so (NULL: all); false where there are none. */
bool config_print_schema(FILE *out, const char *prefix);

#endif
