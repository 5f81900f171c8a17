/* zeroth pause, resume, cancel, retry: what its users ask of a study or its jobs. */
#include <stdio.h>

#include "commands/slurm_command.h"
#include "framework/memory.h"
#include "jobs/requests.h"
#include "jobs/watch.h"

typedef struct Telling {
    const char *study;
    bool quiet;
} Telling;

static void tell(void *context, const LedgerJob *job, const char *what)
{
    const Telling *telling = context;
    if (telling->quiet) return;
    if (job == NULL) printf("study %s %s\n", telling->study, what);
    else printf("%s %.*s %s\n", job->stage, KEY_SHOWN, job->key, what);
}

/* When it takes effect. */
static Status tell_runner(const char *work, bool synced)
{
    bool live;
    if (synced) printf("jobs in Slurm have been told\n");
    char *holder;
    TRY(runner_find(work, &live, &holder));
    if (live) printf("a runner is at work (%s): it heeds this within a second\n", holder != NULL ? holder : "another process");
    else if (!synced) printf("no runner is at work in %s: the next 'zeroth run' heeds this\n", work);
    memory_free(holder);
    return OK;
}

static int run_action(RequestAction action, int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    char *name = NULL, *work = NULL;
    Status status = flags_parse(NULL, 0, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 10000, "STUDY");
    if (status == OK) status = find_named_study(&common, &arguments, &name, &work);
    Telling telling = {.study = name, .quiet = common.quiet};
    if (status == OK)
        status = request_jobs(work, name, action, arguments.items + 1, (size_t)(arguments.count - 1), tell, &telling);
    bool synced = status == OK && sync_beside(work, true);
    if (status == OK && !common.quiet) status = tell_runner(work, synced);
    memory_free(work);
    memory_free(name);
    arguments_free(&arguments);
    return command_end(status);
}

int command_pause(int argc, char **argv) { return run_action(REQUEST_PAUSE, argc, argv); }
int command_resume(int argc, char **argv) { return run_action(REQUEST_RESUME, argc, argv); }
int command_cancel(int argc, char **argv) { return run_action(REQUEST_CANCEL, argc, argv); }
int command_retry(int argc, char **argv) { return run_action(REQUEST_RETRY, argc, argv); }
