#include "jobs/stages/picture_scores.h"

#include <math.h>

#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "models/metrics/semantic.h"

static void write_real(JsonWriter *writer, const char *key, double value, int classes)
{
    json_key(writer, key);
    json_real(writer, classes > 0 ? value : (double)NAN);
}

static void write_scores(JsonWriter *writer, const ClassTable *classes, const PanopticScore *panoptic,
                         const SemanticScore *semantic, const char *image)
{
    PanopticQuality all = panoptic_quality_group(panoptic, classes, GROUP_ALL);
    PanopticQuality unseen = panoptic_quality_group(panoptic, classes, GROUP_UNSEEN);
    SemanticQuality pixels = semantic_quality_group(semantic, classes, GROUP_ALL);
    SemanticQuality unseen_pixels = semantic_quality_group(semantic, classes, GROUP_UNSEEN);
    json_begin_object(writer);
    json_key(writer, "image");
    json_string(writer, image);
    write_real(writer, "pq", all.pq, all.classes);
    write_real(writer, "pq_unseen", unseen.pq, unseen.classes);
    write_real(writer, "miou", pixels.miou, pixels.classes);
    write_real(writer, "miou_unseen", unseen_pixels.miou, unseen_pixels.classes);
    json_end_object(writer);
}

static Status write_file(const char *directory, int64_t index, JsonWriter *writer)
{
    char *path = memory_format("%s/%03lld.json", directory, (long long)index);
    Status status = path == NULL || writer->text.failed ? status_no_memory(256, "scores of a picture")
                                                        : file_write(path, writer->text.data, writer->text.length);
    memory_free(path);
    return status;
}

Status picture_scores_write(const char *directory, int64_t index, const ClassTable *classes, const PanopticMap *truth,
                            const PanopticMap *prediction, const int32_t *truth_labels, const int32_t *labels,
                            const char *image)
{
    PanopticScore panoptic = {0};
    SemanticScore semantic = {0};
    JsonWriter writer = {0};
    Status status = panoptic_score_create(classes->count, &panoptic);
    if (status == OK) status = semantic_score_create(classes->count, &semantic);
    if (status == OK) status = panoptic_score_add(&panoptic, truth, prediction, image);
    if (status == OK)
        status = semantic_score_add(&semantic, truth_labels, labels, (int64_t)truth->height * truth->width, image);
    if (status == OK) {
        write_scores(&writer, classes, &panoptic, &semantic, image);
        status = write_file(directory, index, &writer);
    }
    text_free(&writer.text);
    panoptic_score_clear(&panoptic);
    semantic_score_clear(&semantic);
    return status;
}
