/* zeroth dashboard [STUDY.yaml]: the page on a port of this machine. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "commands/study_command.h"
#include "dashboards/page.h"
#include "dashboards/server.h"
#include "framework/memory.h"

/* SIGINT and SIGTERM as a descriptor to look at. */
static Status catch_signals(int *fd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd >= 0 ? OK : status_errno(errno, "listen for", "signals");
}

static bool has_signal(void *context)
{
    struct signalfd_siginfo info;
    return read(*(const int *)context, &info, sizeof info) == (ssize_t)sizeof info;
}

static void print_link(const Server *server, const ServerOptions *options, const char *study)
{
    const char *host = options->address != NULL ? options->address : "127.0.0.1", *token = server_token(server);
    bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    bool wide = strchr(host, ':') != NULL;
    printf("http://%s%s%s:%d/%s%s", wide && !any ? "[" : "", any ? "localhost" : host, wide && !any ? "]" : "",
           server_port(server), token[0] != '\0' ? "?token=" : "", token);
    if (study != NULL && token[0] == '\0') printf("#/%s", study);
    printf("\nCtrl-C ends it. It only reads: a run goes on beside it.\n");
    if (any) printf("Elsewhere put this machine's name or address for 'localhost'.\n");
    fflush(stdout);
}

static Status serve(const ServerOptions *options, const char *study)
{
    Server *server;
    if (page_get().bytes == 0) return status_error(STATUS_NOT_FOUND, "%s", PAGE_MISSING);
    int signals;
    TRY(catch_signals(&signals));
    Status status = server_start(options, &server);
    if (status == OK) {
        print_link(server, options, study);
        status = server_run(server, has_signal, &signals);
        server_stop(server);
    }
    close(signals);
    return status;
}

int command_dashboard(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    ServerOptions options = {0};
    int64_t port = 8765;
    char *name = NULL, *work = NULL;
    const Flag flags[] = {{"--port", "-p", FLAG_INTEGER, &port},
                          {"--bind", NULL, FLAG_STRING, &options.address},
                          {"--token", NULL, FLAG_SWITCH, &options.token}};
    Status status = flags_parse(flags, 3, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 0, 1, "STUDY.yaml");
    if (status == OK && (port < 0 || port > 65535))
        status = status_error(STATUS_USAGE, "dashboard: --port is 0 to 65535, not %lld", (long long)port);
    if (status == OK && arguments.count > 0)
        status = find_study(&common, &arguments, arguments.items[0], &name, &work);
    options.work = work != NULL ? work : default_work(&common);
    options.port = (int)port;
    if (status == OK) status = serve(&options, name);
    memory_free(name);
    memory_free(work);
    arguments_free(&arguments);
    return command_end(status);
}
