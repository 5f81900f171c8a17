#include "jobs/stages/scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "models/metrics/summary.h"
#include "models/metrics/tradeoff.h"

enum { VIEW_GENERAL, VIEW_STRICT, VIEW_CURVE };

typedef struct View {
    double shift;         /* subtracted from the seen logits */
    float *bias;          /* [C + 1] */
    PanopticScore panoptic;
    SemanticScore semantic;
    InstanceScore instances; /* of general and strict */
} View;

struct Scores {
    const Classifier *classifier;
    PanopticConfig panoptic;
    double shift;
    View *views;          /* general; then, where a class is unseen, strict and the curve's */
    int view_count;
    int32_t *ids, *labels; /* truth of the strict view */
    size_t pixel_capacity;
    PanopticSegment *segments;
    TrueInstance *truths;
    int segment_capacity;
};

void scores_destroy(Scores *scores)
{
    if (scores == NULL) return;
    for (int v = 0; v < scores->view_count; v++) {
        memory_free(scores->views[v].bias);
        panoptic_score_clear(&scores->views[v].panoptic);
        semantic_score_clear(&scores->views[v].semantic);
        instance_score_clear(&scores->views[v].instances);
    }
    memory_free(scores->views);
    memory_free(scores->ids);
    memory_free(scores->labels);
    memory_free(scores->segments);
    memory_free(scores->truths);
    memory_free(scores);
}

/* `shift` is against the classifier as it was trained; its present bias has the calibration's in it. */
static Status add_view(Scores *scores, double shift)
{
    const Classifier *classifier = scores->classifier;
    View *view = &scores->views[scores->view_count++];
    view->shift = shift;
    view->bias = memory_alloc(((size_t)classifier->classes.count + 1) * sizeof *view->bias);
    if (view->bias == NULL) return status_no_memory((size_t)classifier->classes.count * 4, "a class bias");
    tradeoff_shift_bias(classifier->bias, &classifier->classes, shift - scores->shift, view->bias);
    TRY(panoptic_score_create(classifier->classes.count, &view->panoptic));
    TRY(semantic_score_create(classifier->classes.count, &view->semantic));
    return instance_score_create(classifier->classes.count, &view->instances);
}

static int compare_reals(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static Status add_curve(Scores *scores, const Config *config, int64_t stops)
{
    double *shifts = memory_alloc(((size_t)stops + 1) * sizeof *shifts);
    if (shifts == NULL) return status_no_memory((size_t)stops * sizeof *shifts, "the trade-off curve");
    for (int64_t i = 0; i < stops; i++) shifts[i] = config_list_real(config, "calibration.curve", i);
    qsort(shifts, (size_t)stops, sizeof *shifts, compare_reals);
    Status status = add_view(scores, -INFINITY);
    for (int64_t i = 0; i < stops && status == OK; i++) status = add_view(scores, shifts[i]);
    if (status == OK) status = add_view(scores, INFINITY);
    memory_free(shifts);
    return status;
}

Status scores_create(const Config *config, const Classifier *classifier, double shift, Scores **out)
{
    Scores *scores = memory_alloc_zero(1, sizeof *scores);
    if (scores == NULL) return status_no_memory(sizeof *scores, "scores");
    *out = scores;
    scores->classifier = classifier;
    scores->shift = shift;
    scores->panoptic = (PanopticConfig){.score = config_real(config, "evaluate.score"),
                                        .overlap = config_real(config, "evaluate.overlap")};
    const int64_t stops = config_list_count(config, "calibration.curve");
    scores->views = memory_alloc_zero((size_t)stops + 4, sizeof *scores->views);
    if (scores->views == NULL) return status_no_memory((size_t)stops * sizeof *scores->views, "scores");
    TRY(add_view(scores, shift));
    if (classifier->classes.unseen_count == 0) return OK;
    TRY(add_view(scores, INFINITY));
    return stops > 0 ? add_curve(scores, config, stops) : OK;
}

/* -- one image -- */

static Status reserve(Scores *scores, size_t pixels, int segments)
{
    if (pixels > scores->pixel_capacity) {
        memory_free(scores->ids);
        memory_free(scores->labels);
        scores->pixel_capacity = 0;
        scores->ids = memory_alloc(pixels * sizeof *scores->ids);
        scores->labels = memory_alloc(pixels * sizeof *scores->labels);
        if (scores->ids == NULL || scores->labels == NULL) return status_no_memory(pixels * 8, "ground truth");
        scores->pixel_capacity = pixels;
    }
    if (segments > scores->segment_capacity) {
        memory_free(scores->segments);
        memory_free(scores->truths);
        scores->segment_capacity = 0;
        scores->segments = memory_alloc((size_t)segments * sizeof *scores->segments);
        scores->truths = memory_alloc((size_t)segments * sizeof *scores->truths);
        if (scores->segments == NULL || scores->truths == NULL) return status_no_memory((size_t)segments * 64, "segments");
        scores->segment_capacity = segments;
    }
    return OK;
}

/* Truth in which all that is seen is void. Ids of a stored truth are places from 1. */
static PanopticMap hide_seen(Scores *scores, const PanopticMap *truth, const int32_t *labels)
{
    const ClassTable *classes = &scores->classifier->classes;
    const int64_t pixels = (int64_t)truth->height * truth->width;
    PanopticMap hidden = *truth;
    hidden.ids = scores->ids;
    hidden.segments = scores->segments;
    hidden.segment_count = 0;
    for (int i = 0; i < truth->segment_count; i++)
        if (classes->entries[truth->segments[i].class_index].is_unseen)
            scores->segments[hidden.segment_count++] = truth->segments[i];
    for (int64_t i = 0; i < pixels; i++) {
        const bool keep = labels[i] >= 0 && classes->entries[labels[i]].is_unseen;
        scores->ids[i] = keep ? truth->ids[i] : 0;
        scores->labels[i] = keep ? labels[i] : -1;
    }
    return hidden;
}

/* Things of the truth, one a segment in its order, so that a segment's id - 1 is its place. What is no thing, or not
 * of this view, gets class -1. */
static int list_truths(Scores *scores, const PanopticMap *truth, bool strict)
{
    const ClassTable *classes = &scores->classifier->classes;
    for (int i = 0; i < truth->segment_count; i++) {
        const PanopticSegment *segment = &truth->segments[i];
        const ClassEntry *entry = &classes->entries[segment->class_index];
        const bool counts = entry->is_thing && (!strict || entry->is_unseen);
        scores->truths[i] = (TrueInstance){.class_index = counts ? segment->class_index : -1, .pixels = segment->area,
                                           .area = (double)segment->area, .is_crowd = segment->is_crowd};
    }
    return truth->segment_count;
}

/* Takes out the truths without a class, in both tables. */
static int drop_others(TrueInstance *truths, int count, int64_t *common, int detections)
{
    int kept = 0;
    for (int t = 0; t < count; t++) kept += truths[t].class_index >= 0;
    for (int d = 0; d < detections; d++)
        for (int t = 0, to = 0; t < count; t++)
            if (truths[t].class_index >= 0) common[(int64_t)d * kept + to++] = common[(int64_t)d * count + t];
    for (int t = 0, to = 0; t < count; t++)
        if (truths[t].class_index >= 0) truths[to++] = truths[t];
    return kept;
}

static Status add_instances(Scores *scores, View *view, const FeatureImage *image, int queries, const PanopticMap *truth,
                            Prediction *prediction)
{
    const int truths = list_truths(scores, truth, view != &scores->views[VIEW_GENERAL]);
    TRY(prediction_find_instances(prediction, scores->classifier, image->masks, queries, image->mask_height,
                                  image->mask_width));
    const int detections = prediction->instance_count;
    int64_t *common = memory_alloc_zero((size_t)detections * (size_t)truths + 1, sizeof *common);
    DetectedInstance *found = memory_alloc(((size_t)detections + 1) * sizeof *found);
    Status status = common == NULL || found == NULL ? status_no_memory((size_t)truths * 800, "overlaps") : OK;
    if (status == OK)
        status = prediction_overlap_instances(prediction, image->masks, queries, image->mask_height, image->mask_width,
                                              image->map, truths, common);
    if (status == OK) {
        for (int d = 0; d < detections; d++)
            found[d] = (DetectedInstance){.class_index = prediction->instances[d].class_index,
                                          .score = (double)prediction->instances[d].score,
                                          .pixels = prediction->instances[d].area};
        const InstanceImage pairs = {.image_id = image->image_id, .truths = scores->truths, .detections = found,
                                     .truth_count = drop_others(scores->truths, truths, common, detections),
                                     .detection_count = detections, .common = common};
        status = instance_score_add(&view->instances, &pairs, image->file_name);
    }
    memory_free(common);
    memory_free(found);
    return status;
}

static Status add_to_view(Scores *scores, int number, const FeatureImage *image, int queries, const PanopticMap *truth,
                          const int32_t *labels, Prediction *prediction)
{
    View *view = &scores->views[number];
    Classifier shifted = *scores->classifier;
    shifted.bias = view->bias;
    TRY(prediction_make(prediction, &shifted, &scores->panoptic, image->embeddings, image->masks, queries,
                        image->mask_height, image->mask_width, image->height, image->width));
    const bool strict = number == VIEW_STRICT;
    const PanopticMap predicted = prediction_map(prediction), scored = strict ? hide_seen(scores, truth, labels) : *truth;
    TRY(panoptic_score_add(&view->panoptic, &scored, &predicted, image->file_name));
    TRY(semantic_score_add(&view->semantic, strict ? scores->labels : labels, prediction->labels,
                           (int64_t)truth->height * truth->width, image->file_name));
    return number < VIEW_CURVE ? add_instances(scores, view, image, queries, truth, prediction) : OK;
}

Status scores_add(Scores *scores, const FeatureImage *image, int queries, const PanopticMap *truth,
                  const int32_t *labels, Prediction *prediction)
{
    TRY(reserve(scores, (size_t)truth->height * (size_t)truth->width, truth->segment_count));
    for (int v = scores->view_count - 1; v >= 0; v--)
        TRY(add_to_view(scores, v, image, queries, truth, labels, prediction));
    return OK;
}

/* -- state -- */

static int64_t panoptic_cells(const View *view)
{
    return (int64_t)view->panoptic.class_count * PANOPTIC_COUNTS_SIZE;
}

static int64_t semantic_cells(const View *view)
{
    return (int64_t)view->semantic.class_count * (view->semantic.class_count + 1);
}

static Status gather_counts(int64_t *counts, int64_t cells, Comm *comm)
{
    TRY(comm_sum_integers(comm, counts, cells));
    if (comm_rank(comm) != 0) memset(counts, 0, (size_t)cells * sizeof *counts);
    return OK;
}

Status scores_gather(Scores *scores, Comm *comm)
{
    if (comm_size(comm) == 1) return OK;
    for (int v = 0; v < scores->view_count; v++) {
        View *view = &scores->views[v];
        TRY(gather_counts((int64_t *)view->panoptic.counts, panoptic_cells(view), comm));
        TRY(gather_counts(view->semantic.confusion, semantic_cells(view), comm));
        TRY(instance_score_gather(&view->instances, comm));
    }
    return OK;
}

void scores_reset(Scores *scores)
{
    for (int v = 0; v < scores->view_count; v++) {
        View *view = &scores->views[v];
        memset(view->panoptic.counts, 0, (size_t)panoptic_cells(view) * sizeof(int64_t));
        memset(view->semantic.confusion, 0, (size_t)semantic_cells(view) * sizeof(int64_t));
        instance_score_reset(&view->instances);
    }
}

Status scores_merge(Scores *into, const Scores *from)
{
    for (int v = 0; v < into->view_count; v++) {
        panoptic_score_merge(&into->views[v].panoptic, &from->views[v].panoptic);
        semantic_score_merge(&into->views[v].semantic, &from->views[v].semantic);
        TRY(instance_score_merge(&into->views[v].instances, &from->views[v].instances));
    }
    return OK;
}

enum { VIEW_ARRAYS = 4, NAME_BYTES = 32 };

/* The four arrays of a view; `names` hold theirs. */
static void list_view(const View *view, int number, char names[VIEW_ARRAYS][NAME_BYTES], NamedArray arrays[VIEW_ARRAYS])
{
    static const char *const KINDS[VIEW_ARRAYS] = {"panoptic", "confusion", "positives", "detections"};
    const int64_t classes = view->panoptic.class_count;
    for (int i = 0; i < VIEW_ARRAYS; i++) snprintf(names[i], NAME_BYTES, "%s.%d", KINDS[i], number);
    arrays[0] = (NamedArray){.name = names[0], .type = ARRAY_I64, .rank = 2,
                             .shape = {classes, PANOPTIC_COUNTS_SIZE, 1, 1}, .data = view->panoptic.counts};
    arrays[1] = (NamedArray){.name = names[1], .type = ARRAY_I64, .rank = 2, .shape = {classes, classes + 1, 1, 1},
                             .data = view->semantic.confusion};
    arrays[2] = (NamedArray){.name = names[2], .type = ARRAY_I64, .rank = 2,
                             .shape = {classes, INSTANCE_SIZE_COUNT, 1, 1}, .data = view->instances.positives};
    arrays[3] = (NamedArray){.name = names[3], .type = ARRAY_U8, .rank = 2,
                             .shape = {view->instances.record_count, sizeof(InstanceRecord), 1, 1},
                             .data = view->instances.records};
}

Status scores_list(const Scores *scores, int64_t *next_step, ArrayList *list)
{
    const int64_t one = 1;
    for (int v = 0; v < scores->view_count; v++) {
        char names[VIEW_ARRAYS][NAME_BYTES];
        NamedArray arrays[VIEW_ARRAYS];
        list_view(&scores->views[v], v, names, arrays);
        for (int i = 0; i < VIEW_ARRAYS; i++) /* a view without detections has no such array */
            if (arrays[i].shape[0] > 0)
                TRY(array_list_add(list, "", names[i], arrays[i].type, arrays[i].rank, arrays[i].shape, arrays[i].data));
    }
    return array_list_add(list, "", "next_step", ARRAY_I64, 1, &one, next_step);
}

static Status load_records(View *view, const Checkpoint *checkpoint, const char *name)
{
    const NamedArray *array = checkpoint_find(checkpoint, name);
    view->instances.record_count = 0;
    if (array == NULL) return OK;
    if (array->type != ARRAY_U8 || array->rank != 2 || array->shape[1] != (int64_t)sizeof(InstanceRecord))
        return status_error(STATUS_CORRUPT, "%s is no table of detections", name);
    return instance_score_append(&view->instances, array->data, array->shape[0]);
}

static Status load_view(View *view, int number, const Checkpoint *checkpoint)
{
    char names[VIEW_ARRAYS][NAME_BYTES];
    NamedArray arrays[VIEW_ARRAYS];
    list_view(view, number, names, arrays);
    for (int i = 0; i < VIEW_ARRAYS - 1; i++)
        TRY(checkpoint_get(checkpoint, names[i], arrays[i].type, arrays[i].rank, arrays[i].shape, arrays[i].data));
    return load_records(view, checkpoint, names[VIEW_ARRAYS - 1]);
}

Status scores_load(Scores *scores, const char *path, const char *kind, int64_t *next_step)
{
    Checkpoint *checkpoint;
    const int64_t one = 1;
    TRY(checkpoint_read(path, kind, &checkpoint));
    Status status = OK;
    for (int v = 0; v < scores->view_count && status == OK; v++) status = load_view(&scores->views[v], v, checkpoint);
    if (status == OK) status = checkpoint_get(checkpoint, "next_step", ARRAY_I64, 1, &one, next_step);
    checkpoint_destroy(checkpoint);
    return status_wrap(status, "%s", path);
}

/* -- numbers -- */

typedef double (*ViewValue)(const View *view, const ClassTable *classes, MetricGroup group);

static double panoptic_value(const View *view, const ClassTable *classes, MetricGroup group)
{
    return panoptic_quality_group(&view->panoptic, classes, group).pq;
}

static double semantic_value(const View *view, const ClassTable *classes, MetricGroup group)
{
    return semantic_quality_group(&view->semantic, classes, group).miou;
}

static void write_points(JsonWriter *writer, const char *metric, bool unseen, const TradeoffPoint *points, int count)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s", metric, unseen ? "unseen" : "seen");
    json_key(writer, key);
    json_begin_array(writer);
    for (int i = 0; i < count; i++) json_real(writer, unseen ? points[i].unseen : points[i].seen);
    json_end_array(writer);
}

static void write_curve(const Scores *scores, JsonWriter *writer, TradeoffPoint *points)
{
    static const struct { const char *name, *area; ViewValue value; } METRICS[] = {
        {"panoptic.pq", "panoptic.pq.ausuc", panoptic_value}, {"semantic.miou", "semantic.miou.ausuc", semantic_value}};
    enum { METRIC_COUNT = sizeof METRICS / sizeof METRICS[0] };
    const int count = scores->view_count - VIEW_CURVE;
    for (int pass = 0; pass < 2; pass++) { /* areas are members of their own, points are in "curve" */
        if (pass == 1) {
            json_key(writer, "curve");
            json_begin_object(writer);
            json_key(writer, "bias");
            json_begin_array(writer);
            for (int i = 0; i < count; i++) json_real(writer, scores->views[VIEW_CURVE + i].shift);
            json_end_array(writer);
        }
        for (int m = 0; m < METRIC_COUNT; m++) {
            for (int i = 0; i < count; i++) {
                const View *view = &scores->views[VIEW_CURVE + i];
                points[i] = (TradeoffPoint){view->shift,
                                            METRICS[m].value(view, &scores->classifier->classes, GROUP_SEEN),
                                            METRICS[m].value(view, &scores->classifier->classes, GROUP_UNSEEN)};
            }
            if (pass == 0) {
                json_key(writer, METRICS[m].area);
                json_real(writer, tradeoff_area(points, count));
            } else {
                write_points(writer, METRICS[m].name, false, points, count);
                write_points(writer, METRICS[m].name, true, points, count);
            }
        }
    }
    json_end_object(writer);
}

static Status write_view(const Scores *scores, int number, JsonWriter *writer)
{
    const View *view = &scores->views[number];
    const ClassTable *classes = &scores->classifier->classes;
    InstanceResults results;
    TRY(instance_results_create(&view->instances, &results));
    const MetricSources sources = {&view->panoptic, &view->semantic, &results};
    if (number == VIEW_STRICT) metrics_write_strict(writer, classes, &sources);
    else metrics_write_json(writer, classes, &sources);
    instance_results_clear(&results);
    return OK;
}

Status scores_write_json(const Scores *scores, JsonWriter *writer)
{
    TRY(write_view(scores, VIEW_GENERAL, writer));
    if (scores->view_count > VIEW_STRICT) TRY(write_view(scores, VIEW_STRICT, writer));
    json_key(writer, "calibration.bias");
    json_real(writer, scores->shift);
    if (scores->view_count <= VIEW_CURVE) return OK;
    TradeoffPoint *points = memory_alloc((size_t)scores->view_count * sizeof *points);
    if (points == NULL) return status_no_memory((size_t)scores->view_count * sizeof *points, "the trade-off curve");
    write_curve(scores, writer, points);
    memory_free(points);
    return OK;
}
