#include "storage/label_classes.h"

#include <stdlib.h>
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/class_table.h"

static const char *const VOC_NAMES[] = {"background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
                                        "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person",
                                        "pottedplant", "sheep", "sofa", "train", "tvmonitor"};
enum { VOC_COUNT = sizeof VOC_NAMES / sizeof VOC_NAMES[0] };

void label_classes_clear(LabelClasses *classes)
{
    class_table_clear(&classes->classes);
    memory_free(classes->class_of);
    *classes = (LabelClasses){0};
}

/* A pixel's value of COCO-Stuff is one less than its category's id; so "unlabeled", 0, has none. */
static Status add_class(LabelClasses *to, ImportFormat format, int64_t value, const char *name, size_t bytes, bool thing)
{
    ClassTable *table = &to->classes;
    if (format == IMPORT_COCO_STUFF && value == 0) return OK;
    if (value < 0 || value > LABEL_VALUES) return status_error(STATUS_INVALID, "%lld is no label", (long long)value);
    const int64_t pixel = format == IMPORT_COCO_STUFF ? value - 1 : value;
    if (pixel >= LABEL_VALUES) return status_error(STATUS_INVALID, "%lld is no label", (long long)value);
    if (to->class_of[pixel] >= 0) return status_error(STATUS_INVALID, "label %lld occurs twice", (long long)value);
    if (bytes == 0 || bytes > 255) return status_error(STATUS_INVALID, "a name must have 1 to 255 bytes");
    ClassEntry *larger = memory_resize(table->entries, ((size_t)table->count + 1) * sizeof *larger);
    if (larger == NULL) return status_no_memory((size_t)table->count * sizeof *larger, "classes");
    table->entries = larger;
    char *copy = memory_format("%.*s", (int)bytes, name);
    if (copy == NULL) return status_no_memory(bytes, "classes");
    if (class_table_find(table, copy) >= 0) {
        Status status = status_error(STATUS_INVALID, "\"%s\" occurs twice", copy);
        memory_free(copy);
        return status;
    }
    larger[table->count] = (ClassEntry){.id = value, .name = copy, .is_thing = thing};
    class_default_color(table->count, larger[table->count].color);
    to->class_of[pixel] = table->count++;
    return OK;
}

/* The line without comment and blanks around. */
static size_t trim(const char **line, size_t bytes)
{
    const char *comment = memchr(*line, '#', bytes);
    if (comment != NULL) bytes = (size_t)(comment - *line);
    while (bytes > 0 && strchr(" \t\r", (*line)[bytes - 1]) != NULL) bytes--;
    while (bytes > 0 && strchr(" \t", **line) != NULL) {
        ++*line;
        bytes--;
    }
    return bytes;
}

static bool ends_with(const char *line, size_t *bytes, const char *word)
{
    const size_t length = strlen(word);
    if (*bytes <= length || memcmp(line + *bytes - length, word, length) != 0 || line[*bytes - length - 1] != '\t') return false;
    *bytes -= length;
    while (*bytes > 0 && strchr(" \t", line[*bytes - 1]) != NULL) --*bytes;
    return true;
}

static Status read_line(const char *line, size_t bytes, ImportFormat format, bool instances, bool table, LabelClasses *to)
{
    char *end;
    const long long value = strtoll(line, &end, 10);
    if (end == line || end > line + bytes) return status_error(STATUS_INVALID, "must begin with a number");
    bool thing = instances;
    if (ends_with(line, &bytes, "thing")) thing = true;
    else if (ends_with(line, &bytes, "stuff")) thing = false;
    const char *name = end;
    if (table) /* the name is the last column */
        for (const char *at = end; at < line + bytes; at++)
            if (*at == '\t') name = at + 1;
    while (name < line + bytes && strchr(": \t", *name) != NULL) name++;
    return add_class(to, format, value, name, (size_t)(line + bytes - name), thing);
}

static Status read_file(const char *path, ImportFormat format, bool instances, LabelClasses *to)
{
    char *text;
    size_t length;
    TRY(file_read(path, 1 << 24, &text, &length));
    Status status = memchr(text, '\0', length) != NULL ? status_error(STATUS_INVALID, "not a text file") : OK;
    const bool table = strncmp(text, "Idx\t", 4) == 0;
    int number = 1;
    for (const char *line = text; status == OK && *line != '\0'; number++) {
        const size_t whole = strcspn(line, "\n");
        const char *start = line;
        const size_t bytes = trim(&start, whole);
        if (bytes > 0 && !(table && number == 1))
            status = status_wrap(read_line(start, bytes, format, instances, table, to), "line %d", number);
        line += whole + (line[whole] == '\n');
    }
    if (status == OK && to->classes.count == 0) status = status_error(STATUS_INVALID, "lists no class");
    memory_free(text);
    return status_wrap(status, "%s", path);
}

Status label_classes_read(const char *path, ImportFormat format, bool instances, LabelClasses *classes)
{
    *classes = (LabelClasses){0};
    classes->class_of = memory_alloc((size_t)LABEL_VALUES * sizeof *classes->class_of);
    if (classes->class_of == NULL) return status_no_memory((size_t)LABEL_VALUES * 4, "classes");
    for (int i = 0; i < LABEL_VALUES; i++) classes->class_of[i] = -1;
    Status status = OK;
    if (path != NULL) status = read_file(path, format, instances, classes);
    else if (format != IMPORT_VOC) status = status_error(STATUS_INVALID, "data.classes: a class file must say which label is what");
    for (int i = 0; path == NULL && format == IMPORT_VOC && i < VOC_COUNT && status == OK; i++)
        status = add_class(classes, format, i, VOC_NAMES[i], strlen(VOC_NAMES[i]), i > 0 && instances);
    if (status == OK) class_table_count(&classes->classes);
    else label_classes_clear(classes);
    return status;
}
