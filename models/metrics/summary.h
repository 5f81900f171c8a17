/* The numbers of an evaluation under their names in metrics.json:
 *
 *   "panoptic.pq.seen": 0.41, ...        pq, sq, rq x all, things, stuff, seen, unseen, harmonic
 *   "semantic.miou.seen": 0.37, ...      miou, fwiou, macc, pacc x the same
 *   "classes": {"NAME": {"split": "unseen", "thing": true, "panoptic.pq": .., "panoptic.sq": .., "panoptic.rq": ..,
 *                        "panoptic.tp": .., "panoptic.fp": .., "panoptic.fn": .., "semantic.iou": ..,
 *                        "semantic.accuracy": ..}, ...}
 *
 * Fractions, not percent. A group without a class that counts is null, and so is a class that does not occur. */
#ifndef MODELS_METRICS_SUMMARY_H
#define MODELS_METRICS_SUMMARY_H

#include "framework/json.h"
#include "models/metrics/panoptic.h"
#include "models/metrics/semantic.h"

/* Members of the object that the writer is in; `panoptic` or `semantic` may be NULL. */
void metrics_write_json(JsonWriter *writer, const ClassTable *classes, const PanopticScore *panoptic,
                        const SemanticScore *semantic);

#endif
