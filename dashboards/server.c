#include "dashboards/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dashboards/endpoints.h"
#include "framework/log.h"

#define CONNECTION_MEMORY (32u << 10)
#define MOST_URI 4096
#define TICK 200 /* milliseconds between looks at `stopping` and at the clock */

/* A connection, while it lasts. */
typedef struct Client {
    struct Client *next, *previous;
    int fd;
    double since;          /* when its request began, or its last one ended; monotonic seconds */
    bool busy;             /* a request is being received or answered */
    size_t bytes;          /* of the answer being sent */
} Client;

struct Server {
    struct MHD_Daemon *daemon;
    int epoll;
    int port;
    Guard *guard;
    Store *store;
    Client *clients;
    size_t answer_bytes;   /* being sent to all clients */
    double patience;
};

static double monotonic_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Connections ------------------------------------------------------------------- */

static void client_begins(Server *server, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    Client *client = memory_alloc_zero(1, sizeof *client);
    *context = client; /* without memory it has no deadline; the limit of silence holds */
    if (client == NULL) return;
    client->fd = info != NULL ? info->connect_fd : -1;
    client->since = monotonic_now();
    client->next = server->clients;
    if (client->next != NULL) client->next->previous = client;
    server->clients = client;
}

static void client_ends(Server *server, void **context)
{
    Client *client = *context;
    if (client == NULL) return;
    if (client->previous != NULL) client->previous->next = client->next;
    else server->clients = client->next;
    if (client->next != NULL) client->next->previous = client->previous;
    memory_free(client);
    *context = NULL;
}

static void notify_connection(void *cls, struct MHD_Connection *connection, void **context,
                              enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) client_begins(cls, connection, context);
    else client_ends(cls, context);
}

static Client *client_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void notify_completed(void *cls, struct MHD_Connection *connection, void **context,
                             enum MHD_RequestTerminationCode code)
{
    Server *server = cls;
    Client *client = client_of(connection);
    (void)context;
    (void)code;
    if (client == NULL) return;
    server->answer_bytes -= client->bytes;
    client->bytes = 0;
    client->busy = false;
    client->since = monotonic_now();
}

/* Closes connections on which a request has lasted too long, or which have sent half a request for as long: however
 * lively they are about it, they hold a place that somebody waits for. */
static void end_slow_clients(Server *server)
{
    double now = monotonic_now();
    for (Client *client = server->clients; client != NULL; client = client->next)
        if (now - client->since > server->patience && client->fd >= 0) shutdown(client->fd, SHUT_RDWR);
}

/* Answers ------------------------------------------------------------------------ */

static enum MHD_Result queue_and_drop(struct MHD_Connection *connection, int code, struct MHD_Response *response)
{
    static const char *const HEADERS[][2] = {
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Frame-Options", "DENY"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
    };
    if (response == NULL) return MHD_NO;
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++)
        MHD_add_response_header(response, HEADERS[i][0], HEADERS[i][1]);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)code, response);
    MHD_destroy_response(response);
    return result;
}

/* A few plain words; `header` with its value may be NULL. */
static enum MHD_Result refuse(struct MHD_Connection *connection, int code, const char *words, const char *header,
                              const char *value)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(words), (void *)(uintptr_t)words, MHD_RESPMEM_PERSISTENT);
    if (response != NULL) {
        MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
        MHD_add_response_header(response, "Cache-Control", "no-store");
        if (header != NULL) MHD_add_response_header(response, header, value);
    }
    return queue_and_drop(connection, code, response);
}

static struct MHD_Response *response_of(Answer *answer)
{
    struct MHD_Response *response;
    if (answer->fd >= 0) {
        response = MHD_create_response_from_fd64(answer->bytes, answer->fd);
        if (response != NULL) answer->fd = -1; /* closed by it */
    } else if (answer->owned != NULL) {
        response = MHD_create_response_from_buffer_with_free_callback(answer->bytes, answer->owned, memory_free);
        if (response != NULL) answer->owned = NULL;
    } else {
        response = MHD_create_response_from_buffer(answer->bytes, (void *)(uintptr_t)answer->data, MHD_RESPMEM_PERSISTENT);
    }
    if (response == NULL) return NULL;
    MHD_add_response_header(response, "Content-Type", answer->type);
    MHD_add_response_header(response, "Cache-Control",
                            answer->code == 200 && answer->lasting ? "private, max-age=86400" : "no-store");
    return response;
}

static const char *argument_of(void *context, const char *name)
{
    return MHD_lookup_connection_value(context, MHD_GET_ARGUMENT_KIND, name);
}

static enum MHD_Result answer_endpoint(Server *server, struct MHD_Connection *connection, EndpointId id)
{
    Client *client = client_of(connection);
    if (server->answer_bytes > SERVER_ANSWER_BYTES)
        return refuse(connection, 503, "too many answers wait for slow readers: try again later\n", "Retry-After", "5");
    Request request = {.argument = argument_of, .context = connection};
    Answer answer;
    endpoint_answer(server->store, id, &request, &answer);
    if (client != NULL && answer.owned != NULL) {
        client->bytes = answer.bytes;
        server->answer_bytes += answer.bytes;
    }
    struct MHD_Response *response = response_of(&answer);
    int code = answer.code;
    answer_clear(&answer);
    return queue_and_drop(connection, code, response);
}

/* Requests ------------------------------------------------------------------------- */

static const char *bearer_of(struct MHD_Connection *connection)
{
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    return header != NULL && strncmp(header, "Bearer ", 7) == 0 ? header + 7 : NULL;
}

/* The link with the token: the token moves into a cookie, so that it stays in no history. */
static enum MHD_Result welcome(Server *server, struct MHD_Connection *connection)
{
    char cookie[160];
    snprintf(cookie, sizeof cookie, "%s=%s; Path=/; HttpOnly; SameSite=Strict", server->guard->cookie,
             server->guard->token);
    struct MHD_Response *response = MHD_create_response_from_buffer(0, (void *)(uintptr_t)"", MHD_RESPMEM_PERSISTENT);
    if (response != NULL) {
        MHD_add_response_header(response, "Set-Cookie", cookie);
        MHD_add_response_header(response, "Location", "/");
        MHD_add_response_header(response, "Cache-Control", "no-store");
    }
    return queue_and_drop(connection, 303, response);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **context)
{
    Server *server = cls;
    EndpointId id;
    (void)version;
    (void)upload;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return refuse(connection, 405, "the dashboard only shows: GET and HEAD\n", "Allow", "GET, HEAD");
    if (!guard_knows_host(server->guard, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host")))
        return refuse(connection, 421, "this server has another name: use the link that 'zeroth dashboard' printed\n",
                      NULL, NULL);
    if (*context == NULL) { /* an answer before the whole request has come would end the connection */
        *context = server;
        return MHD_YES;
    }
    if (*upload_size > 0) { /* a body that nobody asked for */
        *upload_size = 0;
        return MHD_YES;
    }
    const char *token = argument_of(connection, "token");
    if (server->guard->token[0] != '\0') {
        if (token != NULL && strcmp(url, "/") == 0 && guard_token_fits(server->guard, token))
            return welcome(server, connection);
        const char *cookie = MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, server->guard->cookie);
        bool known = guard_token_fits(server->guard, bearer_of(connection)) | guard_token_fits(server->guard, cookie) |
                     guard_token_fits(server->guard, token);
        if (!known)
            return refuse(connection, 401, "open the link that 'zeroth dashboard' printed: it has the token\n",
                          "WWW-Authenticate", "Bearer");
    }
    if (!endpoint_find(url, &id)) return refuse(connection, 404, "there is no such page\n", NULL, NULL);
    return answer_endpoint(server, connection, id);
}

static void *begin_request(void *cls, const char *uri, struct MHD_Connection *connection)
{
    (void)cls;
    (void)uri;
    Client *client = client_of(connection);
    if (client != NULL && !client->busy) {
        client->busy = true;
        client->since = monotonic_now();
    }
    return NULL;
}

/* libmicrohttpd's words about broken requests are not the user's business. */
static void log_http(void *cls, const char *format, va_list arguments)
{
    char line[512];
    (void)cls;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    LOG_DEBUG("http: %s", line);
}

/* Start and end --------------------------------------------------------------------- */

static Status listen_on(const char *address, int port, int *fd, int *bound)
{
    char service[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    *fd = -1;
    snprintf(service, sizeof service, "%d", port);
    int failed = getaddrinfo(address, service, &hints, &found);
    if (failed != 0) return status_error(STATUS_USAGE, "--bind %s: %s", address, gai_strerror(failed));
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int yes = 1, code = 0;
    if (*fd < 0) code = errno;
    if (code == 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0) code = errno;
    if (code == 0 && bind(*fd, found->ai_addr, found->ai_addrlen) != 0) code = errno;
    if (code == 0 && listen(*fd, SOMAXCONN) != 0) code = errno;
    freeaddrinfo(found);
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    char text[NI_MAXSERV];
    if (code == 0 && getsockname(*fd, (struct sockaddr *)&name, &size) != 0) code = errno;
    if (code == 0 && getnameinfo((struct sockaddr *)&name, size, NULL, 0, text, sizeof text, NI_NUMERICSERV) == 0) {
        int64_t number = port;
        parse_integer(text, &number);
        *bound = (int)number;
        return OK;
    }
    if (*fd >= 0) close(*fd);
    *fd = -1;
    return status_error(code == EADDRINUSE ? STATUS_LOCKED : STATUS_IO, "cannot listen on %s port %d: %s%s", address, port,
                        strerror(code), code == EADDRINUSE ? ": give another --port, or 0 for a free one" : "");
}

/* Every connection may hold a socket and a picture. */
static int allowed_connections(int wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
    rlim_t needed = (rlim_t)wanted * 2 + 64;
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed) return wanted;
    return limit.rlim_cur > 80 ? (int)((limit.rlim_cur - 64) / 2) : 8;
}

static Status start_daemon(Server *server, const ServerOptions *options, int fd)
{
    unsigned silence = (unsigned)(options->silence > 0 ? options->silence : SERVER_SILENCE);
    unsigned connections = (unsigned)allowed_connections(options->connections > 0 ? options->connections : SERVER_CONNECTIONS);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_EXTERNAL_LOGGER, log_http, NULL, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, silence,
        MHD_OPTION_NOTIFY_CONNECTION, notify_connection, server, MHD_OPTION_NOTIFY_COMPLETED, notify_completed, server,
        MHD_OPTION_URI_LOG_CALLBACK, begin_request, NULL, MHD_OPTION_END);
    if (server->daemon == NULL) return status_error(STATUS_LIBRARY, "libmicrohttpd did not start");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || info->epoll_fd < 0) return status_error(STATUS_LIBRARY, "libmicrohttpd has no epoll here");
    server->epoll = info->epoll_fd;
    return OK;
}

Status server_start(const ServerOptions *options, Server **out)
{
    *out = NULL;
    const char *address = options->address != NULL ? options->address : "127.0.0.1";
    Server *server = memory_alloc_zero(1, sizeof *server);
    if (server == NULL) return status_no_memory(sizeof *server, "the dashboard");
    int fd = -1;
    server->patience = options->patience > 0 ? options->patience : SERVER_PATIENCE;
    Status status = store_open(options->work, &server->store);
    if (status == OK) status = listen_on(address, options->port, &fd, &server->port);
    if (status == OK)
        status = guard_create(address, server->port, options->token || !guard_is_loopback(address), &server->guard);
    if (status == OK) status = start_daemon(server, options, fd);
    if (status == OK) {
        *out = server;
        return OK;
    }
    if (fd >= 0 && server->daemon == NULL) close(fd);
    server_stop(server);
    return status;
}

Status server_run(Server *server, bool (*stopping)(void *context), void *context)
{
    while (!stopping(context)) {
        MHD_UNSIGNED_LONG_LONG limit;
        int wait = TICK;
        if (MHD_get_timeout(server->daemon, &limit) == MHD_YES && limit < TICK) wait = (int)limit;
        struct pollfd wanted = {.fd = server->epoll, .events = POLLIN};
        if (poll(&wanted, 1, wait) < 0 && errno != EINTR)
            return status_error(STATUS_IO, "waiting for clients: %s", strerror(errno));
        if (MHD_run(server->daemon) != MHD_YES) return status_error(STATUS_LIBRARY, "libmicrohttpd gave up");
        end_slow_clients(server);
    }
    return OK;
}

void server_stop(Server *server)
{
    if (server == NULL) return;
    if (server->daemon != NULL) MHD_stop_daemon(server->daemon);
    guard_destroy(server->guard);
    store_close(server->store);
    memory_free(server);
}

int server_port(const Server *server)
{
    return server->port;
}

const char *server_token(const Server *server)
{
    return server->guard->token;
}
