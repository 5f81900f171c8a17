/* Values of config keys: parsing, checking, canonical text. Private to
 * framework/config*.c. */
#ifndef FRAMEWORK_CONFIG_PRIVATE_H
#define FRAMEWORK_CONFIG_PRIVATE_H

#include "framework/config.h"
#include "framework/text.h"

typedef struct ConfigValue {
    int users;       /* configs that hold it */
    char *text;      /* canonical; of strings and paths, the string itself */
    double number;   /* BOOL, INTEGER (exact: ranges stay below 2^53), REAL; index of a CHOICE */
    int64_t count;   /* of a list */
    double *numbers;
    char **strings;
} ConfigValue;

/* A new value with one user. `text` is YAML; `where` names the place in errors. */
Status config_value_from_text(const ConfigKey *key, const char *text, const char *where, ConfigValue **out);
Status config_value_from_yaml(const ConfigKey *key, const Yaml *yaml, const char *where, ConfigValue **out);
/* From what config_text gave: strings and paths are taken as they are. */
Status config_value_from_canonical(const ConfigKey *key, const char *text, const char *where, ConfigValue **out);
void config_value_release(ConfigValue *value);

/* "an integer", "true or false", "one of a, b, c"... */
void config_describe_type(const ConfigKey *key, Text *out);
/* "between 1 and 100", "of at least 1", or nothing where any number will do. */
void config_describe_range(const ConfigKey *key, Text *out);

#endif
