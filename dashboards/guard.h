/* Who may ask. A page of another site must reach nothing (the Host header is
 * checked, so that no name can be bound to this address), and over a network
 * nobody may who does not know the token. */
#ifndef DASHBOARDS_GUARD_H
#define DASHBOARDS_GUARD_H

#include <stdbool.h>

#include "framework/status.h"

#define GUARD_TOKEN_SIZE 33  /* 32 hex digits and NUL */
#define GUARD_MOST_NAMES 32

typedef struct Guard {
    char token[GUARD_TOKEN_SIZE];  /* "": none is asked for */
    char cookie[32];               /* the cookie's name; holds the port, for cookies know none */
    char *names[GUARD_MOST_NAMES]; /* hosts that the server may be called by, lower case, without port */
    int name_count;
} Guard;

/* `address` is what the server is bound to: names are that address, the loopback names where it covers them, and for a
 * wildcard this machine's names and addresses. With `token` one is drawn. */
Status guard_create(const char *address, int port, bool token, Guard **guard);
void guard_destroy(Guard *guard);

/* Whether "host", "host:port" or "[v6]:port" names this server. The port is not looked at: a tunnel has its own. */
bool guard_knows_host(const Guard *guard, const char *host);
/* In a time that tells nothing about where they differ. `given` may be NULL. */
bool guard_token_fits(const Guard *guard, const char *given);
bool guard_is_loopback(const char *address);

#endif
