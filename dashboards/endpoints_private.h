/* Shared by the files that make answers. */
#ifndef DASHBOARDS_ENDPOINTS_PRIVATE_H
#define DASHBOARDS_ENDPOINTS_PRIVATE_H

#include "dashboards/endpoints.h"
#include "framework/json.h"

#define X(id, path, function) Status function(Store *store, const Request *request, Answer *answer);
ENDPOINTS(X)
#undef X

/* STATUS_USAGE where it is absent. */
Status request_text(const Request *request, const char *name, const char **value);
/* `fallback` where it is absent; STATUS_USAGE where it is no integer in [low, high]. */
Status request_integer(const Request *request, const char *name, int64_t fallback, int64_t low, int64_t high,
                       int64_t *value);
/* The argument "job": a whole key. */
Status request_key(const Request *request, const char **key);

/* Makes the document the answer; frees the writer. */
Status answer_json(JsonWriter *writer, Answer *answer);

void json_raw(JsonWriter *writer, const char *json);         /* a value that is JSON already */
void json_number(JsonWriter *writer, double value);          /* with 6 digits; NaN is null */
void json_add_bool(JsonWriter *writer, const char *key, bool value);

#endif
