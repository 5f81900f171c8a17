/* JSON out; see json.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/json.h"

static void begin_value(JsonWriter *w)
{
    if (w->need_comma) text_append(&w->text, ",");
    w->need_comma = true;
}

static void begin_container(JsonWriter *w, const char *bracket)
{
    begin_value(w);
    text_append(&w->text, bracket);
    w->need_comma = false;
    w->depth++;
}

static void end_container(JsonWriter *w, const char *bracket)
{
    text_append(&w->text, bracket);
    w->need_comma = true;
    w->depth--;
}

void json_begin_object(JsonWriter *w) { begin_container(w, "{"); }
void json_end_object(JsonWriter *w) { end_container(w, "}"); }
void json_begin_array(JsonWriter *w) { begin_container(w, "["); }
void json_end_array(JsonWriter *w) { end_container(w, "]"); }

static void append_quoted(Text *text, const char *string)
{
    text_append(text, "\"");
    while (*string != '\0') {
        size_t plain = 0; /* a run without anything to escape */
        while ((unsigned char)string[plain] >= 0x20 && string[plain] != '"' && string[plain] != '\\') plain++;
        text_append_bytes(text, string, plain);
        string += plain;
        if (*string == '\0') break;
        if (*string == '\n') text_append(text, "\\n");
        else if (*string == '\t') text_append(text, "\\t");
        else if (*string == '"' || *string == '\\') text_format(text, "\\%c", *string);
        else text_format(text, "\\u%04x", (unsigned)(unsigned char)*string);
        string++;
    }
    text_append(text, "\"");
}

void json_key(JsonWriter *w, const char *key)
{
    begin_value(w);
    append_quoted(&w->text, key);
    text_append(&w->text, ":");
    w->need_comma = false;
}

void json_string(JsonWriter *w, const char *value)
{
    begin_value(w);
    if (value == NULL) text_append(&w->text, "null");
    else append_quoted(&w->text, value);
}

void json_integer(JsonWriter *w, int64_t value)
{
    begin_value(w);
    text_format(&w->text, "%lld", (long long)value);
}

void json_real(JsonWriter *w, double value)
{
    begin_value(w);
    if (!isfinite(value)) {
        text_append(&w->text, "null");
        return;
    }
    /* 17 digits always read back the same; often 15 do, and read better. */
    char number[40], *end;
    snprintf(number, sizeof number, "%.15g", value);
    if (strtod(number, &end) != value) snprintf(number, sizeof number, "%.17g", value);
    text_append(&w->text, number);
    /* So that it reads back as a real. */
    if (strpbrk(number, ".e") == NULL) text_append(&w->text, ".0");
}

void json_bool(JsonWriter *w, bool value)
{
    begin_value(w);
    text_append(&w->text, value ? "true" : "false");
}

void json_value(JsonWriter *w, const Json *value)
{
    switch (value->type) {
    case JSON_NULL: json_string(w, NULL); break;
    case JSON_BOOL: json_bool(w, value->boolean); break;
    case JSON_INTEGER: json_integer(w, value->integer); break;
    case JSON_REAL: json_real(w, value->real); break;
    case JSON_STRING: json_string(w, value->string); break;
    case JSON_ARRAY:
        json_begin_array(w);
        for (size_t i = 0; i < value->count; i++) json_value(w, &value->items[i]);
        json_end_array(w);
        break;
    case JSON_OBJECT:
        json_begin_object(w);
        for (size_t i = 0; i < value->count; i++) {
            json_key(w, value->keys[i]);
            json_value(w, &value->items[i]);
        }
        json_end_object(w);
        break;
    }
}

void json_add_string(JsonWriter *w, const char *key, const char *value)
{
    json_key(w, key);
    json_string(w, value);
}

void json_add_integer(JsonWriter *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_integer(w, value);
}

void json_add_real(JsonWriter *w, const char *key, double value)
{
    json_key(w, key);
    json_real(w, value);
}
