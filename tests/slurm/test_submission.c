/* How jobs reach a real Slurm, and how they don't: each once, whoever submits
 * and whatever answers are lost; in waves under the cluster's limits; behind
 * what they need; refused with one clear message. */
#include "tests/slurm/cluster.h"

#define QUICK "config: {train.steps: 3, generator.steps: 3, slurm: {export: [FAKE_STEP_MS, LSAN_OPTIONS], lost: 2s}}\n"
#define HELD "config: {train.steps: 3, generator.steps: 3, slurm: {export: [LSAN_OPTIONS], options: [--hold]}}\n"
#define SEEDS "variants:\n  vanilla: {generator.kind: gmmn}\n  full: {}\nsweep: {seed: [0, 1, 2]}\n"

/* Jobs of a case that were submitted with --hold. */
static void release_held(const char *name)
{
    SHELL("squeue -h -o '%%F %%k' | awk '$3 == \"%s\" {print $1}' | sort -u | xargs -r -n1 scontrol release", name);
}

/* None of a case is in the queue any more. */
static void await_empty_queue(const char *name)
{
    await_shell("test -z \"$(squeue -h -o '%%F %%k' | awk '$3 == \"%s\"')\"", name);
}

static void finish(Case *c)
{
    SyncSummary end = case_settle(c);
    CHECK_INT(end.states[STATE_FINISHED], c->plan->count);
    for (size_t i = 0; i < c->plan->count; i++) CHECK_INT(times_sent(c, c->plan->jobs[i].key), 1);
    case_check_results(c);
    case_free(c);
}

/* Arrays and dependencies -------------------------------------------------------- */

static void test_one_array_per_stage_behind_what_it_needs(void)
{
    Case c = case_make("arrays", HELD SEEDS);
    SyncSummary summary = case_submit(&c);
    CHECK_INT(summary.states[STATE_QUEUED], c.plan->count);
    const struct { const char *stage, *dependency, *arrays; } EXPECTED[] = {
        {"shard", "", "1"}, {"backbone", "afterok:", "1"}, {"extract", "aftercorr:", "1"},
        /* Two variants wait for each extract: two arrays of three behind it, or three of two. */
        {"generator", "", "2"}, {"evaluate", "aftercorr:", "2"}};
    for (size_t i = 0; i < sizeof EXPECTED / sizeof EXPECTED[0]; i++) {
        /* One line for each name: Slurm may show tasks of one array apart. */
        char *arrays = shell("squeue -h -o '%%j|%%E|%%k' | grep '|zeroth arrays$' | grep '^%s' | grep '%s' | cut -d'|' -f1"
                             " | sort -u | wc -l", EXPECTED[i].stage, EXPECTED[i].dependency);
        CHECK_STRING(arrays, EXPECTED[i].arrays);
        memory_free(arrays);
    }
    release_held("arrays");
    finish(&c);
}

static void test_failed_input_takes_its_dependents_from_the_queue(void)
{
    Case c = case_make("dependents", "config: {train.steps: 5, generator.steps: 5}\n"
                                     "variants:\n  good: {}\n  broken: {train.rate: 9}\n  bad: {generator.rate: 9}\n");
    case_submit(&c);
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_FAILED], 2);
    CHECK_INT(end.states[STATE_BLOCKED], 4);
    CHECK_INT(end.states[STATE_FINISHED], 5);
    SHELL("grep -q '\"cause\":\"non-finite\"' %s/slurm/outcomes.jsonl", c.work);
    SHELL("grep -q 'no vector for class' %s/slurm/outcomes.jsonl", c.work);
    await_empty_queue("dependents");
    /* The ledger tells the same, and a second submission sends nothing of it. */
    Ledger *ledger;
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    CHECK_OK(ledger_open_reader(c.work, &ledger));
    CHECK_OK(ledger_count_jobs(ledger, "dependents", counts));
    ledger_close(ledger);
    CHECK_INT(counts[STAGE_BACKBONE][STATE_FAILED], 1);
    CHECK_INT(counts[STAGE_EVALUATE][STATE_BLOCKED], 2);
    CHECK_INT(counts[STAGE_EVALUATE][STATE_FINISHED], 1);
    case_read(&c);
    CHECK_INT(case_submit(&c).sent, 0);
    case_free(&c);
}

/* Once ------------------------------------------------------------------------------ */

static void test_two_submit_at_once(void)
{
    setenv("FAKE_STEP_MS", "50", 1);
    Case c = case_make("twice", QUICK SEEDS);
    pid_t children[3];
    fflush(NULL);
    for (int i = 0; i < 3; i++)
        if ((children[i] = fork()) == 0) {
            SyncOptions options = case_options();
            SyncSummary summary;
            Status status = sync_submit(c.plan, &options, &summary);
            _exit(status_exit_code(status_code(status)));
        }
    for (int i = 0; i < 3; i++) {
        int how;
        CHECK_INT(waitpid(children[i], &how, 0), children[i]);
        CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    /* Nor does the loss of the ledger have anything sent again. */
    SHELL("rm -f %s/ledger.sqlite", c.work);
    case_read(&c);
    CHECK_INT(case_submit(&c).sent, 0);
    finish(&c);
}

/* A program `sbatch` that comes first in PATH; the real one is $REAL. */
static void shadow_sbatch(const Case *c, const char *script)
{
    char *bin = path_join(c->directory, "bin"), *real = shell("command -v sbatch");
    char *text = memory_format("#!/bin/sh\nREAL=%s\n%s\n", real, script);
    CHECK_OK(directory_create(bin));
    fake_write(bin, "sbatch", text);
    SHELL("chmod +x %s/sbatch", bin);
    char *path = memory_format("%s:%s", bin, getenv("PATH"));
    setenv("PATH", path, 1);
    memory_free(path);
    memory_free(text);
    memory_free(real);
    memory_free(bin);
}

static void unshadow_sbatch(void)
{
    setenv("PATH", strchr(getenv("PATH"), ':') + 1, 1);
}

static void test_lost_answer_is_looked_up(void)
{
    Case c = case_make("lost", QUICK);
    shadow_sbatch(&c, "$REAL \"$@\" >/dev/null; echo 'sbatch: error: Batch job submission failed: "
                      "Socket timed out on send/recv operation' >&2; exit 1");
    SyncSummary summary = case_submit(&c);
    CHECK_INT(summary.waves, 1); /* nothing can be queued behind a job that may not be there */
    CHECK(strstr(summary.note, "looked up") != NULL);
    unshadow_sbatch();
    finish(&c);
}

static void test_lost_submission_is_made_again(void)
{
    Case c = case_make("never", QUICK);
    shadow_sbatch(&c, "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1");
    case_submit(&c);
    CHECK_INT(case_sync(&c).sent, 0); /* too early to tell */
    unshadow_sbatch();
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_FINISHED], c.plan->count);
    CHECK_INT(attempts_of(&c, case_job(&c, STAGE_SHARD)), 1);
    CHECK_INT(times_sent(&c, case_job(&c, STAGE_SHARD)), 2); /* the first in name only */
    case_free(&c);
}

static void test_refused_submission_is_one_message(void)
{
    Case c = case_make("refused", "config: {slurm.partition: nowhere}\n" SEEDS);
    SyncOptions options = case_options();
    SyncSummary summary;
    CHECK_FAILS(sync_submit(c.plan, &options, &summary), STATUS_CHILD, "Invalid partition");
    CHECK(summary.refused);
    /* Mended and submitted again, it goes. */
    fake_write(c.directory, "study.yaml", "name: refused\n" QUICK SEEDS);
    case_read(&c);
    CHECK_OK(sync_submit(c.plan, &options, &summary));
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_FINISHED], c.plan->count);
    case_free(&c);
}

static void test_quota_is_waited_for(void)
{
    Case c = case_make("quota", QUICK SEEDS);
    /* Two at a time, as an association's MaxSubmitJobs would have it. */
    shadow_sbatch(&c, "n=$(printf '%s\\n' \"$@\" | sed -n 's/^--array=0-\\([0-9]*\\)$/\\1/p')\n"
                      "if [ ${n:-0} -gt 1 ]; then echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2\n"
                      "echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
                      "user'\"'\"'s size and/or time limits)' >&2; exit 1; fi\nexec $REAL \"$@\"");
    SyncSummary summary = case_submit(&c);
    CHECK(summary.sent > 0 && summary.sent < c.plan->count);
    SyncSummary end = case_settle(&c);
    unshadow_sbatch();
    CHECK_INT(end.states[STATE_FINISHED], c.plan->count);
    case_free(&c);
}

/* Snapshots ------------------------------------------------------------------------------ */

static void test_later_edits_reach_no_queued_job(void)
{
    Case c = case_make("edits", HELD);
    setenv("SBATCH_PARTITION", "nowhere", 1); /* an outer job's settings, likewise */
    setenv("SQUEUE_FORMAT", "%i", 1);
    setenv("SLURM_ARRAY_TASK_ID", "7", 1);
    case_submit(&c);
    unsetenv("SBATCH_PARTITION");
    unsetenv("SLURM_ARRAY_TASK_ID");
    char *before = shell("cat %s/runs/*/job.json | cksum", c.work);
    /* The same jobs, otherwise run: their keys stay, and what they were submitted with does too. */
    fake_write(c.directory, "study.yaml", "name: edits\nconfig: {train.steps: 3, generator.steps: 3, run.checkpoint_seconds: 77}\n");
    case_read(&c);
    CHECK_INT(case_submit(&c).sent, 0);
    unsetenv("SQUEUE_FORMAT");
    char *after = shell("cat %s/runs/*/job.json | cksum", c.work);
    CHECK_STRING(after, before);
    memory_free(before);
    memory_free(after);
    SHELL("grep -q \"^exec '%s/bin/zeroth-\" %s/slurm/waves/*/script", c.work, c.work);
    release_held("edits");
    finish(&c);
}

/* Waves ------------------------------------------------------------------------------------ */

static void test_canary_goes_first(void)
{
    Case c = case_make("canary", "config: {train.steps: 2, generator.steps: 2, slurm.canary: 10}\n"
                                 "sweep: {generator.rows: {range: [2, 14]}}\n");
    SyncSummary first = case_submit(&c);
    CHECK_INT(first.sent, 5); /* one of each stage */
    CHECK_INT(first.held, 11);
    CHECK(strstr(first.note, "--no-canary") != NULL);
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_FINISHED], c.plan->count);
    CHECK_INT(end.states[STATE_FINISHED], 1 + 1 + 1 + 12 + 12);
    case_free(&c);
}

static void test_failed_canaries_stop_their_stage(void)
{
    Case c = case_make("canaries", "config: {train.steps: 2, generator.steps: 2, generator.rate: 9, slurm.canary: 10}\n"
                                   "sweep: {generator.rows: {range: [2, 14]}}\n");
    case_submit(&c);
    SyncSummary summary = case_sync(&c);
    for (double end = seconds_now() + PATIENCE; summary.states[STATE_FAILED] < 3 && seconds_now() < end; pause_shortly())
        summary = case_sync(&c);
    CHECK_INT(summary.states[STATE_FAILED], 3);
    summary = case_sync(&c);
    CHECK_INT(summary.sent, 0);
    CHECK_INT(summary.states[STATE_WAITING], 9 + 9);
    CHECK(strstr(summary.note, "first 3 failed") != NULL);
    case_free(&c);
}

static void test_short_jobs_are_packed(void)
{
    Case c = case_make("packed", "config: {train.steps: 2, generator.steps: 2, slurm: {pack: 5, canary: 0}}\n"
                                 "sweep: {generator.rows: {range: [2, 14]}}\n");
    case_submit(&c);
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_FINISHED], c.plan->count);
    char *tasks = shell("cat $(grep -l '\"stage\":\"generator\"' %s/slurm/waves/*/intent.json | sed s/intent.json/tasks/) | wc -l", c.work);
    CHECK_STRING(tasks, "3"); /* 5 + 5 + 2 */
    memory_free(tasks);
    case_check_results(&c);
    case_free(&c);
}

/* What users ask ------------------------------------------------------------------------------ */

static void test_cancel_pause_retry(void)
{
    Case c = case_make("asked", "config: {train.steps: 20, generator.steps: 3, run.checkpoint_seconds: 0,"
                                " slurm.export: [LSAN_OPTIONS]}\n");
    case_hold(&c, true);
    case_submit(&c);
    const char *key = case_job(&c, STAGE_BACKBONE);
    await_checkpoints(&c, key, 1, 2);
    CHECK_OK(control_set(c.work, CONTROL_CANCEL, key, NULL));
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_CANCELLED], 1);
    CHECK_INT(end.states[STATE_BLOCKED], 3);
    await_empty_queue("asked");
    CHECK_OK(control_clear(c.work, CONTROL_CANCEL, key, NULL));
    CHECK_OK(control_set(c.work, CONTROL_RETRY, key, NULL));
    case_sync(&c);
    await_shell("grep -q begin %s/runs/%s/0002/events.jsonl", c.work, key);
    CHECK_OK(control_set(c.work, CONTROL_PAUSE, NULL, "asked"));
    end = case_settle(&c);
    CHECK_INT(end.states[STATE_PAUSED] + end.states[STATE_BLOCKED], 4);
    CHECK_OK(control_clear(c.work, CONTROL_PAUSE, NULL, "asked"));
    case_sync(&c);
    /* scancel by hand is heeded too: left alone, until retried. */
    await_shell("grep -q begin %s/runs/%s/0003/events.jsonl", c.work, key);
    char *id = slurm_id_of(&c, key);
    SHELL("scancel %s", id);
    memory_free(id);
    end = case_settle(&c);
    CHECK_INT(end.states[STATE_CANCELLED], 1);
    CHECK_OK(control_set(c.work, CONTROL_RETRY, NULL, "asked"));
    case_hold(&c, false);
    end = case_settle(&c);
    CHECK_INT(end.states[STATE_FINISHED], c.plan->count);
    case_check_results(&c);
    case_free(&c);
}

/* What left no trace anywhere is unknown, not failed; its user may have it tried again. */
static void test_unknown_is_not_guessed(void)
{
    Case c = case_make("unknown", HELD);
    case_submit(&c);
    char *id = slurm_id_of(&c, case_job(&c, STAGE_SHARD));
    SHELL("scancel %s", id); /* a task that is cancelled while it waits vanishes from Slurm at once */
    memory_free(id);
    release_held("unknown");
    for (double end = seconds_now() + PATIENCE;; pause_shortly()) {
        SyncSummary summary = case_sync(&c);
        if (summary.states[STATE_UNKNOWN] + summary.states[STATE_CANCELLED] == 1 && summary.states[STATE_QUEUED] == 0) break;
        CHECK(seconds_now() < end);
    }
    CHECK_OK(control_set(c.work, CONTROL_RETRY, NULL, "unknown"));
    case_sync(&c);
    release_held("unknown");
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_FINISHED], c.plan->count);
    case_free(&c);
}

int main(int argc, char **argv)
{
    static const TestCase beside[] = {TEST(test_one_array_per_stage_behind_what_it_needs),
                                      TEST(test_failed_input_takes_its_dependents_from_the_queue),
                                      TEST(test_two_submit_at_once),
                                      TEST(test_lost_answer_is_looked_up),
                                      TEST(test_lost_submission_is_made_again),
                                      TEST(test_refused_submission_is_one_message),
                                      TEST(test_quota_is_waited_for),
                                      TEST(test_later_edits_reach_no_queued_job),
                                      TEST(test_canary_goes_first),
                                      TEST(test_failed_canaries_stop_their_stage),
                                      TEST(test_short_jobs_are_packed),
                                      TEST(test_cancel_pause_retry),
                                      TEST(test_unknown_is_not_guessed)};
    ClusterTests tests = {.settings = "--set MaxArraySize=16", .beside = beside, .beside_count = sizeof beside / sizeof beside[0]};
    return cluster_test_main(&tests, argc, argv);
}
