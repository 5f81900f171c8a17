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

static void write_instances(JsonWriter *writer, const char *group, const InstanceQuality *quality)
{
    const int classes = quality->classes[SIZE_ALL];
    grouped(writer, "instance.ap", group, quality->ap[SIZE_ALL], classes);
    grouped(writer, "instance.ap50", group, quality->ap50, classes);
    grouped(writer, "instance.ap75", group, quality->ap75, classes);
    grouped(writer, "instance.recall", group, quality->recall[SIZE_ALL], classes);
    grouped(writer, "instance.recall50", group, quality->recall50, classes);
    for (int size = SIZE_SMALL; size < INSTANCE_SIZE_COUNT; size++) {
        char ap[32], recall[32];
        snprintf(ap, sizeof ap, "instance.ap%s", instance_size_name((InstanceSize)size));
        snprintf(recall, sizeof recall, "instance.recall%s", instance_size_name((InstanceSize)size));
        grouped(writer, ap, group, quality->ap[size], quality->classes[size]);
        grouped(writer, recall, group, quality->recall[size], quality->classes[size]);
    }
}

static void write_class(JsonWriter *writer, const ClassEntry *entry, int class_index, const MetricSources *sources)
{
    const PanopticScore *panoptic = sources->panoptic;
    const SemanticScore *semantic = sources->semantic;
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
    if (sources->instances != NULL && entry->is_thing) {
        const InstanceQuality quality = instance_quality_class(sources->instances, class_index);
        const bool known = quality.classes[SIZE_ALL] > 0;
        member_real(writer, "instance.ap", known ? quality.ap[SIZE_ALL] : (double)NAN);
        member_real(writer, "instance.ap50", known ? quality.ap50 : (double)NAN);
        member_real(writer, "instance.recall", known ? quality.recall[SIZE_ALL] : (double)NAN);
    }
    json_end_object(writer);
}

/* One group of classes, or their harmonic mean (GROUP_COUNT), under `name`. */
static void write_group(JsonWriter *writer, const ClassTable *classes, const MetricSources *sources, int group,
                        const char *name)
{
    const bool harmonic = group == GROUP_COUNT;
    if (sources->panoptic != NULL) {
        const PanopticQuality quality = harmonic ? panoptic_quality_harmonic(sources->panoptic, classes)
                                                 : panoptic_quality_group(sources->panoptic, classes, (MetricGroup)group);
        write_panoptic(writer, name, &quality);
    }
    if (sources->semantic != NULL) {
        const SemanticQuality quality = harmonic ? semantic_quality_harmonic(sources->semantic, classes)
                                                 : semantic_quality_group(sources->semantic, classes, (MetricGroup)group);
        write_semantic(writer, name, &quality);
    }
    if (sources->instances != NULL && group != GROUP_THINGS && group != GROUP_STUFF) { /* all are things */
        const InstanceQuality quality = harmonic ? instance_quality_harmonic(sources->instances, classes)
                                                 : instance_quality_group(sources->instances, classes, (MetricGroup)group);
        write_instances(writer, name, &quality);
    }
}

void metrics_write_json(JsonWriter *writer, const ClassTable *classes, const MetricSources *sources)
{
    for (int g = 0; g <= GROUP_COUNT; g++)
        write_group(writer, classes, sources, g, g == GROUP_COUNT ? "harmonic" : metric_group_name((MetricGroup)g));
    json_key(writer, "classes");
    json_begin_object(writer);
    for (int c = 0; c < classes->count; c++) write_class(writer, &classes->entries[c], c, sources);
    json_end_object(writer);
}

void metrics_write_strict(JsonWriter *writer, const ClassTable *classes, const MetricSources *sources)
{
    write_group(writer, classes, sources, GROUP_UNSEEN, "strict");
}
