/* Where ledger and directories disagree: the ledger is made from the
 * directories once more, in memory, and the two are compared row by row. */
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/hash_map.h"
#include "jobs/ledger_private.h"

#define SHOWN 40 /* lines for one kind of disagreement; the rest is counted */

typedef struct Check {
    Ledger *fresh;       /* from the directories, with the old one attached as "old" */
    HashMap live;        /* keys of jobs that are at work */
    LedgerTeller tell;
    void *context;
    int64_t found, of_kind;
} Check;

typedef struct TableShape {
    const char *name, *row;            /* of the table; what people call a row */
    int keys;                          /* the first columns say which row it is */
    const char *columns[28];
} TableShape;

static const TableShape TABLES[] = {
    {"studies", "study", 1, {"name", "path", "trials", "recorded", "plan", "overrides"}},
    {"trials", "trial", 2, {"study", "number", "variant", "grouping", "seed", "axes", "jobs"}},
    {"plan_jobs", "planned job", 3, {"study", "plan", "key", "trials"}},
    {"jobs", "job", 1, {"key", "stage", "version", "inputs", "state", "cause", "message", "attempts", "step", "total",
                        "seconds", "updated", "decided"}},
    {"attempts", "attempt", 2, {"key", "number", "state", "host", "pid", "code", "compiler", "threads", "ranks",
                                "started", "ended", "updated", "begin_step", "step", "total", "checkpoint_step", "unit", "outcome",
                                "message", "seconds", "peak_memory", "offset", "bad", "cpu", "active", "provenance"}},
    {"metrics", "metric", 3, {"key", "name", "step", "value"}},
    {"results", "result", 2, {"key", "name", "value"}},
    {"counts", "count", 4, {"study", "plan", "stage", "state", "jobs"}}};

__attribute__((format(printf, 2, 3))) static void tell(Check *check, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    check->found++;
    if (++check->of_kind <= SHOWN) check->tell(check->context, line);
}

static void end_kind(Check *check, const char *what)
{
    char line[128];
    if (check->of_kind > SHOWN) {
        snprintf(line, sizeof line, "... and %lld more of %s", (long long)(check->of_kind - SHOWN), what);
        check->tell(check->context, line);
    }
    check->of_kind = 0;
}

/* Rows ------------------------------------------------------------------------- */

static int column_count(const TableShape *table)
{
    int count = 0;
    while (count < (int)(sizeof table->columns / sizeof table->columns[0]) && table->columns[count] != NULL) count++;
    return count;
}

/* All columns of both sides by the key; a row that one side lacks has NULLs there. */
static void write_comparison(const TableShape *table, Text *sql)
{
    int count = column_count(table);
    static const char *const SIDES[] = {"o", "n"};
    Text on = {0}, same = {0}, columns = {0};
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < count; i++)
            text_format(&columns, "%s%s.%s", side + i > 0 ? "," : "", SIDES[side], table->columns[i]);
    for (int i = 0; i < count; i++) {
        Text *part = i < table->keys ? &on : &same;
        text_format(part, "%so.%s %s n.%s", part->length > 0 ? " AND " : "", table->columns[i],
                    i < table->keys ? "=" : "IS", table->columns[i]);
    }
    text_format(sql, "SELECT %s FROM old.%s o LEFT JOIN main.%s n ON %s WHERE NOT (n.%s IS NOT NULL AND %s) "
                     "UNION ALL SELECT %s FROM main.%s n LEFT JOIN old.%s o ON %s WHERE o.%s IS NULL",
                text_string(&columns), table->name, table->name, text_string(&on), table->columns[0],
                text_string(&same), text_string(&columns), table->name, table->name, text_string(&on), table->columns[0]);
    sql->failed |= on.failed || same.failed || columns.failed;
    text_free(&on);
    text_free(&same);
    text_free(&columns);
}

static const char *shown(const TableShape *table, const char *column, sqlite3_stmt *row, int index)
{
    if (strcmp(column, "state") == 0 && sqlite3_column_type(row, index) == SQLITE_INTEGER)
        return job_state_name((JobState)sqlite3_column_int(row, index));
    if (strcmp(column, "stage") == 0 && sqlite3_column_type(row, index) == SQLITE_INTEGER)
        return stage_name((StageId)sqlite3_column_int(row, index));
    (void)table;
    return sqlite3_column_type(row, index) == SQLITE_NULL ? "nothing" : ledger_text(row, index);
}

static bool is_live(const Check *check, const TableShape *table, sqlite3_stmt *row, int first)
{
    Hash128 key;
    uint32_t found;
    for (int i = 0; i < table->keys; i++)
        if (strcmp(table->columns[i], "key") == 0)
            return hash_from_hex(ledger_text(row, first + i), &key) && hash_map_find(&check->live, key, &found);
    /* While any job is at work, so are the counts. */
    return strcmp(table->name, "counts") == 0 && check->live.count > 0;
}

static void tell_row(Check *check, const TableShape *table, sqlite3_stmt *row)
{
    int count = column_count(table);
    bool in_old = sqlite3_column_type(row, 0) != SQLITE_NULL, in_new = sqlite3_column_type(row, count) != SQLITE_NULL;
    int first = in_old ? 0 : count;
    if (is_live(check, table, row, first)) return;
    Text name = {0};
    text_append(&name, table->row);
    for (int i = 0; i < table->keys; i++)
        text_format(&name, " %.*s", strcmp(table->columns[i], "key") == 0 ? KEY_SHOWN : 60,
                    shown(table, table->columns[i], row, first + i));
    if (!in_old) tell(check, "%s: not in the ledger", text_string(&name));
    else if (!in_new) tell(check, "%s: in the ledger, but not in the directories", text_string(&name));
    for (int i = table->keys; in_old && in_new && i < count; i++) {
        const char *ours = shown(table, table->columns[i], row, i);
        char *kept = memory_copy_string(ours);
        const char *theirs = shown(table, table->columns[i], row, count + i);
        if (kept != NULL && strcmp(kept, theirs) != 0) {
            tell(check, "%s: %s is %.80s in the ledger, %.80s by the directories", text_string(&name),
                 table->columns[i], kept, theirs);
            i = count;
        }
        memory_free(kept);
    }
    text_free(&name);
}

static Status compare_table(Check *check, const TableShape *table)
{
    Text sql = {0};
    write_comparison(table, &sql);
    sqlite3_stmt *statement = NULL;
    Status status = sql.failed ? status_no_memory(0, "a statement")
                               : ledger_result(check->fresh, sqlite3_prepare_v2(check->fresh->database,
                                                                                text_string(&sql), -1,
                                                                                &statement, NULL));
    while (status == OK) {
        int result = sqlite3_step(statement);
        status = ledger_result(check->fresh, result);
        if (result != SQLITE_ROW) break;
        tell_row(check, table, statement);
    }
    sqlite3_finalize(statement);
    text_free(&sql);
    end_kind(check, table->name);
    return status;
}

/* SQLite's own ----------------------------------------------------------------------- */

static Status check_integrity(Check *check)
{
    sqlite3_stmt *statement = NULL;
    TRY(ledger_result(check->fresh, sqlite3_prepare_v2(check->fresh->database, "PRAGMA old.integrity_check", -1,
                                                       &statement, NULL)));
    Status status = OK;
    while (status == OK) {
        int result = sqlite3_step(statement);
        status = ledger_result(check->fresh, result);
        if (result != SQLITE_ROW) break;
        if (strcmp(ledger_text(statement, 0), "ok") != 0) tell(check, "SQLite: %s", ledger_text(statement, 0));
    }
    sqlite3_finalize(statement);
    end_kind(check, "SQLite's findings");
    return status;
}

/* Directories ------------------------------------------------------------------------ */

static Status list_keys(const char *work, const char *below, char ***names, size_t *count)
{
    char *path = path_join(work, below);
    *names = NULL;
    *count = 0;
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = directory_list_any(path, names, count);
    memory_free(path);
    return status;
}

static Status find_live(Check *check)
{
    char **names;
    size_t count;
    const char *work = check->fresh->work;
    TRY(list_keys(work, "runs", &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        Hash128 key;
        uint32_t found;
        bool live = false;
        if (!hash_from_hex(names[i], &key)) continue;
        status = attempt_is_live(work, names[i], &live, NULL);
        if (status == OK && live) status = hash_map_insert(&check->live, key, 0, &found);
    }
    names_free(names, count);
    return status;
}

static Status check_artifacts(Check *check, bool full)
{
    char **names;
    size_t count;
    TRY(list_keys(check->fresh->work, "artifacts", &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        Hash128 key;
        if (!hash_from_hex(names[i], &key)) continue;
        Status sound = artifact_check(check->fresh->work, names[i], full);
        if (status_code(sound) == STATUS_NO_MEMORY) status = sound;
        else if (sound != OK) tell(check, "artifact %.*s: %s", KEY_SHOWN, names[i], status_message(sound));
        if (status == OK) status_free(sound);
    }
    names_free(names, count);
    end_kind(check, "artifacts");
    return status;
}

/* Whole --------------------------------------------------------------------------------- */

/* Under the name that it has on the disk, through the kind of locks that the directory has. */
static Status attach_old(Check *check, const char *path)
{
    FileLockKind kind;
    TRY(file_lock_kind(path, &kind));
    Text uri = {0};
    text_append(&uri, "file:");
    for (const char *c = path; *c != '\0'; c++) {
        if (strchr("%?#", *c) != NULL) text_format(&uri, "%%%02x", (unsigned)(unsigned char)*c);
        else text_append_bytes(&uri, c, 1);
    }
    text_format(&uri, "?mode=ro&vfs=%s", kind == FILE_LOCK_LEASE ? "unix-dotfile" : "unix");
    char *sql = sqlite3_mprintf("ATTACH DATABASE %Q AS old; BEGIN", text_string(&uri));
    Status status = sql == NULL || uri.failed ? status_no_memory(0, "a statement") : ledger_execute(check->fresh, sql);
    sqlite3_free(sql);
    text_free(&uri);
    return status;
}

static Status compare(Check *check, const char *path, bool full)
{
    LedgerRebuilt rebuilt;
    TRY(find_live(check));
    TRY(ledger_import_everything(check->fresh, &rebuilt));
    sqlite3_busy_timeout(check->fresh->database, 10000);
    TRY(attach_old(check, path));
    TRY(check_integrity(check));
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++) TRY(compare_table(check, &TABLES[i]));
    return check_artifacts(check, full);
}

/* What runs changes both sides, and not in one moment. */
static Status tell_of_writer(const Check *check, const char *work)
{
    char *path = path_join(work, LEDGER_LOCK_NAME), *holder = NULL;
    bool held = false;
    Status status = path != NULL ? file_lock_look(path, &held, &holder) : status_no_memory(0, "a path");
    if (held) check->tell(check->context, "A command is at work here, so that some of this may be of the moment:");
    if (held) check->tell(check->context, holder);
    memory_free(holder);
    memory_free(path);
    return status;
}

Status ledger_check(const char *work, bool full, LedgerTeller teller, void *context, int64_t *found)
{
    *found = 0;
    Ledger *reader;
    Status readable = ledger_open_reader(work, &reader); /* for its words about what is absent, old or no ledger */
    TRY(readable);
    char *path = memory_copy_string(reader->path);
    ledger_close(reader);
    Check check = {.tell = teller, .context = context};
    Status status = path == NULL ? status_no_memory(0, "a path")
                                 : ledger_create_private(work, ":memory:", &check.fresh);
    if (status == OK) status = compare(&check, path, full);
    ledger_close(check.fresh);
    hash_map_free(&check.live);
    memory_free(path);
    if (status == OK && check.found > 0) status = tell_of_writer(&check, work);
    *found = check.found;
    return status;
}
