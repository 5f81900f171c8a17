/* The numbers of an evaluation under their names in metrics.json:
 *
 *   "panoptic.pq.seen": 0.41, ...        pq, sq, rq x all, things, stuff, seen, unseen, harmonic
 *   "semantic.miou.seen": 0.37, ...      miou, fwiou, macc, pacc x the same
 *   "instance.ap.seen": 0.32, ...        ap, ap50, ap75, ap_small, ap_medium, ap_large, recall, recall50, recall_small,
 *                                        recall_medium, recall_large x all, seen, unseen, harmonic
 *   "classes": {"NAME": {"split": "unseen", "thing": true, "panoptic.pq": .., "panoptic.sq": .., "panoptic.rq": ..,
 *                        "panoptic.tp": .., "panoptic.fp": .., "panoptic.fn": .., "semantic.iou": ..,
 *                        "semantic.accuracy": .., "instance.ap": .., "instance.ap50": .., "instance.recall": ..}, ...}
 *
 * and with ".strict" in the group's place what the unseen classes score where they alone compete. Fractions, not
 * percent. A group without a class that counts is null, and so is a class that does not occur. */
#ifndef MODELS_METRICS_SUMMARY_H
#define MODELS_METRICS_SUMMARY_H

#include "framework/json.h"
#include "models/metrics/instances.h"
#include "models/metrics/panoptic.h"
#include "models/metrics/semantic.h"

/* What there is; any may be NULL. */
typedef struct MetricSources {
    const PanopticScore *panoptic;
    const SemanticScore *semantic;
    const InstanceResults *instances;
} MetricSources;

/* Members of the object that the writer is in. */
void metrics_write_json(JsonWriter *writer, const ClassTable *classes, const MetricSources *sources);
/* The ".strict" members, of scores in which only unseen classes competed. */
void metrics_write_strict(JsonWriter *writer, const ClassTable *classes, const MetricSources *sources);

#endif
