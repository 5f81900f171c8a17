/* A tiny study that has run, the server on it in a thread of the test, and a client that says exactly what it is told. */
#ifndef TESTS_DASHBOARDS_SERVING_H
#define TESTS_DASHBOARDS_SERVING_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "dashboards/server.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "tests/commands/artifacts.h"

#define SECONDS_AT_MOST 100 /* what a client waits for an answer on a machine that does other things too */

/* The work directory of a small study that has run: two variants, two seeds. Made once. */
static inline const char *ran_study(void)
{
    static const char *work;
    if (work != NULL) return work;
    const char *root = in_root("ran");
    make_scenes(text("%s/data", root), 40, 8, 0.25);
    const char *study = make_study(root, "variants:\n  none: {generator.kind: none}\n  full: {}\nsweep:\n  seed: [0, 1]\n"
                                         "  generator.primitives: {values: [4, 8], when: {generator.kind: primitive}}\n");
    CHECK_CODE(PROGRAM("run", study), 0);
    return work = text("%s/work", root);
}

/* The server ------------------------------------------------------------------- */

typedef struct Serving {
    Server *server;
    pthread_t thread;
    atomic_bool stop;
    Status status;
} Serving;

static inline bool serving_stops_(void *context) { return atomic_load((atomic_bool *)context); }

static inline void *serving_run_(void *context)
{
    Serving *serving = context;
    serving->status = server_run(serving->server, serving_stops_, &serving->stop);
    return NULL;
}

static inline void serving_start(Serving *serving, const ServerOptions *options)
{
    memset(serving, 0, sizeof *serving);
    CHECK_OK(server_start(options, &serving->server));
    CHECK(pthread_create(&serving->thread, NULL, serving_run_, serving) == 0);
}

static inline void serving_stop(Serving *serving)
{
    atomic_store(&serving->stop, true);
    CHECK(pthread_join(serving->thread, NULL) == 0);
    server_stop(serving->server);
    CHECK_OK(serving->status);
}

/* A client ----------------------------------------------------------------------- */

static inline int client_connect(const Serving *serving)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server_port(serving->server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    struct timeval patience = {.tv_sec = SECONDS_AT_MOST};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* As much as the server takes before it hangs up. */
static inline void client_send(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes += sent;
        count -= (size_t)sent;
    }
}

typedef struct Reply {
    int code;         /* 0: hung up without a word */
    const char *head; /* with its blank line */
    const char *body; /* NUL-terminated, whatever it holds */
    size_t bytes;     /* of the body */
} Reply;

/* All until the server closes; the request should ask for that. */
static inline Reply client_read(int fd)
{
    Text all = {0};
    char block[65536];
    for (ssize_t got; (got = recv(fd, block, sizeof block, 0)) > 0;) text_append_bytes(&all, block, (size_t)got);
    close(fd);
    CHECK(!all.failed);
    size_t total = all.length;
    char *kept = arena_alloc(e2e_arena_, total + 1);
    CHECK(kept != NULL);
    if (total > 0) memcpy(kept, all.data, total);
    kept[total] = '\0';
    text_free(&all);
    Reply reply = {.head = kept, .body = ""};
    const char *end = memmem(kept, total, "\r\n\r\n", 4);
    if (strncmp(kept, "HTTP/1.1 ", 9) != 0 || end == NULL) return reply;
    reply.code = atoi(kept + 9);
    reply.body = end + 4;
    reply.bytes = total - (size_t)(reply.body - kept);
    return reply;
}

static inline Reply ask_raw(const Serving *serving, const char *bytes, size_t count)
{
    int fd = client_connect(serving);
    client_send(fd, bytes, count);
    shutdown(fd, SHUT_WR);
    return client_read(fd);
}

/* A request with that first line, and headers ("Name: value\r\n...") besides Host. */
static inline Reply ask_with(const Serving *serving, const char *method, const char *path, const char *headers)
{
    const char *request = text("%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n%s\r\n", method, path,
                               server_port(serving->server), headers);
    int fd = client_connect(serving);
    client_send(fd, request, strlen(request));
    return client_read(fd);
}

static inline Reply ask(const Serving *serving, const char *path) { return ask_with(serving, "GET", path, ""); }

/* The answer as JSON; its caller destroys it. */
static inline Json *ask_json(const Serving *serving, const char *path)
{
    Reply reply = ask(serving, path);
    if (reply.code != 200) TEST_FAIL("%s: %d: %s", path, reply.code, reply.body);
    Json *json;
    CHECK_OK(json_parse(reply.body, reply.bytes, path, &json));
    return json;
}

#define CHECK_REPLY(reply, expected)                                                                      \
    do {                                                                                                  \
        Reply check_reply_ = (reply);                                                                     \
        if (check_reply_.code != (expected))                                                              \
            TEST_FAIL("%s is %d, not %d: %s%s", #reply, check_reply_.code, expected, check_reply_.head, check_reply_.body); \
    } while (0)

#endif
