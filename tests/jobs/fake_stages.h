/* Cheap stages with real checkpoints, for tests of everything around a stage.
 * Every stage turns its inputs, seed and step number into a running sum, so
 * that a step done twice, left out or resumed from the wrong state shows in the
 * result. FAKE_STEP_MS slows steps down. What a config asks of them:
 *   train.rate 9        backbone fails at step 3 with a non-finite loss
 *   generator.rate 9    generator says its input is bad
 *   generator.rate 8    generator kills itself at step 3, at every attempt
 *   generator.rate 7    generator is out of memory, at every attempt
 *   generator.rate 6    generator's first attempt stands still at step 3 (SIGSTOP)
 *   train.rate 5        backbone waits at step 2 until there is a file $FAKE_GATE
 * What generator.rate 9 objects to is mended once there is a file $FAKE_MENDED. */
#ifndef TESTS_JOBS_FAKE_STAGES_H
#define TESTS_JOBS_FAKE_STAGES_H

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/random.h"
#include "jobs/stage.h"

typedef struct FakeState {
    StageContext context;
    StageId stage;
    int64_t total;
    uint64_t sum;
    int64_t next_step; /* of the checkpoint */
} FakeState;

static inline uint64_t fake_mix(uint64_t sum, uint64_t value)
{
    sum ^= value + 0x9E3779B97F4A7C15u + (sum << 6) + (sum >> 2);
    return sum * 0xBF58476D1CE4E5B9u;
}

static inline int64_t fake_steps(StageId stage, const Config *config)
{
    return stage == STAGE_BACKBONE    ? config_integer(config, "train.steps")
           : stage == STAGE_GENERATOR ? config_integer(config, "generator.steps")
                                      : 4;
}

static inline Status fake_start(StageId stage, const StageContext *context, void **out, int64_t *total)
{
    FakeState *state = memory_alloc_zero(1, sizeof *state);
    if (state == NULL) return status_no_memory(sizeof *state, "a stage");
    *out = state;
    state->context = *context;
    state->stage = stage;
    state->sum = fake_mix(stage, context->seed);
    *total = state->total = fake_steps(stage, context->config);
    for (int input = 0; input < STAGE_COUNT; input++) {
        if (context->inputs[input] == NULL) continue;
        char *path = path_join(context->inputs[input], "result"), *data;
        size_t bytes;
        if (path == NULL) return status_no_memory(0, "a path");
        Status status = file_read(path, 0, &data, &bytes);
        memory_free(path);
        if (status != OK) return status;
        state->sum = fake_mix(state->sum, strtoull(data, NULL, 16));
        memory_free(data);
    }
    return OK;
}

static inline void fake_pause(void)
{
    const char *milliseconds = getenv("FAKE_STEP_MS");
    long ns = milliseconds != NULL ? strtol(milliseconds, NULL, 10) * 1000000 : 0;
    if (ns > 0) nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static inline bool fake_file_is_there(const char *variable)
{
    const char *path = getenv(variable);
    return path != NULL && file_exists(path);
}

/* False where the attempt is to stop instead. */
static inline bool fake_gate_opens(const FakeState *state)
{
    while (getenv("FAKE_GATE") != NULL && !fake_file_is_there("FAKE_GATE")) {
        if (state->context.stopping(state->context.stop)) return false;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return true;
}

static inline Status fake_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    FakeState *state = pointer;
    const Config *config = state->context.config;
    fake_pause();
    if (state->stage == STAGE_BACKBONE && config_real(config, "train.rate") == 9 && step == 3)
        return status_error(STATUS_NON_FINITE, "the loss of step 3 is not a number");
    if (state->stage == STAGE_BACKBONE && config_real(config, "train.rate") == 5 && step == 2 && !fake_gate_opens(state))
        return status_error(STATUS_INTERRUPTED, "stopped before the gate");
    if (state->stage == STAGE_GENERATOR) {
        bool first = strstr(state->context.output, "/0001/") != NULL;
        if (config_real(config, "generator.rate") == 7) return status_no_memory(1 << 30, "a large matrix");
        if (config_real(config, "generator.rate") == 6 && step == 3 && first) raise(SIGSTOP);
    }
    if (state->stage == STAGE_GENERATOR && config_real(config, "generator.rate") == 9 && !fake_file_is_there("FAKE_MENDED"))
        return status_error(STATUS_INVALID, "class vectors: no vector for class 'zebra'");
    if (state->stage == STAGE_GENERATOR && config_real(config, "generator.rate") == 8 && step == 3) raise(SIGKILL);
    state->sum = fake_mix(state->sum, (uint64_t)step);
    metrics->items[0].name = "loss";
    metrics->items[0].value = 1.0 / (double)(step + 1);
    metrics->count = 1;
    return OK;
}

/* Shard keeps no checkpoint: it leaves a file per step and skips those it finds. */
static inline Status fake_shard_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    FakeState *state = pointer;
    char *path = memory_format("%s/part-%02" PRId64, state->context.output, step);
    Status status = OK;
    if (path == NULL) return status_no_memory(0, "a path");
    if (!file_exists(path)) {
        fake_pause();
        char text[32];
        snprintf(text, sizeof text, "%016" PRIx64, fake_mix(7, (uint64_t)step));
        status = file_write(path, text, strlen(text));
    }
    memory_free(path);
    state->sum = fake_mix(state->sum, (uint64_t)step);
    metrics->count = 0;
    return status;
}

static inline Status fake_save(void *pointer, int64_t next_step, const char **kind, ArrayList *arrays)
{
    FakeState *state = pointer;
    int64_t one = 1;
    *kind = "fake-state";
    state->next_step = next_step;
    TRY(array_list_add(arrays, "", "next_step", ARRAY_I64, 1, &one, &state->next_step));
    return array_list_add(arrays, "", "sum", ARRAY_I64, 1, &one, &state->sum);
}

static inline Status fake_load(void *pointer, const char *path, int64_t *next_step)
{
    FakeState *state = pointer;
    int64_t one = 1;
    Checkpoint *checkpoint;
    TRY(checkpoint_read(path, "fake-state", &checkpoint));
    Status status = checkpoint_get(checkpoint, "next_step", ARRAY_I64, 1, &one, next_step);
    if (status == OK) status = checkpoint_get(checkpoint, "sum", ARRAY_I64, 1, &one, &state->sum);
    checkpoint_destroy(checkpoint);
    return status;
}

static inline Status fake_finish(void *pointer)
{
    FakeState *state = pointer;
    if (comm_rank(state->context.comm) > 0) return OK;
    char text[64];
    char *path = path_join(state->context.output, "result");
    if (path == NULL) return status_no_memory(0, "a path");
    int length = snprintf(text, sizeof text, "%016" PRIx64 "\n", state->sum);
    Status status = file_write(path, text, (size_t)length);
    memory_free(path);
    if (status != OK || state->stage != STAGE_EVALUATE) return status;
    path = path_join(state->context.output, "metrics.json");
    if (path == NULL) return status_no_memory(0, "a path");
    length = snprintf(text, sizeof text, "{\"pq\": %.17g}", (double)(state->sum >> 12));
    status = file_write(path, text, (size_t)length);
    memory_free(path);
    return status;
}

static inline void fake_destroy(void *state)
{
    memory_free(state);
}

#define FAKE_START(name, id) \
    static inline Status name(const StageContext *context, void **state, int64_t *total) { return fake_start(id, context, state, total); }
FAKE_START(fake_start_shard, STAGE_SHARD)
FAKE_START(fake_start_backbone, STAGE_BACKBONE)
FAKE_START(fake_start_extract, STAGE_EXTRACT)
FAKE_START(fake_start_generator, STAGE_GENERATOR)
FAKE_START(fake_start_evaluate, STAGE_EVALUATE)

static inline const Stage *fake_stage(StageId id)
{
#define FAKE_STAGE(id_, reads, unit_, step_, save_, load_, start_)                                                     \
    {.id = id_, .version = 1, .inputs = reads, .unit = unit_, .start = start_, .step = step_, .save = save_,          \
     .load = load_, .finish = fake_finish, .destroy = fake_destroy}
    static const Stage STAGES_OF_TEST[STAGE_COUNT] = {
        {.id = STAGE_SHARD, .version = 1, .unit = "shards", .parallel = true, .start = fake_start_shard,
         .step = fake_shard_step, .finish = fake_finish, .destroy = fake_destroy},
        FAKE_STAGE(STAGE_BACKBONE, 1u << STAGE_SHARD, "steps", fake_step, fake_save, fake_load, fake_start_backbone),
        FAKE_STAGE(STAGE_EXTRACT, 1u << STAGE_SHARD | 1u << STAGE_BACKBONE, "images", fake_step, fake_save, fake_load,
                   fake_start_extract),
        FAKE_STAGE(STAGE_GENERATOR, 1u << STAGE_EXTRACT, "steps", fake_step, fake_save, fake_load, fake_start_generator),
        FAKE_STAGE(STAGE_EVALUATE, 1u << STAGE_BACKBONE | 1u << STAGE_EXTRACT | 1u << STAGE_GENERATOR, "images", fake_step,
                   fake_save, fake_load, fake_start_evaluate)};
#undef FAKE_STAGE
    return &STAGES_OF_TEST[id];
}

/* A fresh directory, in memory where there is such a file system: flushing is
 * what most of these tests would wait for. Freed by memory_free. */
static inline char *fake_directory(void)
{
    bool in_memory = access("/dev/shm", W_OK) == 0;
    char *path = memory_copy_string(in_memory ? "/dev/shm/zeroth-test-XXXXXX" : "/tmp/zeroth-test-XXXXXX");
    return mkdtemp(path);
}

static inline void fake_write(const char *directory, const char *name, const char *text)
{
    char *path = path_join(directory, name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    memory_free(path);
}

#endif
