/* The dashboard's web server: one thread, one loop, GET and HEAD only.
 *
 * It stays alive whatever its clients do. Connections are limited (further
 * ones wait in the system's queue), each has little memory of its own, one
 * that is silent is closed, and so is one whose request or answer takes too
 * long, byte by byte or not. Answers are made one at a time; answers waiting
 * for slow readers count against a bound, past which new requests get 503. */
#ifndef DASHBOARDS_SERVER_H
#define DASHBOARDS_SERVER_H

#include "dashboards/guard.h"
#include "dashboards/store.h"

typedef struct ServerOptions {
    const char *work;
    const char *address;        /* NULL: 127.0.0.1 */
    int port;                   /* 0: any free one */
    bool token;                 /* ask for a token on the loopback too; elsewhere one is always asked for */
    int connections;            /* 0: SERVER_CONNECTIONS */
    double silence, patience;   /* seconds; 0: SERVER_SILENCE, SERVER_PATIENCE */
} ServerOptions;

#define SERVER_CONNECTIONS 512
#define SERVER_SILENCE 20.0     /* of a connection on which nothing moves */
#define SERVER_PATIENCE 120.0   /* of one request with its answer */
#define SERVER_ANSWER_BYTES ((size_t)512 << 20) /* in answers that are being sent, together */

typedef struct Server Server;
Status server_start(const ServerOptions *options, Server **server);
/* Serves until `stopping` says so; it is asked several times a second. */
Status server_run(Server *server, bool (*stopping)(void *context), void *context);
void server_stop(Server *server); /* NULL is fine */

int server_port(const Server *server);
/* The token, or "". */
const char *server_token(const Server *server);

#endif
