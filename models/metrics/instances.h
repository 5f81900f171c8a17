/* Mask AP and recall by the COCO rules, number for number those of pycocotools
 * (COCOeval, iouType "segm"):
 *
 * - Ten IoU thresholds, 0.50 to 0.95; of each image and class the 100 best
 *   scored detections count.
 * - Per threshold each detection, best score first, takes the free true
 *   instance of its class that it overlaps most, and one to be ignored only
 *   where no other fits. A crowd is to be ignored, can be taken many times, and
 *   its overlap is over the detection's own area.
 * - By size: true instances of another size are to be ignored, and so are
 *   unmatched detections of another size. Small is up to 32^2 pixels, medium up
 *   to 96^2, large above.
 * - AP is the mean of the precision, made monotone, at 101 recalls; of a group,
 *   over its classes that have a true instance. Recall is the highest reached.
 *
 * What one detection came to at every threshold and size is a record of 40
 * bytes; nothing else is kept of an image. */
#ifndef MODELS_METRICS_INSTANCES_H
#define MODELS_METRICS_INSTANCES_H

#include <stdint.h>

#include "framework/comm.h"
#include "framework/status.h"
#include "models/metrics/groups.h"

#define INSTANCE_THRESHOLDS 10
#define INSTANCE_MAX_DETECTIONS 100

/* size, name in metrics.json */
#define INSTANCE_SIZES(X)   \
    X(SIZE_ALL, "")         \
    X(SIZE_SMALL, "_small") \
    X(SIZE_MEDIUM, "_medium") \
    X(SIZE_LARGE, "_large")
typedef enum InstanceSize {
#define X(size, name) size,
    INSTANCE_SIZES(X)
#undef X
    INSTANCE_SIZE_COUNT
} InstanceSize;
const char *instance_size_name(InstanceSize size);

typedef struct TrueInstance {
    int32_t class_index;
    int64_t pixels;   /* of its mask */
    double area;      /* as its annotation says; it decides the size */
    bool is_crowd;
} TrueInstance;

typedef struct DetectedInstance {
    int32_t class_index;
    double score;
    int64_t pixels;
} DetectedInstance;

/* One image, borrowed. */
typedef struct InstanceImage {
    int64_t image_id;
    int truth_count, detection_count;
    const TrueInstance *truths;
    const DetectedInstance *detections;
    const int64_t *common; /* [detection_count, truth_count] pixels in both masks */
} InstanceImage;

/* Bit threshold + INSTANCE_THRESHOLDS * size of `matched` and `ignored`. */
typedef struct InstanceRecord {
    int64_t image_id;
    double score;
    uint64_t matched, ignored;
    int32_t class_index;
    int32_t rank;     /* among the image's detections of the class */
} InstanceRecord;

typedef struct InstanceScore {
    int class_count;
    int64_t *positives;      /* [class_count, INSTANCE_SIZE_COUNT] true instances that are not to be ignored */
    InstanceRecord *records; /* in any order: what they come to does not depend on it */
    int64_t record_count, record_capacity;
} InstanceScore;

Status instance_score_create(int class_count, InstanceScore *score);
void instance_score_clear(InstanceScore *score);
/* Adds one image; ids of images are distinct. STATUS_INVALID names `name` where a class is out of range. On failure
 * nothing is added. */
Status instance_score_add(InstanceScore *score, const InstanceImage *image, const char *name);
void instance_score_reset(InstanceScore *score);
/* Adds what another score counted; both have the same classes. */
Status instance_score_merge(InstanceScore *into, const InstanceScore *from);
Status instance_score_append(InstanceScore *score, const InstanceRecord *records, int64_t count);
/* Moves all that the ranks have counted to rank 0; the others start anew. Collective. */
Status instance_score_gather(InstanceScore *score, Comm *comm);

/* Values per class, by way of instance_results_create. */
typedef struct InstanceResults {
    int class_count;
    double *precision;  /* [class_count, INSTANCE_SIZE_COUNT, INSTANCE_THRESHOLDS] AP; -1 where nothing is true */
    double *recall;     /* the same */
} InstanceResults;
Status instance_results_create(const InstanceScore *score, InstanceResults *results);
void instance_results_clear(InstanceResults *results);

/* Fractions in [0, 1]. */
typedef struct InstanceQuality {
    double ap[INSTANCE_SIZE_COUNT], recall[INSTANCE_SIZE_COUNT]; /* means over thresholds and classes; recall is
                                                                    COCO's AR with 100 detections */
    int classes[INSTANCE_SIZE_COUNT];                            /* that they are over; 0: no value, and it is 0 */
    double ap50, ap75, recall50;                                 /* over all sizes */
} InstanceQuality;
InstanceQuality instance_quality_class(const InstanceResults *results, int class_index);
InstanceQuality instance_quality_group(const InstanceResults *results, const ClassTable *classes, MetricGroup group);
/* Harmonic means of the seen and the unseen values, each on its own. */
InstanceQuality instance_quality_harmonic(const InstanceResults *results, const ClassTable *classes);

#endif
