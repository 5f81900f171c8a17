/* Stage "backbone": trains the segmenter on seen classes. A step is one batch,
 * shared equally by the ranks. Every random draw is keyed by (seed, step,
 * image), gradients are summed image by image in a fixed tree, and all else
 * that a batch's images share is put together in the order of the images: so a
 * resumed run has the bits of an undisturbed one, on any number of ranks. */
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/resources.h"
#include "jobs/stage.h"
#include "jobs/stages/segmenter_setup.h"
#include "jobs/stages/weight_exchange.h"
#include "jobs/stages/weights.h"
#include "models/engine/gradient_tree.h"
#include "models/segmenter/augment.h"
#include "storage/prefetch.h"

#define STATE_KIND "backbone-state"
#define MAX_SEGMENTS 65536

/* One augmented image of the batch. */
typedef struct TrainImage {
    float *pixels;
    uint16_t *map;
    TargetSegment *segments;
    int count, capacity;
} TrainImage;

enum { LOSS_TOTAL, LOSS_CLASS, LOSS_MASK, LOSS_DICE, LOSSES };
static const char *const LOSS_NAMES[] = {"loss", "class_loss", "mask_loss", "dice_loss"};
_Static_assert(sizeof LOSS_NAMES / sizeof LOSS_NAMES[0] == LOSSES, "every loss has a name");

typedef struct BackboneState {
    const StageContext *context;
    Dataset *data;
    Segmenter *segmenter;
    Optimizer *optimizer;
    GradientTree *tree;
    Schedule schedule;
    AugmentConfig augment;
    int batch, first, share;       /* images of a step; this rank has [first, first + share) of them */
    double clip;
    int64_t counters[2];           /* of the checkpoint: next step; steps skipped so far */
    int64_t patience;
    TrainImage *images;            /* [share] */
    int64_t *segment_counts;       /* [batch] */
    double (*losses)[LOSSES];      /* [batch] */
    Prefetch *prefetch;            /* of own images, in the order of training; NULL before the first step */
    int64_t read_step;             /* whose images the prefetch gives next */
    const Sample *sample;          /* the prefetch's present one */
    double waited;                 /* seconds, for images, of the present step */
    int64_t *order, order_epoch;   /* the permutation of the epoch in use; -1: none. The prefetch's to change. */
    int64_t *visible;              /* pixels of each value in a crop */
} BackboneState;

static void backbone_destroy(void *pointer)
{
    BackboneState *state = pointer;
    if (state == NULL) return;
    prefetch_destroy(state->prefetch);
    for (int i = 0; state->images != NULL && i < state->share; i++) {
        memory_free(state->images[i].pixels);
        memory_free(state->images[i].map);
        memory_free(state->images[i].segments);
    }
    memory_free(state->images);
    memory_free(state->segment_counts);
    memory_free(state->losses);
    memory_free(state->order);
    memory_free(state->visible);
    gradient_tree_destroy(state->tree);
    optimizer_destroy(state->optimizer);
    segmenter_destroy(state->segmenter);
    dataset_close(state->data);
    memory_free(state);
}

static Status backbone_fingerprint(const Config *config, Hasher *hasher)
{
    const char *weights = config_string(config, "segmenter.weights");
    if (weights[0] == '\0') return OK;
    Hash128 hash;
    TRY(status_wrap(hash_file(weights, &hash, NULL), "segmenter.weights"));
    TRY(hasher_begin_part(hasher, "segmenter.weights"));
    hasher_add(hasher, &hash, sizeof hash);
    return OK;
}

static Status create_images(BackboneState *state)
{
    size_t pixels = (size_t)state->augment.height * (size_t)state->augment.width;
    state->first = (int)gradient_tree_first(state->tree);
    state->share = (int)gradient_tree_count(state->tree);
    state->images = memory_alloc_zero((size_t)state->share, sizeof *state->images);
    state->segment_counts = memory_alloc_zero((size_t)state->batch, sizeof *state->segment_counts);
    state->losses = memory_alloc_zero((size_t)state->batch, sizeof *state->losses);
    state->visible = memory_alloc(MAX_SEGMENTS * sizeof *state->visible);
    state->order = memory_alloc((size_t)dataset_count(state->data) * sizeof *state->order);
    if (state->images == NULL || state->segment_counts == NULL || state->losses == NULL || state->visible == NULL ||
        state->order == NULL)
        return status_no_memory(pixels, "training buffers");
    for (int i = 0; i < state->share; i++) {
        state->images[i].pixels = memory_alloc(pixels * 3 * sizeof(float));
        state->images[i].map = memory_alloc(pixels * sizeof(uint16_t));
        if (state->images[i].pixels == NULL || state->images[i].map == NULL)
            return status_no_memory(pixels * 14 * (size_t)state->share, "a batch of training images: lower train.batch "
                                    "or train.crop");
    }
    return OK;
}

static Status check_training(const Config *config)
{
    static const char *const PAIRS[] = {"train.crop", "train.scale", "train.milestones"};
    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++)
        if (config_list_count(config, PAIRS[i]) != 2)
            return status_error(STATUS_INVALID, "%s takes two numbers", PAIRS[i]);
    int64_t height = config_list_integer(config, "train.crop", 0), width = config_list_integer(config, "train.crop", 1);
    if (height % 32 != 0 || width % 32 != 0)
        return status_error(STATUS_INVALID, "train.crop: %lld x %lld: both sides must be multiples of 32",
                            (long long)height, (long long)width);
    if (config_list_real(config, "train.scale", 0) > config_list_real(config, "train.scale", 1))
        return status_error(STATUS_INVALID, "train.scale: the first number must not exceed the second");
    return OK;
}

static Status backbone_check(const Config *config)
{
    int64_t dim = config_integer(config, "segmenter.dim"), heads = config_integer(config, "segmenter.heads");
    int64_t blocks = config_list_count(config, "segmenter.blocks"), batch = config_integer(config, "train.batch");
    int ranks = resources_of(config, STAGE_BACKBONE, STAGE_DEF_BACKBONE.parallel).ranks;
    TRY(check_training(config));
    if (dim % heads != 0 || dim % 4 != 0)
        return status_error(STATUS_INVALID, "segmenter.dim: %lld must be a multiple of 4 and of segmenter.heads (%lld)",
                            (long long)dim, (long long)heads);
    if (blocks < 1 || blocks > 4)
        return status_error(STATUS_INVALID, "segmenter.blocks takes one to four numbers, one for each stage of the "
                            "ResNet; the last serves for those that are left out");
    if (batch % ranks != 0)
        return status_error(STATUS_INVALID, "train.batch: %lld images do not part evenly among %d ranks: change it, or "
                            "run.backbone.ranks", (long long)batch, ranks);
    return OK;
}

static Status read_training_config(const Config *config, BackboneState *state)
{
    TRY(check_training(config));
    state->batch = (int)config_integer(config, "train.batch");
    state->clip = config_real(config, "train.clip");
    state->patience = config_integer(config, "train.patience");
    state->augment = (AugmentConfig){
        .height = (int)config_list_integer(config, "train.crop", 0),
        .width = (int)config_list_integer(config, "train.crop", 1),
        .scale_low = config_list_real(config, "train.scale", 0),
        .scale_high = config_list_real(config, "train.scale", 1),
        .scale_of = (AugmentScale)config_choice(config, "train.scale_of"),
        .flip = config_bool(config, "train.flip"),
        .colour = config_real(config, "train.colour"),
    };
    state->schedule = (Schedule){
        .kind = (ScheduleKind)config_choice(config, "train.schedule"),
        .rate = config_real(config, "train.rate"),
        .total_steps = config_integer(config, "train.steps"),
        .warmup_steps = config_integer(config, "train.warmup"),
        .milestones = {config_list_real(config, "train.milestones", 0), config_list_real(config, "train.milestones", 1)},
    };
    return OK;
}

static Status create_optimizer(const Config *config, BackboneState *state)
{
    OptimizerConfig setup = {
        .kind = (OptimizerKind)config_choice(config, "train.optimizer"),
        .momentum = 0.9,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = config_real(config, "train.weight_decay"),
    };
    Parameters *parameters = segmenter_parameters(state->segmenter);
    TRY(optimizer_create(setup, parameters, &state->optimizer));
    TRY(status_wrap(gradient_tree_create(parameters, state->batch, state->context->comm, &state->tree),
                    "train.batch and run.backbone.ranks"));
    segmenter_set_gradient_hook(state->segmenter, gradient_tree_listen, state->tree);
    return OK;
}

static Status backbone_start(const StageContext *context, void **out, int64_t *total)
{
    const Config *config = context->config;
    BackboneState *state = memory_alloc_zero(1, sizeof *state);
    if (state == NULL) return status_no_memory(sizeof *state, "stage backbone");
    *out = state;
    state->context = context;
    state->order_epoch = -1;
    TRY(read_training_config(config, state));
    TRY(dataset_open(context->inputs[STAGE_SHARD], "train", &state->data));
    const ClassTable *classes = dataset_classes(state->data);
    if (dataset_count(state->data) == 0)
        return status_error(STATUS_INVALID, "no training image is left: every one holds an unseen class; set "
                            "data.unseen_rule to ignore, or name fewer unseen classes");
    SegmenterConfig setup = segmenter_config_from(config, classes->seen_count);
    TRY(segmenter_create(&setup, backend_cpu(), DTYPE_F32, context->seed, &state->segmenter));
    const char *weights = config_string(config, "segmenter.weights");
    if (weights[0] != '\0') {
        WeightPart part = (WeightPart)config_choice(config, "segmenter.load");
        TRY(status_wrap(weights_import(weights, part, classes, state->segmenter), "segmenter.weights"));
        if (comm_rank(context->comm) == 0)
            LOG_INFO("%s: %s", weights, part == WEIGHT_PART_BACKBONE ? "the backbone" : part == WEIGHT_PART_BODY ?
                     "all but the class head" : "all weights");
    }
    TRY(create_optimizer(config, state));
    TRY(create_images(state));
    if (comm_rank(context->comm) == 0)
        LOG_INFO("%lld training images, %d seen classes, %lld parameters", (long long)dataset_count(state->data),
                 classes->seen_count, (long long)segmenter_parameters(state->segmenter)->total);
    *total = state->schedule.total_steps;
    return OK;
}

/* The n-th image of training: epoch by epoch, each in its own order. */
static int64_t pick_image(BackboneState *state, int64_t n)
{
    int64_t count = dataset_count(state->data), epoch = n / count;
    if (epoch != state->order_epoch) {
        for (int64_t i = 0; i < count; i++) state->order[i] = i;
        Random random = random_stream(state->context->seed, RANDOM_ORDER, (uint64_t)epoch, 0);
        random_shuffle(&random, state->order, count);
        state->order_epoch = epoch;
    }
    return state->order[n % count];
}

static Status reserve_segments(TrainImage *image, int count)
{
    if (count <= image->capacity) return OK;
    TargetSegment *segments = memory_resize(image->segments, (size_t)count * sizeof *segments);
    if (segments == NULL) return status_no_memory((size_t)count * sizeof *segments, "targets");
    image->segments = segments;
    image->capacity = count;
    return OK;
}

/* The segments that the crop still shows. Crowds are no targets, and their pixels are void. */
static Status find_targets(BackboneState *state, TrainImage *image)
{
    const ClassTable *classes = dataset_classes(state->data);
    const Sample *sample = state->sample;
    int64_t pixels = (int64_t)state->augment.height * state->augment.width;
    memset(state->visible, 0, ((size_t)sample->segment_count + 1) * sizeof *state->visible);
    for (int64_t i = 0; i < pixels; i++) {
        uint16_t value = image->map[i];
        if (value != 0 && sample->segments[value - 1].is_crowd) image->map[i] = value = 0;
        state->visible[value]++;
    }
    TRY(reserve_segments(image, sample->segment_count));
    image->count = 0;
    for (int i = 0; i < sample->segment_count; i++) {
        if (state->visible[i + 1] == 0) continue;
        int label = class_table_seen_index(classes, sample->segments[i].class_index);
        if (label < 0)
            return status_error(STATUS_INTERNAL, "training image %s carries a label of the unseen class '%s'",
                                sample->file_name, classes->entries[sample->segments[i].class_index].name);
        image->segments[image->count++] = (TargetSegment){.value = i + 1, .label = label};
    }
    return OK;
}

/* The n-th image that this rank reads. */
static int64_t pick_own_image(void *context, int64_t n)
{
    BackboneState *state = context;
    return pick_image(state, n / state->share * state->batch + state->first + n % state->share);
}

/* From the step that training starts or goes on with; two steps' images ahead. */
static Status start_reading(BackboneState *state, int64_t step)
{
    const Config *config = state->context->config;
    const int64_t steps = config_integer(config, "train.steps");
    prefetch_destroy(state->prefetch);
    state->prefetch = NULL;
    return prefetch_create(state->data, (int)config_integer(config, "data.readers"), 2 * state->share, pick_own_image,
                           state, step * state->share, steps * state->share, &state->prefetch);
}

/* Own images, augmented; segment_counts of them. */
static Status read_images(BackboneState *state, int64_t step)
{
    state->waited = 0;
    if (state->prefetch == NULL || state->read_step != step) TRY(start_reading(state, step));
    state->read_step = step + 1;
    for (int i = 0; i < state->share; i++) {
        TrainImage *image = &state->images[i];
        int64_t b = state->first + i;
        Sample *sample;
        TRY(prefetch_next(state->prefetch, &sample, &state->waited));
        state->sample = sample;
        Random random = random_stream(state->context->seed, RANDOM_AUGMENT, (uint64_t)step, (uint64_t)b);
        augment_crop(&state->augment, random, sample->rgb, sample->map, sample->height, sample->width, image->pixels,
                     image->map);
        TRY(find_targets(state, image));
        state->segment_counts[b] = image->count;
    }
    return OK;
}

/* Reads own images and learns what the losses of all images are divided by. Collective. */
static Status read_batch(BackboneState *state, int64_t step, CriterionBatch *batch)
{
    const SegmenterConfig *setup = segmenter_config(state->segmenter);
    Comm *comm = state->context->comm;
    TRY(comm_agree(comm, read_images(state, step)));
    TRY(comm_gather(comm, state->segment_counts, (size_t)state->share * sizeof *state->segment_counts));
    for (int b = 0; b < state->batch; b++)
        criterion_count(&setup->criterion, setup->queries, (int)state->segment_counts[b], batch);
    return OK;
}

static Status train_image(BackboneState *state, int i, CriterionBatch *batch)
{
    const TrainImage *image = &state->images[i];
    SegmentTarget target = {.map = image->map, .height = state->augment.height, .width = state->augment.width,
                            .segments = image->segments, .count = image->count};
    CriterionLosses own;
    batch->sample = (uint64_t)(state->first + i);
    parameters_zero_grad(segmenter_parameters(state->segmenter));
    TRY(segmenter_train_sample(state->segmenter, image->pixels, target.height, target.width, &target, batch, &own));
    double *losses = state->losses[state->first + i];
    losses[LOSS_TOTAL] = own.total;
    losses[LOSS_CLASS] = own.ce[own.heads - 1];
    losses[LOSS_MASK] = own.mask[own.heads - 1];
    losses[LOSS_DICE] = own.dice[own.heads - 1];
    return OK;
}

/* Gradients and losses of the batch, on every rank. Collective: a rank that fails goes on to where the others wait. */
static Status accumulate(BackboneState *state, CriterionBatch *batch, double sums[LOSSES])
{
    Comm *comm = state->context->comm;
    Status own = OK;
    gradient_tree_begin(state->tree);
    for (int i = 0; i < state->share && own == OK; i++) {
        own = train_image(state, i, batch);
        if (own == OK) gradient_tree_push(state->tree);
    }
    own = status_first(own, gradient_tree_finish(state->tree));
    TRY(comm_agree(comm, own));
    TRY(comm_gather(comm, state->losses, (size_t)state->share * sizeof *state->losses));
    for (int b = 0; b < state->batch; b++)
        for (int l = 0; l < LOSSES; l++) sums[l] += state->losses[b][l];
    return OK;
}

/* A step whose gradient is not finite changes nothing; too many of them end the job. All ranks have the same gradient,
 * and do the same. */
static Status skip_step(BackboneState *state, int64_t step, Status cause)
{
    int64_t skipped = ++state->counters[1];
    if (comm_rank(state->context->comm) == 0)
        LOG_WARNING("step %lld skipped (%lld so far): %s", (long long)step, (long long)skipped, status_message(cause));
    if (skipped >= state->patience)
        return status_wrap(cause, "%lld steps were not finite (train.patience): lower train.rate or train.clip",
                           (long long)skipped);
    status_free(cause);
    return OK;
}

static Status backbone_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    BackboneState *state = pointer;
    CriterionBatch batch = {.seed = state->context->seed, .step = (uint64_t)step};
    double losses[LOSSES] = {0}, norm = 0, rate = schedule_rate(&state->schedule, step);
    TRY(read_batch(state, step, &batch));
    TRY(accumulate(state, &batch, losses));
    Status status = optimizer_clip(segmenter_parameters(state->segmenter), state->clip, &norm);
    if (status_code(status) == STATUS_NON_FINITE) return skip_step(state, step, status);
    TRY(status);
    TRY(optimizer_step(state->optimizer, rate));
    for (int l = 0; l < LOSSES; l++) stage_metric(metrics, LOSS_NAMES[l], losses[l]);
    stage_metric(metrics, "gradient_norm", norm);
    stage_metric(metrics, "rate", rate);
    stage_metric(metrics, "data_wait", state->waited);
    return OK;
}

static Status backbone_save(void *pointer, int64_t next_step, const char **kind, ArrayList *arrays)
{
    BackboneState *state = pointer;
    Parameters *parameters = segmenter_parameters(state->segmenter);
    int64_t shape = 2;
    *kind = STATE_KIND;
    state->counters[0] = next_step;
    TRY(weights_list(arrays, "model.", parameters));
    TRY(optimizer_list(arrays, "optimizer.", state->optimizer, parameters));
    return array_list_add(arrays, "", "counters", ARRAY_I64, 1, &shape, state->counters);
}

static Status backbone_load(void *pointer, const char *path, int64_t *next_step)
{
    BackboneState *state = pointer;
    Parameters *parameters = segmenter_parameters(state->segmenter);
    int64_t shape = 2;
    Checkpoint *checkpoint;
    TRY(checkpoint_read(path, STATE_KIND, &checkpoint));
    Status status = weights_load(checkpoint, "model.", parameters);
    if (status == OK) status = optimizer_load(checkpoint, "optimizer.", state->optimizer, parameters);
    if (status == OK) status = checkpoint_get(checkpoint, "counters", ARRAY_I64, 1, &shape, state->counters);
    checkpoint_destroy(checkpoint);
    TRY(status_wrap(status, "%s", path));
    *next_step = state->counters[0];
    return OK;
}

/* Every rank has the weights; the first one writes them. */
static Status backbone_finish(void *pointer)
{
    BackboneState *state = pointer;
    TRY(parameters_check_finite(segmenter_parameters(state->segmenter), false));
    if (comm_rank(state->context->comm) != 0) return OK;
    char *path = path_join(state->context->output, SEGMENTER_FILE);
    if (path == NULL) return status_no_memory(256, "a path");
    Status status = segmenter_write(path, state->segmenter, state->context->config, dataset_classes(state->data));
    memory_free(path);
    return status;
}

const Stage STAGE_DEF_BACKBONE = {
    .id = STAGE_BACKBONE,
    .version = 1,
    .inputs = 1u << STAGE_SHARD,
    .unit = "steps",
    .parallel = true,
    .fingerprint = backbone_fingerprint,
    .start = backbone_start,
    .step = backbone_step,
    .save = backbone_save,
    .load = backbone_load,
    .finish = backbone_finish,
    .destroy = backbone_destroy,
    .check = backbone_check,
    .steps_key = "train.steps",
};
