/* The schema, as steps: the first makes version 1, each later one makes of a
 * version the next. A new ledger takes all of them, so that it is made like
 * one that grew. */
#include <assert.h>

#include "jobs/ledger_private.h"

static const char TO_1[] =
    "CREATE TABLE studies(name TEXT PRIMARY KEY, path TEXT, trials INTEGER, recorded REAL) WITHOUT ROWID;"
    "CREATE TABLE trials(study TEXT, number INTEGER, variant TEXT, grouping TEXT, seed INTEGER, axes TEXT, jobs TEXT,"
    " PRIMARY KEY(study, number)) WITHOUT ROWID;"
    "CREATE TABLE study_jobs(study TEXT, key TEXT, trials INTEGER, PRIMARY KEY(study, key)) WITHOUT ROWID;"
    "CREATE INDEX study_jobs_by_key ON study_jobs(key);"
    "CREATE TABLE jobs(key TEXT PRIMARY KEY, stage INTEGER, version INTEGER, inputs TEXT, state INTEGER,"
    " cause TEXT, message TEXT, attempts INTEGER DEFAULT 0, step INTEGER DEFAULT -1, total INTEGER DEFAULT -1,"
    " seconds REAL DEFAULT 0, updated REAL) WITHOUT ROWID;"
    "CREATE INDEX jobs_by_state ON jobs(stage, state);"
    "CREATE TABLE attempts(key TEXT, number INTEGER, state INTEGER, host TEXT, pid INTEGER, code TEXT, compiler TEXT,"
    " threads INTEGER, ranks INTEGER, started REAL, ended REAL, updated REAL, begin_step INTEGER, step INTEGER,"
    " total INTEGER, checkpoint_step INTEGER, unit TEXT, outcome TEXT, message TEXT, seconds REAL,"
    " peak_memory INTEGER, offset INTEGER, PRIMARY KEY(key, number)) WITHOUT ROWID;"
    "CREATE TABLE metrics(key TEXT, name TEXT, step INTEGER, value REAL, PRIMARY KEY(key, name, step)) WITHOUT ROWID;"
    "CREATE TABLE results(key TEXT, name TEXT, value REAL, PRIMARY KEY(key, name)) WITHOUT ROWID;";

/* Every plan of a study has its jobs recorded (plan '' is the one without overrides); studies.plan is the latest.
 * jobs.decided is when the state was decided, jobs.updated the last sign of its attempts. Counts of jobs per plan,
 * stage and state are kept by triggers, plan '' of study '' being all jobs: a look at a hundred thousand jobs reads a
 * few rows. */
static const char TO_2[] =
    "ALTER TABLE studies ADD COLUMN plan TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE studies ADD COLUMN overrides TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE jobs ADD COLUMN decided REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE attempts ADD COLUMN cpu REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE attempts ADD COLUMN active REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE attempts ADD COLUMN bad INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE attempts ADD COLUMN provenance TEXT;"
    "CREATE TABLE plan_jobs(study TEXT, plan TEXT, key TEXT, trials INTEGER,"
    " PRIMARY KEY(study, plan, key)) WITHOUT ROWID;"
    "INSERT INTO plan_jobs SELECT study,'',key,trials FROM study_jobs;"
    "DROP TABLE study_jobs;"
    "UPDATE jobs SET decided=coalesce(updated,0), updated=0;"
    "UPDATE jobs SET updated=coalesce((SELECT a.updated FROM attempts a WHERE a.key=jobs.key"
    " ORDER BY number DESC LIMIT 1),0) WHERE attempts>0;"
    "CREATE INDEX plan_jobs_by_key ON plan_jobs(key);"
    "DROP INDEX jobs_by_state;"
    "CREATE INDEX jobs_by_state ON jobs(state, stage, key);"
    "CREATE INDEX jobs_by_seconds ON jobs(stage, seconds) WHERE state=2;"
    "CREATE INDEX attempts_running ON attempts(key, number) WHERE state=1;"
    "CREATE TABLE counts(study TEXT, plan TEXT, stage INTEGER, state INTEGER, jobs INTEGER,"
    " PRIMARY KEY(study, plan, stage, state)) WITHOUT ROWID;"
    "INSERT INTO counts SELECT '','',stage,state,count(*) FROM jobs GROUP BY stage,state;"
    "INSERT INTO counts SELECT p.study,p.plan,j.stage,j.state,count(*) FROM plan_jobs p JOIN jobs j ON j.key=p.key"
    " GROUP BY p.study,p.plan,j.stage,j.state;"
    "CREATE TRIGGER count_none AFTER UPDATE OF jobs ON counts WHEN new.jobs<=0 BEGIN"
    " DELETE FROM counts WHERE study=new.study AND plan=new.plan AND stage=new.stage AND state=new.state; END;"
    "CREATE TRIGGER count_job AFTER INSERT ON jobs BEGIN"
    " INSERT INTO counts VALUES('','',new.stage,new.state,1)"
    "  ON CONFLICT(study,plan,stage,state) DO UPDATE SET jobs=jobs+1; END;"
    "CREATE TRIGGER uncount_job AFTER DELETE ON jobs BEGIN"
    " UPDATE counts SET jobs=jobs-1 WHERE study='' AND plan='' AND stage=old.stage AND state=old.state; END;"
    "CREATE TRIGGER recount_job AFTER UPDATE OF state ON jobs WHEN old.state<>new.state BEGIN"
    " INSERT INTO counts VALUES('','',new.stage,new.state,1)"
    "  ON CONFLICT(study,plan,stage,state) DO UPDATE SET jobs=jobs+1;"
    " UPDATE counts SET jobs=jobs-1 WHERE study='' AND plan='' AND stage=old.stage AND state=old.state;"
    " INSERT INTO counts SELECT study,plan,new.stage,new.state,1 FROM plan_jobs WHERE key=new.key"
    "  ON CONFLICT(study,plan,stage,state) DO UPDATE SET jobs=jobs+1;"
    " UPDATE counts SET jobs=jobs-1 WHERE (study,plan) IN (SELECT study,plan FROM plan_jobs WHERE key=new.key)"
    "  AND stage=old.stage AND state=old.state; END;"
    "CREATE TRIGGER count_plan_job AFTER INSERT ON plan_jobs BEGIN"
    " INSERT INTO counts SELECT new.study,new.plan,stage,state,1 FROM jobs WHERE key=new.key"
    "  ON CONFLICT(study,plan,stage,state) DO UPDATE SET jobs=jobs+1; END;"
    "CREATE TRIGGER uncount_plan_job AFTER DELETE ON plan_jobs BEGIN"
    " UPDATE counts SET jobs=jobs-1 WHERE study=old.study AND plan=old.plan"
    "  AND (stage,state)=(SELECT stage,state FROM jobs WHERE key=old.key); END;";

static const char *const STEPS[] = {TO_1, TO_2};
static_assert(sizeof STEPS / sizeof STEPS[0] == LEDGER_VERSION, "a step to every version");

Status ledger_read_version(Ledger *ledger, int *version)
{
    sqlite3_stmt *statement = NULL;
    TRY(ledger_result(ledger, sqlite3_prepare_v2(ledger->database, "PRAGMA user_version", -1, &statement, NULL)));
    int result = sqlite3_step(statement);
    *version = result == SQLITE_ROW ? sqlite3_column_int(statement, 0) : 0;
    sqlite3_finalize(statement);
    return ledger_result(ledger, result);
}

static Status take_step(Ledger *ledger, int version)
{
    char *done = sqlite3_mprintf("PRAGMA user_version=%d; COMMIT", version + 1);
    Status status = done == NULL ? status_no_memory(0, "a statement") : ledger_execute(ledger, "BEGIN IMMEDIATE");
    if (status == OK) {
        status = ledger_execute(ledger, STEPS[version]);
        if (status == OK) status = ledger_execute(ledger, done);
        if (status != OK) sqlite3_exec(ledger->database, "ROLLBACK", NULL, NULL, NULL);
    }
    sqlite3_free(done);
    return status_wrap(status, "schema %d to %d", version, version + 1);
}

Status ledger_migrate(Ledger *ledger)
{
    int version;
    TRY(ledger_read_version(ledger, &version));
    while (version < LEDGER_VERSION) {
        TRY(take_step(ledger, version));
        version++;
    }
    return OK;
}
