#include "jobs/slurm_outcomes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "framework/files.h"
#include "framework/memory.h"

static const char *const VERDICTS[] = {
#define X(verdict, name) [verdict] = name,
    SLURM_VERDICTS(X)
#undef X
};
static_assert(sizeof VERDICTS / sizeof VERDICTS[0] == SLURM_VERDICT_COUNT, "every verdict has a name");

const char *slurm_verdict_name(SlurmVerdict verdict)
{
    return VERDICTS[verdict];
}

static Status no_memory(void)
{
    return status_no_memory(0, "outcomes of jobs");
}

static Hash128 place_of(const char *token, int64_t index, const char *key)
{
    char text[96];
    int length = snprintf(text, sizeof text, "%s %lld %s", token, (long long)index, key);
    return hash_bytes(text, (size_t)length);
}

/* The history of a key, made where there is none. */
static Status history_of(SlurmOutcomes *outcomes, const char *key, SlurmHistory **out)
{
    Hash128 hash;
    uint32_t index;
    if (!hash_from_hex(key, &hash)) return status_error(STATUS_CORRUPT, "%s: damaged key '%s'", outcomes->path, key);
    TRY(hash_map_insert(&outcomes->by_key, hash, (uint32_t)outcomes->count, &index));
    if (index == outcomes->count) {
        if (outcomes->count == outcomes->capacity) {
            size_t capacity = outcomes->capacity > 0 ? outcomes->capacity * 2 : 64;
            SlurmHistory *histories = memory_resize(outcomes->histories, capacity * sizeof *histories);
            if (histories == NULL) return no_memory();
            outcomes->histories = histories;
            outcomes->capacity = capacity;
        }
        outcomes->histories[outcomes->count] = (SlurmHistory){.reached = -1};
        hash_to_hex(hash, outcomes->histories[outcomes->count++].key);
    }
    *out = &outcomes->histories[index];
    return OK;
}

static void exclude_node(SlurmHistory *history, const char *node)
{
    size_t used = strlen(history->exclude), length = strlen(node);
    /* More than fits would leave no node anyway. */
    if (length == 0 || strstr(history->exclude, node) != NULL || used + length + 2 > sizeof history->exclude) return;
    snprintf(history->exclude + used, sizeof history->exclude - used, "%s%s", used > 0 ? "," : "", node);
}

static void apply(SlurmHistory *history, const SlurmOutcome *outcome, double time)
{
    history->verdict = outcome->verdict;
    history->known = true;
    history->ended = time;
    snprintf(history->cause, sizeof history->cause, "%s", outcome->cause);
    snprintf(history->message, sizeof history->message, "%s", outcome->message);
    if (outcome->verdict == VERDICT_RETURNED) return;
    if (outcome->verdict == VERDICT_RESET || outcome->verdict == VERDICT_FINISHED) {
        history->stuck = history->backoffs = 0;
        history->exclude[0] = '\0';
        if (outcome->verdict == VERDICT_RESET) return;
    }
    const CauseRule *rule = cause_rule(cause_from_name(outcome->cause));
    if (outcome->reached > history->reached) {
        history->reached = outcome->reached;
        history->stuck = history->backoffs = 0;
        if (rule->counts == COUNTS_ALWAYS) history->stuck = 1;
    } else if (rule->counts != COUNTS_NEVER) {
        history->stuck++;
    }
    if (rule->backs_off) history->backoffs++;
    if (rule->more_memory) history->memory = outcome->memory > 0 ? 2 * outcome->memory : 4e9;
    if (cause_from_name(outcome->cause) == CAUSE_NODE_FAILED) exclude_node(history, outcome->node);
}

static Status take(SlurmOutcomes *outcomes, const SlurmOutcome *outcome, double time)
{
    SlurmHistory *history = NULL;
    uint32_t found;
    TRY(history_of(outcomes, outcome->key, &history));
    apply(history, outcome, time);
    if (outcome->token[0] == '\0') return OK;
    return hash_map_insert(&outcomes->settled, place_of(outcome->token, outcome->index, outcome->key), 0, &found);
}

/* Reading ---------------------------------------------------------------------------- */

static const char *text_member(const Json *json, const char *key)
{
    const Json *value = json_member(json, key);
    return value != NULL && value->type == JSON_STRING ? value->string : "";
}

static double number_member(const Json *json, const char *key)
{
    const Json *value = json_member(json, key);
    return value != NULL && (value->type == JSON_INTEGER || value->type == JSON_REAL) ? value->real : 0;
}

static Status take_line(SlurmOutcomes *outcomes, const char *line, size_t length)
{
    Json *json;
    TRY(json_parse(line, length, outcomes->path, &json));
    SlurmOutcome outcome = {.token = text_member(json, "token"), .index = (int64_t)number_member(json, "index"),
                            .key = text_member(json, "key"), .cause = text_member(json, "cause"),
                            .message = text_member(json, "message"), .node = text_member(json, "node"),
                            .reached = (int64_t)number_member(json, "reached"), .memory = number_member(json, "memory"),
                            .verdict = SLURM_VERDICT_COUNT};
    const char *verdict = text_member(json, "verdict");
    for (int i = 0; i < SLURM_VERDICT_COUNT; i++)
        if (strcmp(verdict, VERDICTS[i]) == 0) outcome.verdict = (SlurmVerdict)i;
    Status status = outcome.verdict == SLURM_VERDICT_COUNT
                        ? status_error(STATUS_VERSION, "%s: verdict '%s' is of a later version of this program",
                                       outcomes->path, verdict)
                        : take(outcomes, &outcome, number_member(json, "time"));
    json_destroy(json);
    return status;
}

Status slurm_outcomes_read(const char *work, SlurmOutcomes *outcomes)
{
    *outcomes = (SlurmOutcomes){.path = path_join(work, SLURM_DIRECTORY "/outcomes.jsonl")};
    if (outcomes->path == NULL) return no_memory();
    char *data = NULL;
    size_t bytes = 0;
    Status status = file_read(outcomes->path, 0, &data, &bytes);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK;
    }
    for (size_t at = 0; status == OK && at < bytes;) {
        const char *end = memchr(data + at, '\n', bytes - at);
        if (end == NULL) break; /* torn by a kill: its task is looked at again */
        size_t length = (size_t)(end - (data + at));
        Status taken = take_line(outcomes, data + at, length);
        /* A torn line that was written on is one bad line, not the end of all. */
        if (status_code(taken) == STATUS_INVALID || status_code(taken) == STATUS_CORRUPT) status_free(taken);
        else status = taken;
        at += length + 1;
    }
    memory_free(data);
    return status;
}

void slurm_outcomes_free(SlurmOutcomes *outcomes)
{
    memory_free(outcomes->path);
    memory_free(outcomes->histories);
    hash_map_free(&outcomes->by_key);
    hash_map_free(&outcomes->settled);
    text_free(&outcomes->pending);
    *outcomes = (SlurmOutcomes){0};
}

const SlurmHistory *slurm_outcomes_find(const SlurmOutcomes *outcomes, const char *key)
{
    Hash128 hash;
    uint32_t index;
    if (!hash_from_hex(key, &hash) || !hash_map_find(&outcomes->by_key, hash, &index)) return NULL;
    return &outcomes->histories[index];
}

bool slurm_outcomes_settled(const SlurmOutcomes *outcomes, const char *token, int64_t index, const char *key)
{
    uint32_t found;
    return hash_map_find(&outcomes->settled, place_of(token, index, key), &found);
}

/* Writing ------------------------------------------------------------------------------ */

Status slurm_outcomes_add(SlurmOutcomes *outcomes, const SlurmOutcome *outcome)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double time = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "time");
    json_real(&writer, time);
    const struct { const char *key, *value; } texts[] = {
        {"token", outcome->token}, {"key", outcome->key},         {"verdict", VERDICTS[outcome->verdict]},
        {"cause", outcome->cause}, {"message", outcome->message}, {"node", outcome->node}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_key(&writer, texts[i].key);
        json_string(&writer, texts[i].value);
    }
    json_key(&writer, "index");
    json_integer(&writer, outcome->index);
    json_key(&writer, "reached");
    json_integer(&writer, outcome->reached);
    json_key(&writer, "memory");
    json_real(&writer, outcome->memory);
    json_end_object(&writer);
    text_append(&writer.text, "\n");
    if (!writer.text.failed) text_append(&outcomes->pending, text_string(&writer.text));
    Status status = writer.text.failed || outcomes->pending.failed ? no_memory() : OK;
    text_free(&writer.text);
    return status != OK ? status : take(outcomes, outcome, time);
}

Status slurm_outcomes_flush(SlurmOutcomes *outcomes)
{
    if (outcomes->pending.length == 0) return OK;
    /* A line break first, where a kill has torn the last line: else the first of these would be lost with it. */
    char *data = NULL;
    size_t bytes = 0;
    Status status = file_read(outcomes->path, 0, &data, &bytes);
    bool torn = status == OK && bytes > 0 && data[bytes - 1] != '\n';
    memory_free(data);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        status = OK;
    }
    if (status == OK && torn) status = file_append(outcomes->path, "\n", 1, false);
    if (status == OK)
        status = file_append(outcomes->path, text_string(&outcomes->pending), outcomes->pending.length, true);
    if (status == OK) text_free(&outcomes->pending);
    return status;
}
