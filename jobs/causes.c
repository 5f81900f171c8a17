#include "jobs/causes.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

static const CauseRule RULES[] = {
#define X(cause, name, again, counts, backs_off, memory, shared, advice) \
    [cause] = {name, again, counts, backs_off, memory, shared, advice},
    EXIT_CAUSES(X)
#undef X
};
static_assert(sizeof RULES / sizeof RULES[0] == EXIT_CAUSE_COUNT, "every cause has its rule");

const CauseRule *cause_rule(ExitCause cause)
{
    return &RULES[cause < EXIT_CAUSE_COUNT ? cause : CAUSE_UNKNOWN];
}

const char *cause_name(ExitCause cause)
{
    return cause_rule(cause)->name;
}

ExitCause cause_from_name(const char *name)
{
    for (int i = 0; i < EXIT_CAUSE_COUNT; i++)
        if (strcmp(name, RULES[i].name) == 0) return (ExitCause)i;
    return CAUSE_UNKNOWN;
}

ExitCause cause_of_status(StatusCode code)
{
    switch (code) {
    case STATUS_OK: return CAUSE_NONE;
    case STATUS_INVALID:
    case STATUS_NOT_FOUND: return CAUSE_BAD_INPUT;
    case STATUS_CORRUPT: return CAUSE_CORRUPT;
    case STATUS_USAGE:
    case STATUS_VERSION:
    case STATUS_INTERNAL: return CAUSE_DEFECT;
    case STATUS_IO: return CAUSE_IO;
    case STATUS_NO_SPACE: return CAUSE_NO_SPACE;
    case STATUS_NO_MEMORY: return CAUSE_OUT_OF_MEMORY;
    case STATUS_NON_FINITE: return CAUSE_NON_FINITE;
    case STATUS_LOCKED: return CAUSE_LOCKED;
    case STATUS_LIBRARY: return CAUSE_LIBRARY;
    case STATUS_INTERRUPTED: return CAUSE_INTERRUPTED;
    case STATUS_CHILD:
    case STATUS_CODE_COUNT: break;
    }
    return CAUSE_UNKNOWN;
}

/* A crash is a signal that the process's own deed raised. */
static bool is_crash(int signal)
{
    static const int CRASHES[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof CRASHES / sizeof CRASHES[0]; i++)
        if (signal == CRASHES[i]) return true;
    return false;
}

static ExitCause cause_of_exit(int exit_code)
{
    if (exit_code <= 0) return CAUSE_UNKNOWN; /* nor is success one without an artifact */
    for (int code = 0; code < STATUS_CODE_COUNT; code++)
        if (status_exit_code((StatusCode)code) == exit_code) return cause_of_status((StatusCode)code);
    return CAUSE_UNKNOWN;
}

ExitCause cause_of_end(const EndEvidence *evidence)
{
    if (evidence->said && evidence->outcome != STATUS_INTERRUPTED && evidence->outcome != STATUS_OK)
        return cause_of_status(evidence->outcome);
    if (evidence->told != CAUSE_NONE) return evidence->told;
    if (evidence->said && evidence->outcome == STATUS_INTERRUPTED) return CAUSE_INTERRUPTED;
    if (evidence->signal != 0) return is_crash(evidence->signal) ? CAUSE_SIGNAL : CAUSE_KILLED;
    return cause_of_exit(evidence->exit_code);
}

double cause_backoff(double first, int times)
{
    double pause = first;
    for (int i = 1; i < times && pause < LONGEST_BACKOFF; i++) pause *= 2;
    return pause < LONGEST_BACKOFF ? pause : LONGEST_BACKOFF;
}
