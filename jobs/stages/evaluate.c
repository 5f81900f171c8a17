/* Stage "evaluate": stored queries through the finetuned classifier, scored.
 * A step is a block of test images, shared by the ranks. The artifact is a whole model (segmenter.h5,
 * classifier.h5) with its numbers (metrics.json) and pictures; its manifest
 * keeps thresholds and image sizes for whoever predicts with it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/stage.h"
#include "jobs/stages/picture_scores.h"
#include "jobs/stages/prediction.h"
#include "jobs/stages/segmenter_setup.h"
#include "models/metrics/picture.h"
#include "models/metrics/summary.h"
#include "storage/checkpoint.h"
#include "storage/class_table.h"
#include "storage/feature_set.h"

#define STATE_KIND "evaluate-blocks"
#define BLOCK_IMAGES 16 /* the same for any number of ranks, for checkpoints count blocks */

typedef struct EvaluateState {
    const StageContext *context;
    FeatureSet *features;
    Classifier classifier;
    PanopticConfig panoptic_config;
    PanopticScore panoptic, own_panoptic; /* of all finished blocks; this rank's of the block in work */
    SemanticScore semantic, own_semantic;
    int64_t next_step;                    /* of the checkpoint */
    Prediction prediction;
    FeatureImage image;
    int32_t *truth_ids, *truth_labels;
    PanopticSegment *truth_segments;
    size_t pixel_capacity;
} EvaluateState;

static void evaluate_destroy(void *pointer)
{
    EvaluateState *state = pointer;
    if (state == NULL) return;
    classifier_clear(&state->classifier);
    panoptic_score_clear(&state->panoptic);
    semantic_score_clear(&state->semantic);
    panoptic_score_clear(&state->own_panoptic);
    semantic_score_clear(&state->own_semantic);
    prediction_clear(&state->prediction);
    feature_image_clear(&state->image);
    memory_free(state->truth_ids);
    memory_free(state->truth_labels);
    memory_free(state->truth_segments);
    feature_set_close(state->features);
    memory_free(state);
}

static Status evaluate_start(const StageContext *context, void **out, int64_t *total)
{
    EvaluateState *state = memory_alloc_zero(1, sizeof *state);
    if (state == NULL) return status_no_memory(sizeof *state, "stage evaluate");
    *out = state;
    state->context = context;
    state->panoptic_config = (PanopticConfig){.score = config_real(context->config, "evaluate.score"),
                                              .overlap = config_real(context->config, "evaluate.overlap")};
    TRY(feature_set_open(context->inputs[STAGE_EXTRACT], &state->features));
    char *path = path_join(context->inputs[STAGE_GENERATOR], CLASSIFIER_FILE);
    if (path == NULL) return status_no_memory(256, "a path");
    Status status = classifier_read(path, &state->classifier);
    memory_free(path);
    TRY(status);
    const FeatureInfo *info = feature_set_info(state->features);
    if (strcmp(info->segmenter_digest, state->classifier.segmenter_digest) != 0 ||
        info->embed_dim != state->classifier.embed_dim ||
        !class_table_equal(&info->classes, &state->classifier.classes))
        return status_error(STATUS_CORRUPT, "the classifier belongs to another segmenter than the feature store");
    TRY(panoptic_score_create(info->classes.count, &state->panoptic));
    TRY(semantic_score_create(info->classes.count, &state->semantic));
    TRY(panoptic_score_create(info->classes.count, &state->own_panoptic));
    TRY(semantic_score_create(info->classes.count, &state->own_semantic));
    state->truth_segments = memory_alloc(65536 * sizeof *state->truth_segments);
    if (state->truth_segments == NULL) return status_no_memory(65536, "segments");
    *total = (feature_set_images(state->features) + BLOCK_IMAGES - 1) / BLOCK_IMAGES;
    return OK;
}

/* The image's truth as the metrics take it. */
static Status read_truth(EvaluateState *state, PanopticMap *truth)
{
    const FeatureImage *image = &state->image;
    size_t pixels = (size_t)image->height * (size_t)image->width;
    if (pixels > state->pixel_capacity) {
        memory_free(state->truth_ids);
        memory_free(state->truth_labels);
        state->pixel_capacity = 0;
        state->truth_ids = memory_alloc(pixels * sizeof(int32_t));
        state->truth_labels = memory_alloc(pixels * sizeof(int32_t));
        if (state->truth_ids == NULL || state->truth_labels == NULL) return status_no_memory(pixels * 8, "ground truth");
        state->pixel_capacity = pixels;
    }
    for (int i = 0; i < image->segment_count; i++)
        state->truth_segments[i] = (PanopticSegment){.id = i + 1, .class_index = image->segments[i].class_index,
                                                     .area = image->segments[i].area,
                                                     .is_crowd = image->segments[i].is_crowd};
    for (size_t i = 0; i < pixels; i++) {
        state->truth_ids[i] = image->map[i];
        state->truth_labels[i] = image->map[i] == 0 ? -1 : image->segments[image->map[i] - 1].class_index;
    }
    *truth = (PanopticMap){.height = image->height, .width = image->width, .ids = state->truth_ids,
                           .segment_count = image->segment_count, .segments = state->truth_segments};
    return OK;
}

/* Reads one test image and predicts it. */
static Status predict_image(EvaluateState *state, int64_t index, PanopticMap *truth)
{
    FeatureImage *image = &state->image;
    feature_image_clear(image);
    TRY(feature_set_image(state->features, index, image));
    TRY(read_truth(state, truth));
    return prediction_make(&state->prediction, &state->classifier, &state->panoptic_config, image->embeddings,
                           image->masks, feature_set_info(state->features)->queries, image->mask_height,
                           image->mask_width, image->height, image->width);
}

static Status score_image(EvaluateState *state, int64_t index)
{
    PanopticMap truth;
    TRY(predict_image(state, index, &truth));
    PanopticMap prediction = prediction_map(&state->prediction);
    TRY(panoptic_score_add(&state->own_panoptic, &truth, &prediction, state->image.file_name));
    return semantic_score_add(&state->own_semantic, state->truth_labels, state->prediction.labels,
                              (int64_t)truth.height * truth.width, state->image.file_name);
}

/* Every K-th image of the block, of K ranks. */
static Status score_block(EvaluateState *state, int64_t block)
{
    const StageContext *context = state->context;
    int64_t first = block * BLOCK_IMAGES, end = first + BLOCK_IMAGES, images = feature_set_images(state->features);
    for (int64_t i = first + comm_rank(context->comm); i < end && i < images; i += comm_size(context->comm)) {
        if (context->stopping(context->stop)) return status_error(STATUS_INTERRUPTED, "stopped while evaluating");
        TRY(score_image(state, i));
    }
    return OK;
}

/* The totals grow by whole blocks of all ranks, so that they are the same on every rank after every step. */
static Status evaluate_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    EvaluateState *state = pointer;
    Comm *comm = state->context->comm;
    int64_t classes = state->panoptic.class_count;
    int64_t panoptic_counts = classes * PANOPTIC_COUNTS_SIZE, semantic_counts = classes * (classes + 1);
    (void)metrics;
    memset(state->own_panoptic.counts, 0, (size_t)panoptic_counts * sizeof(int64_t));
    memset(state->own_semantic.confusion, 0, (size_t)semantic_counts * sizeof(int64_t));
    TRY(comm_agree(comm, score_block(state, step)));
    TRY(comm_sum_integers(comm, (int64_t *)state->own_panoptic.counts, panoptic_counts));
    TRY(comm_sum_integers(comm, state->own_semantic.confusion, semantic_counts));
    panoptic_score_merge(&state->panoptic, &state->own_panoptic);
    semantic_score_merge(&state->semantic, &state->own_semantic);
    return OK;
}

static void list_counts(EvaluateState *state, NamedArray arrays[3])
{
    int64_t classes = state->panoptic.class_count;
    arrays[0] = (NamedArray){.name = "panoptic", .type = ARRAY_I64, .rank = 2, .shape = {classes, PANOPTIC_COUNTS_SIZE, 1, 1},
                             .data = state->panoptic.counts};
    arrays[1] = (NamedArray){.name = "confusion", .type = ARRAY_I64, .rank = 2, .shape = {classes, classes + 1, 1, 1},
                             .data = state->semantic.confusion};
    arrays[2] = (NamedArray){.name = "next_step", .type = ARRAY_I64, .rank = 1, .shape = {1, 1, 1, 1},
                             .data = &state->next_step};
}

static Status evaluate_save(void *pointer, int64_t next_step, const char **kind, ArrayList *arrays)
{
    EvaluateState *state = pointer;
    NamedArray counts[3];
    *kind = STATE_KIND;
    state->next_step = next_step;
    list_counts(state, counts);
    for (int i = 0; i < 3; i++)
        TRY(array_list_add(arrays, "", counts[i].name, counts[i].type, counts[i].rank, counts[i].shape, counts[i].data));
    return OK;
}

static Status evaluate_load(void *pointer, const char *path, int64_t *next_step)
{
    EvaluateState *state = pointer;
    NamedArray arrays[3];
    Checkpoint *checkpoint;
    list_counts(state, arrays);
    TRY(checkpoint_read(path, STATE_KIND, &checkpoint));
    Status status = OK;
    for (int i = 0; i < 3 && status == OK; i++)
        status = checkpoint_get(checkpoint, arrays[i].name, arrays[i].type, arrays[i].rank, arrays[i].shape, arrays[i].data);
    checkpoint_destroy(checkpoint);
    *next_step = state->next_step;
    return status_wrap(status, "%s", path);
}

static Status write_metrics(EvaluateState *state)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    metrics_write_json(&writer, &state->classifier.classes, &state->panoptic, &state->semantic);
    json_end_object(&writer);
    char *path = path_join(state->context->output, "metrics.json");
    Status status = path == NULL || writer.text.failed ? status_no_memory(4096, "metrics")
                                                       : file_write(path, writer.text.data, writer.text.length);
    memory_free(path);
    text_free(&writer.text);
    return status;
}

static Status write_picture(EvaluateState *state, int64_t index, const char *directory, const char *scores)
{
    PanopticMap truth;
    TRY(predict_image(state, index, &truth));
    if (state->image.rgb == NULL) return OK;
    PanopticMap prediction = prediction_map(&state->prediction);
    PictureOptions options = {.rgb = state->image.rgb, .height = state->image.height, .width = state->image.width,
                              .truth = &truth, .prediction = &prediction, .classes = &state->classifier.classes,
                              .title = state->image.file_name};
    Image picture = {0};
    char *path = memory_format("%s/%03lld.png", directory, (long long)index);
    Status status = path == NULL ? status_no_memory(256, "a path") : picture_compose(&options, &picture);
    if (status == OK) status = image_write_png(path, &picture);
    if (status == OK)
        status = picture_scores_write(scores, index, &state->classifier.classes, &truth, &prediction,
                                      state->truth_labels, state->prediction.labels, state->image.file_name);
    memory_free(path);
    image_clear(&picture);
    return status;
}

/* Every K-th picture, of K ranks. */
static Status write_pictures(EvaluateState *state)
{
    Comm *comm = state->context->comm;
    int64_t wanted = config_integer(state->context->config, "evaluate.pictures");
    int64_t images = feature_set_images(state->features);
    char *directory = path_join(state->context->output, "pictures");
    char *scores = path_join(state->context->output, PICTURE_SCORES);
    Status status = directory == NULL || scores == NULL ? status_no_memory(256, "a path") : directory_create(directory);
    if (status == OK) status = directory_create(scores);
    for (int64_t i = comm_rank(comm); i < wanted && i < images && status == OK; i += comm_size(comm))
        status = write_picture(state, i, directory, scores);
    memory_free(scores);
    memory_free(directory);
    return status;
}

/* A second name for the same bytes, or a copy where the file system has no links. */
static Status link_file(const char *from_directory, const char *to_directory, const char *name)
{
    char *from = path_join(from_directory, name), *to = path_join(to_directory, name), *data = NULL;
    size_t bytes;
    Status status = OK;
    if (from == NULL || to == NULL) {
        status = status_no_memory(256, "a path");
    } else if (link(from, to) != 0 && errno != EEXIST) {
        status = file_read(from, 0, &data, &bytes);
        if (status == OK) status = file_write(to, data, bytes);
    }
    memory_free(data);
    memory_free(from);
    memory_free(to);
    return status;
}

static Status evaluate_finish(void *pointer)
{
    EvaluateState *state = pointer;
    const StageContext *context = state->context;
    TRY(write_pictures(state));
    if (comm_rank(context->comm) != 0) return OK;
    TRY(write_metrics(state));
    TRY(link_file(context->inputs[STAGE_BACKBONE], context->output, SEGMENTER_FILE));
    return link_file(context->inputs[STAGE_GENERATOR], context->output, CLASSIFIER_FILE);
}

const Stage STAGE_DEF_EVALUATE = {
    .id = STAGE_EVALUATE,
    .version = 1,
    .inputs = 1u << STAGE_BACKBONE | 1u << STAGE_EXTRACT | 1u << STAGE_GENERATOR,
    .unit = "blocks",
    .parallel = true,
    .start = evaluate_start,
    .step = evaluate_step,
    .save = evaluate_save,
    .load = evaluate_load,
    .finish = evaluate_finish,
    .destroy = evaluate_destroy,
};
