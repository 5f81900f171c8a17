/* zeroth predict: segments pictures with a finished model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands/commands.h"
#include "framework/files.h"
#include "framework/json.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/stages/exports.h"
#include "jobs/stages/prediction.h"
#include "jobs/stages/segmenter_setup.h"
#include "models/metrics/picture.h"
#include "models/segmenter/augment.h"

#define AS_EVALUATED (-1)

typedef struct Predictor {
    Segmenter *segmenter;
    Classifier classifier;
    PanopticConfig panoptic; /* NaN: as the model was evaluated */
    int64_t long_side; /* 0: images as they are */
    Prediction prediction;
    Image scaled;
    const char *forms;     /* of exports, with commas between; NULL: none */
    Exports *exports;
} Predictor;

static void predictor_clear(Predictor *p)
{
    segmenter_destroy(p->segmenter);
    classifier_clear(&p->classifier);
    prediction_clear(&p->prediction);
    image_clear(&p->scaled);
    exports_destroy(p->exports);
}

static Status take_setting(const Json *config, const char *key, const char *manifest, double fallback, double *value)
{
    const char *text;
    if (!isnan(*value)) return OK;
    *value = fallback;
    if (json_member(config, key) == NULL) return OK;
    TRY(json_get_string(config, key, manifest, &text));
    return parse_real(text, value) ? OK : status_error(STATUS_CORRUPT, "%s: %s is no number", manifest, key);
}

/* What no flag gave is as the model was evaluated, which its artifact tells; else thresholds are the published ones,
 * and images are taken as they are. Test images came at data.long_side, or smaller at extract.long_side. */
static Status read_settings(const char *classifier_path, Predictor *p)
{
    double extracted = NAN, stored = NAN;
    char *path = path_beside(classifier_path, MANIFEST_NAME);
    Json *manifest = NULL;
    Status status = path == NULL ? status_no_memory(256, "a path") : OK;
    if (status == OK && file_exists(path)) status = json_read_file(path, &manifest);
    const Json *config = status == OK ? json_member(manifest, "config") : NULL;
    if (status == OK) status = take_setting(config, "evaluate.score", path, 0.8, &p->panoptic.score);
    if (status == OK) status = take_setting(config, "evaluate.overlap", path, 0.8, &p->panoptic.overlap);
    if (status == OK) status = take_setting(config, "extract.long_side", path, 0, &extracted);
    if (status == OK) status = take_setting(config, "data.long_side", path, 0, &stored);
    if (status == OK && p->long_side < 0) p->long_side = (int64_t)(extracted > 0 ? extracted : stored);
    json_destroy(manifest);
    memory_free(path);
    return status;
}

static Status check_match(const Predictor *p, const char *digest, const char *model)
{
    const SegmenterConfig *setup = segmenter_config(p->segmenter);
    if (strcmp(digest, p->classifier.segmenter_digest) != 0 || setup->dim != p->classifier.embed_dim)
        return status_error(STATUS_CORRUPT, "%s: its classifier belongs to another segmenter", model);
    return OK;
}

/* `model` is the directory of an evaluate artifact, or the classifier file in it. */
static Status open_model(const char *model, Predictor *p)
{
    char *classifier_path = path_join(model, CLASSIFIER_FILE), *digest = NULL;
    if (classifier_path == NULL) return status_no_memory(256, "a path");
    if (!file_exists(classifier_path)) {
        memory_free(classifier_path);
        classifier_path = memory_copy_string(model);
    }
    char *segmenter_path = classifier_path == NULL ? NULL : path_beside(classifier_path, SEGMENTER_FILE);
    Status status = segmenter_path == NULL ? status_no_memory(256, "a path") : OK;
    if (status == OK && !file_exists(segmenter_path))
        status = status_error(STATUS_NOT_FOUND, "%s: a model is a directory with %s and %s, as an evaluate job leaves it "
                              "(zeroth report names them)", model, SEGMENTER_FILE, CLASSIFIER_FILE);
    if (status == OK) status = classifier_read(classifier_path, &p->classifier);
    if (status == OK) status = segmenter_read(segmenter_path, &p->segmenter, NULL, &digest);
    if (status == OK) status = check_match(p, digest, model);
    if (status == OK) status = read_settings(classifier_path, p);
    memory_free(digest);
    memory_free(classifier_path);
    memory_free(segmenter_path);
    return status;
}

/* COCO's images are called as their ids; others are numbered from 1. */
static int64_t image_id_of(const char *path, int64_t number)
{
    char stem[32];
    int64_t id;
    const char *name = path_name(path);
    const size_t length = strcspn(name, ".");
    snprintf(stem, sizeof stem, "%.*s", (int)length, name);
    return length < sizeof stem && parse_integer(stem, &id) && id > 0 ? id : number + 1;
}

static Status export_image(Predictor *p, const char *path, int64_t number, const float *masks, int64_t mask_height,
                           int64_t mask_width)
{
    const int queries = segmenter_config(p->segmenter)->queries;
    const ExportImage facts = {.image_id = image_id_of(path, number), .file_name = path_name(path), .masks = masks,
                               .queries = queries, .mask_height = mask_height, .mask_width = mask_width};
    if (p->exports == NULL) return OK;
    TRY(prediction_find_instances(&p->prediction, &p->classifier, masks, queries, mask_height, mask_width));
    return exports_add(p->exports, number, &facts, &p->prediction);
}

static Status infer(Predictor *p, const Image *image, const char *path, int64_t number)
{
    int height, width;
    int64_t mask_height, mask_width;
    const SegmenterConfig *setup = segmenter_config(p->segmenter);
    augment_inference_size(image->height, image->width, (int)p->long_side, &height, &width);
    TRY(image_resize(image, height, width, &p->scaled));
    segmenter_mask_size(height, width, &mask_height, &mask_width);
    size_t pixels = (size_t)height * (size_t)width, queries = (size_t)setup->queries;
    float *input = memory_alloc(pixels * 3 * sizeof *input);
    float *embeddings = memory_alloc(queries * (size_t)setup->dim * sizeof *embeddings);
    float *masks = memory_alloc(queries * (size_t)(mask_height * mask_width) * sizeof *masks);
    Status status = input == NULL || embeddings == NULL || masks == NULL ? status_no_memory(pixels * 12, "an image") : OK;
    if (status == OK) {
        augment_normalize(p->scaled.rgb, (int64_t)pixels, input);
        SegmenterOutputs outputs = {.embeddings = embeddings, .mask_logits = masks};
        status = segmenter_infer(p->segmenter, input, height, width, NULL, NULL, &outputs, NULL);
    }
    if (status == OK)
        status = prediction_make(&p->prediction, &p->classifier, &p->panoptic, embeddings, masks, setup->queries,
                                 mask_height, mask_width, image->height, image->width);
    if (status == OK) status = export_image(p, path, number, masks, mask_height, mask_width);
    memory_free(input);
    memory_free(embeddings);
    memory_free(masks);
    return status;
}

/* NAME.jpg gives OUTPUT/NAME.png. */
static char *picture_path(const char *output, const char *image)
{
    const char *name = path_name(image), *dot = strrchr(name, '.');
    int length = dot != NULL && dot != name ? (int)(dot - name) : (int)strlen(name);
    return memory_format("%s/%.*s.png", output, length, name);
}

static Status predict_image(Predictor *p, const char *path, int64_t number, const char *to)
{
    Image image = {0}, picture = {0};
    Status status = image_read(path, &image);
    if (status == OK) status = infer(p, &image, path, number);
    if (status == OK) {
        PanopticMap map = prediction_map(&p->prediction);
        PictureOptions options = {.rgb = image.rgb, .height = image.height, .width = image.width, .prediction = &map,
                                  .classes = &p->classifier.classes, .title = path_name(path)};
        status = picture_compose(&options, &picture);
    }
    if (status == OK) status = image_write_png(to, &picture);
    if (status == OK) {
        printf("%s%s\n", to, p->prediction.segment_count == 0 ? "\n  no segment is sure enough: see --score" : "");
        for (int i = 0; i < p->prediction.segment_count; i++) {
            const PanopticSegment *segment = &p->prediction.segments[i];
            const ClassEntry *entry = &p->classifier.classes.entries[segment->class_index];
            printf("  %-24s %s  score %.2f  %5.1f %% of the image\n", entry->name, entry->is_unseen ? "unseen" : "seen  ",
                   (double)p->prediction.scores[i], 100.0 * (double)segment->area / ((double)image.height * image.width));
        }
    }
    image_clear(&image);
    image_clear(&picture);
    return status;
}

/* One picture to make. */
typedef struct Task {
    const char *image;
    char *picture;
} Task;

static int by_picture(const void *a, const void *b)
{
    const Task *x = a, *y = b;
    return strcmp(x->picture, y->picture);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* No picture may take the place of its image, or of another picture. `sorted` is room for the tasks. */
static Status check_tasks(const Task *tasks, int count, Task *sorted)
{
    for (int i = 0; i < count; i++)
        if (same_file(tasks[i].image, tasks[i].picture))
            return status_error(STATUS_USAGE, "%s: its picture would replace it: give another --output", tasks[i].image);
    memcpy(sorted, tasks, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_picture);
    for (int i = 1; i < count; i++)
        if (by_picture(&sorted[i - 1], &sorted[i]) == 0)
            return status_error(STATUS_USAGE, "%s and %s would both become %s: predict them apart, with another --output",
                                sorted[i - 1].image, sorted[i].image, sorted[i].picture);
    return OK;
}

/* In OUTPUT/export, for the pictures are in OUTPUT. */
static Status open_exports(Predictor *p, const char *output)
{
    const char *forms[8];
    int count = 0;
    if (p->forms == NULL) return OK;
    char *list = memory_copy_string(p->forms), *directory = path_join(output, "export"), *rest = NULL;
    Status status = list == NULL || directory == NULL ? status_no_memory(256, "a path") : OK;
    for (char *form = status == OK ? strtok_r(list, ",", &rest) : NULL; form != NULL && count < 8;
         form = strtok_r(NULL, ",", &rest))
        forms[count++] = form;
    if (status == OK) status = directory_remove(directory); /* of an earlier run, with other images perhaps */
    if (status == OK) status = exports_create(directory, forms, count, &p->classifier.classes, &p->exports);
    memory_free(list);
    memory_free(directory);
    return status_wrap(status, "--export");
}

static Status predict_tasks(Predictor *p, const char *model, char **images, int count, const char *output, Task *tasks)
{
    for (int i = 0; i < count; i++) {
        tasks[i] = (Task){.image = images[i], .picture = picture_path(output, images[i])};
        if (tasks[i].picture == NULL) return status_no_memory(256, "a path");
    }
    TRY(check_tasks(tasks, count, tasks + count));
    TRY(open_model(model, p));
    TRY(directory_create(output));
    TRY(open_exports(p, output));
    for (int i = 0; i < count; i++) TRY(predict_image(p, tasks[i].image, i, tasks[i].picture));
    return exports_finish(p->exports, count);
}

static Status predict_all(Predictor *p, char **items, int count, const char *output)
{
    int images = count - 1;
    Task *tasks = memory_alloc_zero(2 * (size_t)images, sizeof *tasks);
    if (tasks == NULL) return status_no_memory((size_t)images * sizeof *tasks, "names of pictures");
    Status status = predict_tasks(p, items[0], items + 1, images, output, tasks);
    for (int i = 0; i < images; i++) memory_free(tasks[i].picture);
    memory_free(tasks);
    return status;
}

static bool is_share(double value)
{
    return isnan(value) || (value >= 0 && value <= 1);
}

int command_predict(int argc, char **argv)
{
    CommonFlags common = {0};
    const char *output = "predictions";
    Predictor predictor = {.panoptic = {.score = NAN, .overlap = NAN}, .long_side = AS_EVALUATED};
    const Flag flags[] = {{"--output", "-o", FLAG_STRING, &output},
                          {"--long-side", NULL, FLAG_INTEGER, &predictor.long_side},
                          {"--export", NULL, FLAG_STRING, &predictor.forms},
                          {"--score", NULL, FLAG_REAL, &predictor.panoptic.score},
                          {"--overlap", NULL, FLAG_REAL, &predictor.panoptic.overlap}};
    Arguments arguments;
    Status status = flags_parse(flags, (int)(sizeof flags / sizeof flags[0]), &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 2, 1 << 20, arguments.count == 0 ? "MODEL" : "IMAGE...");
    if (status == OK && (predictor.long_side < AS_EVALUATED || predictor.long_side > 16384))
        status = status_error(STATUS_USAGE, "--long-side: 0 (as it is) to 16384");
    if (status == OK && !(is_share(predictor.panoptic.score) && is_share(predictor.panoptic.overlap)))
        status = status_error(STATUS_USAGE, "--score and --overlap: 0 to 1");
    if (status == OK) status = predict_all(&predictor, arguments.items, arguments.count, output);
    predictor_clear(&predictor);
    arguments_free(&arguments);
    return command_end(status);
}
