/* Opening, transactions, statements. */
#include "jobs/ledger.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/ledger_private.h"

static const char *const SQL[] = {
#define X(id, sql) [id] = sql,
    STATEMENTS(X)
#undef X
};
static_assert(sizeof SQL / sizeof SQL[0] == STATEMENT_COUNT, "every statement has its text");
static_assert(STATE_RUNNING == 1 && STATE_FINISHED == 2 && STATE_WAITING == 0, "as statements and schema have them");

static const char *const STATE_NAMES[] = {
#define X(state, name) [state] = name,
    JOB_STATES(X)
#undef X
};
static_assert(sizeof STATE_NAMES / sizeof STATE_NAMES[0] == JOB_STATE_COUNT, "every state has a name");

const char *job_state_name(JobState state)
{
    return state < JOB_STATE_COUNT ? STATE_NAMES[state] : "?";
}

bool job_state_from_name(const char *name, JobState *state)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        if (strcmp(name, STATE_NAMES[i]) != 0) continue;
        *state = (JobState)i;
        return true;
    }
    return false;
}

double ledger_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* SQLite ----------------------------------------------------------------------- */

Status ledger_result(const Ledger *ledger, int result)
{
    if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW) return OK;
    StatusCode code = STATUS_LIBRARY;
    int primary = result & 0xff;
    if (primary == SQLITE_FULL) code = STATUS_NO_SPACE;
    if (primary == SQLITE_NOMEM) code = STATUS_NO_MEMORY;
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) code = STATUS_LOCKED;
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) code = STATUS_CORRUPT;
    if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY) code = STATUS_IO;
    const char *advice = "";
    if (code == STATUS_CORRUPT) advice = ": 'zeroth ledger rebuild' makes it anew from the directories";
    if (code == STATUS_LOCKED) advice = ": another command is at it; if none is, 'zeroth ledger rebuild' frees it";
    return status_error(code, "%s: SQLite: %s%s", ledger->path,
                        ledger->database != NULL ? sqlite3_errmsg(ledger->database) : sqlite3_errstr(result), advice);
}

Status ledger_execute(Ledger *ledger, const char *sql)
{
    return ledger_result(ledger, sqlite3_exec(ledger->database, sql, NULL, NULL, NULL));
}

static Status begin_writing(Ledger *ledger)
{
    if (ledger->writing) return OK;
    if (!ledger->writable) return status_error(STATUS_INTERNAL, "%s: written through a reader", ledger->path);
    TRY(ledger_execute(ledger, "BEGIN IMMEDIATE"));
    ledger->writing = true;
    return OK;
}

/* `brief`: the texts may be gone before the statement is used again. */
static Status bind(Ledger *ledger, StatementId id, bool brief, const char *types, va_list arguments)
{
    sqlite3_stmt **slot = &ledger->statements[id];
    if (*slot == NULL)
        TRY(ledger_result(ledger, sqlite3_prepare_v3(ledger->database, SQL[id], -1, SQLITE_PREPARE_PERSISTENT, slot,
                                                     NULL)));
    sqlite3_reset(*slot);
    for (int i = 0; types[i] != '\0'; i++) {
        int result = SQLITE_MISUSE;
        if (types[i] == 's')
            result = sqlite3_bind_text(*slot, i + 1, va_arg(arguments, const char *), -1,
                                       brief ? SQLITE_STATIC : SQLITE_TRANSIENT);
        if (types[i] == 'i') result = sqlite3_bind_int64(*slot, i + 1, va_arg(arguments, int64_t));
        if (types[i] == 'r') result = sqlite3_bind_double(*slot, i + 1, va_arg(arguments, double));
        TRY(ledger_result(ledger, result));
    }
    return OK;
}

Status ledger_put(Ledger *ledger, StatementId id, const char *types, ...)
{
    TRY(begin_writing(ledger));
    va_list arguments;
    va_start(arguments, types);
    Status status = bind(ledger, id, true, types, arguments);
    va_end(arguments);
    TRY(status);
    status = ledger_result(ledger, sqlite3_step(ledger->statements[id]));
    sqlite3_reset(ledger->statements[id]);
    return status;
}

Status ledger_ask(Ledger *ledger, StatementId id, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    Status status = bind(ledger, id, false, types, arguments);
    va_end(arguments);
    return status;
}

bool ledger_next_row(Ledger *ledger, StatementId id, Status *status)
{
    if (*status == OK) {
        int result = sqlite3_step(ledger->statements[id]);
        if (result == SQLITE_ROW) return true;
        *status = ledger_result(ledger, result);
    }
    sqlite3_reset(ledger->statements[id]);
    return false;
}

sqlite3_stmt *ledger_row(Ledger *ledger, StatementId id)
{
    return ledger->statements[id];
}

const char *ledger_text(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text != NULL ? text : "";
}

/* Opening ------------------------------------------------------------------------- */

#define BUSY_MS 10000
/* 64 MiB for who writes: a transaction that outgrows the cache is written twice. */
#define CACHE "PRAGMA cache_size=-65536"

/* Where locks are leases, SQLite locks by a directory beside the file, which
 * outlives a kill. Who holds the writer's lease removes one that nobody renews:
 * its holder, if it lives, is a reader in the middle of a short look. */
static Status remove_stale_dot_lock(const Ledger *ledger)
{
    enum { STEP_MS = 20, GRACE_MS = 1000 };
    char *path = memory_format("%s.lock", ledger->path);
    if (path == NULL) return status_no_memory(0, "a path");
    struct stat first = {0}, now;
    Status status = OK;
    int unchanged = 0;
    for (int waited = 0; stat(path, &now) == 0 && waited < BUSY_MS; waited += STEP_MS) {
        bool same = now.st_ino == first.st_ino && now.st_mtim.tv_sec == first.st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == first.st_mtim.tv_nsec;
        unchanged = same ? unchanged + STEP_MS : 0;
        first = now;
        if (unchanged >= GRACE_MS) {
            status = directory_remove(path);
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
    }
    memory_free(path);
    return status;
}

Status ledger_open_database(Ledger *ledger, const char *path, int flags)
{
    FileLockKind kind;
    TRY(file_lock_kind(ledger->path, &kind));
    const char *vfs = kind == FILE_LOCK_LEASE ? "unix-dotfile" : NULL;
    if (kind == FILE_LOCK_LEASE && ledger->lock != NULL) TRY(remove_stale_dot_lock(ledger));
    TRY(ledger_result(ledger, sqlite3_open_v2(path, &ledger->database, flags | SQLITE_OPEN_URI, vfs)));
    sqlite3_busy_timeout(ledger->database, BUSY_MS);
    return OK;
}

static Status check_version(Ledger *ledger)
{
    int version;
    TRY(ledger_read_version(ledger, &version));
    if (version == LEDGER_VERSION) return OK;
    if (version > LEDGER_VERSION)
        return status_error(STATUS_VERSION,
                            "%s: has schema %d, and this program knows %d: use the program that wrote it, "
                            "or remove it and run 'zeroth ledger rebuild': the directories hold all of it",
                            ledger->path, version, LEDGER_VERSION);
    if (ledger->lock != NULL) return ledger_migrate(ledger);
    if (version == 0) return status_error(STATUS_NOT_FOUND, "%s: is empty", ledger->path);
    return status_error(STATUS_VERSION, "%s: has schema %d, of an earlier program; the next 'zeroth run' in this work "
                        "directory, or 'zeroth ledger migrate', brings it to schema %d and keeps all that is in it",
                        ledger->path, version, LEDGER_VERSION);
}

static Status open_existing(Ledger *ledger)
{
    int flags = ledger->lock != NULL ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    TRY(ledger_open_database(ledger, ledger->path, flags));
    if (ledger->lock != NULL)
        TRY(ledger_execute(ledger, "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=NORMAL;" CACHE));
    return check_version(ledger);
}

static Status allocate(const char *work, const char *path, Ledger **out)
{
    Ledger *ledger = *out = memory_alloc_zero(1, sizeof *ledger);
    if (ledger == NULL) return status_no_memory(sizeof *ledger, "the ledger");
    ledger->work = memory_copy_string(work);
    ledger->path = path != NULL ? memory_copy_string(path) : path_join(work, LEDGER_NAME);
    return ledger->work != NULL && ledger->path != NULL ? OK : status_no_memory(0, "the ledger");
}

Status ledger_take_lock(const char *work, FileLock **lock)
{
    char *path = path_join(work, LEDGER_LOCK_NAME);
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = file_lock(path, lock);
    if (status_code(status) == STATUS_LOCKED) status = status_wrap(status, "another command writes this ledger");
    if (status == OK) status = file_lock_record_kind(work);
    memory_free(path);
    return status;
}

static Status open_ledger(const char *work, bool writer, Ledger **out)
{
    *out = NULL;
    Ledger *ledger;
    Status status = allocate(work, NULL, &ledger);
    if (status == OK && writer) {
        ledger->writable = true;
        status = directory_create(work);
        if (status == OK) status = ledger_take_lock(work, &ledger->lock);
    } else if (status == OK && !file_exists(ledger->path)) {
        status = status_error(STATUS_NOT_FOUND,
                              "%s: no ledger there: run a study first, or name its STUDY.yaml or --work",
                              work);
    }
    if (status == OK) status = open_existing(ledger);
    if (status == OK) ledger->opened = true;
    if (status == OK)
        *out = ledger;
    else
        ledger_close(ledger);
    return status;
}

Status ledger_open_writer(const char *work, Ledger **ledger)
{
    return open_ledger(work, true, ledger);
}

Status ledger_open_reader(const char *work, Ledger **ledger)
{
    return open_ledger(work, false, ledger);
}

Status ledger_create_private(const char *work, const char *path, Ledger **out)
{
    *out = NULL;
    Ledger *ledger;
    Status status = allocate(work, path, &ledger);
    if (status == OK) {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
        ledger->writable = true;
        status = ledger_result(ledger, sqlite3_open_v2(path, &ledger->database, flags, "unix-none"));
    }
    /* Nobody else sees it, and a kill throws it away. */
    if (status == OK) status = ledger_execute(ledger, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" CACHE);
    if (status == OK) status = ledger_migrate(ledger);
    if (status == OK)
        *out = ledger;
    else
        ledger_close(ledger);
    return status;
}

Status ledger_flush(Ledger *ledger)
{
    if (!ledger->writing) return OK;
    ledger->writing = false;
    Status status = ledger_execute(ledger, "COMMIT");
    if (status != OK) {
        ledger->losses++;
        sqlite3_exec(ledger->database, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}

void ledger_close(Ledger *ledger)
{
    if (ledger == NULL) return;
    if (ledger->database != NULL) {
        Status status = ledger->opened && ledger->lock != NULL ? ledger_settle(ledger) : OK;
        status = status_first(status, ledger_flush(ledger));
        if (status != OK) log_status(LOG_LEVEL_WARNING, status);
        for (int i = 0; i < STATEMENT_COUNT; i++) sqlite3_finalize(ledger->statements[i]);
        sqlite3_close(ledger->database);
    }
    file_unlock(ledger->lock);
    memory_free(ledger->path);
    memory_free(ledger->work);
    memory_free(ledger);
}
