#include "framework/yaml.h"

#include <limits.h>
#include <string.h>
#include <yaml.h>

#include "framework/files.h"
#include "framework/memory.h"

#define MAX_DEPTH 64
#define MAX_BYTES ((size_t)64 << 20)

typedef struct Reader {
    yaml_parser_t parser;
    const char *source;
} Reader;

static int line_of(yaml_mark_t mark)
{
    return mark.line >= INT_MAX ? INT_MAX : (int)mark.line + 1;
}

static Status next_event(Reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event)) return OK;
    const yaml_parser_t *p = &reader->parser;
    if (p->error == YAML_MEMORY_ERROR) return status_no_memory(0, reader->source);
    int line = line_of(p->error == YAML_READER_ERROR ? p->mark : p->problem_mark);
    return status_error(STATUS_INVALID, "%s:%d: not YAML: %s%s%s", reader->source, line,
                        p->problem != NULL ? p->problem : "unreadable text", p->context != NULL ? " " : "",
                        p->context != NULL ? p->context : "");
}

static Status copy_text(const yaml_event_t *event, const char *source, int line, char **out)
{
    size_t length = event->data.scalar.length;
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, '\0', length) != NULL)
        return status_error(STATUS_INVALID, "%s:%d: text holds a NUL byte", source, line);
    *out = memory_alloc(length + 1);
    if (*out == NULL) return status_no_memory(length + 1, source);
    memcpy(*out, value, length);
    (*out)[length] = '\0';
    return OK;
}

/* Room for one more item (and key, in a map), doubling. */
static Status grow(Yaml *node, size_t *capacity, const char *source)
{
    if (node->count < *capacity) return OK;
    size_t next = *capacity == 0 ? 4 : *capacity * 2;
    Yaml *items = memory_resize(node->items, next * sizeof *items);
    if (items == NULL) return status_no_memory(next * sizeof *items, source);
    node->items = items;
    if (node->type == YAML_MAP) {
        char **keys = memory_resize(node->keys, next * sizeof *keys);
        if (keys == NULL) return status_no_memory(next * sizeof *keys, source);
        node->keys = keys;
    }
    *capacity = next;
    return OK;
}

static Status read_node(Reader *reader, const yaml_event_t *event, int depth, Yaml *node);

static Status read_list(Reader *reader, int depth, Yaml *node)
{
    size_t capacity = 0;
    for (;;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return OK;
        }
        Status status = grow(node, &capacity, reader->source);
        if (status == OK) {
            /* Counted before it is read: destroy then frees a half-read item. */
            Yaml *item = &node->items[node->count++];
            memset(item, 0, sizeof *item);
            status = read_node(reader, &event, depth + 1, item);
        }
        yaml_event_delete(&event);
        TRY(status);
    }
}

static Status read_key(Reader *reader, const yaml_event_t *event, Yaml *node)
{
    int line = line_of(event->start_mark);
    if (event->type != YAML_SCALAR_EVENT)
        return status_error(STATUS_INVALID, "%s:%d: a key must be plain text", reader->source, line);
    char *key;
    TRY(copy_text(event, reader->source, line, &key));
    if (yaml_member(node, key) != NULL) {
        Status status = status_error(STATUS_INVALID, "%s:%d: key '%s' appears twice (first on line %d)", reader->source,
                                     line, key, yaml_member(node, key)->line);
        memory_free(key);
        return status;
    }
    node->keys[node->count] = key;
    memset(&node->items[node->count], 0, sizeof *node->items);
    node->items[node->count].line = line;
    node->count++;
    return OK;
}

static Status read_map(Reader *reader, int depth, Yaml *node)
{
    size_t capacity = 0;
    for (;;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return OK;
        }
        Status status = grow(node, &capacity, reader->source);
        if (status == OK) status = read_key(reader, &event, node);
        yaml_event_delete(&event);
        TRY(status);
        TRY(next_event(reader, &event));
        status = read_node(reader, &event, depth + 1, &node->items[node->count - 1]);
        yaml_event_delete(&event);
        TRY(status);
    }
}

static Status read_node(Reader *reader, const yaml_event_t *event, int depth, Yaml *node)
{
    node->line = line_of(event->start_mark);
    if (depth > MAX_DEPTH)
        return status_error(STATUS_INVALID, "%s:%d: nested more than %d deep", reader->source, node->line, MAX_DEPTH);
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        node->type = YAML_SCALAR;
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return copy_text(event, reader->source, node->line, &node->scalar);
    case YAML_SEQUENCE_START_EVENT: node->type = YAML_LIST; return read_list(reader, depth, node);
    case YAML_MAPPING_START_EVENT: node->type = YAML_MAP; return read_map(reader, depth, node);
    case YAML_ALIAS_EVENT:
        return status_error(STATUS_INVALID, "%s:%d: aliases (*%s) are not supported: write the value out",
                            reader->source, node->line, (const char *)event->data.alias.anchor);
    default: return status_error(STATUS_INVALID, "%s:%d: unexpected end", reader->source, node->line);
    }
}

/* Events up to the document's first node, then the node, then the end. */
static Status read_document(Reader *reader, Yaml *root)
{
    for (bool done = false; !done;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        Status status = OK;
        if (event.type == YAML_STREAM_END_EVENT)
            status = status_error(STATUS_INVALID, "%s: the file is empty", reader->source);
        else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT) {
            status = read_node(reader, &event, 0, root);
            done = true;
        }
        yaml_event_delete(&event);
        TRY(status);
    }
    for (;;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        yaml_event_type_t type = event.type;
        int line = line_of(event.start_mark);
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT) return OK;
        if (type != YAML_DOCUMENT_END_EVENT)
            return status_error(STATUS_INVALID, "%s:%d: a second document begins here", reader->source, line);
    }
}

Status yaml_parse(const char *text, size_t bytes, const char *source, Yaml **out)
{
    Reader reader = {.source = source};
    *out = NULL;
    if (!yaml_parser_initialize(&reader.parser)) return status_no_memory(sizeof reader.parser, source);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, bytes);
    Yaml *root = memory_alloc_zero(1, sizeof *root);
    Status status = root == NULL ? status_no_memory(sizeof *root, source) : read_document(&reader, root);
    yaml_parser_delete(&reader.parser);
    if (status == OK)
        *out = root;
    else
        yaml_destroy(root);
    return status;
}

Status yaml_read_file(const char *path, Yaml **out)
{
    char *text;
    size_t bytes;
    *out = NULL;
    TRY(file_read(path, MAX_BYTES, &text, &bytes));
    Status status = yaml_parse(text, bytes, path, out);
    memory_free(text);
    return status;
}

const Yaml *yaml_member(const Yaml *map, const char *key)
{
    if (map == NULL || map->type != YAML_MAP) return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i], key) == 0) return &map->items[i];
    return NULL;
}

static void free_contents(Yaml *node)
{
    for (size_t i = 0; i < node->count; i++) {
        if (node->keys != NULL) memory_free(node->keys[i]);
        free_contents(&node->items[i]);
    }
    memory_free(node->scalar);
    memory_free(node->keys);
    memory_free(node->items);
}

void yaml_destroy(Yaml *yaml)
{
    if (yaml == NULL) return;
    free_contents(yaml);
    memory_free(yaml);
}
