#include "models/metrics/summary.h"

#include <math.h>
#include <stdio.h>

static void member_real(JsonWriter *writer, const char *key, double value)
{
    json_key(writer, key);
    json_real(writer, value); /* NaN is written as null */
}

static void grouped(JsonWriter *writer, const char *metric, const char *group, double value, int classes)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s", metric, group);
    member_real(writer, key, classes > 0 ? value : (double)NAN);
}

static void write_panoptic(JsonWriter *writer, const char *group, const PanopticQuality *quality)
{
    grouped(writer, "panoptic.pq", group, quality->pq, quality->classes);
    grouped(writer, "panoptic.sq", group, quality->sq, quality->classes);
    grouped(writer, "panoptic.rq", group, quality->rq, quality->classes);
}

static void write_semantic(JsonWriter *writer, const char *group, const SemanticQuality *quality)
{
    grouped(writer, "semantic.miou", group, quality->miou, quality->classes);
    grouped(writer, "semantic.fwiou", group, quality->fwiou, quality->classes);
    grouped(writer, "semantic.macc", group, quality->mean_accuracy, quality->classes);
    grouped(writer, "semantic.pacc", group, quality->pixel_accuracy, quality->classes);
}

static void write_class(JsonWriter *writer, const ClassEntry *entry, int class_index, const PanopticScore *panoptic,
                        const SemanticScore *semantic)
{
    json_key(writer, entry->name);
    json_begin_object(writer);
    json_key(writer, "split");
    json_string(writer, entry->is_unseen ? "unseen" : "seen");
    json_key(writer, "thing");
    json_bool(writer, entry->is_thing);
    if (panoptic != NULL) {
        PanopticQuality quality = panoptic_quality_class(panoptic, class_index);
        const PanopticCounts *counts = &panoptic->counts[class_index];
        bool known = quality.classes > 0;
        member_real(writer, "panoptic.pq", known ? quality.pq : (double)NAN);
        member_real(writer, "panoptic.sq", known ? quality.sq : (double)NAN);
        member_real(writer, "panoptic.rq", known ? quality.rq : (double)NAN);
        json_key(writer, "panoptic.tp");
        json_integer(writer, counts->true_positives);
        json_key(writer, "panoptic.fp");
        json_integer(writer, counts->false_positives);
        json_key(writer, "panoptic.fn");
        json_integer(writer, counts->false_negatives);
    }
    if (semantic != NULL) {
        double iou, accuracy;
        bool known = semantic_iou_class(semantic, class_index, &iou, &accuracy);
        member_real(writer, "semantic.iou", known ? iou : (double)NAN);
        member_real(writer, "semantic.accuracy", known ? accuracy : (double)NAN);
    }
    json_end_object(writer);
}

void metrics_write_json(JsonWriter *writer, const ClassTable *classes, const PanopticScore *panoptic,
                        const SemanticScore *semantic)
{
    for (int g = 0; g <= GROUP_COUNT; g++) { /* the last is the harmonic mean */
        bool harmonic = g == GROUP_COUNT;
        const char *name = harmonic ? "harmonic" : metric_group_name((MetricGroup)g);
        if (panoptic != NULL) {
            PanopticQuality quality = harmonic ? panoptic_quality_harmonic(panoptic, classes)
                                               : panoptic_quality_group(panoptic, classes, (MetricGroup)g);
            write_panoptic(writer, name, &quality);
        }
        if (semantic != NULL) {
            SemanticQuality quality = harmonic ? semantic_quality_harmonic(semantic, classes)
                                               : semantic_quality_group(semantic, classes, (MetricGroup)g);
            write_semantic(writer, name, &quality);
        }
    }
    json_key(writer, "classes");
    json_begin_object(writer);
    for (int c = 0; c < classes->count; c++)
        write_class(writer, &classes->entries[c], c, panoptic, semantic);
    json_end_object(writer);
}
