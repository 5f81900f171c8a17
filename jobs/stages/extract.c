/* Stage "extract": runs the frozen segmenter once over training and test
 * images and keeps its queries. A step is one part of the feature store on
 * every rank; a part that is there and whole is skipped. */
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/stage.h"
#include "jobs/stages/data_paths.h"
#include "jobs/stages/segmenter_setup.h"
#include "models/segmenter/augment.h"
#include "storage/class_table.h"
#include "storage/class_vectors.h"
#include "storage/feature_set.h"
#include "storage/image.h"

#define PART_IMAGES 64

typedef struct ExtractState {
    const StageContext *context;
    Dataset *train, *val;
    Segmenter *segmenter;
    FeatureInfo info;
    int long_side;
    bool mirror;
    int64_t pictures, train_parts, parts;
    Sample sample;
    Image scaled;
    float *input;
    size_t input_capacity;
    TargetSegment *targets;
    int32_t *labels;      /* [Q] */
    int32_t *class_of;    /* [S + 1]: the table's class of each of the network's labels; C of no object */
    float *embeddings;    /* [Q, D] */
    float *masks;
    size_t masks_capacity;
} ExtractState;

static void extract_destroy(void *pointer)
{
    ExtractState *state = pointer;
    if (state == NULL) return;
    feature_info_clear(&state->info);
    sample_clear(&state->sample);
    image_clear(&state->scaled);
    memory_free(state->input);
    memory_free(state->targets);
    memory_free(state->labels);
    memory_free(state->class_of);
    memory_free(state->embeddings);
    memory_free(state->masks);
    segmenter_destroy(state->segmenter);
    dataset_close(state->train);
    dataset_close(state->val);
    memory_free(state);
}

static Status extract_fingerprint(const Config *config, Hasher *hasher)
{
    char *path;
    Hash128 hash;
    TRY(data_path(config, "data.class_vectors", &path));
    Status status = hash_file(path, &hash, NULL);
    memory_free(path);
    TRY(status_wrap(status, "data.class_vectors"));
    TRY(hasher_begin_part(hasher, "data.class_vectors"));
    hasher_add(hasher, &hash, sizeof hash);
    return OK;
}

/* Copies one parameter of the class head into the store's facts. */
static Status copy_head(const ExtractState *state, const char *name, float **out)
{
    const Parameter *p = parameters_find(segmenter_parameters(state->segmenter), name);
    if (p == NULL) return status_error(STATUS_INTERNAL, "the segmenter has no parameter '%s'", name);
    *out = memory_alloc((size_t)p->count * sizeof **out);
    if (*out == NULL) return status_no_memory((size_t)p->count * sizeof **out, "the class head");
    memcpy(*out, p->value, (size_t)p->count * sizeof **out);
    return OK;
}

static Status fill_info(ExtractState *state)
{
    const StageContext *context = state->context;
    FeatureInfo *info = &state->info;
    char *path = path_join(context->inputs[STAGE_BACKBONE], SEGMENTER_FILE);
    if (path == NULL) return status_no_memory(256, "a path");
    Status status = segmenter_read(path, &state->segmenter, &info->classes, &info->segmenter_digest);
    memory_free(path);
    TRY(status);
    if (!class_table_equal(dataset_classes(state->train), &info->classes))
        return status_error(STATUS_CORRUPT, "the segmenter was trained on other classes than the shards hold");
    TRY(data_path(context->config, "data.class_vectors", &path));
    status = class_vectors_read(path, &info->classes, &info->class_vectors, &info->vector_dim);
    memory_free(path);
    TRY(status);
    const SegmenterConfig *setup = segmenter_config(state->segmenter);
    info->embed_dim = setup->dim;
    info->queries = setup->queries;
    info->unseen_rule = memory_copy_string(dataset_unseen_rule(state->train));
    if (info->unseen_rule == NULL) return status_no_memory(16, "a feature store");
    TRY(copy_head(state, "decoder.class_embed.weight", &info->head_weight));
    return copy_head(state, "decoder.class_embed.bias", &info->head_bias);
}

/* Seen classes in table order are the network's labels, and its last is no object. */
static Status list_classes(ExtractState *state)
{
    const ClassTable *classes = &state->info.classes;
    state->class_of = memory_alloc(((size_t)classes->seen_count + 1) * sizeof *state->class_of);
    if (state->class_of == NULL) return status_no_memory((size_t)classes->seen_count, "seen classes");
    int label = 0;
    for (int c = 0; c < classes->count; c++)
        if (!classes->entries[c].is_unseen) state->class_of[label++] = c;
    state->class_of[label] = classes->count;
    return OK;
}

static int64_t parts_of(int64_t images)
{
    return (images + PART_IMAGES - 1) / PART_IMAGES;
}

static Status extract_start(const StageContext *context, void **out, int64_t *total)
{
    ExtractState *state = memory_alloc_zero(1, sizeof *state);
    if (state == NULL) return status_no_memory(sizeof *state, "stage extract");
    *out = state;
    state->context = context;
    state->long_side = (int)config_integer(context->config, "extract.long_side");
    state->mirror = config_bool(context->config, "extract.mirror");
    state->pictures = config_integer(context->config, "extract.pictures");
    TRY(dataset_open(context->inputs[STAGE_SHARD], "train", &state->train));
    TRY(dataset_open(context->inputs[STAGE_SHARD], "val", &state->val));
    TRY(fill_info(state));
    TRY(list_classes(state));
    size_t queries = (size_t)state->info.queries;
    state->labels = memory_alloc(queries * sizeof *state->labels);
    state->embeddings = memory_alloc(queries * (size_t)state->info.embed_dim * sizeof *state->embeddings);
    state->targets = memory_alloc(65536 * sizeof *state->targets);
    if (state->labels == NULL || state->embeddings == NULL || state->targets == NULL)
        return status_no_memory(queries, "queries");
    state->train_parts = parts_of(dataset_count(state->train) * (state->mirror ? 2 : 1));
    state->parts = state->train_parts + parts_of(dataset_count(state->val));
    int size = comm_size(context->comm);
    *total = (state->parts + size - 1) / size;
    return OK;
}

static Status reserve(float **buffer, size_t *capacity, size_t count)
{
    if (count <= *capacity) return OK;
    memory_free(*buffer);
    *capacity = 0;
    *buffer = memory_alloc(count * sizeof **buffer);
    if (*buffer == NULL) return status_no_memory(count * sizeof **buffer, "an image: lower extract.long_side");
    *capacity = count;
    return OK;
}

/* The stored image, scaled to the network's size, as network input. */
static Status prepare_input(ExtractState *state, int *height, int *width)
{
    Sample *sample = &state->sample;
    Image stored = {.height = sample->height, .width = sample->width, .rgb = sample->rgb};
    augment_inference_size(sample->height, sample->width, state->long_side, height, width);
    size_t pixels = (size_t)*height * (size_t)*width;
    const uint8_t *rgb = sample->rgb;
    if (*height != sample->height || *width != sample->width) {
        TRY(image_resize(&stored, *height, *width, &state->scaled));
        rgb = state->scaled.rgb;
    }
    TRY(reserve(&state->input, &state->input_capacity, pixels * 3));
    augment_normalize(rgb, (int64_t)pixels, state->input);
    return OK;
}

static void mirror_sample(Sample *sample)
{
    for (int y = 0; y < sample->height; y++) {
        uint8_t *rgb = sample->rgb + (size_t)y * (size_t)sample->width * 3;
        uint16_t *map = sample->map + (size_t)y * (size_t)sample->width;
        for (int a = 0, b = sample->width - 1; a < b; a++, b--) {
            uint16_t value = map[a];
            map[a] = map[b];
            map[b] = value;
            for (int c = 0; c < 3; c++) {
                uint8_t byte = rgb[a * 3 + c];
                rgb[a * 3 + c] = rgb[b * 3 + c];
                rgb[b * 3 + c] = byte;
            }
        }
    }
}

/* Seen segments as targets. Crowds are no targets, and their pixels become void as in training. */
static Status find_targets(ExtractState *state, int *count)
{
    Sample *sample = &state->sample;
    bool crowds = false;
    *count = 0;
    for (int i = 0; i < sample->segment_count; i++) {
        const Segment *segment = &sample->segments[i];
        crowds |= segment->is_crowd;
        if (segment->is_crowd || segment->area == 0) continue;
        int label = class_table_seen_index(&state->info.classes, segment->class_index);
        if (label < 0)
            return status_error(STATUS_INTERNAL, "training image %s carries a label of an unseen class", sample->file_name);
        state->targets[(*count)++] = (TargetSegment){.value = i + 1, .label = label};
    }
    int64_t pixels = (int64_t)sample->height * sample->width;
    for (int64_t i = 0; crowds && i < pixels; i++)
        if (sample->map[i] != 0 && sample->segments[sample->map[i] - 1].is_crowd) sample->map[i] = 0;
    return OK;
}

static Status extract_train_image(ExtractState *state, int64_t index, FeatureWriter *writer)
{
    int height, width, count;
    int64_t images = dataset_count(state->train);
    TRY(dataset_read(state->train, index % images, &state->sample));
    if (index >= images) mirror_sample(&state->sample);
    TRY(find_targets(state, &count));
    TRY(prepare_input(state, &height, &width));
    SegmentTarget target = {.map = state->sample.map, .height = state->sample.height, .width = state->sample.width,
                            .segments = state->targets, .count = count};
    CriterionBatch batch = {.sample = (uint64_t)index};
    SegmenterOutputs outputs = {.embeddings = state->embeddings};
    criterion_count(&segmenter_config(state->segmenter)->criterion, state->info.queries, count, &batch);
    TRY(segmenter_infer(state->segmenter, state->input, height, width, &target, &batch, &outputs, state->labels));
    for (int q = 0; q < state->info.queries; q++) state->labels[q] = state->class_of[state->labels[q]];
    return feature_writer_add_train(writer, state->embeddings, state->labels, state->info.queries);
}

static Status extract_test_image(ExtractState *state, int64_t index, FeatureWriter *writer)
{
    int height, width;
    int64_t mask_height, mask_width;
    TRY(dataset_read(state->val, index, &state->sample));
    TRY(prepare_input(state, &height, &width));
    segmenter_mask_size(height, width, &mask_height, &mask_width);
    TRY(reserve(&state->masks, &state->masks_capacity, (size_t)(mask_height * mask_width * state->info.queries)));
    SegmenterOutputs outputs = {.embeddings = state->embeddings, .mask_logits = state->masks};
    TRY(segmenter_infer(state->segmenter, state->input, height, width, NULL, NULL, &outputs, NULL));
    FeatureImage image = {
        .image_id = state->sample.image_id,
        .height = state->sample.height,
        .width = state->sample.width,
        .mask_height = (int32_t)mask_height,
        .mask_width = (int32_t)mask_width,
        .embeddings = state->embeddings,
        .masks = state->masks,
        .map = state->sample.map,
        .segment_count = state->sample.segment_count,
        .segments = state->sample.segments,
        .rgb = index < state->pictures ? state->sample.rgb : NULL,
    };
    memcpy(image.file_name, state->sample.file_name, sizeof image.file_name);
    return feature_writer_add_image(writer, &image);
}

static Status write_part(ExtractState *state, int64_t part, FeatureWriter *writer)
{
    bool training = part < state->train_parts;
    int64_t first = (training ? part : part - state->train_parts) * PART_IMAGES;
    int64_t images = training ? dataset_count(state->train) * (state->mirror ? 2 : 1) : dataset_count(state->val);
    int64_t end = first + PART_IMAGES < images ? first + PART_IMAGES : images;
    for (int64_t i = first; i < end; i++) {
        if (state->context->stopping(state->context->stop))
            return status_error(STATUS_INTERRUPTED, "stopped while extracting features");
        TRY(training ? extract_train_image(state, i, writer) : extract_test_image(state, i, writer));
    }
    return OK;
}

/* A part from an earlier attempt, verified to the last byte. */
static bool part_is_whole(const char *path)
{
    if (!file_exists(path)) return false;
    Status status = feature_store_verify(path);
    if (status == OK) return true;
    log_status(LOG_LEVEL_WARNING, status_wrap(status, "a part is made again"));
    return false;
}

static Status make_part(ExtractState *state, int64_t part)
{
    char *path = feature_set_part_path(state->context->output, part);
    if (path == NULL) return status_no_memory(256, "a path");
    FeatureWriter *writer = NULL;
    Status status = OK;
    if (!part_is_whole(path)) {
        status = feature_writer_create(path, &state->info, &writer);
        if (status == OK) status = write_part(state, part, writer);
        if (status == OK) status = feature_writer_finish(writer);
        else feature_writer_abandon(writer);
    }
    memory_free(path);
    return status;
}

static Status extract_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    ExtractState *state = pointer;
    int64_t part = step * comm_size(state->context->comm) + comm_rank(state->context->comm);
    (void)metrics;
    return comm_agree(state->context->comm, part < state->parts ? make_part(state, part) : OK);
}

/* Nothing is left to write; what must hold is checked once over all parts. */
static Status extract_finish(void *pointer)
{
    ExtractState *state = pointer;
    if (comm_rank(state->context->comm) != 0) return comm_agree(state->context->comm, OK);
    FeatureSet *set;
    const float *embeddings;
    const int32_t *labels;
    Status status = feature_set_open(state->context->output, &set);
    if (status == OK) {
        status = feature_set_train(set, &embeddings, &labels);
        if (status == OK) LOG_INFO("%lld training queries, %lld test images", (long long)feature_set_train_rows(set),
                                   (long long)feature_set_images(set));
        feature_set_close(set);
    }
    return comm_agree(state->context->comm, status);
}

const Stage STAGE_DEF_EXTRACT = {
    .id = STAGE_EXTRACT,
    .version = 1,
    .inputs = 1u << STAGE_SHARD | 1u << STAGE_BACKBONE,
    .unit = "parts",
    .parallel = true,
    .fingerprint = extract_fingerprint,
    .start = extract_start,
    .step = extract_step,
    .finish = extract_finish,
    .destroy = extract_destroy,
};
