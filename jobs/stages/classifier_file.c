#include "jobs/stages/classifier_file.h"

#include <string.h>

#include "framework/json.h"
#include "framework/memory.h"
#include "storage/checkpoint.h"
#include "storage/class_table.h"

void classifier_clear(Classifier *classifier)
{
    class_table_clear(&classifier->classes);
    memory_free(classifier->weight);
    memory_free(classifier->bias);
    memory_free(classifier->segmenter_digest);
    *classifier = (Classifier){0};
}

Status classifier_write(const char *path, const Classifier *classifier)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "classes");
    class_table_write_json(&writer, &classifier->classes);
    json_key(&writer, "segmenter");
    json_string(&writer, classifier->segmenter_digest);
    json_end_object(&writer);
    int64_t rows = classifier->classes.count + 1;
    NamedArray arrays[2] = {
        {.name = "weight", .type = ARRAY_F32, .rank = 2, .shape = {rows, classifier->embed_dim, 1, 1}, .data = classifier->weight},
        {.name = "bias", .type = ARRAY_F32, .rank = 1, .shape = {rows, 1, 1, 1}, .data = classifier->bias},
    };
    Status status = writer.text.failed ? status_no_memory(1024, "a classifier's header")
                                       : checkpoint_write(path, CLASSIFIER_KIND, text_string(&writer.text), arrays, 2);
    text_free(&writer.text);
    return status;
}

static Status read_header(const Checkpoint *checkpoint, const char *path, Classifier *classifier)
{
    Json *header;
    const char *text = checkpoint_header(checkpoint), *digest;
    TRY(json_parse(text, strlen(text), path, &header));
    Status status = class_table_read_json(json_member(header, "classes"), path, &classifier->classes);
    if (status == OK) status = json_get_string(header, "segmenter", path, &digest);
    if (status == OK && (classifier->segmenter_digest = memory_copy_string(digest)) == NULL)
        status = status_no_memory(64, "a classifier");
    json_destroy(header);
    return status;
}

static Status read_arrays(const Checkpoint *checkpoint, const char *path, Classifier *classifier)
{
    int64_t rows = classifier->classes.count + 1;
    const NamedArray *weight = checkpoint_find(checkpoint, "weight");
    if (weight == NULL || weight->rank != 2 || weight->shape[0] != rows)
        return status_error(STATUS_CORRUPT, "%s: its weight does not fit its %d classes", path, classifier->classes.count);
    classifier->embed_dim = (int)weight->shape[1];
    classifier->weight = memory_alloc((size_t)(rows * weight->shape[1]) * sizeof(float));
    classifier->bias = memory_alloc((size_t)rows * sizeof(float));
    if (classifier->weight == NULL || classifier->bias == NULL)
        return status_no_memory((size_t)(rows * weight->shape[1]) * sizeof(float), "a classifier");
    TRY(checkpoint_get(checkpoint, "weight", ARRAY_F32, 2, weight->shape, classifier->weight));
    return checkpoint_get(checkpoint, "bias", ARRAY_F32, 1, &rows, classifier->bias);
}

Status classifier_read(const char *path, Classifier *classifier)
{
    Checkpoint *checkpoint;
    *classifier = (Classifier){0};
    TRY(checkpoint_read(path, CLASSIFIER_KIND, &checkpoint));
    Status status = read_header(checkpoint, path, classifier);
    if (status == OK) status = read_arrays(checkpoint, path, classifier);
    checkpoint_destroy(checkpoint);
    return status;
}
