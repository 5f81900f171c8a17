/* Why an attempt ended without its artifact, and what follows from that. One
 * table says for each cause whether the job is tried again, after what, and
 * what its user is told; every executor uses it. */
#ifndef JOBS_CAUSES_H
#define JOBS_CAUSES_H

#include <stdbool.h>

#include "framework/status.h"

/* What an attempt takes from run.attempts. One that left a newer checkpoint than all before it "got further". */
typedef enum CauseCount {
    COUNTS_NEVER,   /* not the job's doing */
    COUNTS_STUCK,   /* only where it got no further */
    COUNTS_ALWAYS
} CauseCount;

/* cause, name in the ledger, tried again, what it counts, back-off before the next attempt, next attempt with more
 * memory, likely to strike the other jobs of its stage too, advice */
#define EXIT_CAUSES(X)                                                                                                 \
    X(CAUSE_NONE, "none", false, COUNTS_NEVER, false, false, false, "")                                                \
    X(CAUSE_BAD_INPUT, "bad-input", false, COUNTS_ALWAYS, false, false, true,                                          \
      "correct the study or the data it names, and run again")                                                         \
    X(CAUSE_CORRUPT, "corrupt", false, COUNTS_ALWAYS, false, false, true,                                              \
      "remove or restore the file it names, and run again")                                                            \
    X(CAUSE_DEFECT, "defect", false, COUNTS_ALWAYS, false, false, true,                                                \
      "this program is at fault, or of another version: see the whole log")                                            \
    X(CAUSE_NON_FINITE, "non-finite", false, COUNTS_ALWAYS, false, false, false,                                       \
      "the same bits would come again: a lower learning rate or clipping may help; then run again")                    \
    X(CAUSE_OUT_OF_MEMORY, "out-of-memory", true, COUNTS_STUCK, false, true, false,                                    \
      "give it more (run.memory), run fewer at a time (run.jobs) or smaller batches, and run again")                   \
    X(CAUSE_NO_SPACE, "no-space", false, COUNTS_ALWAYS, false, false, false,                                           \
      "free some space and run again: finished jobs and checkpoints are kept")                                         \
    X(CAUSE_SIGNAL, "signal", true, COUNTS_STUCK, true, false, false,                                                  \
      "it crashed: see its whole log; run again after correcting the cause")                                           \
    X(CAUSE_KILLED, "killed", true, COUNTS_STUCK, true, false, false,                                                  \
      "it was killed from outside; if memory was short, declare what a job needs (run.memory), and run again")         \
    X(CAUSE_TIME_LIMIT, "time-limit", true, COUNTS_STUCK, false, false, false,                                         \
      "its time (run.time) is too short to get from one checkpoint to the next: give it more, and run again")          \
    X(CAUSE_HUNG, "hung", true, COUNTS_STUCK, true, false, false,                                                      \
      "it neither stepped nor computed for run.hang: see its whole log; a slow file system may need a longer run.hang")\
    X(CAUSE_INTERRUPTED, "interrupted", true, COUNTS_STUCK, false, false, false,                                       \
      "something stops it by a signal before it can get further: run again when that is over")                         \
    X(CAUSE_NODE_FAILED, "node-failed", true, COUNTS_STUCK, true, false, false,                                        \
      "its machine failed: run again when that is mended")                                                             \
    X(CAUSE_PREEMPTED, "preempted", true, COUNTS_NEVER, false, false, false,                                           \
      "the cluster took its place for another job: run again")                                                         \
    X(CAUSE_IO, "io", true, COUNTS_STUCK, true, false, false,                                                          \
      "reading or writing failed: see that the disk or network file system is well, and run again")                    \
    X(CAUSE_LOCKED, "locked", true, COUNTS_NEVER, true, false, false,                                                  \
      "another process is at this job: wait for its end, or end it")                                                   \
    X(CAUSE_LIBRARY, "library", true, COUNTS_STUCK, true, false, false,                                                \
      "a library or the message passing failed: see its whole log, correct the cause, and run again")                  \
    X(CAUSE_UNKNOWN, "unknown", true, COUNTS_STUCK, true, false, false,                                                \
      "see its whole log, correct the cause, and run again: finished jobs are kept")

typedef enum ExitCause {
#define X(cause, name, again, counts, backs_off, memory, shared, advice) cause,
    EXIT_CAUSES(X)
#undef X
    EXIT_CAUSE_COUNT
} ExitCause;

typedef struct CauseRule {
    const char *name;
    bool again;        /* the job is tried again */
    CauseCount counts;
    bool backs_off;    /* after run.backoff, doubled for each such attempt, up to LONGEST_BACKOFF */
    bool more_memory;  /* with twice its memory, or half as much again as it had used; alone where none is declared */
    bool shared;       /* a fault of study, data or program, which other jobs of the stage are likely to share */
    const char *advice;
} CauseRule;

#define LONGEST_BACKOFF 300.0 /* seconds */

/* All that is known of an end. */
typedef struct EndEvidence {
    bool said;           /* the attempt wrote an "end" event */
    StatusCode outcome;  /* what it said */
    int exit_code;       /* of its process; -1: none, or nobody knows */
    int signal;          /* 0: none */
    ExitCause told;      /* by who ended it, or saw it ended: HUNG, TIME_LIMIT, OUT_OF_MEMORY, NODE_FAILED,
                            PREEMPTED; CAUSE_NONE where nobody says */
} EndEvidence;

/* What the attempt said of itself goes first, but "interrupted", which says
 * only that it was stopped: `told` says why. Then `told`, signal, exit code. An
 * end that nothing explains is CAUSE_UNKNOWN. */
ExitCause cause_of_end(const EndEvidence *evidence);
ExitCause cause_of_status(StatusCode code);

const CauseRule *cause_rule(ExitCause cause);
const char *cause_name(ExitCause cause);
/* CAUSE_UNKNOWN where there is none of that name. */
ExitCause cause_from_name(const char *name);

/* Seconds to wait before the next attempt, after `times` ends (from 1) that back off. */
double cause_backoff(double first, int times);

#endif
