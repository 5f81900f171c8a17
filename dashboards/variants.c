#include "dashboards/variants.h"

#include <stdio.h>
#include <string.h>

#include "dashboards/work_files.h"
#include "framework/json.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/yaml.h"

/* Scalars below a map, nested or dotted, as dotted keys. Lists are no axis. */
static void write_scalars(const Yaml *map, const char *prefix, JsonWriter *writer)
{
    for (size_t i = 0; map->type == YAML_MAP && i < map->count; i++) {
        char key[256];
        if (snprintf(key, sizeof key, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", map->keys[i]) >= (int)sizeof key)
            continue;
        if (map->items[i].type == YAML_MAP) write_scalars(&map->items[i], key, writer);
        if (map->items[i].type != YAML_SCALAR) continue;
        json_key(writer, key);
        json_string(writer, map->items[i].scalar);
    }
}

static void write_variants(const Yaml *study, JsonWriter *writer)
{
    const Yaml *variants = study != NULL ? yaml_member(study, "variants") : NULL;
    json_begin_object(writer);
    for (size_t i = 0; variants != NULL && variants->type == YAML_MAP && i < variants->count; i++) {
        json_key(writer, variants->keys[i]);
        json_begin_object(writer);
        write_scalars(&variants->items[i], "", writer);
        json_end_object(writer);
    }
    json_end_object(writer);
}

Status variants_read(const char *work, const char *study, char **json)
{
    char *path = memory_format("studies/%s/study.yaml", study), *data = NULL;
    int64_t from = 0, size;
    size_t bytes = 0;
    Yaml *yaml = NULL;
    *json = NULL;
    if (path == NULL) return status_no_memory(256, "a path");
    Status status = work_read_part(work, path, &from, 4u << 20, &data, &bytes, &size);
    if (status == OK) status = yaml_parse(data, bytes, path, &yaml);
    if (status_code(status) == STATUS_NO_MEMORY) {
        memory_free(data);
        memory_free(path);
        return status;
    }
    if (status != OK) { /* a study can be looked at without the file that it came from */
        if (status_code(status) != STATUS_NOT_FOUND) LOG_WARNING("%s", status_message(status));
        status_free(status);
    }
    JsonWriter writer = {0};
    write_variants(yaml, &writer);
    if (yaml != NULL) yaml_destroy(yaml);
    memory_free(data);
    memory_free(path);
    if (writer.text.failed) {
        text_free(&writer.text);
        return status_no_memory(256, "a study's variants");
    }
    *json = writer.text.data;
    return OK;
}
