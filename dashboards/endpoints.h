/* What the dashboard answers to, as one table. Every endpoint reads; none
 * changes anything. The server and the HTML report ask the same functions, so
 * that both show the same. Paths that are not in the table do not exist. */
#ifndef DASHBOARDS_ENDPOINTS_H
#define DASHBOARDS_ENDPOINTS_H

#include "dashboards/store.h"

/* id, path, arguments */
#define ENDPOINTS(X)                                                                                          \
    X(ENDPOINT_PAGE, "/", answer_page)                                                                        \
    X(ENDPOINT_STUDIES, "/api/studies", answer_studies)     /* no arguments */                                \
    X(ENDPOINT_STUDY, "/api/study", answer_study)           /* study; epoch, since: only what changed since */ \
    X(ENDPOINT_TABLE, "/api/table", answer_table)           /* study; metrics=A,B; baseline=GROUP */          \
    X(ENDPOINT_SERIES, "/api/series", answer_series)        /* job */                                         \
    X(ENDPOINT_CURVE, "/api/curve", answer_curve)           /* job, metric; points; first, last */            \
    X(ENDPOINT_JOB, "/api/job", answer_job)                 /* job */                                         \
    X(ENDPOINT_LOG, "/api/log", answer_log)                 /* job; attempt; from */                          \
    X(ENDPOINT_PICTURES, "/api/pictures", answer_pictures)  /* job */                                         \
    X(ENDPOINT_PICTURE, "/picture", answer_picture)         /* job, name */                                   \
    X(ENDPOINT_CLASSES, "/api/classes", answer_classes)     /* job */                                         \
    X(ENDPOINT_RELATIONS, "/api/relations", answer_relations) /* study, job */

typedef enum EndpointId {
#define X(id, path, answer) id,
    ENDPOINTS(X)
#undef X
    ENDPOINT_COUNT
} EndpointId;
const char *endpoint_path(EndpointId id);

/* Arguments of a request: NULL where one is absent. Valid until the answer is made. */
typedef struct Request {
    const char *(*argument)(void *context, const char *name);
    void *context;
} Request;

typedef struct Answer {
    int code;              /* of HTTP */
    const char *type;      /* of content */
    const char *data;      /* NULL where `fd` is the body */
    char *owned;           /* what of `data` answer_clear frees, or NULL */
    size_t bytes;
    int fd;                /* a file to be sent whole, or -1 */
    bool lasting;          /* the same question has the same answer for good */
} Answer;
void answer_clear(Answer *answer);

/* False where no endpoint has that path. */
bool endpoint_find(const char *path, EndpointId *id);
/* Always an answer: a failure is {"error": message} with its code. Cleared by the caller. */
void endpoint_answer(Store *store, EndpointId id, const Request *request, Answer *answer);

#endif
