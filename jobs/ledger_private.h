/* Between jobs/ledger*.c, the only files with SQL:
 *   ledger.c           opening, transactions, statements
 *   ledger_schema.c    the schema and its steps from version to version
 *   ledger_plans.c     studies, trials, jobs of a plan
 *   ledger_attempts.c  events, verdicts, results
 *   ledger_read.c      what commands ask
 *   ledger_show.c      all that is known of one job
 *   ledger_query.c     what the dashboard asks
 *   ledger_rebuild.c   the same from the directories
 *   ledger_check.c     the difference of the two */
#ifndef JOBS_LEDGER_PRIVATE_H
#define JOBS_LEDGER_PRIVATE_H

#include <sqlite3.h>

#include "framework/files.h"
#include "framework/json.h"
#include "jobs/ledger.h"

/* The attempts' columns, in the order in which they are written and read. */
#define ATTEMPT_COLUMNS                                                                                          \
    "key,number,state,host,pid,code,compiler,threads,ranks,started,ended,updated,begin_step,step,total,"         \
    "checkpoint_step,unit,outcome,message,seconds,cpu,active,peak_memory,offset,bad"

#define JOB_COLUMNS                                                                   \
    "j.key,j.stage,j.state,j.cause,j.message,j.attempts,j.step,j.total,j.seconds," \
    "max(j.updated,j.decided)"
/* How many trials of the studies' latest plans share the job. */
#define ALL_TRIALS                                                                                  \
    "(SELECT sum(p.trials) FROM plan_jobs p JOIN studies s ON s.name=p.study AND s.plan=p.plan " \
    "WHERE p.key=j.key)"
#define IN_STUDY "p.study=?4 AND p.plan=(SELECT plan FROM studies WHERE name=?4)"

#define STATEMENTS(X)                                                                                                 \
    X(PUT_STUDY, "INSERT OR REPLACE INTO studies(name,path,trials,recorded,plan,overrides) VALUES(?,?,?,?,?,?)")       \
    X(DROP_STUDY, "DELETE FROM studies WHERE name=?")                                                                  \
    X(DROP_TRIALS, "DELETE FROM trials WHERE study=?")                                                                 \
    X(DROP_PLAN_JOBS, "DELETE FROM plan_jobs WHERE study=? AND plan=?")                                                \
    X(DROP_ALL_PLAN_JOBS, "DELETE FROM plan_jobs WHERE study=?")                                                       \
    X(DROP_UNKNOWN_JOBS, "DELETE FROM jobs WHERE state<>2 AND attempts=0 AND NOT EXISTS("                  \
                         "SELECT 1 FROM plan_jobs p WHERE p.key=jobs.key)")                                            \
    X(PUT_TRIAL, "INSERT INTO trials VALUES(?,?,?,?,?,?,?)")                                                           \
    X(PUT_PLAN_JOB, "INSERT OR IGNORE INTO plan_jobs(study,plan,key,trials) VALUES(?,?,?,?)")                          \
    X(PUT_JOB, "INSERT OR IGNORE INTO jobs(key,stage,version,inputs,state,updated,decided) VALUES(?,?,?,?,0,0,0)")     \
    X(FIND_JOB, "SELECT state,cause,message,attempts FROM jobs WHERE key=?")                                           \
    X(SET_STATE, "UPDATE jobs SET state=?2, cause=?3, message=?4, decided=?5 WHERE key=?1")                            \
    X(SET_PROGRESS, "UPDATE jobs SET attempts=?2, step=?3, total=?4, seconds=?5, updated=?6 WHERE key=?1 AND "         \
                    "attempts<=?2")                                                                                    \
    X(PUT_ATTEMPT, "INSERT INTO attempts(" ATTEMPT_COLUMNS ") "                                                       \
                   "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(key,number) DO UPDATE SET state=excluded.state,host=excluded.host,pid=excluded.pid,"   \
                   "code=excluded.code,compiler=excluded.compiler,threads=excluded.threads,ranks=excluded.ranks,"      \
                   "started=excluded.started,ended=excluded.ended,updated=excluded.updated,"                           \
                   "begin_step=excluded.begin_step,step=excluded.step,total=excluded.total,"                           \
                   "checkpoint_step=excluded.checkpoint_step,unit=excluded.unit,outcome=excluded.outcome,"             \
                   "message=excluded.message,seconds=excluded.seconds,cpu=excluded.cpu,active=excluded.active,"        \
                   "peak_memory=excluded.peak_memory,offset=excluded.offset,bad=excluded.bad")                         \
    X(PUT_PROGRESS, "UPDATE attempts SET updated=?3,step=?4,total=?5,checkpoint_step=?6,cpu=?7,active=?8,"             \
                    "offset=?9,bad=?10 WHERE key=?1 AND number=?2")                                                              \
    X(SET_STEP, "UPDATE jobs SET step=?3, total=?4, updated=?5 WHERE key=?1 AND attempts<=?2")                         \
    X(SET_PROVENANCE, "UPDATE attempts SET provenance=?3 WHERE key=?1 AND number=?2")                                  \
    X(PUT_METRIC, "INSERT OR REPLACE INTO metrics VALUES(?,?,?,?)")                                                    \
    X(DROP_RESULTS, "DELETE FROM results WHERE key=?")                                                                 \
    X(PUT_RESULT, "INSERT OR REPLACE INTO results VALUES(?,?,?)")                                                      \
    X(DROP_JOB, "DELETE FROM jobs WHERE key=?")                                                                        \
    X(DROP_ATTEMPTS, "DELETE FROM attempts WHERE key=?")                                                               \
    X(DROP_METRICS, "DELETE FROM metrics WHERE key=?")                                                                 \
    X(LIST_JOBS, "SELECT " JOB_COLUMNS "," ALL_TRIALS " FROM jobs j WHERE j.key>=?1 AND j.key<?2 AND ?3<0 "            \
                 "ORDER BY j.stage,j.key")                                                                             \
    X(LIST_STATE_JOBS, "SELECT " JOB_COLUMNS "," ALL_TRIALS " FROM jobs j "                                            \
                       "WHERE j.state=?3 AND j.key>=?1 AND j.key<?2 ORDER BY j.stage,j.key")                                                                       \
    X(LIST_STUDY_JOBS, "SELECT " JOB_COLUMNS ",p.trials FROM plan_jobs p JOIN jobs j ON j.key=p.key "                  \
                       "WHERE " IN_STUDY " AND p.key>=?1 AND p.key<?2 AND ?3<0 ORDER BY j.stage,j.key")                \
    X(LIST_STUDY_STATE_JOBS, "SELECT " JOB_COLUMNS ",p.trials FROM jobs j CROSS JOIN plan_jobs p ON p.key=j.key "      \
                             "WHERE j.state=?3 AND " IN_STUDY " AND j.key>=?1 AND j.key<?2 ORDER BY j.stage,j.key")    \
    X(COUNT_JOBS, "SELECT stage,state,jobs FROM counts WHERE study='' AND plan=''")                                    \
    X(COUNT_STUDY_JOBS, "SELECT stage,state,jobs FROM counts WHERE study=?1 AND "                                      \
                        "plan=(SELECT plan FROM studies WHERE name=?1)")                                               \
    X(LIST_STUDIES, "SELECT name FROM studies ORDER BY recorded DESC, name")                                           \
    X(GET_ATTEMPT, "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE key=? AND number=?")                                \
    X(LAST_ATTEMPT, "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE key=? ORDER BY number DESC LIMIT 1")               \
    X(LIST_RUNNING, "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE state=1 ORDER BY key,number")                      \
    X(MEAN_SECONDS, "SELECT avg(seconds) FROM jobs WHERE stage=? AND state=2 AND seconds>0")                           \
    X(SHOW_JOB, "SELECT stage,version,inputs,state,cause,message,updated,decided FROM jobs WHERE key=?")               \
    X(SHOW_STUDIES, "SELECT DISTINCT study FROM plan_jobs WHERE key=? ORDER BY study")                                 \
    X(SHOW_ATTEMPTS, "SELECT " ATTEMPT_COLUMNS ",provenance FROM attempts WHERE key=? ORDER BY number")                \
    X(SHOW_RESULTS, "SELECT name,value FROM results WHERE key=? ORDER BY name")

typedef enum StatementId {
#define X(id, sql) id,
    STATEMENTS(X)
#undef X
    STATEMENT_COUNT
} StatementId;

struct Ledger {
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    FileLock *lock;     /* NULL for a reader */
    char *work, *path;
    bool writing;       /* a transaction is open */
    bool writable, opened;
    int64_t losses;     /* transactions that failed; what they held must be read again */
};

double ledger_clock(void);
/* SQLite's answer as ours. */
Status ledger_result(const Ledger *ledger, int result);
Status ledger_execute(Ledger *ledger, const char *sql);
/* Binds by letters: s text (NULL allowed), i int64_t, r double. A statement that writes, whole. */
Status ledger_put(Ledger *ledger, StatementId id, const char *types, ...);
/* A statement that reads, up to its rows; texts live until it is asked again. */
Status ledger_ask(Ledger *ledger, StatementId id, const char *types, ...);
/* The next row; false at the end, after which the statement is free again. */
bool ledger_next_row(Ledger *ledger, StatementId id, Status *status);
sqlite3_stmt *ledger_row(Ledger *ledger, StatementId id);
const char *ledger_text(sqlite3_stmt *row, int column); /* "" for NULL */
/* The writer's lock, and WORK/locks where it is not there yet. */
Status ledger_take_lock(const char *work, FileLock **lock);
/* Opens `path` with what the work directory's kind of locks needs. `flags` are SQLite's. */
Status ledger_open_database(Ledger *ledger, const char *path, int flags);
/* A ledger that nobody else sees, in the file `path` or (":memory:") nowhere, made anew. */
Status ledger_create_private(const char *work, const char *path, Ledger **ledger);

/* Brings the schema to LEDGER_VERSION, from nothing too; each step in one transaction. */
Status ledger_migrate(Ledger *ledger);
Status ledger_read_version(Ledger *ledger, int *version);

/* In ledger_attempts.c. */
Status ledger_write_attempt(Ledger *ledger, const LedgerAttempt *attempt);
void ledger_read_attempt(sqlite3_stmt *row, LedgerAttempt *attempt);
/* Takes over what the directories tell of a job whose row is there: attempts, with the verdicts on them, and where
 * `decide` also its state. */
Status ledger_import_job(Ledger *ledger, const char *key, bool decide);

/* Folds in what the attempts that seem to run have written up to now. */
Status ledger_settle(Ledger *ledger);
Status ledger_write_state(Ledger *ledger, const char *key, JobState state, const char *cause, const char *message,
                          double time);

/* In ledger_rebuild.c: fills an empty ledger from the directories. */
Status ledger_import_everything(Ledger *ledger, LedgerRebuilt *rebuilt);

#endif
