/* Stage "evaluate": stored queries through the finetuned classifier, scored in
 * every setting (scores.h). A step is a block of test images, shared by the
 * ranks. The artifact is a whole model (segmenter.h5, classifier.h5) with its
 * numbers (metrics.json), pictures and exported predictions; its manifest keeps
 * thresholds and image sizes for whoever predicts with it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/stage.h"
#include "jobs/stages/exports.h"
#include "jobs/stages/picture_scores.h"
#include "jobs/stages/prediction.h"
#include "jobs/stages/scores.h"
#include "jobs/stages/segmenter_setup.h"
#include "models/metrics/picture.h"
#include "models/metrics/tradeoff.h"
#include "storage/class_table.h"
#include "storage/feature_set.h"

#define STATE_KIND "evaluate-blocks"
#define BLOCK_IMAGES 16 /* the same for any number of ranks, for checkpoints count blocks */

typedef struct EvaluateState {
    const StageContext *context;
    FeatureSet *features;
    Classifier classifier;
    PanopticConfig panoptic_config;
    double shift;         /* calibration: subtracted from the seen logits, and in the classifier's bias already */
    Scores *scores, *own; /* of all finished blocks, on rank 0; this rank's of the block in work */
    Exports *exports;     /* NULL: none wanted */
    int64_t next_step;    /* of the checkpoint */
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
    scores_destroy(state->scores);
    scores_destroy(state->own);
    exports_destroy(state->exports);
    prediction_clear(&state->prediction);
    feature_image_clear(&state->image);
    memory_free(state->truth_ids);
    memory_free(state->truth_labels);
    memory_free(state->truth_segments);
    feature_set_close(state->features);
    memory_free(state);
}

/* Finds the shift and puts it into the classifier. */
static Status calibrate(EvaluateState *state)
{
    const Config *config = state->context->config;
    const char *kind = config_string(config, "calibration.kind");
    Classifier *classifier = &state->classifier;
    if (strcmp(kind, "fixed") == 0) state->shift = config_real(config, "calibration.bias");
    if (strcmp(kind, "budget") == 0 && classifier->classes.unseen_count > 0) {
        const float *embeddings;
        const int32_t *labels;
        TRY(feature_set_train(state->features, &embeddings, &labels));
        TRY(tradeoff_choose_shift(embeddings, labels, feature_set_train_rows(state->features), classifier->embed_dim,
                                  classifier->weight, classifier->bias, &classifier->classes,
                                  config_real(config, "calibration.budget"), &state->shift));
        LOG_INFO("calibration: %.4g is subtracted from the logits of seen classes", state->shift);
    }
    tradeoff_shift_bias(classifier->bias, &classifier->classes, state->shift, classifier->bias);
    return OK;
}

/* Forms of exports, without those beyond all there are. */
static int list_forms(const Config *config, const char *forms[EXPORT_FORMS + 1])
{
    int count = 0;
    for (int64_t i = 0; i < config_list_count(config, "evaluate.export") && count <= EXPORT_FORMS; i++)
        forms[count++] = config_list_string(config, "evaluate.export", i);
    return count;
}

static Status evaluate_check(const Config *config)
{
    const char *forms[EXPORT_FORMS + 1];
    return status_wrap(exports_check(forms, list_forms(config, forms), NULL), "evaluate.export");
}

static Status open_exports(EvaluateState *state)
{
    const char *forms[EXPORT_FORMS + 1];
    const int count = list_forms(state->context->config, forms);
    if (count == 0) return OK;
    char *directory = path_join(state->context->output, "predictions");
    Status status = directory == NULL ? status_no_memory(256, "a path")
                                      : exports_create(directory, forms, count, &state->classifier.classes, &state->exports);
    memory_free(directory);
    return status_wrap(status, "evaluate.export");
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
    TRY(calibrate(state));
    TRY(scores_create(context->config, &state->classifier, state->shift, &state->scores));
    TRY(scores_create(context->config, &state->classifier, state->shift, &state->own));
    TRY(open_exports(state));
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

/* Reads one test image and its truth. */
static Status read_image(EvaluateState *state, int64_t index, PanopticMap *truth)
{
    feature_image_clear(&state->image);
    TRY(feature_set_image(state->features, index, &state->image));
    return read_truth(state, truth);
}

static Status predict_image(EvaluateState *state, int64_t index, PanopticMap *truth)
{
    const FeatureImage *image = &state->image;
    TRY(read_image(state, index, truth));
    return prediction_make(&state->prediction, &state->classifier, &state->panoptic_config, image->embeddings,
                           image->masks, feature_set_info(state->features)->queries, image->mask_height,
                           image->mask_width, image->height, image->width);
}

/* The present image with its prediction. */
static Status export_image(EvaluateState *state, int64_t index)
{
    const FeatureImage *image = &state->image;
    const ExportImage facts = {.image_id = image->image_id, .file_name = image->file_name, .masks = image->masks,
                               .queries = feature_set_info(state->features)->queries,
                               .mask_height = image->mask_height, .mask_width = image->mask_width};
    return exports_add(state->exports, index, &facts, &state->prediction);
}

static Status score_image(EvaluateState *state, int64_t index)
{
    PanopticMap truth;
    TRY(read_image(state, index, &truth));
    TRY(scores_add(state->own, &state->image, feature_set_info(state->features)->queries, &truth, state->truth_labels,
                   &state->prediction));
    return export_image(state, index);
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

/* The totals grow by whole blocks of all ranks. */
static Status evaluate_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    EvaluateState *state = pointer;
    Comm *comm = state->context->comm;
    (void)metrics;
    scores_reset(state->own);
    TRY(comm_agree(comm, score_block(state, step)));
    TRY(scores_gather(state->own, comm));
    return comm_agree(comm, scores_merge(state->scores, state->own));
}

static Status evaluate_save(void *pointer, int64_t next_step, const char **kind, ArrayList *arrays)
{
    EvaluateState *state = pointer;
    *kind = STATE_KIND;
    state->next_step = next_step;
    return scores_list(state->scores, &state->next_step, arrays);
}

static Status evaluate_load(void *pointer, const char *path, int64_t *next_step)
{
    EvaluateState *state = pointer;
    return scores_load(state->scores, path, STATE_KIND, next_step);
}

static Status write_metrics(EvaluateState *state)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    Status status = scores_write_json(state->scores, &writer);
    json_end_object(&writer);
    char *path = path_join(state->context->output, "metrics.json");
    if (status == OK && (path == NULL || writer.text.failed)) status = status_no_memory(4096, "metrics");
    if (status == OK) status = file_write(path, writer.text.data, writer.text.length);
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

/* Those of an attempt that was killed, whose output is gone, are made again. Every K-th image, of K ranks. */
static Status export_missing(EvaluateState *state)
{
    Comm *comm = state->context->comm;
    PanopticMap truth;
    for (int64_t i = comm_rank(comm); i < feature_set_images(state->features); i += comm_size(comm)) {
        if (exports_has(state->exports, i)) continue;
        TRY(predict_image(state, i, &truth));
        TRY(prediction_find_instances(&state->prediction, &state->classifier, state->image.masks,
                                      feature_set_info(state->features)->queries, state->image.mask_height,
                                      state->image.mask_width));
        TRY(export_image(state, i));
    }
    return OK;
}

/* The classifier as it was evaluated, so that predict has the calibration too. */
static Status write_classifier(const EvaluateState *state)
{
    const StageContext *context = state->context;
    if (state->shift == 0) return link_file(context->inputs[STAGE_GENERATOR], context->output, CLASSIFIER_FILE);
    char *path = path_join(context->output, CLASSIFIER_FILE);
    Status status = path == NULL ? status_no_memory(256, "a path") : classifier_write(path, &state->classifier);
    memory_free(path);
    return status;
}

static Status evaluate_finish(void *pointer)
{
    EvaluateState *state = pointer;
    const StageContext *context = state->context;
    Status status = write_pictures(state);
    if (status == OK) status = export_missing(state);
    TRY(comm_agree(context->comm, status));
    if (comm_rank(context->comm) != 0) return OK;
    TRY(exports_finish(state->exports, feature_set_images(state->features)));
    TRY(write_metrics(state));
    TRY(link_file(context->inputs[STAGE_BACKBONE], context->output, SEGMENTER_FILE));
    return write_classifier(state);
}

const Stage STAGE_DEF_EVALUATE = {
    .id = STAGE_EVALUATE,
    .version = 2,
    .inputs = 1u << STAGE_BACKBONE | 1u << STAGE_EXTRACT | 1u << STAGE_GENERATOR,
    .unit = "blocks",
    .parallel = true,
    .check = evaluate_check,
    .start = evaluate_start,
    .step = evaluate_step,
    .save = evaluate_save,
    .load = evaluate_load,
    .finish = evaluate_finish,
    .destroy = evaluate_destroy,
};
