/* Pictures and scores of classes, from artifacts of evaluate jobs. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "dashboards/endpoints_private.h"
#include "dashboards/work_files.h"
#include "framework/files.h"
#include "jobs/artifact.h"
#include "jobs/stages/picture_scores.h"

#define MOST_SCORED 1000 /* pictures of a job whose scores are read */

static bool is_picture(const char *name)
{
    size_t length = strlen(name);
    return work_is_plain_name(name) && length > 4 && strcmp(name + length - 4, ".png") == 0;
}

/* The scores beside a picture; those of an older program have none. */
static Status write_scores(Store *store, const char *key, const char *name, JsonWriter *writer)
{
    char path[320];
    Json *scores;
    snprintf(path, sizeof path, "artifacts/%s/" PICTURE_SCORES "/%.*s.json", key, (int)strlen(name) - 4, name);
    Status status = work_read_json(store->work, path, &scores);
    if (status_code(status) == STATUS_NO_MEMORY) return status;
    if (status == OK) {
        json_key(writer, name);
        json_value(writer, scores);
        json_destroy(scores);
    }
    status_free(status);
    return OK;
}

Status answer_pictures(Store *store, const Request *request, Answer *answer)
{
    const char *key;
    char path[96], **names;
    size_t count;
    TRY(request_key(request, &key));
    snprintf(path, sizeof path, "artifacts/%s/pictures", key);
    TRY(work_list(store->work, path, &names, &count));
    JsonWriter writer = {0};
    Status status = OK;
    json_begin_object(&writer);
    json_key(&writer, "names");
    json_begin_array(&writer);
    for (size_t i = 0; i < count; i++)
        if (is_picture(names[i])) json_string(&writer, names[i]);
    json_end_array(&writer);
    json_key(&writer, "scores");
    json_begin_object(&writer);
    for (size_t i = 0; i < count && i < 2 * MOST_SCORED && status == OK; i++)
        if (is_picture(names[i])) status = write_scores(store, key, names[i], &writer);
    json_end_object(&writer);
    json_end_object(&writer);
    names_free(names, count);
    if (status == OK) return answer_json(&writer, answer);
    text_free(&writer.text);
    return status;
}

Status answer_picture(Store *store, const Request *request, Answer *answer)
{
    const char *key, *name;
    char path[320];
    int fd;
    struct stat info;
    TRY(request_key(request, &key));
    TRY(request_text(request, "name", &name));
    if (!is_picture(name)) return status_error(STATUS_USAGE, "the argument 'name' is no picture's name");
    snprintf(path, sizeof path, "artifacts/%s/pictures/%s", key, name);
    TRY(work_open(store->work, path, &fd));
    *answer = (Answer){.code = 200, .type = "image/png", .fd = fd, .lasting = true};
    if (fstat(fd, &info) != 0) return status_error(STATUS_IO, "%s: cannot be looked at", path);
    answer->bytes = (size_t)info.st_size;
    return OK;
}

Status answer_classes(Store *store, const Request *request, Answer *answer)
{
    const char *key;
    char path[96];
    Json *metrics;
    TRY(request_key(request, &key));
    snprintf(path, sizeof path, "artifacts/%s/" METRICS_NAME, key);
    TRY(work_read_json(store->work, path, &metrics));
    const Json *classes = json_member(metrics, "classes");
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "classes");
    if (classes != NULL) json_value(&writer, classes);
    else json_raw(&writer, "{}");
    json_end_object(&writer);
    json_destroy(metrics);
    answer->lasting = true;
    return answer_json(&writer, answer);
}
