#include "storage/instance_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/json.h"
#include "storage/class_table.h"
#include "storage/image_decode.h"

enum { MAX_CATEGORIES = 16384, MAX_NAME = 255, MAX_SIZES = 2 };

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
    X(FIELD_CATEGORY_ID, "category_id")          \
    X(FIELD_CROWD, "iscrowd")                    \
    X(FIELD_AREA, "area")                        \
    X(FIELD_SCORE, "score")                      \
    X(FIELD_MASK, "segmentation")                \
    X(FIELD_NAME, "name")                        \
    X(FIELD_THING, "isthing")                    \
    X(FIELD_SPLIT, "split")                      \
    X(FIELD_SIZE, "size")                        \
    X(FIELD_COUNTS, "counts")

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

#define BIT(field) (1u << (field))
static const unsigned SECTION_FIELDS[] = {
    [SECTION_OTHER] = 0,
    [SECTION_IMAGES] = BIT(FIELD_ID) | BIT(FIELD_FILE_NAME) | BIT(FIELD_HEIGHT) | BIT(FIELD_WIDTH),
    [SECTION_ANNOTATIONS] = BIT(FIELD_IMAGE_ID) | BIT(FIELD_CATEGORY_ID) | BIT(FIELD_CROWD) | BIT(FIELD_AREA) |
                            BIT(FIELD_SCORE) | BIT(FIELD_MASK),
    [SECTION_CATEGORIES] = BIT(FIELD_ID) | BIT(FIELD_NAME) | BIT(FIELD_THING) | BIT(FIELD_SPLIT),
};
_Static_assert(sizeof SECTION_FIELDS / sizeof SECTION_FIELDS[0] == SECTION_COUNT, "fields of each section");

/* Containers that are open around an event. A mask is an array of arrays (IN_POLYGONS, IN_POLYGON) or an object
 * (IN_RUNS) with two arrays, the second perhaps a string. */
typedef enum Place { IN_NOTHING, IN_ROOT, IN_SECTION, IN_ENTRY, IN_POLYGONS, IN_POLYGON, IN_RUNS, IN_SIZE, IN_COUNTS } Place;

typedef struct Entry {
    unsigned have;
    int64_t id, height, width, image_id, category_id, crowd, thing;
    double area, score;
    const char *name;
    bool is_unseen;
    InstanceMask mask;
    int64_t first, polygon; /* places in `numbers` of the mask and of the open polygon's count; or in `text` */
    int64_t sizes, size[MAX_SIZES];
} Entry;

typedef struct Parse {
    InstanceSet *set;
    bool results;
    Place place;
    int skipped; /* depth of containers nobody reads */
    Section section;
    bool seen[SECTION_COUNT];
    Field field, run_field;
    Entry entry;
    int64_t entry_count[SECTION_COUNT];
} Parse;

/* "FILE: annotations[3].segmentation must ..."; results are an array without a name. */
static Status bad_value(const Parse *parse, Field field, const char *what)
{
    return status_error(STATUS_INVALID, "%s: %s[%" PRId64 "].%s %s", parse->set->set.path,
                        parse->results ? "" : SECTION_NAMES[parse->section], parse->entry_count[parse->section],
                        FIELD_NAMES[field], what);
}

static Status grow(void **block, int64_t *capacity, int64_t count, size_t size, const char *path)
{
    if (count < *capacity) return OK;
    int64_t larger_capacity = count + count / 2 + 64;
    void *larger = memory_resize(*block, (size_t)larger_capacity * size);
    if (larger == NULL) return status_no_memory((size_t)larger_capacity * size, path);
    *block = larger;
    *capacity = larger_capacity;
    return OK;
}

static Status add_number(Parse *parse, double value)
{
    InstanceSet *set = parse->set;
    TRY(grow((void **)&set->numbers, &set->number_capacity, set->number_count, sizeof *set->numbers, set->set.path));
    set->numbers[set->number_count++] = value;
    return OK;
}

/* ---- values ---- */

static Status take_whole(Parse *parse, Field field, double value, double low, double high, int64_t *place)
{
    char what[128];
    if (value >= low && value <= high && value == floor(value)) {
        *place = (int64_t)value;
        return OK;
    }
    snprintf(what, sizeof what, "is %.17g, not a whole number from %.0f to %.0f", value, low, high);
    return bad_value(parse, field, what);
}

static Status take_field(Parse *parse, double value)
{
    Entry *entry = &parse->entry;
    const Field field = parse->field;
    const double most = 9007199254740992.0;
    switch (field) {
    case FIELD_OTHER: return OK;
    case FIELD_ID: TRY(take_whole(parse, field, value, -most, most, &entry->id)); break;
    case FIELD_IMAGE_ID: TRY(take_whole(parse, field, value, -most, most, &entry->image_id)); break;
    case FIELD_HEIGHT: TRY(take_whole(parse, field, value, 1, IMAGE_MAX_SIDE, &entry->height)); break;
    case FIELD_WIDTH: TRY(take_whole(parse, field, value, 1, IMAGE_MAX_SIDE, &entry->width)); break;
    case FIELD_CATEGORY_ID: TRY(take_whole(parse, field, value, INT32_MIN, INT32_MAX, &entry->category_id)); break;
    case FIELD_CROWD: TRY(take_whole(parse, field, value, 0, 1, &entry->crowd)); break;
    case FIELD_THING: TRY(take_whole(parse, field, value, 0, 1, &entry->thing)); break;
    case FIELD_AREA:
        if (!(value >= 0)) return bad_value(parse, field, "must not be negative");
        entry->area = value;
        break;
    case FIELD_SCORE:
        if (!isfinite(value)) return bad_value(parse, field, "must be finite");
        entry->score = value;
        break;
    default: return bad_value(parse, field, "must not be a number");
    }
    entry->have |= BIT(field);
    return OK;
}

static Status take_number(Parse *parse, double value)
{
    Entry *entry = &parse->entry;
    if (parse->skipped > 0) return OK;
    switch (parse->place) {
    case IN_ENTRY: return take_field(parse, value);
    case IN_POLYGON:
    case IN_COUNTS: return add_number(parse, value);
    case IN_POLYGONS: return bad_value(parse, FIELD_MASK, "must be an array of arrays, or an object");
    case IN_RUNS:
        return parse->run_field == FIELD_OTHER ? OK : bad_value(parse, FIELD_MASK, "has a number for size or counts");
    case IN_SIZE:
        if (entry->sizes == MAX_SIZES) return bad_value(parse, FIELD_MASK, "has more than two sizes");
        return take_whole(parse, FIELD_MASK, value, 1, IMAGE_MAX_SIDE, &entry->size[entry->sizes++]);
    default: return OK;
    }
}

static Status on_integer(void *context, int64_t value)
{
    return take_number(context, (double)value);
}

static Status on_real(void *context, double value)
{
    return take_number(context, value);
}

static Status on_boolean(void *context, bool value)
{
    Parse *parse = context;
    if (parse->skipped > 0 || parse->place < IN_ENTRY) return OK;
    if (parse->place == IN_ENTRY && parse->field == FIELD_OTHER) return OK;
    if (parse->place == IN_ENTRY && (parse->field == FIELD_THING || parse->field == FIELD_CROWD))
        return take_field(parse, value);
    return bad_value(parse, parse->place == IN_ENTRY ? parse->field : FIELD_MASK, "must not be a boolean");
}

static Status on_null(void *context)
{
    Parse *parse = context;
    if (parse->skipped > 0 || parse->place < IN_ENTRY) return OK;
    if (parse->place == IN_ENTRY && parse->field == FIELD_OTHER) return OK;
    return bad_value(parse, parse->place == IN_ENTRY ? parse->field : FIELD_MASK, "must not be null");
}

static Status take_text_runs(Parse *parse, const char *value, size_t bytes)
{
    InstanceSet *set = parse->set;
    Entry *entry = &parse->entry;
    if (entry->mask != MASK_NONE) return bad_value(parse, FIELD_MASK, "has counts twice");
    entry->mask = MASK_TEXT;
    entry->first = set->text_count;
    TRY(grow((void **)&set->text, &set->text_capacity, set->text_count + (int64_t)bytes, 1, set->set.path));
    memcpy(set->text + set->text_count, value, bytes);
    set->text_count += (int64_t)bytes;
    return OK;
}

static Status take_name(Parse *parse, const char *value, size_t bytes)
{
    if (bytes == 0 || bytes > MAX_NAME) return bad_value(parse, parse->field, "must have 1 to 255 bytes");
    if (memchr(value, '\0', bytes) != NULL) return bad_value(parse, parse->field, "holds a NUL");
    char *copy = arena_alloc(parse->set->set.names, bytes + 1);
    if (copy == NULL) return status_no_memory(bytes, parse->set->set.path);
    memcpy(copy, value, bytes);
    copy[bytes] = '\0';
    parse->entry.name = copy;
    parse->entry.have |= BIT(parse->field);
    return OK;
}

static Status on_string(void *context, const char *value, size_t bytes)
{
    Parse *parse = context;
    if (parse->skipped > 0 || parse->place < IN_ENTRY) return OK;
    if (parse->place == IN_RUNS && parse->run_field == FIELD_COUNTS) return take_text_runs(parse, value, bytes);
    if (parse->place == IN_RUNS && parse->run_field == FIELD_OTHER) return OK;
    if (parse->place != IN_ENTRY) return bad_value(parse, FIELD_MASK, "must not hold a string");
    switch (parse->field) {
    case FIELD_OTHER: return OK;
    case FIELD_NAME:
    case FIELD_FILE_NAME: return take_name(parse, value, bytes);
    case FIELD_SPLIT:
        parse->entry.is_unseen = bytes == 6 && memcmp(value, "unseen", 6) == 0;
        if (!parse->entry.is_unseen && !(bytes == 4 && memcmp(value, "seen", 4) == 0))
            return bad_value(parse, FIELD_SPLIT, "must be \"seen\" or \"unseen\"");
        parse->set->has_split = true;
        return OK;
    default: return bad_value(parse, parse->field, "must not be a string");
    }
}

/* ---- entries ---- */

static Status need_fields(const Parse *parse, unsigned fields)
{
    for (int f = 1; f < FIELD_COUNT; f++)
        if ((fields & BIT(f)) != 0 && (parse->entry.have & BIT(f)) == 0)
            return bad_value(parse, (Field)f, "is missing");
    return OK;
}

static Status add_image(Parse *parse)
{
    CocoSet *set = &parse->set->set;
    const Entry *entry = &parse->entry;
    TRY(need_fields(parse, SECTION_FIELDS[SECTION_IMAGES]));
    if (entry->height * entry->width > IMAGE_MAX_PIXELS) return bad_value(parse, FIELD_HEIGHT, "and width are too large");
    TRY(grow((void **)&set->images, &set->image_capacity, set->image_count, sizeof *set->images, set->path));
    set->images[set->image_count++] = (CocoImage){.id = entry->id, .file_name = entry->name,
                                                  .height = (int32_t)entry->height, .width = (int32_t)entry->width};
    return OK;
}

static Status add_category(Parse *parse)
{
    CocoSet *set = &parse->set->set;
    const Entry *entry = &parse->entry;
    TRY(need_fields(parse, BIT(FIELD_ID) | BIT(FIELD_NAME)));
    if (set->classes.count == MAX_CATEGORIES) return bad_value(parse, FIELD_ID, "is one of more than 16384 categories");
    int64_t capacity = set->class_capacity;
    TRY(grow((void **)&set->classes.entries, &capacity, set->classes.count, sizeof *set->classes.entries, set->path));
    set->class_capacity = (int)capacity;
    ClassEntry *class = &set->classes.entries[set->classes.count];
    *class = (ClassEntry){.id = entry->id, .is_thing = (entry->have & BIT(FIELD_THING)) == 0 || entry->thing != 0,
                          .is_unseen = entry->is_unseen, .name = memory_copy_string(entry->name)};
    if (class->name == NULL) return status_no_memory(MAX_NAME, set->path);
    class_default_color(set->classes.count, class->color);
    set->classes.count++;
    return OK;
}

static Status add_annotation(Parse *parse)
{
    InstanceSet *set = parse->set;
    const Entry *entry = &parse->entry;
    TRY(need_fields(parse, BIT(FIELD_IMAGE_ID) | BIT(FIELD_CATEGORY_ID) | (parse->results ? BIT(FIELD_SCORE) : 0)));
    if (entry->mask == MASK_NONE) return bad_value(parse, FIELD_MASK, "is missing, or has neither polygons nor counts");
    const bool runs = entry->mask != MASK_POLYGONS;
    if (runs && entry->sizes != 2) return bad_value(parse, FIELD_MASK, "has no size of two numbers");
    if (runs && entry->size[0] * entry->size[1] > IMAGE_MAX_PIXELS) return bad_value(parse, FIELD_MASK, "is too large");
    TRY(grow((void **)&set->annotations, &set->annotation_capacity, set->annotation_count, sizeof *set->annotations,
             set->set.path));
    const int64_t end = entry->mask == MASK_TEXT ? set->text_count : set->number_count;
    set->annotations[set->annotation_count++] = (InstanceAnnotation){
        .image_id = entry->image_id, .category_id = entry->category_id, .is_crowd = entry->crowd != 0,
        .area = (entry->have & BIT(FIELD_AREA)) != 0 ? entry->area : -1, .score = entry->score, .mask = entry->mask,
        .height = (int32_t)entry->size[0], .width = (int32_t)entry->size[1], .first = entry->first,
        .count = end - entry->first};
    return OK;
}

static Status add_entry(Parse *parse)
{
    TRY(parse->section == SECTION_IMAGES        ? add_image(parse)
        : parse->section == SECTION_ANNOTATIONS ? add_annotation(parse)
                                                : add_category(parse));
    parse->entry_count[parse->section]++;
    return OK;
}

/* ---- containers ---- */

static int find_word(const char *const *names, int count, const char *name, size_t bytes)
{
    for (int i = 1; i < count; i++)
        if (strlen(names[i]) == bytes && memcmp(names[i], name, bytes) == 0) return i;
    return 0;
}

static Status on_key(void *context, const char *name, size_t bytes)
{
    Parse *parse = context;
    if (parse->skipped > 0) return OK;
    if (parse->place == IN_ROOT) {
        parse->section = (Section)find_word(SECTION_NAMES, SECTION_COUNT, name, bytes);
        if (parse->section != SECTION_OTHER && parse->seen[parse->section])
            return status_error(STATUS_INVALID, "%s: \"%s\" occurs twice", parse->set->set.path,
                                SECTION_NAMES[parse->section]);
    }
    const int field = find_word(FIELD_NAMES, FIELD_COUNT, name, bytes);
    if (parse->place == IN_ENTRY)
        parse->field = SECTION_FIELDS[parse->section] & BIT(field) ? (Field)field : FIELD_OTHER;
    if (parse->place == IN_RUNS)
        parse->run_field = field == FIELD_SIZE || field == FIELD_COUNTS ? (Field)field : FIELD_OTHER;
    return OK;
}

static Status begin_polygons(Parse *parse)
{
    if (parse->entry.mask != MASK_NONE) return bad_value(parse, FIELD_MASK, "occurs twice");
    parse->entry.mask = MASK_POLYGONS;
    parse->entry.first = parse->set->number_count;
    parse->place = IN_POLYGONS;
    return add_number(parse, 0);
}

static Status begin_counts(Parse *parse)
{
    if (parse->entry.mask != MASK_NONE) return bad_value(parse, FIELD_MASK, "has counts twice");
    parse->entry.mask = MASK_COUNTS;
    parse->entry.first = parse->set->number_count;
    parse->place = IN_COUNTS;
    return OK;
}

static Status begin_polygon(Parse *parse)
{
    parse->place = IN_POLYGON;
    parse->entry.polygon = parse->set->number_count;
    return add_number(parse, 0);
}

static Status on_array_start(void *context)
{
    Parse *parse = context;
    if (parse->skipped > 0) {
        parse->skipped++;
        return OK;
    }
    if (parse->place == IN_NOTHING && parse->results) {
        parse->section = SECTION_ANNOTATIONS;
        parse->place = IN_SECTION;
        return OK;
    }
    if (parse->place == IN_NOTHING)
        return status_error(STATUS_INVALID, "%s: must be a JSON object, not an array", parse->set->set.path);
    if (parse->place == IN_ROOT && parse->section != SECTION_OTHER) {
        parse->seen[parse->section] = true;
        parse->place = IN_SECTION;
        return OK;
    }
    if (parse->place == IN_ENTRY && parse->field == FIELD_MASK) return begin_polygons(parse);
    if (parse->place == IN_ENTRY && parse->field != FIELD_OTHER) return bad_value(parse, parse->field, "must not be an array");
    if (parse->place == IN_POLYGONS) return begin_polygon(parse);
    if (parse->place == IN_RUNS && parse->run_field == FIELD_COUNTS) return begin_counts(parse);
    if (parse->place == IN_RUNS && parse->run_field == FIELD_SIZE) {
        parse->place = IN_SIZE;
        return OK;
    }
    if (parse->place > IN_RUNS || parse->place == IN_POLYGON) return bad_value(parse, FIELD_MASK, "has an array too many");
    parse->skipped++;
    return OK;
}

static Status end_polygon(Parse *parse)
{
    InstanceSet *set = parse->set;
    const int64_t count = set->number_count - parse->entry.polygon - 1;
    if (count % 2 != 0 || count < 6) return bad_value(parse, FIELD_MASK, "has a polygon without three pairs of numbers");
    set->numbers[parse->entry.polygon] = (double)count;
    set->numbers[parse->entry.first]++;
    parse->place = IN_POLYGONS;
    return OK;
}

static Status on_array_end(void *context)
{
    Parse *parse = context;
    if (parse->skipped > 0) {
        parse->skipped--;
        return OK;
    }
    switch (parse->place) {
    case IN_POLYGON: return end_polygon(parse);
    case IN_POLYGONS: parse->place = IN_ENTRY; return OK;
    case IN_SIZE:
    case IN_COUNTS: parse->place = IN_RUNS; return OK;
    default: parse->place = parse->results ? IN_NOTHING : IN_ROOT; return OK;
    }
}

static Status on_object_start(void *context)
{
    Parse *parse = context;
    if (parse->skipped > 0 || (parse->place == IN_ROOT && parse->section == SECTION_OTHER)) {
        parse->skipped++;
    } else if (parse->place == IN_NOTHING) {
        if (parse->results)
            return status_error(STATUS_INVALID, "%s: must be a JSON array of results, not an object", parse->set->set.path);
        parse->place = IN_ROOT;
    } else if (parse->place == IN_SECTION) {
        parse->entry = (Entry){0};
        parse->field = FIELD_OTHER;
        parse->place = IN_ENTRY;
    } else if (parse->place == IN_ENTRY && parse->field == FIELD_MASK) {
        if (parse->entry.mask != MASK_NONE) return bad_value(parse, FIELD_MASK, "occurs twice");
        parse->run_field = FIELD_OTHER;
        parse->place = IN_RUNS;
    } else if (parse->place > IN_ENTRY && !(parse->place == IN_RUNS && parse->run_field == FIELD_OTHER)) {
        return bad_value(parse, FIELD_MASK, "has an object too many");
    } else {
        if (parse->place == IN_ENTRY && parse->field != FIELD_OTHER)
            return bad_value(parse, parse->field, "must not be an object");
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
    switch (parse->place) {
    case IN_RUNS: parse->place = IN_ENTRY; return OK;
    case IN_ENTRY:
        TRY(add_entry(parse));
        parse->place = IN_SECTION;
        return OK;
    default: parse->place = IN_NOTHING; return OK;
    }
}

/* ---- all ---- */

Status instance_json_read(const char *path, bool results, InstanceSet *set)
{
    *set = (InstanceSet){.set = {.path = path}};
    set->set.names = arena_create(1 << 16);
    if (set->set.names == NULL) return status_no_memory(1 << 16, path);
    Parse parse = {.set = set, .results = results};
    const JsonEvents events = {
        .null = on_null, .boolean = on_boolean, .integer = on_integer, .real = on_real, .string = on_string,
        .object_start = on_object_start, .key = on_key, .object_end = on_object_end,
        .array_start = on_array_start, .array_end = on_array_end,
    };
    Status status = json_stream(path, &events, &parse);
    for (int s = SECTION_IMAGES; status == OK && !results && s < SECTION_COUNT; s++)
        if (!parse.seen[s])
            status = status_error(STATUS_INVALID, "%s: no array \"%s\": not a COCO instances file", path, SECTION_NAMES[s]);
    if (status == OK) class_table_count(&set->set.classes);
    else instance_set_clear(set);
    return status;
}

void instance_set_clear(InstanceSet *set)
{
    coco_set_clear(&set->set);
    memory_free(set->annotations);
    memory_free(set->numbers);
    memory_free(set->text);
    *set = (InstanceSet){0};
}

static Status draw_polygons(const double *numbers, int height, int width, Rle *mask)
{
    const int64_t count = (int64_t)numbers[0];
    Rle one = {0}, pair[2] = {{0}, {0}};
    Status status = count == 0 ? status_error(STATUS_INVALID, "no polygon") : OK;
    numbers++;
    for (int64_t i = 0; i < count && status == OK; i++) {
        const size_t corners = (size_t)numbers[0] / 2;
        status = rle_from_polygon(numbers + 1, corners, height, width, i == 0 ? mask : &one);
        if (status == OK && i > 0) {
            pair[0] = *mask;
            pair[1] = one;
            *mask = (Rle){0};
            status = rle_merge(pair, 2, false, mask);
            rle_clear(&pair[0]);
        }
        numbers += 1 + 2 * corners;
    }
    rle_clear(&one);
    return status;
}

static Status draw_counts(const InstanceSet *set, const InstanceAnnotation *annotation, Rle *mask)
{
    int64_t *counts = memory_alloc(((size_t)annotation->count + 1) * sizeof *counts);
    if (counts == NULL) return status_no_memory((size_t)annotation->count * sizeof *counts, "a mask");
    for (int64_t i = 0; i < annotation->count; i++) {
        const double value = set->numbers[annotation->first + i];
        counts[i] = value >= 0 && value <= IMAGE_MAX_PIXELS && value == floor(value) ? (int64_t)value : -1;
    }
    Status status = rle_from_counts(counts, (size_t)annotation->count, annotation->height, annotation->width, mask);
    memory_free(counts);
    return status;
}

Status instance_set_mask(const InstanceSet *set, int64_t number, int height, int width, Rle *mask)
{
    const InstanceAnnotation *annotation = &set->annotations[number];
    Status status;
    if (annotation->mask != MASK_POLYGONS && (annotation->height != height || annotation->width != width))
        status = status_error(STATUS_INVALID, "a mask of %d x %d pixels for an image of %d x %d", annotation->width,
                              annotation->height, width, height);
    else if (annotation->mask == MASK_POLYGONS)
        status = draw_polygons(set->numbers + annotation->first, height, width, mask);
    else if (annotation->mask == MASK_COUNTS)
        status = draw_counts(set, annotation, mask);
    else
        status = rle_parse(set->text + annotation->first, (size_t)annotation->count, height, width, mask);
    return status_wrap(status, "%s: annotation %" PRId64 " (image %" PRId64 ")", set->set.path, number,
                       annotation->image_id);
}
