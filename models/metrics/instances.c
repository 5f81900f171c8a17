#include "models/metrics/instances.h"

#include <string.h>

#include "framework/memory.h"

#define X(size, name) name,
static const char *const SIZE_NAMES[] = {INSTANCE_SIZES(X)};
#undef X
_Static_assert(sizeof SIZE_NAMES / sizeof *SIZE_NAMES == INSTANCE_SIZE_COUNT, "a name per size");
_Static_assert(INSTANCE_THRESHOLDS * INSTANCE_SIZE_COUNT <= 64, "a bit per threshold and size");
_Static_assert(sizeof(InstanceRecord) == 40, "records are kept and sent as bytes, without gaps");

static const double SIZE_LIMITS[INSTANCE_SIZE_COUNT][2] = {{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}};

const char *instance_size_name(InstanceSize size)
{
    return SIZE_NAMES[size];
}

static bool has_size(double area, int size)
{
    return area >= SIZE_LIMITS[size][0] && area <= SIZE_LIMITS[size][1];
}

Status instance_score_create(int class_count, InstanceScore *score)
{
    *score = (InstanceScore){.class_count = class_count};
    score->positives = memory_alloc_zero((size_t)class_count * INSTANCE_SIZE_COUNT + 1, sizeof *score->positives);
    return score->positives == NULL ? status_no_memory((size_t)class_count * 32, "counts of instances") : OK;
}

void instance_score_clear(InstanceScore *score)
{
    memory_free(score->positives);
    memory_free(score->records);
    *score = (InstanceScore){0};
}

static Status reserve(InstanceScore *score, int64_t more)
{
    if (score->record_count + more <= score->record_capacity) return OK;
    int64_t capacity = score->record_capacity + score->record_capacity / 2 + more + 64;
    InstanceRecord *larger = memory_resize(score->records, (size_t)capacity * sizeof *larger);
    if (larger == NULL) return status_no_memory((size_t)capacity * sizeof *larger, "records of detections");
    score->records = larger;
    score->record_capacity = capacity;
    return OK;
}

Status instance_score_append(InstanceScore *score, const InstanceRecord *records, int64_t count)
{
    if (count == 0) return OK;
    TRY(reserve(score, count));
    memcpy(score->records + score->record_count, records, (size_t)count * sizeof *records);
    score->record_count += count;
    return OK;
}

void instance_score_reset(InstanceScore *score)
{
    score->record_count = 0;
    memset(score->positives, 0, (size_t)score->class_count * INSTANCE_SIZE_COUNT * sizeof *score->positives);
}

Status instance_score_merge(InstanceScore *into, const InstanceScore *from)
{
    TRY(instance_score_append(into, from->records, from->record_count));
    for (int i = 0; i < into->class_count * INSTANCE_SIZE_COUNT; i++) into->positives[i] += from->positives[i];
    return OK;
}

/* -- one image -- */

/* One class of an image at one size: places of its truths, those to be ignored last, and of its detections, best
 * first. */
typedef struct Match {
    const InstanceImage *image;
    int truth_count, detection_count, size;
    int *truths, *detections;
    bool *ignored, *taken; /* [truth_count] */
} Match;

static double overlap(const Match *match, int detection, int truth)
{
    const InstanceImage *image = match->image;
    const TrueInstance *t = &image->truths[match->truths[truth]];
    const DetectedInstance *d = &image->detections[match->detections[detection]];
    const int64_t common =
        image->common[(int64_t)match->detections[detection] * image->truth_count + match->truths[truth]];
    if (common == 0) return 0;
    return (double)common / (double)(t->is_crowd ? d->pixels : d->pixels + t->pixels - common);
}

/* Those to be ignored go last; otherwise the order stays. */
static void order_truths(Match *match, const int *places)
{
    int count = 0;
    for (int ignored = 0; ignored < 2; ignored++)
        for (int i = 0; i < match->truth_count; i++) {
            const TrueInstance *truth = &match->image->truths[places[i]];
            const bool ignore = truth->is_crowd || !has_size(truth->area, match->size);
            if (ignore != (ignored == 1)) continue;
            match->truths[count] = places[i];
            match->ignored[count++] = ignore;
        }
}

static void match_threshold(Match *match, int threshold, InstanceRecord *records)
{
    const double least = 0.5 + threshold * ((0.95 - 0.5) / 9); /* to the bit as numpy.linspace(0.5, 0.95, 10) */
    const uint64_t bit = (uint64_t)1 << (threshold + INSTANCE_THRESHOLDS * match->size);
    memset(match->taken, 0, (size_t)match->truth_count * sizeof *match->taken);
    for (int d = 0; d < match->detection_count; d++) {
        double best = least < 1 - 1e-10 ? least : 1 - 1e-10;
        int found = -1;
        for (int t = 0; t < match->truth_count; t++) {
            if (match->taken[t] && !match->image->truths[match->truths[t]].is_crowd) continue;
            if (found >= 0 && !match->ignored[found] && match->ignored[t]) break;
            const double iou = overlap(match, d, t);
            if (iou < best) continue;
            best = iou;
            found = t;
        }
        const double area = (double)match->image->detections[match->detections[d]].pixels;
        if (found >= 0) {
            match->taken[found] = true;
            records[d].matched |= bit;
            if (match->ignored[found]) records[d].ignored |= bit;
        } else if (!has_size(area, match->size)) {
            records[d].ignored |= bit;
        }
    }
}

/* The class's best detections by score; equal ones in the order they came. */
static int rank_detections(const InstanceImage *image, int32_t class_index, int *detections)
{
    int count = 0;
    for (int i = 0; i < image->detection_count; i++) {
        if (image->detections[i].class_index != class_index) continue;
        int place = count < INSTANCE_MAX_DETECTIONS ? count++ : INSTANCE_MAX_DETECTIONS;
        for (; place > 0 && image->detections[detections[place - 1]].score < image->detections[i].score; place--)
            if (place < INSTANCE_MAX_DETECTIONS) detections[place] = detections[place - 1];
        if (place < INSTANCE_MAX_DETECTIONS) detections[place] = i;
    }
    return count;
}

static void add_class(InstanceScore *score, const InstanceImage *image, int32_t class_index, int *places, Match *match)
{
    match->truth_count = 0;
    for (int t = 0; t < image->truth_count; t++)
        if (image->truths[t].class_index == class_index) places[match->truth_count++] = t;
    match->detection_count = rank_detections(image, class_index, match->detections);
    InstanceRecord *records = score->records + score->record_count;
    score->record_count += match->detection_count;
    for (int d = 0; d < match->detection_count; d++)
        records[d] = (InstanceRecord){.image_id = image->image_id, .class_index = class_index, .rank = d,
                                      .score = image->detections[match->detections[d]].score};
    for (match->size = 0; match->size < INSTANCE_SIZE_COUNT; match->size++) {
        order_truths(match, places);
        for (int t = 0; t < match->truth_count; t++)
            score->positives[(int64_t)class_index * INSTANCE_SIZE_COUNT + match->size] += !match->ignored[t];
        for (int threshold = 0; threshold < INSTANCE_THRESHOLDS; threshold++)
            match_threshold(match, threshold, records);
    }
}

static Status check_classes(const InstanceScore *score, const InstanceImage *image, bool *present, const char *name)
{
    for (int i = 0; i < image->truth_count + image->detection_count; i++) {
        const bool truth = i < image->truth_count;
        const int32_t class_index = truth ? image->truths[i].class_index
                                          : image->detections[i - image->truth_count].class_index;
        if (class_index < 0 || class_index >= score->class_count)
            return status_error(STATUS_INVALID, "%s: %s instance of class %d of %d", name,
                                truth ? "a true" : "a detected", class_index, score->class_count);
        present[class_index] = true;
    }
    return OK;
}

Status instance_score_add(InstanceScore *score, const InstanceImage *image, const char *name)
{
    const size_t truths = (size_t)image->truth_count + 1, classes = (size_t)score->class_count + 1;
    TRY(reserve(score, image->detection_count));
    char *block = memory_alloc_zero((2 * truths + INSTANCE_MAX_DETECTIONS) * sizeof(int) + 2 * truths + classes, 1);
    if (block == NULL) return status_no_memory(truths * 2 + classes, "matches of instances");
    int *places = (int *)(void *)block;
    Match match = {.image = image, .truths = places + truths, .detections = places + 2 * truths};
    match.ignored = (bool *)(match.detections + INSTANCE_MAX_DETECTIONS);
    match.taken = match.ignored + truths;
    bool *present = match.taken + truths;
    Status status = check_classes(score, image, present, name);
    for (int c = 0; c < score->class_count && status == OK; c++)
        if (present[c]) add_class(score, image, c, places, &match);
    memory_free(block);
    return status;
}

/* -- ranks -- */

enum { COUNT_TAG = 7301, RECORD_TAG = 7302 };

static Status receive_records(InstanceScore *score, Comm *comm, int from)
{
    int64_t count = 0;
    TRY(comm_receive(comm, &count, sizeof count, from, COUNT_TAG));
    TRY(reserve(score, count));
    if (count > 0)
        TRY(comm_receive(comm, score->records + score->record_count, (size_t)count * sizeof *score->records, from,
                         RECORD_TAG));
    score->record_count += count;
    return OK;
}

Status instance_score_gather(InstanceScore *score, Comm *comm)
{
    const int64_t cells = (int64_t)score->class_count * INSTANCE_SIZE_COUNT;
    if (comm_size(comm) == 1) return OK;
    TRY(comm_sum_integers(comm, score->positives, cells));
    if (comm_rank(comm) == 0) {
        for (int rank = 1; rank < comm_size(comm); rank++) TRY(receive_records(score, comm, rank));
        return OK;
    }
    TRY(comm_send(comm, &score->record_count, sizeof score->record_count, 0, COUNT_TAG));
    if (score->record_count > 0)
        TRY(comm_send(comm, score->records, (size_t)score->record_count * sizeof *score->records, 0, RECORD_TAG));
    instance_score_reset(score);
    return OK;
}
