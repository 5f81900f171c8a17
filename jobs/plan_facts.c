#include "jobs/plan_facts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/log.h"
#include "jobs/artifact.h"

static Status no_memory(void)
{
    return status_no_memory(0, "what finished jobs were made from");
}

/* Numbers of texts ------------------------------------------------------------ */

static Status add_text(FactBook *book, const char *text)
{
    if (book->text_count == book->text_capacity) {
        size_t capacity = book->text_capacity > 0 ? book->text_capacity * 2 : 256;
        const char **texts = memory_resize(book->texts, capacity * sizeof *texts);
        if (texts == NULL) return no_memory();
        book->texts = texts;
        book->text_capacity = capacity;
    }
    const char *copy = arena_copy_string(book->arena, text);
    if (copy == NULL) return no_memory();
    book->texts[book->text_count++] = copy;
    return OK;
}

static Status number_of(FactBook *book, const char *text, uint32_t *number)
{
    TRY(hash_map_insert(&book->numbers, hash_bytes(text, strlen(text)), (uint32_t)book->text_count, number));
    return *number == book->text_count ? add_text(book, text) : OK;
}

const char *facts_text(const FactBook *book, uint32_t number)
{
    return book->texts[number];
}

Status facts_allocate(FactBook *book, Facts *facts)
{
    size_t bytes = (size_t)CONFIG_SCHEMA_COUNT * sizeof *facts->values;
    *facts = (Facts){.values = arena_alloc(book->arena, bytes), .paths = arena_alloc(book->arena, bytes)};
    if (facts->values == NULL || facts->paths == NULL) return no_memory();
    memset(facts->values, 0, bytes);
    memset(facts->paths, 0, bytes);
    return OK;
}

static uint32_t *slot_of(Facts *facts, int index)
{
    return CONFIG_SCHEMA[index].type == CONFIG_PATH ? &facts->paths[index] : &facts->values[index];
}

/* Finished jobs ---------------------------------------------------------------- */

static Status take_config(FactBook *book, const Json *config, StageId stage, Facts *facts)
{
    for (size_t i = 0; config != NULL && config->type == JSON_OBJECT && i < config->count; i++) {
        const ConfigKey *key = config_find_key(config->keys[i], NULL);
        if (config->items[i].type != JSON_STRING) continue;
        if (key != NULL && (key->stages & 1u << stage) != 0) {
            TRY(number_of(book, config->items[i].string, slot_of(facts, (int)(key - CONFIG_SCHEMA))));
        } else if (facts->strays++ == 0) {
            facts->stray = arena_copy_string(book->arena, config->keys[i]);
            if (facts->stray == NULL) return no_memory();
        }
    }
    return OK;
}

static Status take_inputs(FactBook *book, const Json *inputs, Facts *facts)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        const Json *key = json_member(inputs, stage_name((StageId)stage));
        if (key != NULL && key->type == JSON_STRING) TRY(number_of(book, key->string, &facts->keys[stage]));
    }
    return OK;
}

static Status take_manifest(FactBook *book, const Json *manifest, FinishedJob *job)
{
    char version[24];
    const Json *number = json_member(manifest, "version"), *fingerprint = json_member(manifest, "fingerprint");
    Facts *facts = &job->facts;
    TRY(facts_allocate(book, facts));
    snprintf(version, sizeof version, "%lld", number != NULL ? (long long)number->integer : 0);
    TRY(number_of(book, version, &facts->versions[job->stage]));
    /* Artifacts of earlier programs have no fingerprint. */
    facts->fingerprints[job->stage] = FACT_UNKNOWN;
    if (fingerprint != NULL && fingerprint->type == JSON_STRING)
        TRY(number_of(book, fingerprint->string, &facts->fingerprints[job->stage]));
    TRY(number_of(book, job->key, &facts->keys[job->stage]));
    TRY(take_inputs(book, json_member(manifest, "inputs"), facts));
    return take_config(book, json_member(manifest, "config"), job->stage, facts);
}

static Status add_finished(FactBook *book, const Json *manifest, const char *key, int64_t made)
{
    const Json *stage = json_member(manifest, "stage");
    FinishedJob job = {.made = made};
    if (stage == NULL || stage->type != JSON_STRING || !stage_from_name(stage->string, &job.stage)) return OK;
    snprintf(job.key, sizeof job.key, "%s", key);
    TRY(take_manifest(book, manifest, &job));
    if (book->finished_count == book->finished_capacity) {
        size_t capacity = book->finished_capacity > 0 ? book->finished_capacity * 2 : 64;
        FinishedJob *finished = memory_resize(book->finished, capacity * sizeof *finished);
        if (finished == NULL) return no_memory();
        book->finished = finished;
        book->finished_capacity = capacity;
    }
    book->finished[book->finished_count++] = job;
    return OK;
}

static Status read_manifest(FactBook *book, const char *work, const char *key)
{
    Hash128 hash;
    struct stat info;
    if (!hash_from_hex(key, &hash)) return OK;
    char *path = memory_format("%s/artifacts/%s/" MANIFEST_NAME, work, key);
    if (path == NULL) return no_memory();
    Json *manifest = NULL;
    Status status = stat(path, &info) == 0 ? json_read_file(path, &manifest) : OK;
    memory_free(path);
    if (status_code(status) == STATUS_NO_MEMORY) return status;
    if (status != OK) log_status(LOG_LEVEL_DEBUG, status); /* the plan has warned of it, if it matters */
    if (manifest != NULL)
        status = add_finished(book, manifest, key, (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec);
    else
        status = OK;
    json_destroy(manifest);
    return status;
}

static int compare_finished(const void *left, const void *right)
{
    const FinishedJob *a = left, *b = right;
    if (a->stage != b->stage) return a->stage < b->stage ? -1 : 1;
    return strcmp(a->key, b->key);
}

static const FinishedJob *find_finished(const FactBook *book, uint32_t key)
{
    Hash128 hash;
    uint32_t index;
    bool found = hash_from_hex(facts_text(book, key), &hash) && hash_map_find(&book->by_key, hash, &index);
    return found ? &book->finished[index] : NULL;
}

static void inherit(const FinishedJob *from, Facts *facts)
{
    unsigned bit = 1u << from->stage;
    facts->versions[from->stage] = from->facts.versions[from->stage];
    facts->fingerprints[from->stage] = from->facts.fingerprints[from->stage];
    for (int input = 0; input < STAGE_COUNT; input++)
        if (facts->keys[input] == FACT_ABSENT) facts->keys[input] = from->facts.keys[input];
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        if ((CONFIG_SCHEMA[i].stages & bit) == 0) continue;
        uint32_t *slot = slot_of(facts, i);
        bool path = CONFIG_SCHEMA[i].type == CONFIG_PATH;
        if (*slot <= FACT_UNKNOWN) *slot = path ? from->facts.paths[i] : from->facts.values[i];
    }
}

static void forget(int stage, Facts *facts)
{
    facts->versions[stage] = facts->fingerprints[stage] = FACT_UNKNOWN;
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        uint32_t *slot = slot_of(facts, i);
        if ((CONFIG_SCHEMA[i].stages & 1u << stage) != 0 && *slot == FACT_ABSENT) *slot = FACT_UNKNOWN;
    }
}

/* Inputs come from earlier stages, so that one pass down meets all that a job was made from. Behind one that is gone
 * there may be any of the stages before it. */
static void complete(FactBook *book, FinishedJob *job)
{
    bool gone = false;
    for (int stage = (int)job->stage - 1; stage >= 0; stage--) {
        bool named = job->facts.keys[stage] != FACT_ABSENT;
        const FinishedJob *input = named ? find_finished(book, job->facts.keys[stage]) : NULL;
        gone |= named && input == NULL;
        if (input != NULL)
            inherit(input, &job->facts);
        else if (gone)
            forget(stage, &job->facts);
    }
}

static Status read_finished(FactBook *book, const char *work)
{
    char *directory = path_join(work, "artifacts"), **names = NULL;
    size_t count = 0;
    book->arena = arena_create(256 * 1024);
    Status status = directory == NULL || book->arena == NULL ? no_memory() : OK;
    uint32_t ignored;
    if (status == OK) status = number_of(book, "(absent)", &ignored); /* FACT_ABSENT */
    if (status == OK) status = number_of(book, "(unknown)", &ignored); /* FACT_UNKNOWN */
    if (status == OK) status = directory_list(directory, &names, &count);
    memory_free(directory);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        status = OK;
    }
    for (size_t i = 0; i < count && status == OK; i++) status = read_manifest(book, work, names[i]);
    names_free(names, count);
    TRY(status);
    if (book->finished_count > 0)
        qsort(book->finished, book->finished_count, sizeof *book->finished, compare_finished);
    for (size_t i = 0; i < book->finished_count; i++) {
        Hash128 hash = {0};
        hash_from_hex(book->finished[i].key, &hash);
        TRY(hash_map_insert(&book->by_key, hash, (uint32_t)i, &ignored));
    }
    for (size_t i = 0; i < book->finished_count; i++) complete(book, &book->finished[i]);
    return OK;
}

/* Planned jobs ------------------------------------------------------------------- */

static Status take_stage(FactBook *book, const PlanJob *job, Facts *facts, unsigned *stages)
{
    char version[24];
    snprintf(version, sizeof version, "%d", job->definition->version);
    *stages |= 1u << job->stage;
    TRY(number_of(book, version, &facts->versions[job->stage]));
    TRY(number_of(book, job->key, &facts->keys[job->stage]));
    facts->fingerprints[job->stage] = FACT_UNKNOWN;
    return job->fingerprint[0] != '\0' ? number_of(book, job->fingerprint, &facts->fingerprints[job->stage]) : OK;
}

Status facts_of_job(FactBook *book, const Plan *plan, uint32_t index, Facts *facts)
{
    uint32_t jobs[STAGE_COUNT];
    unsigned stages = 0;
    memset(facts->values, 0, (size_t)CONFIG_SCHEMA_COUNT * sizeof *facts->values);
    memset(facts->paths, 0, (size_t)CONFIG_SCHEMA_COUNT * sizeof *facts->paths);
    *facts = (Facts){.values = facts->values, .paths = facts->paths};
    for (int stage = 0; stage < STAGE_COUNT; stage++) jobs[stage] = NO_JOB;
    jobs[plan->jobs[index].stage] = index;
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--) {
        if (jobs[stage] == NO_JOB) continue;
        const PlanJob *job = &plan->jobs[jobs[stage]];
        TRY(take_stage(book, job, facts, &stages));
        for (int input = 0; input < stage; input++)
            if (job->inputs[input] != NO_JOB) jobs[input] = job->inputs[input];
    }
    const Config *config = plan->jobs[index].config;
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++)
        if ((CONFIG_SCHEMA[i].stages & stages) != 0)
            TRY(number_of(book, config_text(config, CONFIG_SCHEMA[i].name), slot_of(facts, i)));
    return OK;
}

bool facts_is_unknown(const Facts *facts, int stage)
{
    return facts->versions[stage] == FACT_UNKNOWN;
}

bool facts_key_differs(const Facts *a, const Facts *b, int stage)
{
    return b->keys[stage] != FACT_ABSENT && a->keys[stage] != b->keys[stage];
}

bool facts_files_differ(const Facts *a, const Facts *b, int stage)
{
    bool known = a->fingerprints[stage] != FACT_UNKNOWN && b->fingerprints[stage] != FACT_UNKNOWN;
    return known && a->fingerprints[stage] != b->fingerprints[stage];
}

/* Nearest --------------------------------------------------------------------------- */

static size_t row_width(void)
{
    return (size_t)CONFIG_SCHEMA_COUNT + 3 * STAGE_COUNT;
}

/* All facts in one row, such that two rows differ in a place where neither is FACT_UNKNOWN. A key counts only where the
 * job's artifact is gone; `whole` is of a planned job, of which all keys are given. */
static void fill_row(const Facts *facts, bool whole, uint32_t *row)
{
    size_t keys = (size_t)CONFIG_SCHEMA_COUNT;
    memcpy(row, facts->values, keys * sizeof *row);
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        bool ghost = facts_is_unknown(facts, stage) && facts->keys[stage] != FACT_ABSENT;
        *(row + keys + stage) = facts->versions[stage];
        *(row + keys + STAGE_COUNT + stage) = facts->fingerprints[stage];
        *(row + keys + 2 * STAGE_COUNT + stage) = whole || ghost ? facts->keys[stage] : FACT_UNKNOWN;
    }
}

static uint32_t rows_distance(const uint32_t *a, const uint32_t *b, size_t width)
{
    uint32_t distance = 0;
    for (size_t i = 0; i < width; i++)
        distance += (uint32_t)((a[i] != b[i]) & (a[i] != FACT_UNKNOWN) & (b[i] != FACT_UNKNOWN));
    return distance;
}

static Status fill_table(FactBook *book, FactTable *table)
{
    size_t width = row_width();
    const FinishedJob *jobs = book->finished + table->begin;
    uint32_t *whole = memory_alloc(table->count * width * sizeof *whole);
    table->columns = arena_alloc(book->arena, width * sizeof *table->columns);
    Status status = whole == NULL || table->columns == NULL ? no_memory() : OK;
    for (size_t i = 0; i < table->count && status == OK; i++) fill_row(&jobs[i].facts, false, whole + i * width);
    for (size_t column = 0; column < width && status == OK; column++) {
        bool varies = false;
        for (size_t i = 1; i < table->count && !varies; i++) varies = whole[i * width + column] != whole[column];
        if (varies) table->columns[table->width++] = (uint32_t)column;
    }
    if (status == OK) {
        table->rows = arena_alloc(book->arena, (table->count * table->width + 1) * sizeof *table->rows);
        if (table->rows == NULL) status = no_memory();
    }
    for (size_t i = 0; i < table->count && status == OK; i++)
        for (size_t column = 0; column < table->width; column++)
            table->rows[i * table->width + column] = whole[i * width + table->columns[column]];
    memory_free(whole);
    return status;
}

static Status fill_tables(FactBook *book)
{
    size_t begin = 0;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        FactTable *table = &book->tables[stage];
        table->begin = begin;
        while (begin < book->finished_count && (int)book->finished[begin].stage == stage) begin++;
        table->count = begin - table->begin;
        if (table->count > 0) TRY(fill_table(book, table));
    }
    return OK;
}

/* `asked` holds the table's columns of the job's row. */
static const FinishedJob *search_table(const FactBook *book, const FactTable *table, const uint32_t *asked,
                                       const char *key)
{
    const FinishedJob *nearest = NULL;
    uint32_t least = 0;
    for (size_t i = 0; i < table->count; i++) {
        const FinishedJob *job = &book->finished[table->begin + i];
        uint32_t found = rows_distance(asked, table->rows + i * table->width, table->width) + job->facts.strays;
        if (nearest != NULL && (found > least || (found == least && job->made <= nearest->made))) continue;
        if (strcmp(job->key, key) == 0) continue;
        nearest = job;
        least = found;
    }
    return nearest;
}

Status facts_find_nearest(FactBook *book, const Facts *facts, StageId stage, const char *key,
                          const FinishedJob **nearest, uint32_t *distance)
{
    const FactTable *table = &book->tables[stage];
    size_t width = row_width();
    uint32_t *rows = memory_alloc(3 * width * sizeof *rows);
    *nearest = NULL;
    if (rows == NULL) return no_memory();
    uint32_t *asked = rows + width, *other = rows + 2 * width;
    fill_row(facts, true, rows);
    for (size_t column = 0; column < table->width; column++) asked[column] = rows[table->columns[column]];
    *nearest = search_table(book, table, asked, key);
    if (*nearest != NULL) {
        fill_row(&(*nearest)->facts, false, other);
        *distance = rows_distance(rows, other, width) + (*nearest)->facts.strays;
    }
    memory_free(rows);
    return OK;
}

/* Whole ----------------------------------------------------------------------------- */

Status facts_read(FactBook *book, const char *work)
{
    TRY(read_finished(book, work));
    return fill_tables(book);
}

void facts_clear(FactBook *book)
{
    hash_map_free(&book->numbers);
    hash_map_free(&book->by_key);
    memory_free(book->texts);
    memory_free(book->finished);
    arena_destroy(book->arena);
    *book = (FactBook){0};
}
