#include "storage/class_table.h"

#include <ctype.h>
#include <string.h>

#include "framework/memory.h"

Status class_table_copy(const ClassTable *from, ClassTable *to)
{
    *to = (ClassTable){.seen_count = from->seen_count, .unseen_count = from->unseen_count};
    to->entries = memory_alloc_zero((size_t)from->count + 1, sizeof *to->entries);
    if (to->entries == NULL) return status_no_memory((size_t)from->count, "a class table");
    for (int i = 0; i < from->count; i++) {
        to->entries[i] = from->entries[i];
        to->entries[i].name = memory_copy_string(from->entries[i].name);
        to->count++;
        if (to->entries[i].name == NULL) {
            class_table_clear(to);
            return status_no_memory(64, "a class table");
        }
    }
    return OK;
}

void class_table_clear(ClassTable *table)
{
    for (int i = 0; i < table->count; i++) memory_free(table->entries[i].name);
    memory_free(table->entries);
    *table = (ClassTable){0};
}

void class_table_count(ClassTable *table)
{
    table->seen_count = table->unseen_count = 0;
    for (int i = 0; i < table->count; i++) *(table->entries[i].is_unseen ? &table->unseen_count : &table->seen_count) += 1;
}

int class_table_find(const ClassTable *table, const char *name)
{
    for (int i = 0; i < table->count; i++)
        if (strcmp(table->entries[i].name, name) == 0) return i;
    return -1;
}

int class_table_seen_index(const ClassTable *table, int class_index)
{
    if (class_index < 0 || class_index >= table->count || table->entries[class_index].is_unseen) return -1;
    int index = 0;
    for (int i = 0; i < class_index; i++) index += !table->entries[i].is_unseen;
    return index;
}

bool class_table_equal(const ClassTable *a, const ClassTable *b)
{
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++) {
        const ClassEntry *x = &a->entries[i], *y = &b->entries[i];
        same = x->id == y->id && strcmp(x->name, y->name) == 0 && x->is_thing == y->is_thing &&
               x->is_unseen == y->is_unseen && memcmp(x->color, y->color, sizeof x->color) == 0;
    }
    return same;
}

static bool passed_over(char c)
{
    return c == '-' || c == '_' || c == ' ' || c == '\t';
}

bool class_names_match(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t i = 0, j = 0;
    for (;;) {
        while (i < a_bytes && passed_over(a[i])) i++;
        while (j < b_bytes && passed_over(b[j])) j++;
        if (i == a_bytes || j == b_bytes) return i == a_bytes && j == b_bytes;
        if (tolower((unsigned char)a[i++]) != tolower((unsigned char)b[j++])) return false;
    }
}

int class_table_find_loosely(const ClassTable *table, const char *name, size_t bytes)
{
    for (int i = 0; i < table->count; i++)
        if (class_names_match(table->entries[i].name, strlen(table->entries[i].name), name, bytes)) return i;
    return -1;
}

void class_table_write_json(JsonWriter *writer, const ClassTable *table)
{
    json_begin_array(writer);
    for (int i = 0; i < table->count; i++) {
        const ClassEntry *entry = &table->entries[i];
        json_begin_object(writer);
        json_key(writer, "id");
        json_integer(writer, entry->id);
        json_key(writer, "name");
        json_string(writer, entry->name);
        json_key(writer, "isthing");
        json_bool(writer, entry->is_thing);
        json_key(writer, "unseen");
        json_bool(writer, entry->is_unseen);
        json_key(writer, "color");
        json_begin_array(writer);
        for (int c = 0; c < 3; c++) json_integer(writer, entry->color[c]);
        json_end_array(writer);
        json_end_object(writer);
    }
    json_end_array(writer);
}

static Status read_entry(const Json *object, const char *source, ClassEntry *entry)
{
    const char *name;
    TRY(json_get_integer(object, "id", source, &entry->id));
    TRY(json_get_string(object, "name", source, &name));
    const Json *thing = json_member(object, "isthing"), *unseen = json_member(object, "unseen"),
               *color = json_member(object, "color");
    if (thing == NULL || thing->type != JSON_BOOL || unseen == NULL || unseen->type != JSON_BOOL || color == NULL ||
        color->type != JSON_ARRAY || color->count != 3)
        return status_error(STATUS_CORRUPT, "%s: class %s isn't whole", source, name);
    entry->is_thing = thing->boolean;
    entry->is_unseen = unseen->boolean;
    for (int c = 0; c < 3; c++) entry->color[c] = (uint8_t)color->items[c].integer;
    entry->name = memory_copy_string(name);
    return entry->name == NULL ? status_no_memory(strlen(name), source) : OK;
}

Status class_table_read_json(const Json *array, const char *source, ClassTable *table)
{
    *table = (ClassTable){0};
    if (array == NULL || array->type != JSON_ARRAY || array->count < 1 || array->count > UINT16_MAX)
        return status_error(STATUS_CORRUPT, "%s: no class table", source);
    table->entries = memory_alloc_zero(array->count, sizeof *table->entries);
    if (table->entries == NULL) return status_no_memory(array->count, source);
    Status status = OK;
    for (size_t i = 0; status == OK && i < array->count; i++) {
        status = read_entry(&array->items[i], source, &table->entries[i]);
        if (status == OK) table->count++;
    }
    class_table_count(table);
    if (status != OK) class_table_clear(table);
    return status;
}

Status class_table_parse(const char *text, size_t bytes, const char *source, ClassTable *table)
{
    Json *json;
    *table = (ClassTable){0};
    TRY(json_parse(text, bytes, source, &json));
    Status status = class_table_read_json(json, source, table);
    json_destroy(json);
    return status;
}

void class_default_color(int index, uint8_t color[3])
{
    const uint32_t bits = (uint32_t)(index + 1) * 2654435761u;
    for (int c = 0; c < 3; c++) color[c] = (uint8_t)(40 + (bits >> (8 * c + 4) & 0xff) * 200 / 255);
}
