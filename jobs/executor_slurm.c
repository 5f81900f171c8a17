/* Groups what may be sent into arrays, and calls sbatch. */
#include "jobs/executor_slurm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/slurm_command.h"
#include "jobs/slurm_script.h"

static Status no_memory(void)
{
    return status_no_memory(0, "a wave of jobs");
}

/* Limits --------------------------------------------------------------------------------- */

static int64_t smaller(int64_t a, int64_t b)
{
    return b > 0 && b < a ? b : a;
}

/* How many more tasks the queue takes. */
static int64_t room_left(const Sync *sync)
{
    int64_t most = sync->limits.max_jobs;
    for (size_t i = 0; i < sync->submission_count; i++) most = smaller(most, sync->submissions[i]->settings.max_submit);
    int64_t left = most - (int64_t)sync->queue.live;
    return left > 0 ? left : 0;
}

static bool is_limit(const char *message)
{
    static const char *const WORDS[] = {"submit limit", "SubmitJobs", "MaxSubmit", "temporarily unavailable",
                                        "job limit", "MaxJobCount"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (strstr(message, WORDS[i]) != NULL) return true;
    return false;
}

/* Whether sbatch may have failed after the controller had taken the job. */
static bool is_doubtful(const char *message)
{
    static const char *const WORDS[] = {"timed out", "contact slurm controller", "Connection", "Zero Bytes",
                                        "Unexpected message", "Communication", "communication"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (strstr(message, WORDS[i]) != NULL) return true;
    return false;
}

/* One wave --------------------------------------------------------------------------------- */

typedef struct Group {
    const Candidate *const *items; /* that agree, and wait for the same */
    const int64_t *indices;        /* in the array; NULL: 0, 1, ... */
    size_t count;
    const char *dependency;
} Group;

static Status fill_wave(const Sync *sync, const Group *group, size_t tasks, SlurmWave *wave)
{
    const Candidate *first = group->items[0];
    const SlurmSubmission *submission = first->submission;
    size_t pack = group->indices == NULL ? (size_t)submission->settings.pack : 1;
    *wave = (SlurmWave){.stage = first->stage, .ranks = first->class->ranks, .threads = first->class->threads,
                        .requeue = first->class->requeue, .resubmit = submission->settings.resubmit,
                        .timeout = submission->settings.timeout, .attempts = submission->settings.attempts};
    TRY(slurm_wave_name(wave, sync->work));
    wave->study = memory_copy_string(submission->study);
    wave->program = memory_copy_string(submission->program);
    wave->mpi = memory_copy_string(first->class->mpi);
    wave->tasks = memory_alloc_zero(tasks, sizeof *wave->tasks);
    wave->keys = memory_alloc_zero(tasks * pack, sizeof *wave->keys);
    if (wave->study == NULL || wave->program == NULL || wave->mpi == NULL || wave->tasks == NULL || wave->keys == NULL)
        return no_memory();
    for (size_t i = 0; i < group->count && i < tasks * pack; i++) {
        SlurmWaveTask *task = &wave->tasks[i / pack];
        if (task->count++ == 0)
            *task = (SlurmWaveTask){.first = (uint32_t)i, .count = 1,
                                    .index = group->indices != NULL ? group->indices[i] : (int64_t)(i / pack)};
        memcpy(wave->keys[wave->key_count++], sync->jobs[group->items[i]->job].job->key, HASH_HEX_SIZE);
    }
    wave->count = tasks;
    return OK;
}

/* Puts the wave, which is taken, among the open ones, and its jobs into the queue. */
static Status adopt_wave(Sync *sync, SlurmWave *wave)
{
    SlurmWave *waves = memory_resize(sync->waves, (sync->wave_count + 1) * sizeof *waves);
    if (waves == NULL) return no_memory();
    sync->waves = waves;
    waves[sync->wave_count] = *wave;
    for (size_t task = 0; task < wave->count; task++)
        for (uint32_t i = 0; i < wave->tasks[task].count; i++) {
            SyncJob *job = sync_find(sync, wave->keys[wave->tasks[task].first + i]);
            job->state = STATE_QUEUED;
            job->wave = sync->wave_count;
            job->task = task;
            job->dependable = wave->job != 0;
        }
    sync->wave_count++;
    sync->queue.live += wave->count;
    sync->summary->sent += wave->key_count;
    sync->summary->waves++;
    sync->summary->changed = true;
    *wave = (SlurmWave){0};
    return OK;
}

typedef enum Answer { SENT, REFUSED, LIMITED, DOUBTFUL } Answer;

/* What sbatch's end means. A refusal that may be none is looked up by the token, in a fresh squeue. */
static Status understand(Sync *sync, SlurmWave *wave, const SlurmOutput *output, Answer *answer, Status *said)
{
    int64_t job = 0;
    char number[32];
    snprintf(number, sizeof number, "%.*s", (int)strcspn(text_string(&output->out), ";\n"), text_string(&output->out));
    if (output->code == 0 && parse_integer(number, &job) && job > 0) {
        *answer = SENT;
        return slurm_wave_record_sent(wave, job);
    }
    *said = slurm_refusal("sbatch", output);
    *answer = is_limit(status_message(*said)) ? LIMITED : REFUSED;
    if (is_doubtful(status_message(*said))) {
        *answer = DOUBTFUL;
        return OK;
    }
    SlurmQueue queue = {0};
    Status status = slurm_queue_read(sync->timeout, &queue);
    if (status != OK) {
        status_free(status);
        *answer = DOUBTFUL;
    } else if ((job = slurm_queue_find_name(&queue, wave->name)) != 0) {
        *answer = SENT;
    }
    slurm_queue_free(&queue);
    return *answer == SENT ? slurm_wave_record_sent(wave, job) : OK;
}

static Status call_sbatch(Sync *sync, SlurmWave *wave, const SbatchLine *line, Answer *answer, Status *said)
{
    SlurmOutput output;
    Status status = slurm_command(line->argv, sync->timeout, &output);
    if (status == OK) {
        status = understand(sync, wave, &output, answer, said);
    } else if (status_code(status) == STATUS_CHILD) { /* killed while it waited: who knows */
        *said = status;
        *answer = DOUBTFUL;
        status = OK;
    }
    slurm_output_free(&output);
    return status;
}

static void show_dry(Sync *sync, SlurmWave *wave, const SbatchLine *line, const char *script)
{
    Text command = {0};
    for (int i = 0; i < line->count; i++) {
        bool plain = strspn(line->argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,%") ==
                     strlen(line->argv[i]);
        text_append(&command, i > 0 ? " " : "");
        if (plain) text_append(&command, line->argv[i]);
        else text_append_quoted(&command, line->argv[i]);
    }
    fprintf(sync->dry, "# %zu %s job%s in %zu task%s\n%s\n\n%s\n", wave->key_count, stage_name(wave->stage),
            wave->key_count == 1 ? "" : "s", wave->count, wave->count == 1 ? "" : "s", text_string(&command), script);
    text_free(&command);
    wave->job = -1 - (int64_t)sync->wave_count; /* a number that no cluster gives */
}

/* Writes the intent, then sends. `*answer` tells what became of it; `wave` keeps what was not taken. */
static Status send_wave(Sync *sync, const Group *group, SlurmWave *wave, Answer *answer, Status *said)
{
    const Candidate *first = group->items[0];
    SlurmRequest request = {.class = first->class, .settings = &first->submission->settings, .directory = first->submission->directory,
                            .memory = first->memory, .exclude = first->exclude, .begin = first->begin,
                            .dependency = group->dependency, .pack = 1};
    for (size_t i = 0; i < wave->count; i++)
        if (wave->tasks[i].count > request.pack) request.pack = wave->tasks[i].count;
    for (size_t i = 1; i < group->count; i++)
        if (group->items[i]->begin > request.begin) request.begin = group->items[i]->begin;
    char *script = NULL;
    SbatchLine line = {0};
    Status status = slurm_script_render(&request, wave, &script);
    if (status == OK) status = sbatch_line_create(&request, wave, &line);
    *answer = SENT;
    if (status == OK && sync->dry != NULL) {
        show_dry(sync, wave, &line, script);
    } else if (status == OK) {
        status = slurm_wave_write(wave, script, line.argv);
        if (status == OK) status = call_sbatch(sync, wave, &line, answer, said);
    }
    sbatch_line_free(&line);
    memory_free(script);
    return status;
}

/* After an answer that is no yes. */
static Status take_refusal(Sync *sync, SlurmWave *wave, Answer answer, Status said)
{
    Status status = OK;
    if (answer == LIMITED) { /* nothing worth a record: it is tried again in smaller pieces, or when the queue drains */
        status = directory_remove(wave->directory);
        snprintf(sync->summary->note, sizeof sync->summary->note, "the queue takes no more now (%.150s)", status_message(said));
    } else if (answer == REFUSED) {
        status = slurm_wave_record_refused(wave, status_message(said));
        if (sync->refusal == OK)
            sync->refusal = status_error(STATUS_CHILD, "%zu %s jobs were refused: %s: correct slurm.* of the study "
                                         "('zeroth config slurm'), and submit it again; script: %s/script", wave->key_count,
                                         stage_name(wave->stage), status_message(said), wave->directory);
    } else {
        snprintf(sync->summary->note, sizeof sync->summary->note,
                 "no answer to a submission (%.120s): it is looked up by its name, %s, before anything is sent again",
                 status_message(said), wave->name);
        status = adopt_wave(sync, wave);
    }
    status_free(said);
    return status;
}

/* Sends a group in as many arrays as the limits ask for; `*more` is false where the queue is full or refuses. */
static Status send_group(Sync *sync, Group group, bool *more)
{
    size_t pack = group.indices == NULL ? (size_t)group.items[0]->submission->settings.pack : 1;
    int64_t most = smaller(sync->limits.max_array, group.items[0]->submission->settings.max_array);
    *more = true;
    while (group.count > 0 && *more) {
        int64_t tasks = (int64_t)((group.count + pack - 1) / pack), room = room_left(sync);
        if (room < tasks) {
            sync->summary->held += group.count - (size_t)room * pack;
            tasks = room;
        }
        if (most < tasks) tasks = most;
        if (tasks <= 0) {
            *more = false;
            break;
        }
        SlurmWave wave;
        Answer answer = SENT;
        Status said = OK, status = fill_wave(sync, &group, (size_t)tasks, &wave);
        size_t keys = wave.key_count;
        if (status == OK) status = send_wave(sync, &group, &wave, &answer, &said);
        if (status == OK && answer == SENT) status = adopt_wave(sync, &wave);
        else if (status == OK) status = take_refusal(sync, &wave, answer, said);
        slurm_wave_free(&wave);
        TRY(status);
        if (answer == LIMITED && tasks > 1) {
            sync->limits.max_jobs = (int64_t)sync->queue.live + tasks / 2; /* half as many next time */
        } else if (answer != SENT) {
            *more = false;
        } else {
            group.items += keys;
            if (group.indices != NULL) group.indices += keys;
            group.count -= keys;
        }
    }
    return OK;
}

/* Dependencies ----------------------------------------------------------------------------------- */

static void append_job(const Sync *sync, const SlurmWave *wave, Text *out)
{
    if (sync->dry != NULL && wave->job < 0) text_format(out, "<%s>", wave->name);
    else text_format(out, "%lld", (long long)wave->job);
}

static void append_afterok(const Sync *sync, const Candidate *candidate, Text *out)
{
    for (int i = 0; i < candidate->wait_count; i++) {
        const SyncJob *from = &sync->jobs[candidate->waits[i]];
        const SlurmWave *wave = &sync->waves[from->wave];
        text_append(out, i == 0 ? "afterok:" : ":");
        append_job(sync, wave, out);
        text_format(out, "_%lld", (long long)wave->tasks[from->task].index);
    }
}

/* Where a candidate that waits for one task finds it. */
typedef struct Place {
    const Candidate *item;
    size_t wave;    /* NO_TASK where it waits for several */
    int64_t index;  /* of the task waited for */
    int round;      /* how many before it wait for the same */
    bool done;
} Place;

static int compare_places(const void *x, const void *y)
{
    const Place *a = x, *b = y;
    if (a->wave != b->wave) return a->wave < b->wave ? -1 : 1;
    if (a->index != b->index) return a->index < b->index ? -1 : 1;
    return a->item->job < b->item->job ? -1 : a->item->job > b->item->job;
}

typedef struct Batch {
    const Candidate **items;
    int64_t *indices;
    size_t count;
} Batch;

/* Sends every place from `begin` to `end` for which `wanted` holds as one group. */
static Status send_batch(Sync *sync, const Batch *batch, bool indexed, const char *dependency, bool *more)
{
    if (batch->count == 0) return OK;
    return send_group(sync, (Group){.items = batch->items, .indices = indexed ? batch->indices : NULL,
                                    .count = batch->count, .dependency = dependency}, more);
}

/* Candidates that wait for tasks of one wave: by aftercorr, one array for each time that a task is waited for; or
 * by afterok, one array for each task; whichever takes fewer. */
static Status send_behind_wave(Sync *sync, Place *places, size_t count, Batch *batch, bool *more)
{
    int rounds = 0;
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        places[i].round = i > 0 && places[i].index == places[i - 1].index ? places[i - 1].round + 1 : 0;
        if (places[i].round == 0) distinct++;
        if (places[i].round + 1 > rounds) rounds = places[i].round + 1;
    }
    bool corresponding = (size_t)rounds <= distinct;
    size_t arrays = corresponding ? (size_t)rounds : distinct, next = 0;
    for (size_t array = 0; array < arrays && *more; array++) {
        Text dependency = {0};
        batch->count = 0;
        if (corresponding) {
            for (size_t i = 0; i < count; i++)
                if (places[i].round == (int)array) {
                    batch->items[batch->count] = places[i].item;
                    batch->indices[batch->count++] = places[i].index;
                }
            text_append(&dependency, "aftercorr:");
            append_job(sync, &sync->waves[places[0].wave], &dependency);
        } else {
            append_afterok(sync, places[next].item, &dependency);
            do batch->items[batch->count++] = places[next++].item;
            while (next < count && places[next].round > 0);
        }
        Status status = dependency.failed ? no_memory()
                                          : send_batch(sync, batch, corresponding, text_string(&dependency), more);
        text_free(&dependency);
        TRY(status);
    }
    return OK;
}

/* Candidates that wait for several tasks each: those that wait for the same ones together. */
static Status send_behind_several(Sync *sync, Place *places, size_t count, Batch *batch, bool *more)
{
    for (size_t i = 0; i < count && *more; i++) {
        if (places[i].done) continue;
        Text dependency = {0};
        append_afterok(sync, places[i].item, &dependency);
        batch->count = 0;
        for (size_t k = i; k < count; k++) {
            const Candidate *a = places[i].item, *b = places[k].item;
            if (places[k].done || a->wait_count != b->wait_count ||
                memcmp(a->waits, b->waits, (size_t)a->wait_count * sizeof *a->waits) != 0)
                continue;
            places[k].done = true;
            batch->items[batch->count++] = b;
        }
        Status status = dependency.failed ? no_memory() : send_batch(sync, batch, false, text_string(&dependency), more);
        text_free(&dependency);
        TRY(status);
    }
    return OK;
}

/* Candidates that agree, from `items` on: what waits for nothing, for one task, for several. */
static Status send_alike(Sync *sync, const Candidate *items, size_t count, bool *more)
{
    Place *places = memory_alloc(count * sizeof *places);
    Batch batch = {.items = memory_alloc(count * sizeof *batch.items), .indices = memory_alloc(count * sizeof *batch.indices)};
    Status status = places == NULL || batch.items == NULL || batch.indices == NULL ? no_memory() : OK;
    for (size_t i = 0; status == OK && i < count; i++) {
        places[i] = (Place){.item = &items[i], .wave = NO_TASK};
        batch.items[i] = &items[i];
        if (items[i].wait_count != 1) continue;
        const SyncJob *from = &sync->jobs[items[i].waits[0]];
        places[i].wave = from->wave;
        places[i].index = sync->waves[from->wave].tasks[from->task].index;
    }
    batch.count = count;
    if (status == OK && items[0].wait_count == 0) {
        status = send_batch(sync, &batch, false, "", more);
    } else if (status == OK) {
        qsort(places, count, sizeof *places, compare_places);
        for (size_t begin = 0, end; status == OK && begin < count && *more; begin = end) {
            for (end = begin + 1; end < count && places[end].wave == places[begin].wave;) end++;
            status = places[begin].wave != NO_TASK ? send_behind_wave(sync, places + begin, end - begin, &batch, more)
                                                   : send_behind_several(sync, places + begin, end - begin, &batch, more);
        }
    }
    memory_free(batch.indices);
    memory_free(batch.items);
    memory_free(places);
    return status;
}

/* Whole ---------------------------------------------------------------------------------------------- */

static Status send_all(Sync *sync, const Candidate *candidates, size_t count, bool *more)
{
    for (size_t begin = 0, end; begin < count && *more; begin = end) {
        for (end = begin + 1; end < count && candidates_agree(&candidates[begin], &candidates[end]) &&
                              (candidates[begin].wait_count > 0) == (candidates[end].wait_count > 0);)
            end++;
        TRY(send_alike(sync, candidates + begin, end - begin, more));
    }
    return OK;
}

static Status read_cluster(Sync *sync)
{
    Status status = OK;
    if (!sync->limits_known) status = slurm_limits_read(sync->timeout, &sync->limits);
    if (status != OK && sync->dry != NULL) { /* to look at scripts takes no cluster */
        fprintf(sync->dry, "# %s; so Slurm's usual limits are taken\n", status_message(status));
        status_free(status);
        sync->limits_known = true;
        return OK;
    }
    TRY(status);
    sync->limits_known = true;
    /* A look that found open waves has asked already. */
    return sync->queue.items == NULL ? slurm_queue_read(sync->timeout, &sync->queue) : OK;
}

Status executor_slurm_send(Sync *sync)
{
    /* What is sent lets what is behind it be queued too: stage by stage, as deep as there is room. */
    for (bool more = true; more;) {
        Candidate *candidates;
        size_t count = 0, sent = sync->summary->sent;
        sync->summary->held = 0;
        Status status = executor_slurm_choose(sync, &candidates, &count);
        if (status == OK && count > 0) status = read_cluster(sync);
        if (status == OK) status = send_all(sync, candidates, count, &more);
        memory_free(candidates);
        TRY(status);
        if (sync->summary->sent == sent) more = false;
    }
    return OK;
}
