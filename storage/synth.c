/* Synthetic data sets: options, the files, and the books of segments. */
#include "storage/synth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "framework/progress.h"
#include "storage/synth_private.h"

#define MAX_IMAGES 1000000
#define FIRST_VAL_ID 1000001 /* ids of the two splits do not meet */

SynthOptions synth_defaults(void)
{
    return (SynthOptions){.train_images = 2000, .val_images = 400, .height = 64, .width = 64, .seed = 1, .things = 16,
                          .unseen_things = 4, .stuff = 8, .unseen_stuff = 2, .unseen_rate = 0.25, .noise = 4.0,
                          .lighting = 0.7, .hue_spread = 0.6, .vector_dim = 64, .vector_noise = 0.1, .quality = 92,
                          .min_area = 12};
}

static Status check_range(const char *name, double value, double low, double high)
{
    if (value >= low && value <= high)
        return OK;
    return status_error(STATUS_INVALID, "%s is %g, outside [%g, %g]", name, value, low, high);
}

static Status check_options(const SynthOptions *o)
{
    TRY(check_range("train_images", (double)o->train_images, 0, MAX_IMAGES));
    TRY(check_range("val_images", (double)o->val_images, 0, MAX_IMAGES));
    TRY(check_range("height", o->height, SYNTH_MIN_SIDE, SYNTH_MAX_SIDE));
    TRY(check_range("width", o->width, SYNTH_MIN_SIDE, SYNTH_MAX_SIDE));
    TRY(check_range("things", o->things, 0, SYNTH_MAX_THINGS));
    TRY(check_range("stuff", o->stuff, 0, SYNTH_MAX_STUFF));
    TRY(check_range("unseen_things", o->unseen_things, 0, o->things));
    TRY(check_range("unseen_stuff", o->unseen_stuff, 0, o->stuff));
    TRY(check_range("unseen_rate", o->unseen_rate, 0, 1));
    TRY(check_range("noise", o->noise, 0, 64));
    TRY(check_range("lighting", o->lighting, 0, 1));
    TRY(check_range("hue_spread", o->hue_spread, 0, 1));
    TRY(check_range("vector_dim", o->vector_dim, 8, 65536));
    TRY(check_range("vector_noise", o->vector_noise, 0, 10));
    TRY(check_range("quality", o->quality, 1, 100));
    TRY(check_range("min_area", o->min_area, 1, 65536));
    if (o->things + o->stuff < 1)
        return status_error(STATUS_INVALID, "things and stuff are both 0: there is no class to draw");
    return OK;
}

/* One split being written. */
typedef struct Split {
    const SynthOptions *options;
    const SynthClasses *classes;
    const char *name;
    char *images, *panoptic, *json; /* paths */
    int64_t count, first_id;
    uint64_t stream;
    float *canvas, *noise;
    uint8_t *map;
    Image picture;
    Text encoded;
} Split;

typedef struct Box {
    int64_t area;
    int left, top, right, bottom;
} Box;

static void split_clear(Split *split)
{
    memory_free(split->images);
    memory_free(split->panoptic);
    memory_free(split->json);
    memory_free(split->canvas);
    memory_free(split->noise);
    memory_free(split->map);
    image_clear(&split->picture);
    text_free(&split->encoded);
}

static Status split_open(const SynthOptions *options, const SynthClasses *classes, bool validation, Split *split)
{
    *split = (Split){.options = options, .classes = classes, .name = validation ? "val" : "train",
                     .count = validation ? options->val_images : options->train_images,
                     .first_id = validation ? FIRST_VAL_ID : 1,
                     .stream = validation ? SYNTH_STREAM_VAL : SYNTH_STREAM_TRAIN};
    size_t pixels = (size_t)options->height * (size_t)options->width;
    split->images = memory_format("%s/%s", options->output, split->name);
    split->panoptic = memory_format("%s/panoptic_%s", options->output, split->name);
    split->json = memory_format("%s/panoptic_%s.json", options->output, split->name);
    split->canvas = memory_alloc(pixels * 3 * sizeof *split->canvas);
    split->noise = memory_alloc(pixels * 3 * sizeof *split->noise);
    split->map = memory_alloc(pixels);
    split->picture = (Image){options->height, options->width, memory_alloc(pixels * 3), pixels * 3};
    if (!split->images || !split->panoptic || !split->json || !split->canvas || !split->noise || !split->map ||
        !split->picture.rgb)
        return status_no_memory(pixels * 28, "a synthetic scene");
    TRY(directory_create(split->images));
    TRY(directory_create(split->panoptic));
    return file_remove(split->json);
}

/* Without a flush of each: the JSON files, which are written last and after one flush of all, say whether the images
 * are whole. */
static Status write_image(Split *split, const char *directory, int64_t id, bool png)
{
    char *path = memory_format("%s/%012lld.%s", directory, (long long)id, png ? "png" : "jpg");
    if (path == NULL)
        return status_no_memory(strlen(directory) + 20, "a path");
    Status status = png ? image_encode_png(&split->picture, path, &split->encoded)
                        : image_encode_jpeg(&split->picture, split->options->quality, path, &split->encoded);
    if (status == OK)
        status = file_remove(path);
    if (status == OK)
        status = file_append(path, split->encoded.data, split->encoded.length, false);
    memory_free(path);
    return status;
}

static Status flush_all(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return status_errno(errno, "open", directory);
    Status status = syncfs(fd) != 0 ? status_errno(errno, "flush", directory) : OK;
    close(fd);
    return status;
}

static void picture_from_canvas(Split *split, Random *random)
{
    int64_t values = 3 * (int64_t)split->options->height * split->options->width;
    float deviation = (float)(split->options->noise / 255.0);
    if (deviation > 0.0F)
        random_fill_normal(random, split->noise, values);
    else
        memset(split->noise, 0, (size_t)values * sizeof *split->noise);
    for (int64_t i = 0; i < values; i++) {
        float value = 255.0F * (split->canvas[i] + deviation * split->noise[i]) + 0.5F;
        split->picture.rgb[i] = (uint8_t)(value < 0.0F ? 0.0F : value > 255.0F ? 255.0F : value);
    }
}

/* Counts what is visible of each layer; too little of one becomes void. */
static void measure_layers(Split *split, Box boxes[SYNTH_MAX_SEGMENTS + 1])
{
    int height = split->options->height, width = split->options->width;
    for (int i = 0; i <= SYNTH_MAX_SEGMENTS; i++)
        boxes[i] = (Box){0, width, height, -1, -1};
    const uint8_t *map = split->map;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            Box *box = &boxes[*map++];
            box->area++;
            box->left = x < box->left ? x : box->left;
            box->right = x > box->right ? x : box->right;
            box->top = y < box->top ? y : box->top;
            box->bottom = y;
        }
    for (int i = 1; i <= SYNTH_MAX_SEGMENTS; i++)
        if (boxes[i].area < split->options->min_area)
            boxes[i].area = 0;
}

/* Ids near the category's colour, as the COCO annotations have them, so that the PNG can be looked at. */
static uint32_t segment_id(const uint8_t color[3], const uint32_t *used, int used_count, Random *random)
{
    for (;;) {
        uint32_t id = 0;
        for (int c = 2; c >= 0; c--) {
            int64_t value = color[c] + random_below(random, 25) - 12;
            id = 256 * id + (uint32_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
        bool taken = id == 0;
        for (int i = 0; i < used_count; i++)
            taken |= used[i] == id;
        if (!taken)
            return id;
    }
}

static int layer_class(const SynthScene *scene, int layer)
{
    int place = layer - 1 - scene->stuff_count;
    return place < 0 ? scene->stuff[layer - 1].class_index : scene->things[place].class_index;
}

static Status write_annotation(Split *split, const SynthScene *scene, int64_t id, Random *random, JsonWriter *json)
{
    Box boxes[SYNTH_MAX_SEGMENTS + 1];
    uint32_t ids[SYNTH_MAX_SEGMENTS + 1] = {0};
    measure_layers(split, boxes);
    char name[32];
    snprintf(name, sizeof name, "%012lld.png", (long long)id);
    json_begin_object(json);
    json_key(json, "image_id");
    json_integer(json, id);
    json_key(json, "file_name");
    json_string(json, name);
    json_key(json, "segments_info");
    json_begin_array(json);
    for (int layer = 1; layer <= scene->stuff_count + scene->thing_count; layer++) {
        const Box *box = &boxes[layer];
        if (box->area == 0)
            continue;
        int class_index = layer_class(scene, layer);
        ids[layer] = segment_id(split->classes->items[class_index].color, ids, layer, random);
        json_begin_object(json);
        json_key(json, "id");
        json_integer(json, ids[layer]);
        json_key(json, "category_id");
        json_integer(json, class_index + 1);
        json_key(json, "iscrowd");
        json_integer(json, 0);
        json_key(json, "area");
        json_integer(json, box->area);
        json_key(json, "bbox");
        json_begin_array(json);
        json_integer(json, box->left);
        json_integer(json, box->top);
        json_integer(json, box->right - box->left + 1);
        json_integer(json, box->bottom - box->top + 1);
        json_end_array(json);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
    int64_t pixels = (int64_t)split->options->height * split->options->width;
    for (int64_t i = 0; i < pixels; i++) {
        uint32_t value = ids[split->map[i]];
        split->picture.rgb[3 * i] = (uint8_t)(value & 255U);
        split->picture.rgb[3 * i + 1] = (uint8_t)((value >> 8) & 255U);
        split->picture.rgb[3 * i + 2] = (uint8_t)((value >> 16) & 255U);
    }
    return write_image(split, split->panoptic, id, true);
}

static void write_categories(const SynthClasses *classes, JsonWriter *json)
{
    json_key(json, "categories");
    json_begin_array(json);
    for (int n = 0; n < classes->count; n++) {
        const SynthClass *class = &classes->items[n];
        json_begin_object(json);
        json_key(json, "id");
        json_integer(json, n + 1);
        json_key(json, "name");
        json_string(json, class->name);
        json_key(json, "supercategory");
        json_string(json, class->is_thing ? "thing" : "stuff");
        json_key(json, "isthing");
        json_integer(json, class->is_thing);
        json_key(json, "split");
        json_string(json, class->is_unseen ? "unseen" : "seen");
        json_key(json, "color");
        json_begin_array(json);
        for (int c = 0; c < 3; c++)
            json_integer(json, class->color[c]);
        json_end_array(json);
        json_end_object(json);
    }
    json_end_array(json);
}

/* All of the JSON file before its annotations. */
static void write_head(const Split *split, JsonWriter *json)
{
    json_begin_object(json);
    json_key(json, "info");
    json_begin_object(json);
    json_key(json, "description");
    json_string(json, "Synthetic scenes whose classes are combinations of attributes");
    json_key(json, "seed");
    json_integer(json, (int64_t)split->options->seed);
    json_end_object(json);
    write_categories(split->classes, json);
    json_key(json, "images");
    json_begin_array(json);
    char name[32];
    for (int64_t n = 0; n < split->count; n++) {
        snprintf(name, sizeof name, "%012lld.jpg", (long long)(split->first_id + n));
        json_begin_object(json);
        json_key(json, "id");
        json_integer(json, split->first_id + n);
        json_key(json, "file_name");
        json_string(json, name);
        json_key(json, "height");
        json_integer(json, split->options->height);
        json_key(json, "width");
        json_integer(json, split->options->width);
        json_end_object(json);
    }
    json_end_array(json);
    json_key(json, "annotations");
    json_begin_array(json);
}

static Status write_scene(Split *split, int64_t n, JsonWriter *json)
{
    const SynthOptions *options = split->options;
    Random random = random_stream(options->seed, RANDOM_SYNTH, split->stream, (uint64_t)n);
    bool allow_unseen = random_uniform(&random) < options->unseen_rate || split->stream == SYNTH_STREAM_VAL;
    SynthScene scene;
    synth_scene_make(options, split->classes, allow_unseen, &random, &scene);
    synth_paint(&scene, split->classes, split->canvas, split->map);
    picture_from_canvas(split, &random);
    int64_t id = split->first_id + n;
    TRY(write_image(split, split->images, id, false));
    Random ids = random_stream(options->seed, RANDOM_SYNTH, SYNTH_STREAM_IDS + split->stream, (uint64_t)n);
    return write_annotation(split, &scene, id, &ids, json);
}

/* Images and maps; the JSON text is left in `json` for the caller to write last. */
static Status write_split(Split *split, JsonWriter *json)
{
    write_head(split, json);
    char label[32];
    snprintf(label, sizeof label, "synth %s", split->name);
    Progress *progress = progress_create(label, split->count, "images");
    Status status = OK;
    for (int64_t n = 0; n < split->count && status == OK; n++) {
        status = write_scene(split, n, json);
        progress_update(progress, n + 1, NULL);
    }
    progress_destroy(progress);
    json_end_array(json);
    json_end_object(json);
    if (status == OK && json->text.failed)
        status = status_no_memory(json->text.length, split->json);
    return status;
}

Status synth_write(const SynthOptions *options)
{
    TRY(check_options(options));
    SynthClasses *classes = memory_alloc_zero(1, sizeof *classes);
    if (classes == NULL)
        return status_no_memory(sizeof *classes, "the classes");
    Split splits[2] = {{0}, {0}};
    JsonWriter json[2];
    memset(json, 0, sizeof json);
    Status status;
    TRY_GOTO(status, synth_classes_make(options, classes), done);
    TRY_GOTO(status, directory_create(options->output), done);
    for (int i = 0; i < 2; i++) /* both JSON files go before anything is written */
        TRY_GOTO(status, split_open(options, classes, i == 1, &splits[i]), done);
    TRY_GOTO(status, synth_classes_write(options, classes), done);
    for (int i = 0; i < 2; i++)
        TRY_GOTO(status, write_split(&splits[i], &json[i]), done);
    TRY_GOTO(status, flush_all(options->output), done);
    for (int i = 0; i < 2; i++)
        TRY_GOTO(status, file_write(splits[i].json, json[i].text.data, json[i].text.length), done);
done:
    for (int i = 0; i < 2; i++) {
        split_clear(&splits[i]);
        text_free(&json[i].text);
    }
    memory_free(classes);
    return status;
}
