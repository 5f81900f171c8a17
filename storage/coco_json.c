#include "storage/coco_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "framework/json.h"
#include "storage/class_table.h"
#include "storage/image_decode.h"

enum { MAX_CATEGORIES = 16384, MAX_SEGMENT_ID = (1 << 24) - 1, MAX_NAME = 255 };

#define SECTIONS(X)                              \
    X(SECTION_OTHER, "")                         \
    X(SECTION_IMAGES, "images")                  \
    X(SECTION_ANNOTATIONS, "annotations")        \
    X(SECTION_CATEGORIES, "categories")
#define FIELDS(X)                                \
    X(FIELD_OTHER, "")                           \
    X(FIELD_ID, "id")                            \
    X(FIELD_FILE_NAME, "file_name")              \
    X(FIELD_HEIGHT, "height")                    \
    X(FIELD_WIDTH, "width")                      \
    X(FIELD_IMAGE_ID, "image_id")                \
    X(FIELD_SEGMENTS, "segments_info")           \
    X(FIELD_CATEGORY_ID, "category_id")          \
    X(FIELD_CROWD, "iscrowd")                    \
    X(FIELD_NAME, "name")                        \
    X(FIELD_THING, "isthing")                    \
    X(FIELD_COLOR, "color")

#define X(id, name) id,
typedef enum Section { SECTIONS(X) SECTION_COUNT } Section;
typedef enum Field { FIELDS(X) FIELD_COUNT } Field;
#undef X
#define X(id, name) name,
static const char *const SECTION_NAMES[] = {SECTIONS(X)};
static const char *const FIELD_NAMES[] = {FIELDS(X)};
#undef X
_Static_assert(sizeof SECTION_NAMES / sizeof SECTION_NAMES[0] == SECTION_COUNT, "a name for each section");
_Static_assert(sizeof FIELD_NAMES / sizeof FIELD_NAMES[0] == FIELD_COUNT, "a name for each field");

/* What is read of an entry of each section, and of a segment; anything else in them may be anything. */
#define BIT(field) (1u << (field))
static const unsigned SECTION_FIELDS[] = {
    [SECTION_OTHER] = 0,
    [SECTION_IMAGES] = BIT(FIELD_ID) | BIT(FIELD_FILE_NAME) | BIT(FIELD_HEIGHT) | BIT(FIELD_WIDTH),
    [SECTION_ANNOTATIONS] = BIT(FIELD_IMAGE_ID) | BIT(FIELD_FILE_NAME) | BIT(FIELD_SEGMENTS),
    [SECTION_CATEGORIES] = BIT(FIELD_ID) | BIT(FIELD_NAME) | BIT(FIELD_THING) | BIT(FIELD_COLOR),
};
_Static_assert(sizeof SECTION_FIELDS / sizeof SECTION_FIELDS[0] == SECTION_COUNT, "fields of each section");
static const unsigned SEGMENT_FIELDS = BIT(FIELD_ID) | BIT(FIELD_CATEGORY_ID) | BIT(FIELD_CROWD);

/* Containers that are open around an event. */
enum { IN_NOTHING, IN_ROOT, IN_SECTION, IN_ENTRY, IN_LIST, IN_SEGMENT };

/* Values of the object being read; `have` has a bit for each field seen. */
typedef struct Entry {
    unsigned have;
    int64_t id, height, width, image_id, category_id, crowd, thing;
    const char *name; /* file_name or name */
    int colors;
    int64_t color[3];
} Entry;

typedef struct Parse {
    CocoSet *set;
    int depth;
    int skipped;       /* depth of containers nobody reads */
    Section section;
    bool seen[SECTION_COUNT];
    Field field;       /* of the entry */
    Field inner_field; /* of the segment */
    Entry entry, segment;
    int64_t entry_count[SECTION_COUNT];
    int64_t first_segment;
} Parse;

/* "FILE: annotations[3].segments_info[1].category_id" */
static Status bad_value(const Parse *parse, const char *what)
{
    const CocoSet *set = parse->set;
    const char *section = SECTION_NAMES[parse->section];
    int64_t entry = parse->entry_count[parse->section];
    if (parse->depth == IN_SEGMENT)
        return status_error(STATUS_INVALID, "%s: annotations[%" PRId64 "].segments_info[%" PRId64 "].%s %s", set->path,
                            entry, set->segment_count - parse->first_segment, FIELD_NAMES[parse->inner_field], what);
    return status_error(STATUS_INVALID, "%s: %s[%" PRId64 "].%s %s", set->path, section, entry,
                        FIELD_NAMES[parse->field], what);
}

static Status need_field(const Parse *parse, const Entry *entry, Field field)
{
    if (entry->have & 1u << field) return OK;
    Parse named = *parse;
    named.field = named.inner_field = field;
    return bad_value(&named, "is missing");
}

static Status grow(void **block, int64_t *capacity, int64_t count, size_t size, const char *path)
{
    if (count < *capacity) return OK;
    int64_t larger_capacity = *capacity + *capacity / 2 + 64;
    void *larger = memory_resize(*block, (size_t)larger_capacity * size);
    if (larger == NULL) return status_no_memory((size_t)larger_capacity * size, path);
    *block = larger;
    *capacity = larger_capacity;
    return OK;
}

static Status copy_name(Parse *parse, const char *value, size_t bytes, const char **name)
{
    if (bytes == 0 || bytes > MAX_NAME) return bad_value(parse, "must have 1 to 255 bytes");
    if (memchr(value, '\0', bytes) != NULL) return bad_value(parse, "holds a NUL");
    char *copy = arena_alloc(parse->set->names, bytes + 1);
    if (copy == NULL) return status_no_memory(bytes, parse->set->path);
    memcpy(copy, value, bytes);
    copy[bytes] = '\0';
    *name = copy;
    return OK;
}

/* ---- values ---- */

static Status check_range(const Parse *parse, int64_t value, int64_t low, int64_t high)
{
    if (value >= low && value <= high) return OK;
    char what[80];
    snprintf(what, sizeof what, "is %" PRId64 ", outside %" PRId64 " to %" PRId64, value, low, high);
    return bad_value(parse, what);
}

static Status set_integer(Parse *parse, Entry *entry, Field field, int64_t value)
{
    int64_t *place = NULL, low = INT64_MIN, high = INT64_MAX;
    switch (field) {
    case FIELD_ID:
        place = &entry->id;
        if (parse->depth == IN_SEGMENT) low = 1, high = MAX_SEGMENT_ID;
        break;
    case FIELD_HEIGHT: place = &entry->height; low = 1, high = IMAGE_MAX_SIDE; break;
    case FIELD_WIDTH: place = &entry->width; low = 1, high = IMAGE_MAX_SIDE; break;
    case FIELD_IMAGE_ID: place = &entry->image_id; break;
    case FIELD_CATEGORY_ID: place = &entry->category_id; low = INT32_MIN, high = INT32_MAX; break;
    case FIELD_CROWD: place = &entry->crowd; low = 0, high = 1; break;
    case FIELD_THING: place = &entry->thing; low = 0, high = 1; break;
    case FIELD_FILE_NAME:
    case FIELD_NAME: return bad_value(parse, "must be a string");
    case FIELD_COLOR:
    case FIELD_SEGMENTS: return bad_value(parse, "must be an array");
    default: return OK;
    }
    TRY(check_range(parse, value, low, high));
    *place = value;
    entry->have |= 1u << field;
    return OK;
}

static Status on_integer(void *context, int64_t value)
{
    Parse *parse = context;
    if (parse->skipped > 0 || parse->section == SECTION_OTHER) return OK;
    if (parse->depth == IN_ENTRY) return set_integer(parse, &parse->entry, parse->field, value);
    if (parse->depth == IN_SEGMENT) return set_integer(parse, &parse->segment, parse->inner_field, value);
    if (parse->depth == IN_LIST && parse->field == FIELD_COLOR) {
        TRY(check_range(parse, value, 0, 255));
        if (parse->entry.colors < 3) parse->entry.color[parse->entry.colors] = value;
        parse->entry.colors++;
    }
    return OK;
}

static bool wanted(const Parse *parse)
{
    if (parse->skipped > 0 || parse->section == SECTION_OTHER) return false;
    Field field = parse->depth == IN_SEGMENT ? parse->inner_field : parse->field;
    return (parse->depth == IN_ENTRY || parse->depth == IN_SEGMENT) && field != FIELD_OTHER;
}

static Status on_real(void *context, double value)
{
    Parse *parse = context;
    if (value >= -9e15 && value <= 9e15 && (double)(int64_t)value == value) return on_integer(context, (int64_t)value);
    return wanted(parse) ? bad_value(parse, "must be an integer") : OK;
}

static Status on_boolean(void *context, bool value)
{
    Parse *parse = context;
    Field field = parse->depth == IN_SEGMENT ? parse->inner_field : parse->field;
    if (!wanted(parse)) return OK;
    return field == FIELD_THING || field == FIELD_CROWD ? on_integer(context, value)
                                                        : bad_value(parse, "must not be a boolean");
}

static Status on_null(void *context)
{
    return wanted(context) ? bad_value(context, "must not be null") : OK;
}

static Status on_string(void *context, const char *value, size_t bytes)
{
    Parse *parse = context;
    if (!wanted(parse)) return OK;
    Field name_field = parse->section == SECTION_CATEGORIES ? FIELD_NAME : FIELD_FILE_NAME;
    if (parse->depth != IN_ENTRY || parse->field != name_field) return bad_value(parse, "must not be a string");
    TRY(copy_name(parse, value, bytes, &parse->entry.name));
    parse->entry.have |= 1u << name_field;
    return OK;
}

/* ---- entries ---- */

static Status add_image(Parse *parse)
{
    CocoSet *set = parse->set;
    const Entry *entry = &parse->entry;
    TRY(need_field(parse, entry, FIELD_ID));
    TRY(need_field(parse, entry, FIELD_FILE_NAME));
    TRY(need_field(parse, entry, FIELD_HEIGHT));
    TRY(need_field(parse, entry, FIELD_WIDTH));
    TRY(grow((void **)&set->images, &set->image_capacity, set->image_count, sizeof *set->images, set->path));
    set->images[set->image_count++] = (CocoImage){.id = entry->id, .file_name = entry->name,
                                                  .height = (int32_t)entry->height, .width = (int32_t)entry->width};
    return OK;
}

static Status add_annotation(Parse *parse)
{
    CocoSet *set = parse->set;
    const Entry *entry = &parse->entry;
    TRY(need_field(parse, entry, FIELD_IMAGE_ID));
    TRY(need_field(parse, entry, FIELD_FILE_NAME));
    TRY(need_field(parse, entry, FIELD_SEGMENTS));
    int64_t count = set->segment_count - parse->first_segment;
    if (count > UINT16_MAX) {
        parse->field = FIELD_SEGMENTS;
        return bad_value(parse, "has more than 65535 segments");
    }
    TRY(grow((void **)&set->annotations, &set->annotation_capacity, set->annotation_count, sizeof *set->annotations,
             set->path));
    set->annotations[set->annotation_count++] = (CocoAnnotation){
        .image_id = entry->image_id, .file_name = entry->name, .first_segment = parse->first_segment,
        .segment_count = (int32_t)count};
    return OK;
}

static Status add_category(Parse *parse)
{
    CocoSet *set = parse->set;
    const Entry *entry = &parse->entry;
    TRY(need_field(parse, entry, FIELD_ID));
    TRY(need_field(parse, entry, FIELD_NAME));
    TRY(need_field(parse, entry, FIELD_THING));
    if (set->classes.count == MAX_CATEGORIES) return bad_value(parse, "is one of more than 16384 categories");
    int64_t capacity = set->class_capacity;
    TRY(grow((void **)&set->classes.entries, &capacity, set->classes.count, sizeof *set->classes.entries, set->path));
    set->class_capacity = (int)capacity;
    ClassEntry *class = &set->classes.entries[set->classes.count];
    *class = (ClassEntry){.id = entry->id, .is_thing = entry->thing != 0, .name = memory_copy_string(entry->name)};
    if (class->name == NULL) return status_no_memory(MAX_NAME, set->path);
    if (entry->colors == 3)
        for (int c = 0; c < 3; c++) class->color[c] = (uint8_t)entry->color[c];
    else class_default_color(set->classes.count, class->color);
    set->classes.count++;
    return OK;
}

static Status add_segment(Parse *parse)
{
    CocoSet *set = parse->set;
    const Entry *segment = &parse->segment;
    TRY(need_field(parse, segment, FIELD_ID));
    TRY(need_field(parse, segment, FIELD_CATEGORY_ID));
    TRY(grow((void **)&set->segments, &set->segment_capacity, set->segment_count, sizeof *set->segments, set->path));
    set->segments[set->segment_count++] = (CocoSegment){.id = (uint32_t)segment->id & MAX_SEGMENT_ID,
                                                        .is_crowd = segment->crowd != 0,
                                                        .class_index = (int32_t)segment->category_id};
    return OK;
}

/* ---- containers ---- */

static int find_word(const char *const *names, int count, const char *name, size_t bytes)
{
    for (int i = 1; i < count; i++)
        if (strlen(names[i]) == bytes && memcmp(names[i], name, bytes) == 0) return i;
    return 0;
}

static Field find_field(const char *name, size_t bytes, unsigned allowed)
{
    int found = find_word(FIELD_NAMES, FIELD_COUNT, name, bytes);
    return allowed & 1u << found ? (Field)found : FIELD_OTHER;
}

static Status on_key(void *context, const char *name, size_t bytes)
{
    Parse *parse = context;
    if (parse->skipped > 0) return OK;
    if (parse->depth == IN_ROOT) {
        parse->section = (Section)find_word(SECTION_NAMES, SECTION_COUNT, name, bytes);
        if (parse->section != SECTION_OTHER && parse->seen[parse->section])
            return status_error(STATUS_INVALID, "%s: \"%s\" occurs twice", parse->set->path,
                                SECTION_NAMES[parse->section]);
    }
    if (parse->depth == IN_ENTRY) parse->field = find_field(name, bytes, SECTION_FIELDS[parse->section]);
    if (parse->depth == IN_SEGMENT) parse->inner_field = find_field(name, bytes, SEGMENT_FIELDS);
    return OK;
}

static bool list_is_read(const Parse *parse)
{
    return (parse->section == SECTION_ANNOTATIONS && parse->field == FIELD_SEGMENTS) ||
           (parse->section == SECTION_CATEGORIES && parse->field == FIELD_COLOR);
}

static Status on_array_start(void *context)
{
    Parse *parse = context;
    if (parse->skipped == 0 && parse->depth == IN_ROOT && parse->section != SECTION_OTHER) {
        parse->seen[parse->section] = true;
        parse->depth = IN_SECTION;
    } else if (parse->skipped == 0 && parse->depth == IN_ENTRY && list_is_read(parse)) {
        if (parse->entry.have & 1u << parse->field) return bad_value(parse, "occurs twice");
        parse->entry.have |= 1u << parse->field;
        parse->depth = IN_LIST;
    } else {
        if (parse->depth == IN_NOTHING)
            return status_error(STATUS_INVALID, "%s: must be a JSON object, not an array", parse->set->path);
        if (wanted(parse)) return bad_value(parse, "must not be an array");
        parse->skipped++;
    }
    return OK;
}

static Status on_array_end(void *context)
{
    Parse *parse = context;
    if (parse->skipped > 0) parse->skipped--;
    else parse->depth--;
    return OK;
}

static Status on_object_start(void *context)
{
    Parse *parse = context;
    bool segments = parse->depth == IN_LIST && parse->field == FIELD_SEGMENTS;
    if (parse->skipped > 0 || (parse->depth == IN_ROOT && parse->section == SECTION_OTHER)) {
        parse->skipped++;
    } else if (parse->depth == IN_NOTHING) {
        parse->depth = IN_ROOT;
    } else if (parse->depth == IN_SECTION) {
        parse->entry = (Entry){0};
        parse->field = FIELD_OTHER;
        parse->first_segment = parse->set->segment_count;
        parse->depth = IN_ENTRY;
    } else if (segments) {
        parse->segment = (Entry){0};
        parse->inner_field = FIELD_OTHER;
        parse->depth = IN_SEGMENT;
    } else {
        if (wanted(parse)) return bad_value(parse, "must not be an object");
        parse->skipped++;
    }
    return OK;
}

static Status on_object_end(void *context)
{
    Parse *parse = context;
    if (parse->skipped > 0) {
        parse->skipped--;
        return OK;
    }
    Status status = OK;
    if (parse->depth == IN_SEGMENT) {
        status = add_segment(parse);
        if (status == OK) parse->depth = IN_LIST;
    } else if (parse->depth == IN_ENTRY) {
        if (parse->section == SECTION_IMAGES) status = add_image(parse);
        else if (parse->section == SECTION_ANNOTATIONS) status = add_annotation(parse);
        else status = add_category(parse);
        parse->entry_count[parse->section]++;
        parse->depth = IN_SECTION;
    } else {
        parse->depth--;
    }
    return status;
}

Status coco_json_read(const char *path, CocoSet *set)
{
    *set = (CocoSet){.path = path};
    set->names = arena_create(1 << 16);
    if (set->names == NULL) return status_no_memory(1 << 16, path);
    Parse parse = {.set = set};
    const JsonEvents events = {
        .null = on_null, .boolean = on_boolean, .integer = on_integer, .real = on_real, .string = on_string,
        .object_start = on_object_start, .key = on_key, .object_end = on_object_end,
        .array_start = on_array_start, .array_end = on_array_end,
    };
    Status status = json_stream(path, &events, &parse);
    for (int s = SECTION_IMAGES; status == OK && s < SECTION_COUNT; s++)
        if (!parse.seen[s])
            status = status_error(STATUS_INVALID, "%s: no array \"%s\": not a COCO panoptic file", path, SECTION_NAMES[s]);
    if (status != OK) coco_set_clear(set);
    return status;
}

void coco_set_clear(CocoSet *set)
{
    memory_free(set->images);
    memory_free(set->annotations);
    memory_free(set->segments);
    class_table_clear(&set->classes);
    arena_destroy(set->names);
    *set = (CocoSet){0};
}
