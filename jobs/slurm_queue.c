#include "jobs/slurm_queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/slurm_command.h"

static const struct { const char *name; SlurmPhase phase; ExitCause cause; } STATES[] = {
#define X(state, name, phase, cause) [state] = {name, phase, cause},
    SLURM_STATES(X)
#undef X
};
static_assert(sizeof STATES / sizeof STATES[0] == SLURM_STATE_COUNT, "every state has its row");

const char *slurm_state_name(SlurmState state)
{
    return STATES[state].name;
}

SlurmPhase slurm_state_phase(SlurmState state)
{
    return STATES[state].phase;
}

ExitCause slurm_state_cause(SlurmState state)
{
    return STATES[state].cause;
}

SlurmState slurm_state_from_name(const char *name)
{
    size_t length = strcspn(name, " +");
    for (int i = 0; i < SLURM_STATE_COUNT; i++)
        if (strlen(STATES[i].name) == length && strncmp(name, STATES[i].name, length) == 0) return (SlurmState)i;
    return SLURM_NO_STATE;
}

static Status run(const char *const *argv, double timeout, SlurmOutput *output)
{
    Status status = slurm_command(argv, timeout, output);
    if (status == OK && output->code != 0) status = slurm_refusal(argv[0], output);
    return status;
}

static Status add_entry(SlurmQueue *queue, const SlurmEntry *entry)
{
    if ((queue->count & (queue->count - 1)) == 0) { /* doubled at every power of two */
        size_t capacity = queue->count > 0 ? queue->count * 2 : 1;
        SlurmEntry *items = memory_resize(queue->items, capacity * sizeof *items);
        if (items == NULL) return status_no_memory(capacity * sizeof *items, "a queue of jobs");
        queue->items = items;
    }
    queue->items[queue->count++] = *entry;
    return OK;
}

static int compare_entries(const void *a, const void *b)
{
    const SlurmEntry *x = a, *y = b;
    if (x->job != y->job) return x->job < y->job ? -1 : 1;
    return (x->task > y->task) - (x->task < y->task);
}

static void sort(SlurmQueue *queue)
{
    if (queue->count > 1) qsort(queue->items, queue->count, sizeof *queue->items, compare_entries);
}

/* Columns of a fixed width: the one form of squeue's output that every version of the last ten years knows, and that
 * no separator in a value can break. */
typedef enum Column { JOB, TASK, STATE, RESTARTS, EXIT, REASON, START, NAME, NODES, COLUMN_COUNT } Column;
static const struct { const char *field; int width; } COLUMNS[] = {
    [JOB] = {"ArrayJobID", 16}, [TASK] = {"ArrayTaskID", 12}, [STATE] = {"State", 24},   [RESTARTS] = {"RestartCnt", 12},
    [EXIT] = {"exit_code", 12}, [REASON] = {"Reason", 56},    [START] = {"StartTime", 32}, [NAME] = {"Name", 80},
    [NODES] = {"NodeList", 192}};
static_assert(sizeof COLUMNS / sizeof COLUMNS[0] == COLUMN_COUNT, "every column has its field");

/* The value of a column without the blanks that fill it up. */
static void take_column(const char *line, size_t length, Column column, char *out, size_t size)
{
    size_t begin = 0;
    for (int i = 0; i < (int)column; i++) begin += (size_t)COLUMNS[i].width;
    size_t end = begin + (size_t)COLUMNS[column].width;
    if (end > length) end = length;
    if (begin > end) begin = end;
    while (end > begin && line[end - 1] == ' ') end--;
    snprintf(out, size, "%.*s", (int)(end - begin), line + begin);
}

static Status take_line(SlurmQueue *queue, const char *line, size_t length)
{
    char number[32];
    SlurmEntry entry = {.task = -1, .exit_code = -1};
    take_column(line, length, JOB, number, sizeof number);
    if (!parse_integer(number, &entry.job)) return OK; /* no job line */
    int64_t value;
    take_column(line, length, TASK, number, sizeof number);
    if (parse_integer(number, &value)) entry.task = value;
    take_column(line, length, RESTARTS, number, sizeof number);
    if (parse_integer(number, &value)) entry.restarts = (int)value;
    take_column(line, length, EXIT, number, sizeof number);
    if (parse_integer(number, &value)) {
        entry.exit_code = (int)(value >> 8) & 0xff;
        entry.signal = (int)value & 0x7f;
    }
    take_column(line, length, STATE, number, sizeof number);
    entry.state = slurm_state_from_name(number);
    take_column(line, length, REASON, entry.reason, sizeof entry.reason);
    take_column(line, length, START, entry.start, sizeof entry.start);
    take_column(line, length, NAME, entry.name, sizeof entry.name);
    take_column(line, length, NODES, entry.nodes, sizeof entry.nodes);
    if (slurm_state_phase(entry.state) != SLURM_ENDED) queue->live++;
    return add_entry(queue, &entry);
}

Status slurm_queue_read(double timeout, SlurmQueue *queue)
{
    char user[32], format[256] = "--Format=";
    size_t used = strlen(format);
    snprintf(user, sizeof user, "--user=%u", (unsigned)getuid());
    for (int i = 0; i < COLUMN_COUNT; i++)
        used += (size_t)snprintf(format + used, sizeof format - used, "%s%s:%d", i > 0 ? "," : "", COLUMNS[i].field,
                                 COLUMNS[i].width);
    const char *const argv[] = {"squeue", user, "--states=all", "--array", "--noheader", format, NULL};
    SlurmOutput output;
    Status status = run(argv, timeout, &output);
    for (const char *line = text_string(&output.out); status == OK && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        status = take_line(queue, line, length);
        line += length + (line[length] == '\n');
    }
    slurm_output_free(&output);
    if (status == OK) sort(queue);
    return status;
}

void slurm_queue_free(SlurmQueue *queue)
{
    memory_free(queue->items);
    *queue = (SlurmQueue){0};
}

const SlurmEntry *slurm_queue_find(const SlurmQueue *queue, int64_t job, int64_t task)
{
    SlurmEntry wanted = {.job = job, .task = task};
    if (queue->count == 0) return NULL;
    return bsearch(&wanted, queue->items, queue->count, sizeof *queue->items, compare_entries);
}

int64_t slurm_queue_find_name(const SlurmQueue *queue, const char *name)
{
    for (size_t i = 0; i < queue->count; i++)
        if (strcmp(queue->items[i].name, name) == 0) return queue->items[i].job;
    return 0;
}

/* Limits ----------------------------------------------------------------------- */

/* The value of "KEY   = VALUE" in scontrol's text. */
static bool find_setting(const char *text, const char *key, char *out, size_t size)
{
    size_t length = strlen(key);
    for (const char *line = text; *line != '\0';) {
        size_t end = strcspn(line, "\n");
        const char *equals = memchr(line, '=', end);
        if (strncmp(line, key, length) == 0 && equals != NULL && strspn(line + length, " ") == (size_t)(equals - line) - length) {
            const char *value = equals + 1 + strspn(equals + 1, " ");
            size_t bytes = (size_t)(line + end - value);
            while (bytes > 0 && value[bytes - 1] == ' ') bytes--;
            snprintf(out, size, "%.*s", (int)bytes, value);
            return true;
        }
        line += end + (line[end] == '\n');
    }
    return false;
}

Status slurm_limits_read(double timeout, SlurmLimits *limits)
{
    static const char *const ARGV[] = {"scontrol", "show", "config", NULL};
    *limits = (SlurmLimits){.max_array = 1001, .max_jobs = 10000}; /* Slurm's defaults */
    SlurmOutput output;
    Status status = run(ARGV, timeout, &output);
    if (status == OK) {
        const char *text = text_string(&output.out);
        char value[256];
        int64_t number;
        if (find_setting(text, "MaxArraySize", value, sizeof value) && parse_integer(value, &number)) limits->max_array = number;
        if (find_setting(text, "MaxJobCount", value, sizeof value) && parse_integer(value, &number)) limits->max_jobs = number;
        limits->accounting = find_setting(text, "AccountingStorageType", value, sizeof value) && strstr(value, "slurmdbd") != NULL;
    }
    slurm_output_free(&output);
    return status;
}

/* Accounting --------------------------------------------------------------------- */

/* "123_4|OUT_OF_MEMORY|0:125|node7|name": fields of one line of sacct -P. */
static Status take_account(SlurmQueue *queue, char *line)
{
    char *fields[5] = {NULL};
    int count = 0;
    for (char *at = line; at != NULL && count < 5; count++) {
        fields[count] = at;
        at = strchr(at, '|');
        if (at != NULL) *at++ = '\0';
    }
    if (count < 5) return OK;
    SlurmEntry entry = {.task = -1, .exit_code = -1};
    long long job, task;
    int matched = sscanf(fields[0], "%lld_%lld", &job, &task);
    if (matched < 1) return OK;
    entry.job = job;
    if (matched == 2) entry.task = task;
    entry.state = slurm_state_from_name(fields[1]);
    sscanf(fields[2], "%d:%d", &entry.exit_code, &entry.signal);
    snprintf(entry.nodes, sizeof entry.nodes, "%s", fields[3]);
    snprintf(entry.name, sizeof entry.name, "%s", fields[4]);
    return add_entry(queue, &entry);
}

static Status ask_accounting(double timeout, const char *which, SlurmQueue *queue)
{
    /* --duplicates is off: of a requeued job only the last run counts. */
    const char *const argv[] = {"sacct", "--allocations", "--noheader", "--parsable2", "--array",
                                "--starttime=now-30days", "--format=JobID,State,ExitCode,NodeList,JobName%80", which, NULL};
    SlurmOutput output;
    Status status = run(argv, timeout, &output);
    for (char *line = output.out.data; status == OK && line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        status = take_account(queue, line);
        line = end != NULL ? end + 1 : NULL;
    }
    slurm_output_free(&output);
    return status;
}

Status slurm_accounting_read(double timeout, const int64_t *jobs, size_t count, SlurmQueue *queue)
{
    if (count == 0) return OK;
    Text which = {0};
    text_append(&which, "--jobs=");
    for (size_t i = 0; i < count; i++) text_format(&which, "%s%lld", i > 0 ? "," : "", (long long)jobs[i]);
    Status status = which.failed ? status_no_memory(which.length, "a list of jobs")
                                 : ask_accounting(timeout, text_string(&which), queue);
    text_free(&which);
    if (status == OK) sort(queue);
    return status;
}

Status slurm_accounting_find_name(double timeout, const char *name, int64_t *job)
{
    char which[128];
    SlurmQueue found = {0};
    *job = 0;
    snprintf(which, sizeof which, "--name=%s", name);
    Status status = ask_accounting(timeout, which, &found);
    if (status == OK) *job = slurm_queue_find_name(&found, name);
    slurm_queue_free(&found);
    return status;
}

/* Orders ---------------------------------------------------------------------------- */

Status slurm_cancel(double timeout, const char *const *ids, size_t count)
{
    enum { CHUNK = 100 };
    for (size_t done = 0; done < count; done += CHUNK) {
        const char *argv[CHUNK + 2] = {"scancel"};
        size_t n = count - done < CHUNK ? count - done : CHUNK;
        for (size_t i = 0; i < n; i++) argv[i + 1] = ids[done + i];
        SlurmOutput output;
        Status status = slurm_command(argv, timeout, &output);
        /* One that has ended meanwhile is no failure of the rest. */
        if (status == OK && output.code != 0) LOG_DEBUG("scancel: %s", text_string(&output.err));
        slurm_output_free(&output);
        TRY(status);
    }
    return OK;
}

Status slurm_release(double timeout, const char *id)
{
    const char *const argv[] = {"scontrol", "release", id, NULL};
    SlurmOutput output;
    Status status = run(argv, timeout, &output);
    slurm_output_free(&output);
    return status;
}
