/* The ledger against the directories: what runs leave, a rebuild makes again, row by row; a check finds what does not
 * agree; an old schema is brought up to date; garbage is what no study needs. Studies run with cheap stages: workers are
 * this program itself, as `test_ledger attempt SPEC`. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/events.h"
#include "jobs/gc.h"
#include "jobs/ledger.h"
#include "jobs/runner.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static const char *program;

static const char STUDY[] = "name: small\n"
                            "config: {train.steps: 12, generator.steps: 10, run.checkpoint_seconds: 0}\n"
                            "variants:\n  vanilla: {generator.kind: gmmn}\n  full: {}\n"
                            "sweep: {seed: [0, 1]}\n";
enum { SMALL_JOBS = 1 + 2 * (1 + 1 + 2 + 2) };

typedef struct Place {
    char *directory, *work, *study;
} Place;

static Place make_place(const char *text)
{
    Place place = {.directory = fake_directory()};
    place.work = path_join(place.directory, "work");
    place.study = path_join(place.directory, "study.yaml");
    fake_write(place.directory, "study.yaml", text);
    return place;
}

static void end_place(Place *place)
{
    CHECK_OK(directory_remove(place->directory));
    memory_free(place->directory);
    memory_free(place->work);
    memory_free(place->study);
}

static Status run_with(const Place *place, const char *override)
{
    char *overrides[] = {(char *)(uintptr_t)override};
    Study *study = NULL;
    Plan *plan = NULL;
    Ledger *ledger = NULL;
    Executor *executor = NULL;
    RunnerSummary summary;
    PlanOptions plan_options = {.work = place->work, .lookup = fake_stage, .last = STAGE_COUNT};
    RunnerOptions options = {.code = "test+dirty", .quiet = true};
    Status status = study_read(place->study, overrides, override != NULL, &study);
    if (status == OK) status = plan_create(study, &plan_options, &plan);
    if (status == OK) status = ledger_open_writer(place->work, &ledger);
    if (status == OK) status = ledger_record_plan(ledger, plan);
    if (status == OK) status = executor_local_create(program, &(LocalLimits){.cores = 2, .gpus = -1}, &executor);
    if (status == OK) status = runner_run(plan, ledger, executor, &options, &summary);
    if (executor != NULL) executor->destroy(executor);
    ledger_close(ledger);
    plan_destroy(plan);
    study_destroy(study);
    return status;
}

static Status run(const Place *place)
{
    return run_with(place, NULL);
}

/* Every row of every table, as text. */
static char *dump(const char *work)
{
    char *path = path_join(work, LEDGER_NAME);
    sqlite3 *database;
    sqlite3_stmt *tables, *rows;
    Text out = {0};
    CHECK_INT(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_prepare_v2(database, "SELECT name FROM sqlite_master WHERE type='table' ORDER BY name", -1, &tables,
                                 NULL), SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(tables, 0);
        char *sql = sqlite3_mprintf("SELECT * FROM %s ORDER BY 1,2,3", name); /* keys have at most four columns */
        if (strcmp(name, "counts") == 0) {
            sqlite3_free(sql);
            sql = sqlite3_mprintf("SELECT * FROM counts ORDER BY 1,2,3,4");
        }
        CHECK_INT(sqlite3_prepare_v2(database, sql, -1, &rows, NULL), SQLITE_OK);
        sqlite3_free(sql);
        while (sqlite3_step(rows) == SQLITE_ROW) {
            text_append(&out, name);
            for (int i = 0; i < sqlite3_column_count(rows); i++) {
                text_format(&out, " %s=", sqlite3_column_name(rows, i));
                if (sqlite3_column_type(rows, i) == SQLITE_FLOAT) text_format(&out, "%.17g", sqlite3_column_double(rows, i));
                else text_append(&out, sqlite3_column_type(rows, i) == SQLITE_NULL ? "NULL"
                                                                                   : (const char *)sqlite3_column_text(rows, i));
            }
            text_append(&out, "\n");
        }
        sqlite3_finalize(rows);
    }
    sqlite3_finalize(tables);
    sqlite3_close(database);
    memory_free(path);
    CHECK(!out.failed && out.data != NULL);
    return out.data;
}

static void check_same(const char *a, const char *b)
{
    while (*a != '\0' || *b != '\0') {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        if (la != lb || strncmp(a, b, la) != 0) TEST_FAIL("rows differ:\n  %.*s\n  %.*s", (int)la, a, (int)lb, b);
        a += la + (a[la] == '\n');
        b += lb + (b[lb] == '\n');
    }
}

static void collect_line(void *context, const char *line)
{
    text_format(context, "%s\n", line);
}

/* The lines of a check, freed by the caller. */
static char *check_lines(const Place *place, bool full)
{
    Text lines = {0};
    int64_t found = 0;
    CHECK_OK(ledger_check(place->work, full, collect_line, &lines, &found));
    CHECK((found == 0) == (lines.length == 0));
    return lines.data != NULL ? lines.data : memory_copy_string("");
}

static void check_clean(const Place *place)
{
    char *lines = check_lines(place, true);
    CHECK_STRING(lines, "");
    memory_free(lines);
}

static void check_finds(const Place *place, bool full, const char *part)
{
    char *lines = check_lines(place, full);
    if (strstr(lines, part) == NULL) TEST_FAIL("\"%s\" is not in:\n%s", part, lines);
    memory_free(lines);
}

static void check_rebuilt_is_equal(const Place *place)
{
    LedgerRebuilt rebuilt;
    char *before = dump(place->work);
    CHECK_OK(ledger_rebuild(place->work, &rebuilt));
    char *after = dump(place->work);
    check_same(before, after);
    memory_free(before);
    memory_free(after);
}

static void execute(const Place *place, const char *sql)
{
    char *path = path_join(place->work, LEDGER_NAME);
    sqlite3 *database;
    CHECK_INT(sqlite3_open(path, &database), SQLITE_OK);
    CHECK_INT(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    memory_free(path);
}

/* Rebuilding ------------------------------------------------------------------- */

static void test_rebuilt_ledger_is_equal(void)
{
    Place place = make_place(STUDY);
    LedgerRebuilt rebuilt;
    CHECK_FAILS(ledger_rebuild(place.work, &rebuilt), STATUS_NOT_FOUND, "no studies, runs or artifacts");
    CHECK_OK(run(&place));
    check_clean(&place);
    char *before = dump(place.work), *path = path_join(place.work, LEDGER_NAME);
    CHECK(strstr(before, "metrics ") != NULL && strstr(before, "results ") != NULL);
    CHECK_INT(unlink(path), 0);
    CHECK_OK(ledger_rebuild(place.work, &rebuilt));
    CHECK_INT(rebuilt.studies, 1);
    CHECK_INT(rebuilt.jobs, SMALL_JOBS);
    CHECK_INT(rebuilt.attempts, SMALL_JOBS);
    char *after = dump(place.work);
    check_same(before, after);
    /* Nothing to do, and nothing changes but when the plan was recorded. */
    CHECK_OK(run(&place));
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    /* A lost ledger that a run made anew knows of the attempts before it. */
    CHECK_INT(unlink(path), 0);
    CHECK_OK(run(&place));
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    memory_free(before);
    memory_free(after);
    memory_free(path);
    end_place(&place);
}

static void test_failures_are_rebuilt(void)
{
    Place place = make_place("name: small\nconfig: {train.steps: 5, generator.steps: 5, run.attempts: 2}\n"
                             "variants:\n  good: {}\n  broken: {train.rate: 9}\n  bad: {generator.rate: 9}\n"
                             "  killed: {generator.rate: 8}\n");
    CHECK_FAILS(run(&place), STATUS_CHILD, "jobs failed");
    check_clean(&place);
    char *rows = dump(place.work);
    CHECK(strstr(rows, "cause=blocked message=") != NULL);
    CHECK(strstr(rows, "not a number") != NULL);
    memory_free(rows);
    check_rebuilt_is_equal(&place);
    CHECK_FAILS(run(&place), STATUS_CHILD, "jobs failed"); /* once more: other attempts, other verdicts */
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    end_place(&place);
}

/* Verdicts that a runner gives by itself, on jobs that never ran too, are on the disk with it. */
static void test_verdicts_are_rebuilt(void)
{
    Place place = make_place(STUDY);
    Study *study;
    Plan *plan;
    Ledger *ledger;
    PlanOptions options = {.work = place.work, .lookup = fake_stage, .last = STAGE_COUNT};
    CHECK_OK(study_read(place.study, NULL, 0, &study));
    CHECK_OK(plan_create(study, &options, &plan));
    CHECK_OK(ledger_open_writer(place.work, &ledger));
    CHECK_OK(ledger_record_plan(ledger, plan));
    CHECK_OK(ledger_set_state(ledger, plan->jobs[1].key, STATE_PAUSED, "paused", "by \"somebody\""));
    CHECK_OK(ledger_set_state(ledger, plan->jobs[2].key, STATE_CANCELLED, NULL, NULL));
    CHECK_OK(ledger_set_state(ledger, plan->jobs[3].key, STATE_SKIPPED, "stopped-early", NULL));
    ledger_close(ledger);
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    /* A verdict that was torn by a kill is passed over; the next one is not lost with it. */
    char *run_of = run_directory(place.work, plan->jobs[1].key), *path = path_join(run_of, "verdicts.jsonl");
    FILE *file = fopen(path, "a");
    fputs("{\"time\": 5, \"sta", file);
    fclose(file);
    CHECK_OK(ledger_open_writer(place.work, &ledger));
    CHECK_OK(ledger_set_state(ledger, plan->jobs[1].key, STATE_WAITING, NULL, NULL));
    ledger_close(ledger);
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    memory_free(path);
    memory_free(run_of);
    plan_destroy(plan);
    study_destroy(study);
    end_place(&place);
}

/* Another study or none of its jobs: what is wanted no more and never ran is gone from both. */
static void test_changed_study_is_rebuilt(void)
{
    Place place = make_place(STUDY);
    CHECK_OK(run(&place));
    fake_write(place.directory, "study.yaml", "name: small\nconfig: {train.steps: 7, generator.steps: 5, generator.rate: 9}\n");
    CHECK_FAILS(run(&place), STATUS_CHILD, "jobs failed");
    fake_write(place.directory, "study.yaml", STUDY);
    CHECK_OK(run_with(&place, "train.steps=5"));
    CHECK_OK(run(&place));
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    end_place(&place);
}

/* Kills --------------------------------------------------------------------------- */

static pid_t run_in_child(const Place *place)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        Status status = run(place);
        _exit(status_exit_code(status_code(status)));
    }
    return pid;
}

/* A process whose command line has `text`, but not this one; 0 where there is none. */
static pid_t find_worker(const char *text)
{
    DIR *proc = opendir("/proc");
    pid_t found = 0;
    struct dirent *entry;
    while (found == 0 && (entry = readdir(proc)) != NULL) {
        char *path = memory_format("/proc/%s/cmdline", entry->d_name), line[4096];
        int fd = open(path, O_RDONLY);
        ssize_t got = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
        if (fd >= 0) close(fd);
        memory_free(path);
        for (ssize_t i = 0; i + 1 < got; i++)
            if (line[i] == '\0') line[i] = ' ';
        line[got > 0 ? got : 0] = '\0';
        if (strstr(line, text) != NULL && strstr(line, " attempt ") != NULL) found = (pid_t)atoi(entry->d_name);
    }
    closedir(proc);
    return found;
}

static void test_kills_leave_no_disagreement(void)
{
    Place place = make_place(STUDY);
    unsigned seed = 7;
    setenv("FAKE_STEP_MS", "2", 1);
    for (int round = 0; round < 14; round++) {
        pid_t runner = run_in_child(&place);
        int how;
        usleep((useconds_t)(20000 + rand_r(&seed) % 150000));
        pid_t worker = round % 2 == 0 ? find_worker(place.work) : 0;
        if (worker > 0) kill(worker, SIGKILL);
        if (round % 3 != 2) {
            kill(runner, SIGKILL);
            CHECK_INT(waitpid(runner, &how, 0), runner);
        } else {
            CHECK_INT(waitpid(runner, &how, 0), runner);
        }
    }
    unsetenv("FAKE_STEP_MS");
    CHECK_OK(run(&place));
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    end_place(&place);
}

/* Folding ------------------------------------------------------------------------- */

static const char KEY[] = "0123456789abcdef0123456789abcdef";

static void write_events(const char *work, int number, const char *text)
{
    char *directory = attempt_directory(work, KEY, number);
    CHECK_OK(directory_create(directory));
    fake_write(directory, EVENTS_NAME, text);
    memory_free(directory);
}

static void fold_all(const char *work, bool commits)
{
    Ledger *ledger;
    LedgerAttempt attempt;
    CHECK_OK(ledger_open_writer(work, &ledger));
    for (int number = 1; number <= 2; number++) {
        ledger_attempt_init(&attempt, KEY, number);
        CHECK_OK(ledger_fold(ledger, &attempt, NULL));
    }
    if (commits) ledger_close(ledger); /* else this process ends with its transaction open */
}

/* The second attempt repeats steps of the first: a metric has one value per step, whoever wrote it last. */
static void test_folding_again_changes_nothing(void)
{
    char *work = fake_directory();
    write_events(work, 1, "{\"time\":1,\"event\":\"start\",\"host\":\"a\",\"pid\":1,\"flags\":\"-O3\"}\n"
                          "{\"time\":2,\"event\":\"begin\",\"step\":0,\"total\":4}\n"
                          "{\"time\":3,\"event\":\"metrics\",\"step\":1,\"values\":{\"loss\":1.5}}\n"
                          "{\"time\":4,\"event\":\"metrics\",\"step\":2,\"values\":{\"loss\":1.25}}\nnonsense\n");
    write_events(work, 2, "{\"time\":5,\"event\":\"begin\",\"step\":1,\"total\":4}\n"
                          "{\"time\":6,\"event\":\"metrics\",\"step\":2,\"values\":{\"loss\":1.25}}\n"
                          "{\"time\":7,\"event\":\"heartbeat\",\"step\":2,\"cpu\":0.75}\n");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        fold_all(work, false);
        raise(SIGKILL);
    }
    CHECK_INT(waitpid(child, NULL, 0), child);
    fold_all(work, true);
    char *once = dump(work);
    CHECK(strstr(once, "metrics key=0123456789abcdef0123456789abcdef name=loss step=2 value=1.25\n") != NULL);
    CHECK(strstr(once, "bad=1") != NULL);
    CHECK(strstr(once, "\"flags\":\"-O3\"") != NULL);
    fold_all(work, true);
    char *twice = dump(work);
    check_same(once, twice);
    memory_free(once);
    memory_free(twice);
    CHECK_OK(directory_remove(work));
    memory_free(work);
}

/* Schemas ---------------------------------------------------------------------------- */

static const char VERSION_1[] =
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
    "CREATE TABLE results(key TEXT, name TEXT, value REAL, PRIMARY KEY(key, name)) WITHOUT ROWID;"
    "INSERT INTO studies VALUES('old','old.yaml',1,100.5);"
    "INSERT INTO trials VALUES('old',0,'full','full',3,'{\"seed\":\"3\"}','{\"shard\":\"00aa\",\"backbone\":\"00bb\"}');"
    "INSERT INTO study_jobs VALUES('old','00aa',1);"
    "INSERT INTO study_jobs VALUES('old','00bb',1);"
    "INSERT INTO jobs VALUES('00aa',0,1,'{}',2,NULL,NULL,1,4,4,2.5,101);"
    "INSERT INTO jobs VALUES('00bb',1,2,'{\"shard\":\"00aa\"}',3,'non-finite','the loss',1,7,10,0.5,102);"
    "INSERT INTO attempts VALUES('00aa',1,2,'here',5,'c0de','gcc',1,1,100,103,104,0,4,4,-1,'shards','ok','',2.5,1000,77);"
    "INSERT INTO attempts VALUES('00bb',1,3,'here',6,'c0de','gcc',1,1,100,103,105,0,7,10,5,'steps','non-finite','the loss',"
    "0.5,2000,88);"
    "INSERT INTO metrics VALUES('00bb','loss',5,0.25);"
    "INSERT INTO results VALUES('00aa','images',12);"
    "PRAGMA user_version = 1;";

static void find_line(const char *rows, const char *line)
{
    if (strstr(rows, line) == NULL) TEST_FAIL("\"%s\" is not in:\n%s", line, rows);
}

static void test_old_ledger_is_brought_up_to_date(void)
{
    Place place = make_place(STUDY);
    Ledger *ledger;
    CHECK_OK(directory_create(place.work));
    execute(&place, VERSION_1);
    CHECK_FAILS(ledger_open_reader(place.work, &ledger), STATUS_VERSION, "zeroth ledger migrate");
    CHECK_OK(ledger_open_writer(place.work, &ledger));
    ledger_close(ledger);
    char *rows = dump(place.work);
    find_line(rows, "studies name=old path=old.yaml trials=1 recorded=100.5 plan= overrides=[]\n");
    find_line(rows, "trials study=old number=0 variant=full grouping=full seed=3 axes={\"seed\":\"3\"} ");
    find_line(rows, "plan_jobs study=old plan= key=00bb trials=1\n");
    find_line(rows, "jobs key=00bb stage=1 version=2 inputs={\"shard\":\"00aa\"} state=3 cause=non-finite message=the loss "
                    "attempts=1 step=7 total=10 seconds=0.5 updated=105 decided=102\n");
    find_line(rows, "attempts key=00aa number=1 state=2 host=here pid=5 code=c0de ");
    find_line(rows, "offset=88 cpu=0 active=0 bad=0 provenance=NULL\n");
    find_line(rows, "metrics key=00bb name=loss step=5 value=0.25\n");
    find_line(rows, "results key=00aa name=images value=12\n");
    find_line(rows, "counts study=old plan= stage=0 state=2 jobs=1\n");
    memory_free(rows);
    /* And it is one to work with. */
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    CHECK_OK(ledger_open_reader(place.work, &ledger));
    CHECK_OK(ledger_count_jobs(ledger, "old", counts));
    CHECK_INT(counts[STAGE_BACKBONE][STATE_FAILED], 1);
    ledger_close(ledger);
    CHECK_OK(run(&place));
    end_place(&place);
}

static void test_later_ledger_is_refused(void)
{
    Place place = make_place(STUDY);
    Ledger *ledger;
    CHECK_OK(directory_create(place.work));
    execute(&place, "CREATE TABLE jobs(key TEXT); PRAGMA user_version = 1000");
    CHECK_FAILS(ledger_open_writer(place.work, &ledger), STATUS_VERSION, "has schema 1000, and this program knows");
    CHECK_FAILS(ledger_open_reader(place.work, &ledger), STATUS_VERSION, "has schema 1000");
    end_place(&place);
}

/* A record of trials alone, as schema 1 had it: enough to know what the study needs. */
static void test_old_record_of_a_study(void)
{
    Place place = make_place(STUDY);
    CHECK_OK(run(&place));
    char *directory = study_directory(place.work, "small"), *path = path_join(directory, "trials.jsonl"), *data;
    size_t bytes;
    Text trials = {0};
    CHECK_OK(file_read(path, 0, &data, &bytes));
    for (const char *line = data; *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line, "{\"variant\"", 10) == 0) text_append_bytes(&trials, line, strcspn(line, "\n") + 1);
    fake_write(directory, "trials.jsonl", text_string(&trials));
    LedgerRebuilt rebuilt;
    CHECK_OK(ledger_rebuild(place.work, &rebuilt));
    CHECK_INT(rebuilt.studies, 1);
    CHECK_INT(rebuilt.jobs, SMALL_JOBS);
    Ledger *ledger;
    Garbage garbage;
    CHECK_OK(ledger_open_writer(place.work, &ledger));
    CHECK_OK(garbage_find(ledger, &(GarbageOptions){.lookup = fake_stage}, &garbage));
    CHECK_INT(garbage.count, 0);
    garbage_free(&garbage);
    ledger_close(ledger);
    text_free(&trials);
    memory_free(data);
    memory_free(path);
    memory_free(directory);
    end_place(&place);
}

/* Checking ----------------------------------------------------------------------------- */

static char *first_artifact(const Place *place, const char *with)
{
    char *artifacts = path_join(place->work, "artifacts"), **names, *found = NULL;
    size_t count;
    CHECK_OK(directory_list(artifacts, &names, &count));
    for (size_t i = 0; i < count && found == NULL; i++) {
        char *path = memory_format("%s/%s/%s", artifacts, names[i], with);
        if (file_exists(path)) found = memory_format("%s/%s", artifacts, names[i]);
        memory_free(path);
    }
    names_free(names, count);
    memory_free(artifacts);
    CHECK(found != NULL);
    return found;
}

static void test_check_finds_disagreements(void)
{
    Place place = make_place(STUDY);
    LedgerRebuilt rebuilt;
    CHECK_OK(run(&place));
    execute(&place, "UPDATE jobs SET state=3, cause='x' WHERE key=(SELECT min(key) FROM jobs)");
    check_finds(&place, false, "state is failed in the ledger, finished by the directories");
    CHECK_OK(ledger_rebuild(place.work, &rebuilt));
    check_clean(&place);
    execute(&place, "DELETE FROM attempts WHERE key=(SELECT min(key) FROM attempts); DELETE FROM metrics;"
                    "UPDATE results SET value=value+1; INSERT INTO jobs(key,stage,state,version,inputs) "
                    "VALUES('ffffffffffffffffffffffffffffffff',1,0,1,'{}')");
    check_finds(&place, false, "job ffffffffff: in the ledger, but not in the directories");
    check_finds(&place, false, "attempt ");
    check_finds(&place, false, ": not in the ledger");
    check_finds(&place, false, "result ");
    CHECK_OK(ledger_rebuild(place.work, &rebuilt));
    check_clean(&place);
    /* Bytes of the right number: only the checksums tell. */
    char *artifact = first_artifact(&place, "result");
    fake_write(artifact, "result", "0123456789abcdef\n");
    char *lines = check_lines(&place, false);
    CHECK_STRING(lines, "");
    memory_free(lines);
    check_finds(&place, true, "its checksum is not the manifest's");
    char *manifest = path_join(artifact, MANIFEST_NAME);
    CHECK_INT(unlink(manifest), 0);
    check_finds(&place, false, "artifact.json");
    check_finds(&place, false, "state is finished in the ledger, waiting by the directories");
    memory_free(manifest);
    memory_free(artifact);
    end_place(&place);
}

/* Showing ------------------------------------------------------------------------------- */

static void test_show_tells_all(void)
{
    Place place = make_place(STUDY);
    Ledger *ledger;
    JsonWriter writer;
    Json *shown;
    CHECK_OK(run(&place));
    char *artifact = first_artifact(&place, METRICS_NAME);
    char prefix[11];
    snprintf(prefix, sizeof prefix, "%s", path_name(artifact));
    CHECK_OK(ledger_open_reader(place.work, &ledger));
    CHECK_OK(ledger_show(ledger, prefix, &writer));
    CHECK_OK(json_parse(writer.text.data, writer.text.length, "shown", &shown));
    CHECK_STRING(json_member(shown, "stage")->string, "evaluate");
    CHECK_STRING(json_member(shown, "state")->string, "finished");
    CHECK_STRING(json_member(shown, "studies")->items[0].string, "small");
    CHECK_STRING(json_member(json_member(shown, "config"), "train.steps")->string, "12");
    CHECK(json_member(json_member(shown, "inputs"), "backbone") != NULL);
    CHECK(json_member(json_member(shown, "results"), "pq") != NULL);
    const Json *attempt = &json_member(shown, "attempts")->items[0], *provenance = json_member(attempt, "provenance");
    CHECK_STRING(json_member(attempt, "outcome")->string, "ok");
    CHECK(json_member(attempt, "peak_memory")->integer > 0);
    static const char *const FACTS[] = {"host", "code", "compiler", "flags", "mpi", "sqlite", "libc", "kernel", "cpu", "gpus",
                                        "cores", "memory"};
    for (size_t i = 0; i < sizeof FACTS / sizeof FACTS[0]; i++) {
        const Json *fact = json_member(provenance, FACTS[i]);
        if (fact == NULL || fact->type != JSON_STRING || fact->string[0] == '\0') TEST_FAIL("no '%s' in the provenance", FACTS[i]);
    }
    CHECK_INT(json_member(provenance, "threads")->integer, 1);
    CHECK_INT(json_member(provenance, "ranks")->integer, 1);
    CHECK(json_member(provenance, "seed")->type == JSON_INTEGER);
    CHECK(json_member(provenance, "dirty")->type == JSON_BOOL);
    json_destroy(shown);
    text_free(&writer.text);
    CHECK_FAILS(ledger_show(ledger, "", &writer), STATUS_USAGE, "begins the keys of 13 jobs");
    CHECK_FAILS(ledger_show(ledger, "xyz", &writer), STATUS_NOT_FOUND, "no job's key begins with 'xyz'");
    ledger_close(ledger);
    memory_free(artifact);
    end_place(&place);
}

/* Garbage --------------------------------------------------------------------------------- */

static void collect(const Place *place, const char *forget, bool removes, Garbage *garbage)
{
    Ledger *ledger;
    CHECK_OK(ledger_open_writer(place->work, &ledger));
    CHECK_OK(garbage_find(ledger, &(GarbageOptions){.forget = forget, .lookup = fake_stage}, garbage));
    if (removes) CHECK_OK(garbage_remove(ledger, garbage));
    ledger_close(ledger);
}

static int64_t count_garbage(const Place *place, const char *forget, bool removes)
{
    Garbage garbage;
    collect(place, forget, removes, &garbage);
    int64_t count = (int64_t)garbage.count;
    garbage_free(&garbage);
    return count;
}

static size_t count_artifacts(const Place *place)
{
    char *path = path_join(place->work, "artifacts"), **names;
    size_t count;
    CHECK_OK(directory_list(path, &names, &count));
    names_free(names, count);
    memory_free(path);
    return count;
}

static void test_overrides_make_no_garbage(void)
{
    Place place = make_place(STUDY);
    CHECK_OK(run(&place));
    CHECK_OK(run_with(&place, "generator.steps=5")); /* other generators and evaluations */
    size_t all = count_artifacts(&place);
    CHECK_INT(all, SMALL_JOBS + 8);
    CHECK_INT(count_garbage(&place, NULL, true), 0);
    CHECK_INT(count_artifacts(&place), all);
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    /* The study changed: what it had before goes, what it has with the override stays. */
    fake_write(place.directory, "study.yaml", "name: small\nconfig: {train.steps: 12, generator.steps: 3}\n");
    CHECK_OK(run(&place));
    CHECK_INT(count_garbage(&place, NULL, false), 2 * 8);
    CHECK_INT(count_artifacts(&place), all + 2);
    CHECK_INT(count_garbage(&place, NULL, true), 2 * 8); /* artifact and run of each */
    CHECK_INT(count_artifacts(&place), all - 8 + 2);
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    CHECK_INT(count_garbage(&place, NULL, true), 0);
    end_place(&place);
}

static void test_forgotten_study_goes(void)
{
    Place place = make_place(STUDY);
    Ledger *ledger;
    Garbage garbage;
    char **names;
    size_t count;
    CHECK_OK(run(&place));
    fake_write(place.directory, "study.yaml", "name: other\nconfig: {train.steps: 12, generator.steps: 10}\nsweep: {seed: [0]}\n");
    CHECK_OK(run(&place)); /* shares all its jobs with the first */
    CHECK_OK(ledger_open_writer(place.work, &ledger));
    CHECK_FAILS(garbage_find(ledger, &(GarbageOptions){.forget = "none", .lookup = fake_stage}, &garbage), STATUS_NOT_FOUND,
                "no study 'none'");
    garbage_free(&garbage);
    ledger_close(ledger);
    CHECK_INT(count_garbage(&place, "small", false), 1 + 2 * (SMALL_JOBS - 5));
    CHECK_INT(count_artifacts(&place), SMALL_JOBS);
    CHECK_INT(count_garbage(&place, "small", true), 1 + 2 * (SMALL_JOBS - 5));
    CHECK_INT(count_artifacts(&place), 5);
    CHECK_OK(ledger_open_reader(place.work, &ledger));
    CHECK_OK(ledger_list_studies(ledger, &names, &count));
    CHECK_INT(count, 1);
    CHECK_STRING(names[0], "other");
    names_free(names, count);
    ledger_close(ledger);
    check_clean(&place);
    check_rebuilt_is_equal(&place);
    end_place(&place);
}

static void write_below(const char *work, const char *below, const char *name)
{
    char *directory = path_join(work, below);
    CHECK_OK(directory_create(directory));
    fake_write(directory, name, "x");
    memory_free(directory);
}

static void test_left_overs_go_but_not_of_live_jobs(void)
{
    Place place = make_place(STUDY);
    FileLock *lock;
    CHECK_OK(run(&place));
    char *artifact = first_artifact(&place, METRICS_NAME);
    const char *key = path_name(artifact);
    write_below(place.work, "artifacts", ".ledger.tmp");
    char *attempt = memory_format("runs/%s/0001", key), *output = memory_format("runs/%s/0001/output", key);
    write_below(place.work, attempt, ".events.jsonl.1-2.tmp");
    write_below(place.work, attempt, "checkpoint-0000000001.h5");
    write_below(place.work, output, "half");
    char *stray = memory_format("runs/%s/0001", KEY), *lock_path = memory_format("%s/runs/%s/lock", place.work, KEY);
    write_below(place.work, stray, "log"); /* of no study */
    CHECK_OK(file_lock(lock_path, &lock));
    Garbage garbage;
    collect(&place, NULL, true, &garbage);
    CHECK_INT(garbage.count, 4);
    CHECK_INT(garbage.bytes, 4);
    garbage_free(&garbage);
    char *held = memory_format("%s/runs/%s/0001/log", place.work, KEY);
    CHECK(file_exists(held));
    file_unlock(lock);
    CHECK_INT(count_garbage(&place, NULL, true), 1);
    CHECK(!file_exists(held));
    check_clean(&place);
    memory_free(held);
    memory_free(lock_path);
    memory_free(stray);
    memory_free(output);
    memory_free(attempt);
    memory_free(artifact);
    end_place(&place);
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(test_rebuilt_ledger_is_equal),
                                     TEST(test_failures_are_rebuilt),
                                     TEST(test_verdicts_are_rebuilt),
                                     TEST(test_changed_study_is_rebuilt),
                                     TEST(test_kills_leave_no_disagreement),
                                     TEST(test_folding_again_changes_nothing),
                                     TEST(test_old_ledger_is_brought_up_to_date),
                                     TEST(test_later_ledger_is_refused),
                                     TEST(test_old_record_of_a_study),
                                     TEST(test_check_finds_disagreements),
                                     TEST(test_show_tells_all),
                                     TEST(test_overrides_make_no_garbage),
                                     TEST(test_forgotten_study_goes),
                                     TEST(test_left_overs_go_but_not_of_live_jobs)};
    if (argc == 3 && strcmp(argv[1], "attempt") == 0) {
        Status status = attempt_run(argv[2], fake_stage, "test");
        StatusCode code = status_code(status);
        if (status != OK) fprintf(stderr, "%s\n", status_message(status));
        status_free(status);
        return status_exit_code(code);
    }
    program = argv[0];
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
