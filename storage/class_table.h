/* Class tables as JSON, and names compared loosely. */
#ifndef STORAGE_CLASS_TABLE_H
#define STORAGE_CLASS_TABLE_H

#include "framework/json.h"
#include "storage/dataset.h"

/* [{"id":..,"name":..,"isthing":..,"unseen":..,"color":[r,g,b]}, ...] */
void class_table_write_json(JsonWriter *writer, const ClassTable *table);
Status class_table_read_json(const Json *array, const char *source, ClassTable *table);
Status class_table_parse(const char *text, size_t bytes, const char *source, ClassTable *table);
bool class_table_equal(const ClassTable *a, const ClassTable *b);
/* Sets seen_count and unseen_count from the entries. */
void class_table_count(ClassTable *table);
/* A colour for a class that names none: distinct for neighbours, and the same in every run. */
void class_default_color(int index, uint8_t color[3]);
/* Equal but for case, '-', '_' and blanks. */
bool class_names_match(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
/* The first class so named; -1. */
int class_table_find_loosely(const ClassTable *table, const char *name, size_t bytes);

#endif
