/* YAML documents as a tree with line numbers, on libyaml. Rejects duplicate
 * keys, anchors that would expand (aliases), and depth over 64. */
#ifndef FRAMEWORK_YAML_H
#define FRAMEWORK_YAML_H

#include <stddef.h>

#include "framework/status.h"

typedef enum YamlType { YAML_SCALAR, YAML_LIST, YAML_MAP } YamlType;

typedef struct Yaml Yaml;
struct Yaml {
    YamlType type;
    int line;           /* from 1 */
    char *scalar;       /* text as written, unquoted */
    bool quoted;        /* "no" is a string, no is a boolean */
    size_t count;
    char **keys;        /* YAML_MAP, in file order */
    Yaml *items;
};

Status yaml_read_file(const char *path, Yaml **out);
Status yaml_parse(const char *text, size_t bytes, const char *source, Yaml **out);
const Yaml *yaml_member(const Yaml *map, const char *key); /* NULL where absent */
void yaml_destroy(Yaml *yaml);

#endif
