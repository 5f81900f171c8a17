/* JSON in and out, on yajl. Small documents become a tree; large ones are
 * streamed as events (json_stream), so memory does not grow with the file. */
#ifndef FRAMEWORK_JSON_H
#define FRAMEWORK_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "framework/status.h"
#include "framework/text.h"

typedef enum JsonType { JSON_NULL, JSON_BOOL, JSON_INTEGER, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonType;

typedef struct Json Json;
struct Json {
    JsonType type;
    bool boolean;
    int64_t integer; /* JSON_INTEGER; also the truncated value of JSON_REAL */
    double real;     /* JSON_REAL and JSON_INTEGER */
    char *string;    /* JSON_STRING */
    size_t count;    /* elements or members */
    char **keys;     /* JSON_OBJECT: names of members */
    Json *items;     /* elements or values */
};

/* `source` names the document in errors ("FILE: JSON error at byte N: ..."). */
Status json_parse(const char *text, size_t bytes, const char *source, Json **out);
Status json_read_file(const char *path, Json **out);
void json_destroy(Json *json);
const Json *json_member(const Json *object, const char *key); /* NULL where absent or no object */
/* Typed access with an error that names source and key. */
Status json_get_string(const Json *object, const char *key, const char *source, const char **value);
Status json_get_integer(const Json *object, const char *key, const char *source, int64_t *value);
Status json_get_real(const Json *object, const char *key, const char *source, double *value);

/* Events of a document in order; a callback's failure ends the parse and is
 * returned. NULL callbacks are skipped. Strings are not NUL-terminated. */
typedef struct JsonEvents {
    Status (*null)(void *context);
    Status (*boolean)(void *context, bool value);
    Status (*integer)(void *context, int64_t value);
    Status (*real)(void *context, double value);
    Status (*string)(void *context, const char *value, size_t bytes);
    Status (*object_start)(void *context);
    Status (*key)(void *context, const char *name, size_t bytes);
    Status (*object_end)(void *context);
    Status (*array_start)(void *context);
    Status (*array_end)(void *context);
} JsonEvents;
Status json_stream(const char *path, const JsonEvents *events, void *context);

/* Writer: appends to a Text; commas and quoting are its business. Reals are
 * written with 17 significant digits (round trip); NaN and infinities as null. */
typedef struct JsonWriter { Text text; bool need_comma; int depth; } JsonWriter; /* zero-initialise */
void json_begin_object(JsonWriter *w);
void json_end_object(JsonWriter *w);
void json_begin_array(JsonWriter *w);
void json_end_array(JsonWriter *w);
void json_key(JsonWriter *w, const char *key);
void json_string(JsonWriter *w, const char *value); /* NULL writes null */
void json_integer(JsonWriter *w, int64_t value);
void json_real(JsonWriter *w, double value);
void json_bool(JsonWriter *w, bool value);
void json_value(JsonWriter *w, const Json *value);
/* A member of an object: key and value. */
void json_add_string(JsonWriter *w, const char *key, const char *value);
void json_add_integer(JsonWriter *w, const char *key, int64_t value);
void json_add_real(JsonWriter *w, const char *key, double value);

#endif
