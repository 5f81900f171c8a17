/* Relations of classes: in semantic space, in the space of features (the classifier's weights), and which primitives
 * each attends to. From artifacts of the extract and generator jobs. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dashboards/endpoints_private.h"
#include "dashboards/work_files.h"
#include "framework/files.h"
#include "jobs/artifact.h"
#include "jobs/stages/classifier_file.h"
#include "models/generator/primitive_map.h"
#include "storage/feature_set.h"

#define MOST_CLASSES 1000 /* a map of more is no picture */

/* Cosines of the rows of [count, dim], as an array of rows; a row of zeros has cosine 0 with all. */
static Status write_cosines(JsonWriter *writer, const char *key, const float *rows, int count, int dim)
{
    double *norms = memory_alloc((size_t)(count + 1) * sizeof *norms);
    if (norms == NULL) return status_no_memory((size_t)count * sizeof *norms, "relations of classes");
    for (int c = 0; c < count; c++) {
        double sum = 0;
        for (int d = 0; d < dim; d++) sum += (double)rows[c * dim + d] * (double)rows[c * dim + d];
        norms[c] = sqrt(sum);
    }
    json_key(writer, key);
    json_begin_array(writer);
    for (int a = 0; a < count; a++) {
        json_begin_array(writer);
        for (int b = 0; b < count; b++) {
            double dot = 0, scale = norms[a] * norms[b];
            for (int d = 0; d < dim; d++) dot += (double)rows[a * dim + d] * (double)rows[b * dim + d];
            json_number(writer, scale > 0 ? round(1e4 * dot / scale) / 1e4 : 0);
        }
        json_end_array(writer);
    }
    json_end_array(writer);
    memory_free(norms);
    return OK;
}

static void write_classes(JsonWriter *writer, const ClassTable *classes)
{
    json_key(writer, "names");
    json_begin_array(writer);
    for (int c = 0; c < classes->count; c++) json_string(writer, classes->entries[c].name);
    json_end_array(writer);
    json_key(writer, "unseen");
    json_begin_array(writer);
    for (int c = 0; c < classes->count; c++) json_bool(writer, classes->entries[c].is_unseen);
    json_end_array(writer);
}

/* A file of an artifact, through `read`, which is given a name to open it by. */
static Status with_file(const char *work, const char *key, const char *name, Status (*read)(const char *path, void *to),
                        void *to)
{
    char path[128];
    int fd;
    snprintf(path, sizeof path, "artifacts/%s/%s", key, name);
    TRY(work_open(work, path, &fd));
    char *opened = work_fd_path(fd);
    Status status = opened == NULL ? status_no_memory(64, "a path") : read(opened, to);
    memory_free(opened);
    close(fd);
    return status;
}

static Status read_classifier_file(const char *path, void *to)
{
    return classifier_read(path, to);
}

static Status read_generator_file(const char *path, void *to)
{
    return checkpoint_read(path, "generator", to);
}

static Status open_features(const char *work, const char *key, FeatureSet **features)
{
    char path[64];
    int fd;
    snprintf(path, sizeof path, "artifacts/%s", key);
    TRY(work_open_directory(work, path, &fd));
    char *opened = work_fd_path(fd);
    Status status = opened == NULL ? status_no_memory(64, "a path") : feature_set_open(opened, features);
    memory_free(opened);
    close(fd);
    return status;
}

static double config_number(const Json *manifest, const char *key, double fallback)
{
    const Json *config = json_member(manifest, "config");
    const Json *value = config != NULL ? json_member(config, key) : NULL;
    double number = fallback;
    if (value != NULL && value->type == JSON_STRING) parse_real(value->string, &number);
    return number;
}

/* The class vectors at the length that the generator was given them in (generator.vector_norm; 0: as they are). */
static void scale_rows(float *rows, int count, int dim, double norm)
{
    for (int c = 0; norm > 0 && c < count; c++) {
        double sum = 0;
        for (int d = 0; d < dim; d++) sum += (double)rows[c * dim + d] * (double)rows[c * dim + d];
        for (int d = 0; sum > 0 && d < dim; d++) rows[c * dim + d] = (float)(rows[c * dim + d] * (norm / sqrt(sum)));
    }
}

static Status write_primitives(Store *store, const char *key, const FeatureInfo *info, JsonWriter *writer)
{
    char path[96];
    Json *manifest = NULL;
    Checkpoint *weights = NULL;
    float *map = NULL;
    int primitives = 0, classes = info->classes.count;
    Status status = with_file(store->work, key, "generator.h5", read_generator_file, &weights);
    if (status_code(status) == STATUS_NOT_FOUND) { /* a variant without a generator */
        status_free(status);
        return OK;
    }
    size_t bytes = (size_t)classes * (size_t)info->vector_dim * sizeof(float);
    float *vectors = memory_alloc(bytes + 1);
    if (status == OK && vectors == NULL) status = status_no_memory(bytes, "class vectors");
    snprintf(path, sizeof path, "artifacts/%s/" MANIFEST_NAME, key);
    if (status == OK) status = work_read_json(store->work, path, &manifest);
    if (status == OK) {
        memcpy(vectors, info->class_vectors, bytes);
        scale_rows(vectors, classes, info->vector_dim, config_number(manifest, "generator.vector_norm", 0));
        status = primitive_map(weights, vectors, classes, info->vector_dim,
                               (int)config_number(manifest, "generator.heads", 1), &map, &primitives);
        if (status_code(status) == STATUS_NOT_FOUND) { /* the vanilla generator has none */
            status_free(status);
            status = OK;
        }
    }
    if (status == OK && map != NULL) {
        json_key(writer, "primitives");
        json_begin_array(writer);
        for (int c = 0; c < classes; c++) {
            json_begin_array(writer);
            for (int n = 0; n < primitives; n++) json_number(writer, round(1e5 * (double)map[c * primitives + n]) / 1e5);
            json_end_array(writer);
        }
        json_end_array(writer);
    }
    memory_free(map);
    memory_free(vectors);
    json_destroy(manifest);
    checkpoint_destroy(weights);
    return status;
}

static Status write_relations(Store *store, const char *extract, const char *generator, JsonWriter *writer)
{
    FeatureSet *features = NULL;
    Classifier classifier = {0};
    Status status = open_features(store->work, extract, &features);
    if (status == OK) status = with_file(store->work, generator, CLASSIFIER_FILE, read_classifier_file, &classifier);
    const FeatureInfo *info = status == OK ? feature_set_info(features) : NULL;
    if (status == OK && (info->classes.count > MOST_CLASSES || info->classes.count != classifier.classes.count))
        status = status_error(STATUS_INVALID, "relations of %d classes are not shown", info->classes.count);
    json_begin_object(writer);
    if (status == OK) {
        write_classes(writer, &info->classes);
        status = write_cosines(writer, "semantic", info->class_vectors, info->classes.count, info->vector_dim);
    }
    if (status == OK)
        status = write_cosines(writer, "feature", classifier.weight, classifier.classes.count, classifier.embed_dim);
    if (status == OK) status = write_primitives(store, generator, info, writer);
    json_end_object(writer);
    classifier_clear(&classifier);
    if (features != NULL) feature_set_close(features);
    return status;
}

/* `job`: an evaluate job of the study. */
Status answer_relations(Store *store, const Request *request, Answer *answer)
{
    const char *study, *key;
    View *view;
    TRY(request_text(request, "study", &study));
    TRY(request_key(request, &key));
    TRY(store_view(store, study, &view));
    uint32_t place = view_find_job(view, key);
    if (place == VIEW_NO_JOB) return status_error(STATUS_NOT_FOUND, "study %s has no job %.*s", study, KEY_SHOWN, key);
    uint32_t extract = view->jobs[place].inputs[STAGE_EXTRACT], generator = view->jobs[place].inputs[STAGE_GENERATOR];
    if (extract == VIEW_NO_JOB || generator == VIEW_NO_JOB)
        return status_error(STATUS_USAGE, "job %.*s is no evaluate job: relations are shown of those", KEY_SHOWN, key);
    JsonWriter writer = {0};
    Status status = write_relations(store, view->jobs[extract].key, view->jobs[generator].key, &writer);
    answer->lasting = true;
    if (status == OK) return answer_json(&writer, answer);
    text_free(&writer.text);
    return status;
}
