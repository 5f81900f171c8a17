#include "dashboards/guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "framework/memory.h"

bool guard_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcasecmp(address, "localhost") == 0;
}

static Status add_name(Guard *guard, const char *name)
{
    for (int i = 0; i < guard->name_count; i++)
        if (strcasecmp(guard->names[i], name) == 0) return OK;
    if (guard->name_count == GUARD_MOST_NAMES || name[0] == '\0') return OK;
    char *copy = memory_copy_string(name);
    if (copy == NULL) return status_no_memory(strlen(name), "a host's name");
    guard->names[guard->name_count++] = copy;
    return OK;
}

static Status add_loopback(Guard *guard)
{
    TRY(add_name(guard, "localhost"));
    TRY(add_name(guard, "127.0.0.1"));
    return add_name(guard, "::1");
}

/* This machine's own names and the addresses of its interfaces. */
static Status add_machine(Guard *guard)
{
    char name[256] = "";
    Status status = OK;
    if (gethostname(name, sizeof name - 1) == 0) {
        status = add_name(guard, name);
        name[strcspn(name, ".")] = '\0';
        if (status == OK) status = add_name(guard, name);
    }
    struct ifaddrs *list = NULL;
    if (status != OK || getifaddrs(&list) != 0) return status;
    for (struct ifaddrs *one = list; one != NULL && status == OK; one = one->ifa_next) {
        char text[NI_MAXHOST];
        if (one->ifa_addr == NULL) continue;
        int family = one->ifa_addr->sa_family;
        socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (family != AF_INET && family != AF_INET6) continue;
        if (getnameinfo(one->ifa_addr, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0) continue;
        text[strcspn(text, "%")] = '\0'; /* the scope of a link-local address */
        status = add_name(guard, text);
    }
    freeifaddrs(list);
    return status;
}

static Status draw_token(Guard *guard)
{
    unsigned char bytes[(GUARD_TOKEN_SIZE - 1) / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return status_errno(errno, "draw a token from", "getrandom");
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(guard->token + 2 * i, 3, "%02x", bytes[i]);
    return OK;
}

Status guard_create(const char *address, int port, bool token, Guard **out)
{
    *out = NULL;
    Guard *guard = memory_alloc_zero(1, sizeof *guard);
    if (guard == NULL) return status_no_memory(sizeof *guard, "the dashboard");
    snprintf(guard->cookie, sizeof guard->cookie, "zeroth-%d", port);
    bool any = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
    Status status = add_name(guard, address);
    if (status == OK && (any || guard_is_loopback(address))) status = add_loopback(guard);
    if (status == OK && !guard_is_loopback(address)) status = add_machine(guard);
    if (status == OK && token) status = draw_token(guard);
    if (status == OK)
        *out = guard;
    else
        guard_destroy(guard);
    return status;
}

void guard_destroy(Guard *guard)
{
    if (guard == NULL) return;
    for (int i = 0; i < guard->name_count; i++) memory_free(guard->names[i]);
    memory_free(guard);
}

bool guard_knows_host(const Guard *guard, const char *host)
{
    if (host == NULL) return false;
    bool bracketed = host[0] == '[';
    if (bracketed) host++;
    size_t length = strcspn(host, bracketed ? "]" : ":");
    const char *rest = host + length;
    if (bracketed) {
        if (*rest != ']') return false;
        rest++;
    }
    if (*rest == ':') rest += 1 + strspn(rest + 1, "0123456789");
    if (*rest != '\0') return false;
    for (int i = 0; i < guard->name_count; i++)
        if (strlen(guard->names[i]) == length && strncasecmp(guard->names[i], host, length) == 0) return true;
    return false;
}

bool guard_token_fits(const Guard *guard, const char *given)
{
    if (guard->token[0] == '\0') return true;
    if (given == NULL) return false;
    size_t length = strlen(given), difference = length ^ (GUARD_TOKEN_SIZE - 1);
    for (size_t i = 0; i < GUARD_TOKEN_SIZE - 1; i++) {
        unsigned char theirs = i < length ? (unsigned char)given[i] : 0;
        difference |= (size_t)(theirs ^ (unsigned char)guard->token[i]);
    }
    return difference == 0;
}
