#include "framework/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_parse.h>

#include "framework/files.h"
#include "framework/memory.h"

enum { DEEPEST = 200 };

/* One parse: yajl's callbacks pass through here to a JsonEvents. */
typedef struct Parser {
    const JsonEvents *events;
    void *context;
    Status failure; /* of a callback; ends the parse */
    int depth;
} Parser;

/* yajl goes on for non-zero. */
static int passed(Parser *parser, Status status)
{
    parser->failure = status;
    return status == OK;
}

/* yajl's own check lets overlong forms and surrogates through. */
static bool valid_utf8(const unsigned char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        unsigned char first = text[i++];
        if (first < 0x80) continue;
        int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || bytes - i < (size_t)more) return false;
        unsigned char second = text[i];
        if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
            (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
            return false;
        for (int j = 0; j < more; j++)
            if ((text[i++] & 0xc0) != 0x80) return false;
    }
    return true;
}

static int on_null(void *context)
{
    Parser *parser = context;
    return parser->events->null == NULL || passed(parser, parser->events->null(parser->context));
}

static int on_boolean(void *context, int value)
{
    Parser *parser = context;
    return parser->events->boolean == NULL || passed(parser, parser->events->boolean(parser->context, value != 0));
}

/* yajl gives the number's text, so that integers beyond 64 bits can become
 * reals instead of errors. */
static int on_number(void *context, const char *text, size_t bytes)
{
    Parser *parser = context;
    char copy[512];
    if (bytes >= sizeof copy)
        return passed(parser, status_error(STATUS_INVALID, "a number of %zu digits", bytes));
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    if (strpbrk(copy, ".eE") == NULL) {
        errno = 0;
        long long integer = strtoll(copy, NULL, 10);
        if (errno == 0)
            return parser->events->integer == NULL ||
                   passed(parser, parser->events->integer(parser->context, integer));
    }
    double real = strtod(copy, NULL);
    if (!isfinite(real)) return passed(parser, status_error(STATUS_INVALID, "number %.40s is out of range", copy));
    return parser->events->real == NULL || passed(parser, parser->events->real(parser->context, real));
}

static int on_string(void *context, const unsigned char *text, size_t bytes)
{
    Parser *parser = context;
    if (!valid_utf8(text, bytes)) return passed(parser, status_error(STATUS_INVALID, "invalid UTF-8 in a string"));
    return parser->events->string == NULL ||
           passed(parser, parser->events->string(parser->context, (const char *)text, bytes));
}

static int on_key(void *context, const unsigned char *text, size_t bytes)
{
    Parser *parser = context;
    if (!valid_utf8(text, bytes)) return passed(parser, status_error(STATUS_INVALID, "invalid UTF-8 in a key"));
    return parser->events->key == NULL ||
           passed(parser, parser->events->key(parser->context, (const char *)text, bytes));
}

static int enter(Parser *parser, Status (*event)(void *context))
{
    if (++parser->depth > DEEPEST)
        return passed(parser, status_error(STATUS_INVALID, "nested more than %d deep", DEEPEST));
    return event == NULL || passed(parser, event(parser->context));
}

static int leave(Parser *parser, Status (*event)(void *context))
{
    parser->depth--;
    return event == NULL || passed(parser, event(parser->context));
}

static int on_object_start(void *context) { return enter(context, ((Parser *)context)->events->object_start); }
static int on_object_end(void *context) { return leave(context, ((Parser *)context)->events->object_end); }
static int on_array_start(void *context) { return enter(context, ((Parser *)context)->events->array_start); }
static int on_array_end(void *context) { return leave(context, ((Parser *)context)->events->array_end); }

static const yajl_callbacks CALLBACKS = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object_start,
    .yajl_map_key = on_key,
    .yajl_end_map = on_object_end,
    .yajl_start_array = on_array_start,
    .yajl_end_array = on_array_end,
};

/* The Status of a yajl result; `before` is the position of the fed piece. */
static Status parse_status(yajl_handle handle, yajl_status result, Parser *parser, const char *source, size_t before)
{
    if (result == yajl_status_ok) return OK;
    size_t at = before + yajl_get_bytes_consumed(handle);
    if (parser->failure != OK) {
        Status failure = parser->failure;
        parser->failure = OK;
        if (status_code(failure) == STATUS_NO_MEMORY) return failure;
        return status_wrap(failure, "%s: near byte %zu", source, at);
    }
    unsigned char *text = yajl_get_error(handle, 0, NULL, 0);
    size_t length = text != NULL ? strcspn((char *)text, "\n") : 0;
    Status status = status_error(STATUS_INVALID, "%s: JSON error at byte %zu: %.*s", source, at, (int)length,
                                 text != NULL ? (char *)text : "");
    if (text != NULL) yajl_free_error(handle, text);
    return status;
}

static yajl_handle open_parser(Parser *parser)
{
    return yajl_alloc(&CALLBACKS, NULL, parser);
}

/* The tree: a stack of containers under construction, by value; a finished
 * one is moved into the one below. stack[0] is a holder of the document. */
typedef struct TreeBuilder {
    Json stack[DEEPEST + 1];
    char *keys[DEEPEST + 1]; /* the key waiting for its value */
    int top;
} TreeBuilder;

static void clear_value(Json *json)
{
    memory_free(json->string);
    for (size_t i = 0; i < json->count; i++) {
        clear_value(&json->items[i]);
        if (json->keys != NULL) memory_free(json->keys[i]);
    }
    memory_free(json->items);
    memory_free(json->keys);
    *json = (Json){0};
}

/* Appends `value` to the container on top; takes it in any case. Room is
 * doubled whenever the count is a power of two. */
static Status add_value(TreeBuilder *builder, Json value)
{
    Json *parent = &builder->stack[builder->top];
    size_t count = parent->count;
    if ((count & (count - 1)) == 0) {
        size_t room = count > 0 ? count * 2 : 1;
        Json *items = memory_resize(parent->items, room * sizeof *items);
        if (items != NULL) parent->items = items;
        char **keys = parent->type != JSON_OBJECT || items == NULL ? NULL : memory_resize(parent->keys, room * sizeof *keys);
        if (keys != NULL) parent->keys = keys;
        if (items == NULL || (parent->type == JSON_OBJECT && keys == NULL)) {
            clear_value(&value);
            return status_no_memory(room * sizeof *items, "a JSON document");
        }
    }
    parent->items[count] = value;
    if (parent->type == JSON_OBJECT) {
        parent->keys[count] = builder->keys[builder->top];
        builder->keys[builder->top] = NULL;
    }
    parent->count++;
    return OK;
}

static Status copy_text(const char *text, size_t bytes, char **copy)
{
    if (bytes > 0 && memchr(text, '\0', bytes) != NULL)
        return status_error(STATUS_INVALID, "a string with a NUL character in it");
    *copy = memory_alloc(bytes + 1);
    if (*copy == NULL) return status_no_memory(bytes + 1, "a JSON string");
    memcpy(*copy, text, bytes);
    (*copy)[bytes] = '\0';
    return OK;
}

static Status tree_null(void *context) { return add_value(context, (Json){.type = JSON_NULL}); }

static Status tree_boolean(void *context, bool value)
{
    return add_value(context, (Json){.type = JSON_BOOL, .boolean = value});
}

static Status tree_integer(void *context, int64_t value)
{
    return add_value(context, (Json){.type = JSON_INTEGER, .integer = value, .real = (double)value});
}

static Status tree_real(void *context, double value)
{
    int64_t truncated = value >= 0x1p63 ? INT64_MAX : value <= -0x1p63 ? INT64_MIN : (int64_t)value;
    return add_value(context, (Json){.type = JSON_REAL, .integer = truncated, .real = value});
}

static Status tree_string(void *context, const char *value, size_t bytes)
{
    Json json = {.type = JSON_STRING};
    TRY(copy_text(value, bytes, &json.string));
    return add_value(context, json);
}

static Status tree_key(void *context, const char *name, size_t bytes)
{
    TreeBuilder *builder = context;
    return copy_text(name, bytes, &builder->keys[builder->top]);
}

static Status tree_open(TreeBuilder *builder, JsonType type)
{
    builder->stack[++builder->top] = (Json){.type = type};
    return OK;
}

static Status tree_object_start(void *context) { return tree_open(context, JSON_OBJECT); }
static Status tree_array_start(void *context) { return tree_open(context, JSON_ARRAY); }

static Status tree_close(void *context)
{
    TreeBuilder *builder = context;
    Json done = builder->stack[builder->top--];
    return add_value(builder, done);
}

static const JsonEvents TREE_EVENTS = {
    .null = tree_null,
    .boolean = tree_boolean,
    .integer = tree_integer,
    .real = tree_real,
    .string = tree_string,
    .object_start = tree_object_start,
    .key = tree_key,
    .object_end = tree_close,
    .array_start = tree_array_start,
    .array_end = tree_close,
};

Status json_parse(const char *text, size_t bytes, const char *source, Json **out)
{
    *out = NULL;
    TreeBuilder *builder = memory_alloc_zero(1, sizeof *builder);
    if (builder == NULL) return status_no_memory(sizeof *builder, source);
    builder->stack[0].type = JSON_ARRAY;
    Parser parser = {.events = &TREE_EVENTS, .context = builder};
    yajl_handle handle = open_parser(&parser);
    Status status = OK;
    if (handle == NULL) status = status_no_memory(0, "a JSON parser");
    if (status == OK)
        status = parse_status(handle, yajl_parse(handle, (const unsigned char *)text, bytes), &parser, source, 0);
    if (status == OK) status = parse_status(handle, yajl_complete_parse(handle), &parser, source, 0);
    if (handle != NULL) yajl_free(handle);
    Json *document = builder->stack[0].items; /* an array of one: the holder's own */
    if (status == OK && builder->stack[0].count == 1) {
        *out = document;
        builder->stack[0] = (Json){0};
    } else if (status == OK) {
        status = status_error(STATUS_INVALID, "%s: JSON error at byte 0: an empty document", source);
    }
    for (int i = 0; i <= builder->top; i++) {
        clear_value(&builder->stack[i]);
        memory_free(builder->keys[i]);
    }
    memory_free(builder);
    return status;
}

Status json_read_file(const char *path, Json **out)
{
    char *text;
    size_t bytes;
    *out = NULL;
    TRY(file_read(path, 0, &text, &bytes));
    Status status = json_parse(text, bytes, path, out);
    memory_free(text);
    return status;
}

void json_destroy(Json *json)
{
    if (json == NULL) return;
    clear_value(json);
    memory_free(json);
}

const Json *json_member(const Json *object, const char *key)
{
    if (object == NULL || object->type != JSON_OBJECT) return NULL;
    for (size_t i = 0; i < object->count; i++)
        if (strcmp(object->keys[i], key) == 0) return &object->items[i];
    return NULL;
}

static Status get_member(const Json *object, const char *key, const char *source, bool (*fits)(const Json *),
                         const char *kind, const Json **member)
{
    *member = json_member(object, key);
    if (*member == NULL) return status_error(STATUS_INVALID, "%s: \"%s\" is missing", source, key);
    if (!fits(*member)) return status_error(STATUS_INVALID, "%s: \"%s\" is not %s", source, key, kind);
    return OK;
}

static bool fits_string(const Json *json) { return json->type == JSON_STRING; }
static bool fits_real(const Json *json) { return json->type == JSON_REAL || json->type == JSON_INTEGER; }

/* 3.0 is an integer too: some writers know reals only. */
static bool fits_integer(const Json *json)
{
    return json->type == JSON_INTEGER ||
           (json->type == JSON_REAL && fabs(json->real) < 0x1p53 && json->real == (double)json->integer);
}

Status json_get_string(const Json *object, const char *key, const char *source, const char **value)
{
    const Json *member;
    TRY(get_member(object, key, source, fits_string, "a string", &member));
    *value = member->string;
    return OK;
}

Status json_get_integer(const Json *object, const char *key, const char *source, int64_t *value)
{
    const Json *member;
    TRY(get_member(object, key, source, fits_integer, "an integer", &member));
    *value = member->integer;
    return OK;
}

Status json_get_real(const Json *object, const char *key, const char *source, double *value)
{
    const Json *member;
    TRY(get_member(object, key, source, fits_real, "a number", &member));
    *value = member->real;
    return OK;
}

static Status stream_descriptor(int fd, const char *path, Parser *parser, yajl_handle handle, unsigned char *buffer,
                                size_t size)
{
    size_t before = 0;
    for (;;) {
        ssize_t got = read(fd, buffer, size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return status_errno(errno, "read", path);
        if (got == 0) return parse_status(handle, yajl_complete_parse(handle), parser, path, before);
        TRY(parse_status(handle, yajl_parse(handle, buffer, (size_t)got), parser, path, before));
        before += (size_t)got;
    }
}

Status json_stream(const char *path, const JsonEvents *events, void *context)
{
    enum { BUFFER_BYTES = 1 << 16 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    Parser parser = {.events = events, .context = context};
    yajl_handle handle = open_parser(&parser);
    unsigned char *buffer = memory_alloc(BUFFER_BYTES);
    Status status;
    if (handle == NULL || buffer == NULL) status = status_no_memory(BUFFER_BYTES, path);
    else status = stream_descriptor(fd, path, &parser, handle, buffer, BUFFER_BYTES);
    memory_free(buffer);
    if (handle != NULL) yajl_free(handle);
    close(fd);
    return status;
}
