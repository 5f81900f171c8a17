/* What checkpoints cost the steps of a large model: a real attempt whose state
 * is a model of many parameters with Adam's moments and whose step is one
 * update of all of them. Prints the share of its time that the attempt waited
 * for checkpoints, and the share it would have waited for the writes.
 *   bench_checkpoint [MILLIONS of parameters] [SECONDS between checkpoints] [SECONDS in all] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/threads.h"
#include "jobs/attempt.h"
#include "jobs/events.h"
#include "jobs/stages/weights.h"

static int64_t millions = 45;
static double interval = 5, length = 40;

typedef struct BenchState {
    Parameters *parameters;
    Optimizer *optimizer;
    double until;
    int64_t next_step;
    const StageContext *context;
} BenchState;

static Status bench_start(const StageContext *context, void **out, int64_t *total)
{
    BenchState *state = memory_alloc_zero(1, sizeof *state);
    if (state == NULL) return status_no_memory(sizeof *state, "the bench");
    *out = state;
    state->context = context;
    state->until = thread_clock() + length;
    *total = 1 << 20;
    TRY(parameters_create(DTYPE_F32, &state->parameters));
    for (int64_t i = 0; i < millions; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer%d", (int)i);
        parameters_add(state->parameters, name, 2, (int64_t[]){1000, 1000}, (Init){INIT_CONSTANT, 0.01});
    }
    TRY(parameters_allocate(state->parameters, 1));
    memset(state->parameters->grads, 0x3c, (size_t)state->parameters->total * sizeof(float));
    return optimizer_create((OptimizerConfig){OPTIMIZER_ADAMW, 0, 0.9, 0.999, 1e-8, 0.01}, state->parameters,
                            &state->optimizer);
}

static Status bench_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    BenchState *state = pointer;
    (void)step;
    (void)metrics;
    if (thread_clock() > state->until) return status_error(STATUS_CHILD, "time is up");
    return optimizer_step(state->optimizer, 1e-6);
}

static Status bench_save(void *pointer, int64_t next_step, const char **kind, ArrayList *arrays)
{
    BenchState *state = pointer;
    int64_t one = 1;
    *kind = "bench-state";
    state->next_step = next_step;
    TRY(array_list_add(arrays, "", "next_step", ARRAY_I64, 1, &one, &state->next_step));
    TRY(weights_list(arrays, "model.", state->parameters));
    return optimizer_list(arrays, "optimizer.", state->optimizer, state->parameters);
}

static Status bench_load(void *state, const char *path, int64_t *next_step)
{
    (void)state;
    *next_step = 0;
    return status_error(STATUS_INTERNAL, "%s: the bench does not resume", path);
}

static Status bench_finish(void *state)
{
    (void)state;
    return OK;
}

static void bench_destroy(void *pointer)
{
    BenchState *state = pointer;
    optimizer_destroy(state->optimizer);
    parameters_destroy(state->parameters);
    memory_free(state);
}

static const Stage *bench_stage(StageId id)
{
    static const Stage STAGE = {.id = STAGE_BACKBONE, .version = 1, .unit = "steps", .start = bench_start, .step = bench_step,
                                .save = bench_save, .load = bench_load, .finish = bench_finish, .destroy = bench_destroy};
    return id == STAGE_BACKBONE ? &STAGE : NULL;
}

typedef struct Sums {
    double written, waited, begun, ended;
    int checkpoints;
    int64_t steps;
} Sums;

static Status add_event(void *context, EventKind kind, double time, const Json *event)
{
    Sums *sums = context;
    double seconds = 0, waited = 0;
    if (kind == EVENT_BEGIN) sums->begun = time;
    if (kind == EVENT_END) {
        sums->ended = time;
        return json_get_integer(event, "step", "events", &sums->steps);
    }
    if (kind != EVENT_CHECKPOINT) return OK;
    TRY(json_get_real(event, "seconds", "events", &seconds));
    TRY(json_get_real(event, "waited", "events", &waited));
    sums->written += seconds;
    sums->waited += waited;
    sums->checkpoints++;
    return OK;
}

static Status run(char *work)
{
    static char key[] = "0123456789abcdef0123456789abcdef", name[] = "0001", code[] = "bench";
    Config *config;
    TRY(config_create(&config));
    AttemptSpec spec = {.work = work, .key = key, .name = name, .code = code, .stage = STAGE_BACKBONE, .version = 1,
                        .config = config, .threads = 1, .ranks = 1, .checkpoint_seconds = interval};
    char *directory = memory_format("%s/runs/%s/%s", work, key, name), *path = path_join(directory, SPEC_NAME);
    char *events = path_join(directory, EVENTS_NAME);
    TRY(directory_create(directory));
    TRY(attempt_spec_write(&spec, path));
    Status status = attempt_run(path, bench_stage, code);
    if (status_code(status) != STATUS_CHILD) return status;
    status_free(status);
    Sums sums = {0};
    int64_t offset = 0;
    TRY(events_read(events, &offset, add_event, &sums, NULL));
    double all = sums.ended - sums.begun;
    printf("checkpoints of %d MB every %g s: %d in %.0f s and %d steps\n", (int)(millions * 12), interval,
           sums.checkpoints, all, (int)sums.steps);
    printf("steps wait for checkpoints: %.2f %% of the time (writing them takes %.1f %%)\n", 100 * sums.waited / all,
           100 * sums.written / all);
    memory_free(events);
    memory_free(path);
    memory_free(directory);
    config_destroy(config);
    return OK;
}

int main(int argc, char **argv)
{
    if (argc > 1) millions = atoll(argv[1]);
    if (argc > 2) interval = atof(argv[2]);
    if (argc > 3) length = atof(argv[3]);
    const char *base = getenv("TMPDIR");
    char *work = memory_format("%s/zeroth-bench-XXXXXX", base != NULL ? base : "/tmp");
    if (work == NULL || mkdtemp(work) == NULL) return 1;
    log_set_level(LOG_LEVEL_ERROR);
    Status status = run(work);
    if (status != OK) fprintf(stderr, "%s\n", status_message(status));
    int code = status_exit_code(status_code(status));
    status_free(status);
    status_free(directory_remove(work));
    memory_free(work);
    return code;
}
