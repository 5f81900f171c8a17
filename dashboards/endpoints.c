#include "dashboards/endpoints_private.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dashboards/page.h"
#include "dashboards/work_files.h"

typedef Status (*EndpointFunction)(Store *store, const Request *request, Answer *answer);

static const struct { const char *path; EndpointFunction function; } TABLE[] = {
#define X(id, path, function) [id] = {path, function},
    ENDPOINTS(X)
#undef X
};
static_assert(sizeof TABLE / sizeof TABLE[0] == ENDPOINT_COUNT, "every endpoint has its function");

const char *endpoint_path(EndpointId id)
{
    return TABLE[id].path;
}

bool endpoint_find(const char *path, EndpointId *id)
{
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        if (strcmp(path, TABLE[i].path) != 0) continue;
        *id = (EndpointId)i;
        return true;
    }
    return false;
}

/* Requests ------------------------------------------------------------------- */

Status request_text(const Request *request, const char *name, const char **value)
{
    *value = request->argument(request->context, name);
    return *value != NULL ? OK : status_error(STATUS_USAGE, "the argument '%s' is missing", name);
}

Status request_integer(const Request *request, const char *name, int64_t fallback, int64_t low, int64_t high,
                       int64_t *value)
{
    const char *text = request->argument(request->context, name);
    *value = fallback;
    if (text == NULL) return OK;
    if (parse_integer(text, value) && *value >= low && *value <= high) return OK;
    return status_error(STATUS_USAGE, "the argument '%s' is no integer from %lld to %lld", name, (long long)low,
                        (long long)high);
}

Status request_key(const Request *request, const char **key)
{
    TRY(request_text(request, "job", key));
    return work_is_key(*key) ? OK : status_error(STATUS_USAGE, "the argument 'job' is no job's key");
}

/* Answers -------------------------------------------------------------------- */

void answer_clear(Answer *answer)
{
    memory_free(answer->owned);
    if (answer->fd >= 0) close(answer->fd);
    *answer = (Answer){.fd = -1};
}

Status answer_json(JsonWriter *writer, Answer *answer)
{
    if (writer->text.failed) {
        text_free(&writer->text);
        return status_no_memory(writer->text.length, "an answer");
    }
    *answer = (Answer){.code = 200, .type = "application/json", .data = writer->text.data, .owned = writer->text.data,
                       .bytes = writer->text.length, .fd = -1, .lasting = answer->lasting};
    return OK;
}

Status answer_page(Store *store, const Request *request, Answer *answer)
{
    (void)store;
    (void)request;
    Page page = page_get();
    if (page.bytes == 0) return status_error(STATUS_NOT_FOUND, "%s", PAGE_MISSING);
    *answer = (Answer){.code = 200, .type = "text/html; charset=utf-8", .data = page.data, .bytes = page.bytes, .fd = -1};
    return OK;
}

static int http_code(StatusCode code)
{
    switch (code) {
    case STATUS_NOT_FOUND: return 404;
    case STATUS_USAGE:
    case STATUS_INVALID: return 400;
    case STATUS_LOCKED: return 503;
    default: return 500;
    }
}

void endpoint_answer(Store *store, EndpointId id, const Request *request, Answer *answer)
{
    *answer = (Answer){.fd = -1};
    Status status = TABLE[id].function(store, request, answer);
    if (status == OK) return;
    int code = http_code(status_code(status));
    answer_clear(answer);
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_add_string(&writer, "error", status_message(status));
    json_end_object(&writer);
    status_free(status);
    status = answer_json(&writer, answer);
    if (status != OK) {
        static const char NO_MEMORY[] = "{\"error\":\"no memory\"}";
        *answer = (Answer){.type = "application/json", .data = NO_MEMORY, .bytes = sizeof NO_MEMORY - 1, .fd = -1};
        status_free(status);
    }
    answer->code = code;
}

/* JSON ----------------------------------------------------------------------- */

void json_raw(JsonWriter *writer, const char *json)
{
    if (writer->need_comma) text_append(&writer->text, ",");
    text_append(&writer->text, json);
    writer->need_comma = true;
}

void json_number(JsonWriter *writer, double value)
{
    char text[32] = "null";
    if (isfinite(value)) snprintf(text, sizeof text, "%.6g", value);
    json_raw(writer, text);
}

void json_add_bool(JsonWriter *writer, const char *key, bool value)
{
    json_key(writer, key);
    json_bool(writer, value);
}
