/* The loop around every stage: resume, step, checkpoint, stop, finish. */
#include "jobs/attempt.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt_private.h"
#include "jobs/checkpoint_writer.h"
#include "jobs/events.h"
#include "jobs/provenance.h"
#include "models/engine/backend.h"

#define METRIC_EVENTS 500  /* of one job, about */
#define COPY_SPEED 8e9     /* bytes a second, as long as none has been measured */
#define WAIT_SHARE 0.008   /* of its time that a job waits for checkpoints, about, at most */

/* Set by signals; the only thing that a handler touches. */
static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static bool is_stopping(void *context)
{
    const Attempt *attempt = context;
    return stop_signal != 0 || (attempt->stop_time > 0 && thread_clock() >= attempt->stop_time);
}

static void catch_signals(void)
{
    static const int SIGNALS[] = {SIGTERM, SIGINT, SIGUSR1};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigset_t set;
    sigemptyset(&action.sa_mask);
    sigemptyset(&set);
    stop_signal = 0;
    for (size_t i = 0; i < sizeof SIGNALS / sizeof SIGNALS[0]; i++) {
        sigaction(SIGNALS[i], &action, NULL);
        sigaddset(&set, SIGNALS[i]);
    }
    /* The runner blocks some of them for itself, and a mask outlives exec. */
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* work goes on when the terminal closes */
}

/* Beginning ------------------------------------------------------------------- */

static Status report_start(Attempt *attempt)
{
    if (!attempt->leads) return OK;
    ProvenanceOfRun run = {.code = attempt->code, .threads = attempt->spec->threads, .ranks = comm_size(attempt->comm),
                           .seed = config_integer(attempt->spec->config, "seed")};
    JsonWriter writer;
    event_begin(&writer, EVENT_START);
    provenance_write_run(&run, &writer);
    return event_append(&writer, attempt->events, false);
}

static Status take_lock(Attempt *attempt)
{
    if (!attempt->leads) return OK;
    char *run = run_directory(attempt->spec->work, attempt->spec->key);
    char *path = run != NULL ? path_join(run, LOCK_NAME) : NULL;
    Status status = path != NULL ? file_lock(path, &attempt->lock) : status_no_memory(0, "a path");
    memory_free(path);
    memory_free(run);
    return status;
}

/* A stage that keeps no checkpoints goes on from the output of the attempt
 * before; the others begin with an empty one. */
static Status prepare_output(Attempt *attempt)
{
    if (!attempt->leads) return OK;
    int number = 0;
    if (attempt->stage->save == NULL && sscanf(attempt->spec->name, "%d", &number) == 1) {
        for (int earlier = number - 1; earlier > 0 && !file_exists(attempt->output); earlier--) {
            char *from = attempt_directory(attempt->spec->work, attempt->spec->key, earlier);
            char *path = from != NULL ? path_join(from, OUTPUT_NAME) : NULL;
            bool failed = path == NULL || (rename(path, attempt->output) != 0 && errno != ENOENT);
            Status status = failed ? status_errno(path == NULL ? ENOMEM : errno, "move", path != NULL ? path : "output") : OK;
            memory_free(path);
            memory_free(from);
            TRY(status);
        }
    } else {
        TRY(directory_remove(attempt->output));
    }
    return directory_create(attempt->output);
}

static Status check_inputs(Attempt *attempt)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        if ((attempt->stage->inputs & 1u << stage) == 0) continue;
        const char *key = attempt->spec->inputs[stage];
        if (key == NULL)
            return status_error(STATUS_INTERNAL, "job %s: its specification names no %s artifact", attempt->spec->key,
                                stage_name((StageId)stage));
        if (attempt->leads)
            TRY(status_wrap(artifact_check(attempt->spec->work, key, false), "input %s", stage_name((StageId)stage)));
        attempt->inputs[stage] = artifact_directory(attempt->spec->work, key);
        if (attempt->inputs[stage] == NULL) return status_no_memory(0, "a path");
        attempt->context.inputs[stage] = attempt->inputs[stage];
    }
    return OK;
}

static void destroy_state(Attempt *attempt)
{
    if (attempt->state != NULL) attempt->stage->destroy(attempt->state);
    attempt->state = NULL;
}

static Status start_stage(Attempt *attempt)
{
    destroy_state(attempt);
    attempt->total = 0;
    attempt->step = 0;
    Status status = attempt->stage->start(&attempt->context, &attempt->state, &attempt->total);
    return comm_agree(attempt->comm, status);
}

/* Whether a failure to load means that the file is bad, not the machine. */
static bool is_damage(StatusCode code)
{
    return code == STATUS_CORRUPT || code == STATUS_INVALID || code == STATUS_VERSION || code == STATUS_NOT_FOUND ||
           code == STATUS_LIBRARY;
}

/* Loads one checkpoint into a freshly started stage; `*loaded` is false, and
 * the stage started anew, where the file was damaged. */
static Status load_one(Attempt *attempt, const char *path, bool *loaded)
{
    int64_t step = 0;
    Status status = attempt->stage->load(attempt->state, path, &step);
    int64_t damage = is_damage(status_code(status));
    TRY(comm_sum_integers(attempt->comm, &damage, 1));
    *loaded = status == OK && damage == 0;
    if (*loaded) attempt->step = step;
    if (damage == 0) return comm_agree(attempt->comm, status);
    if (status != OK) {
        char *message = memory_format("checkpoint set aside, and the one before it used: %s", status_message(status));
        Status told = message != NULL ? attempt_report_warning(attempt, message) : OK;
        memory_free(message);
        status_free(told);
        status_free(status);
    }
    if (attempt->leads) TRY(checkpoint_set_aside(path));
    return start_stage(attempt);
}

/* Rank 0 lists; the others hear each path from it. */
static Status resume(Attempt *attempt)
{
    if (attempt->stage->load == NULL) return OK;
    CheckpointFile *files = NULL;
    size_t count = 0;
    Status status = attempt->leads ? checkpoints_list(attempt->spec->work, attempt->spec->key, &files, &count) : OK;
    status = comm_agree(attempt->comm, status);
    int64_t files_left = (int64_t)count;
    if (status == OK) status = comm_broadcast(attempt->comm, &files_left, sizeof files_left, 0);
    bool loaded = false;
    for (int64_t i = 0; i < files_left && status == OK && !loaded; i++) {
        char path[PATH_MAX] = "";
        if (attempt->leads) snprintf(path, sizeof path, "%s", files[i].path);
        status = comm_broadcast(attempt->comm, path, sizeof path, 0);
        if (status == OK) status = load_one(attempt, path, &loaded);
        if (loaded && attempt->leads) LOG_INFO("goes on from step %lld: %s", (long long)attempt->step, path);
    }
    checkpoints_free(files, count);
    return status;
}

/* Steps ------------------------------------------------------------------------ */

/* In the writer's thread. */
static Status write_checkpoint(void *context, int64_t step, double waited, const char *kind, const ArrayList *arrays)
{
    Attempt *attempt = context;
    double before = thread_clock();
    char *path = checkpoint_path(attempt->directory, step);
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = checkpoint_write(path, kind, "{}", arrays->items, arrays->count);
    memory_free(path);
    TRY(status_wrap(status, "checkpoint of step %lld", (long long)step));
    TRY(checkpoints_prune(attempt->spec->work, attempt->spec->key));
    return attempt_report_checkpoint(attempt, step, thread_clock() - before, waited);
}

/* The writer, and its memory while there is no hurry. */
static Status start_writer(Attempt *attempt)
{
    if (!attempt->leads || attempt->stage->save == NULL) return OK;
    ArrayList arrays = {0};
    const char *kind;
    TRY(checkpoint_writer_create(write_checkpoint, attempt, &attempt->writer));
    Status status = attempt->stage->save(attempt->state, attempt->step, &kind, &arrays);
    for (int i = 0; i < arrays.count; i++) attempt->last_wait += (double)array_bytes(&arrays.items[i]) / COPY_SPEED;
    if (status == OK) return checkpoint_writer_reserve(attempt->writer, &arrays);
    array_list_clear(&arrays);
    return status;
}

static void end_writer(Attempt *attempt)
{
    checkpoint_writer_destroy(attempt->writer);
    attempt->writer = NULL;
}

/* Hands the state to the writer, which must not be busy. */
static Status save_checkpoint(Attempt *attempt)
{
    ArrayList arrays = {0};
    const char *kind;
    double before = thread_clock();
    Status status = attempt->stage->save(attempt->state, attempt->step, &kind, &arrays);
    if (status == OK) status = checkpoint_writer_take(attempt->writer, attempt->step, before, kind, &arrays);
    else array_list_clear(&arrays);
    TRY(status_wrap(status, "checkpoint of step %lld", (long long)attempt->step));
    attempt->last_saved = attempt->step;
    attempt->last_checkpoint = thread_clock();
    attempt->last_wait = attempt->last_checkpoint - before;
    attempt->waited += attempt->last_wait;
    return OK;
}

/* The newest state, on the disk when the call returns. */
static Status save_newest(Attempt *attempt)
{
    if (attempt->writer == NULL) return OK;
    TRY(checkpoint_writer_wait(attempt->writer));
    if (attempt->last_saved == attempt->step) return OK;
    TRY(save_checkpoint(attempt));
    return checkpoint_writer_wait(attempt->writer);
}

/* Where it is time, which comes later where the copy alone would take too large a share of it. While one is being
 * written, none is due: it is left to the next step, not queued. */
static Status save_if_due(Attempt *attempt)
{
    if (attempt->writer == NULL) return OK;
    TRY(checkpoint_writer_result(attempt->writer));
    double interval = attempt->spec->checkpoint_seconds, now = thread_clock();
    if (attempt->step == attempt->total) return OK;
    if (interval <= 0) return save_newest(attempt);
    bool due = now - attempt->last_checkpoint >= interval &&
               attempt->waited + attempt->last_wait <= WAIT_SHARE * (now - attempt->stepping_since);
    return due && !checkpoint_writer_busy(attempt->writer) ? save_checkpoint(attempt) : OK;
}

/* Reports, and saves where it is time. Rank 0 only. */
static Status after_step(Attempt *attempt, const StageMetrics *metrics)
{
    if (!attempt->leads) return OK;
    TRY(attempt_report_metrics(attempt, metrics));
    TRY(attempt_report_progress(attempt, metrics));
    return save_if_due(attempt);
}

static Status stop_here(Attempt *attempt)
{
    TRY(comm_agree(attempt->comm, save_newest(attempt)));
    return status_error(STATUS_INTERRUPTED, "stopped %s after step %lld of %lld: run the same command to go on",
                        stop_signal != 0 ? "by a signal" : "near its time limit", (long long)attempt->step,
                        (long long)attempt->total);
}

static Status run_steps(Attempt *attempt)
{
    while (attempt->step < attempt->total) {
        /* One sum tells all ranks whether any stops or gave up half-way. */
        int64_t stops = is_stopping(attempt);
        TRY(comm_sum_integers(attempt->comm, &stops, 1));
        if (stops > 0) return stop_here(attempt);
        StageMetrics metrics = {0};
        Status own = attempt->stage->step(attempt->state, attempt->step, &metrics);
        int64_t gave_up = status_code(own) == STATUS_INTERRUPTED;
        TRY(comm_sum_integers(attempt->comm, &gave_up, 1));
        if (gave_up > 0) {
            status_free(own);
            return stop_here(attempt);
        }
        TRY(comm_agree(attempt->comm, own));
        attempt->step++;
        attempt->beat_step = attempt->step;
        TRY(comm_agree(attempt->comm, after_step(attempt, &metrics)));
    }
    return OK;
}

static Status commit(Attempt *attempt)
{
    if (!attempt->leads) return OK;
    const AttemptSpec *spec = attempt->spec;
    ArtifactInfo info = {.key = spec->key, .stage = spec->stage, .version = spec->version, .config = spec->config,
                         .attempt = spec->name, .code = attempt->code, .fingerprint = spec->fingerprint};
    for (int stage = 0; stage < STAGE_COUNT; stage++) info.inputs[stage] = spec->inputs[stage];
    return artifact_commit(attempt->output, spec->work, &info);
}

static Status run_stage(Attempt *attempt)
{
    TRY(comm_agree(attempt->comm, check_inputs(attempt)));
    TRY(comm_agree(attempt->comm, prepare_output(attempt)));
    TRY(start_stage(attempt));
    TRY(resume(attempt));
    TRY(comm_agree(attempt->comm, start_writer(attempt)));
    attempt->beat_step = attempt->step;
    attempt->stride = attempt->total / METRIC_EVENTS + 1;
    attempt->last_checkpoint = attempt->stepping_since = thread_clock();
    TRY(comm_agree(attempt->comm, attempt_report_begin(attempt)));
    if (attempt->leads) {
        LOG_INFO("%s %.10s, attempt %s: step %lld of %lld %s", stage_name(attempt->spec->stage), attempt->spec->key,
                 attempt->spec->name, (long long)attempt->step, (long long)attempt->total, attempt->stage->unit);
        attempt->progress = progress_create(stage_name(attempt->spec->stage), attempt->total, attempt->stage->unit);
        progress_set_start(attempt->progress, attempt->step);
    }
    TRY(run_steps(attempt));
    end_writer(attempt); /* a checkpoint that failed now is of no use any more */
    TRY(comm_agree(attempt->comm, attempt->stage->finish(attempt->state)));
    /* Files of the stage are closed before they are counted and moved. */
    destroy_state(attempt);
    return comm_agree(attempt->comm, commit(attempt));
}

/* Whole --------------------------------------------------------------------------- */

static Status set_up(Attempt *attempt, StageLookup lookup)
{
    const AttemptSpec *spec = attempt->spec;
    attempt->stage = lookup(spec->stage);
    if (attempt->stage == NULL) return status_error(STATUS_INTERNAL, "no stage '%s'", stage_name(spec->stage));
    if (attempt->stage->version != spec->version)
        return status_error(STATUS_VERSION, "job %s was planned for version %d of stage %s, and this program has %d: "
                            "run the study again", spec->key, spec->version, stage_name(spec->stage),
                            attempt->stage->version);
    attempt->directory = memory_format("%s/runs/%s/%s", spec->work, spec->key, spec->name);
    attempt->output = attempt->directory != NULL ? path_join(attempt->directory, OUTPUT_NAME) : NULL;
    attempt->events = attempt->directory != NULL ? path_join(attempt->directory, EVENTS_NAME) : NULL;
    if (attempt->output == NULL || attempt->events == NULL) return status_no_memory(0, "a path");
    attempt->started = attempt->last_progress = thread_clock();
    attempt->last_saved = -1;
    if (spec->time_limit > 0) {
        double margin = spec->time_limit * 0.1 < 60 ? spec->time_limit * 0.1 : 60;
        attempt->stop_time = attempt->started + spec->time_limit - margin;
    }
    attempt->context = (StageContext){.config = spec->config,
                                      .seed = (uint64_t)config_integer(spec->config, "seed"),
                                      .output = attempt->output,
                                      .comm = attempt->comm,
                                      .threads = spec->threads,
                                      .stopping = is_stopping,
                                      .stop = attempt};
    backend_cpu_set_threads(spec->threads);
    return OK;
}

static void tear_down(Attempt *attempt)
{
    end_writer(attempt);
    attempt_end_heartbeat(attempt);
    progress_destroy(attempt->progress);
    destroy_state(attempt);
    for (int i = 0; i < STAGE_COUNT; i++) memory_free(attempt->inputs[i]);
    memory_free(attempt->events);
    memory_free(attempt->output);
    memory_free(attempt->directory);
    file_unlock(attempt->lock);
}

/* Once the lock is held: all that leaves a trace in the events. */
static Status run_locked(Attempt *attempt)
{
    const AttemptSpec *spec = attempt->spec;
    TRY(comm_agree(attempt->comm, report_start(attempt)));
    TRY(comm_agree(attempt->comm, attempt_start_heartbeat(attempt)));
    Status found = attempt->leads ? artifact_check(spec->work, spec->key, false) : OK;
    int64_t missing = found != OK;
    status_free(found);
    TRY(comm_sum_integers(attempt->comm, &missing, 1));
    Status status = missing > 0 ? run_stage(attempt) : OK; /* else another attempt finished it before */
    end_writer(attempt);
    attempt_end_heartbeat(attempt);
    if (status == OK && attempt->leads) {
        Status cleared = attempts_clear(spec->work, spec->key);
        if (cleared != OK) log_status(LOG_LEVEL_WARNING, cleared); /* the artifact is whole all the same */
    }
    progress_destroy(attempt->progress);
    attempt->progress = NULL;
    if (status == OK && attempt->leads)
        LOG_INFO("%s %.10s: finished", stage_name(spec->stage), spec->key);
    return status_first(status, attempt_report_end(attempt, status));
}

Status attempt_run(const char *spec_path, StageLookup lookup, const char *code)
{
    AttemptSpec *spec = NULL;
    Comm *comm = NULL;
    TRY(comm_create(&comm));
    catch_signals(); /* after MPI, which may install handlers of its own */
    Attempt attempt = {.comm = comm, .code = code, .leads = comm_rank(comm) == 0};
    monitor_create(&attempt.monitor);
    Status status = comm_agree(comm, attempt_spec_read(spec_path, &spec));
    attempt.spec = spec;
    if (status == OK) status = comm_agree(comm, set_up(&attempt, lookup));
    if (status == OK) status = comm_agree(comm, take_lock(&attempt));
    if (status == OK) status = run_locked(&attempt);
    tear_down(&attempt);
    monitor_destroy(&attempt.monitor);
    attempt_spec_destroy(spec);
    comm_destroy(comm);
    return status;
}

Status attempt_is_live(const char *work, const char *key, bool *live, char **holder)
{
    *live = false;
    if (holder != NULL) *holder = NULL;
    char *path = memory_format("%s/runs/%s/" LOCK_NAME, work, key);
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = file_lock_look(path, live, holder);
    memory_free(path);
    return status;
}
