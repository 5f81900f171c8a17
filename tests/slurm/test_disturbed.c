/* Jobs on a real Slurm that are signalled, requeued, preempted, cut off, killed
 * with their node or left without a controller: the results are those of an
 * undisturbed local run, bit for bit. */
#include "tests/slurm/cluster.h"

/* One job that is held among short ones; it checkpoints after every step. */
#define STEADY(more)                                                                                        \
    "config:\n  train.steps: 20\n  generator.steps: 3\n  run.checkpoint_seconds: 0\n"                        \
    "  slurm: {export: [LSAN_OPTIONS, ASAN_OPTIONS], lost: 2s, options: [--exclude=n4]" more "}\n"

/* Submits, and waits until the job that is held is at work. */
static Case begin(const char *name, const char *yaml, const char **key)
{
    Case c = case_make(name, yaml);
    case_hold(&c, true);
    case_submit(&c);
    *key = case_job(&c, STAGE_BACKBONE);
    await_checkpoints(&c, *key, 1, 2);
    return c;
}

static void finish(Case *c)
{
    case_hold(c, false);
    SyncSummary end = case_settle(c);
    case_check_finished(c, &end);
    case_check_results(c);
    case_free(c);
}

/* Syncs until that attempt of the job is at work. */
static void settle_until(const Case *c, const char *key, int attempt)
{
    for (double end = seconds_now() + PATIENCE; attempts_of(c, key) < attempt; pause_shortly()) {
        case_sync(c);
        CHECK(seconds_now() < end);
    }
    await_shell("grep -qs begin %s/runs/%s/%04d/events.jsonl", c->work, key, attempt);
}

/* The second attempt went on from a checkpoint of the first. */
static void check_went_on(const Case *c, const char *key)
{
    char *events = events_of(c, key, 2);
    const char *at = strstr(events, "\"begin\"");
    CHECK(at != NULL && strstr(at, "\"step\":0,") == NULL);
    memory_free(events);
}

static void test_signal_checkpoints_and_requeues(void)
{
    const char *key;
    Case c = begin("signal", STEADY(""), &key);
    char *id = slurm_id_of(&c, key);
    SHELL("scancel --signal=USR1 --batch %s", id);
    settle_until(&c, key, 2);
    check_went_on(&c, key);
    CHECK_INT(times_sent(&c, key), 1); /* the same Slurm job, requeued */
    memory_free(id);
    finish(&c);
}

static void test_signal_where_requeue_is_forbidden(void)
{
    const char *key;
    Case c = begin("norequeue", STEADY(", requeue: false"), &key);
    char *id = slurm_id_of(&c, key);
    SHELL("scancel --signal=USR1 --batch %s", id);
    settle_until(&c, key, 2);
    CHECK_INT(times_sent(&c, key), 2);
    check_went_on(&c, key);
    memory_free(id);
    finish(&c);
}

static void test_requeued_by_an_administrator(void)
{
    const char *key;
    Case c = begin("requeued", STEADY(""), &key);
    char *id = slurm_id_of(&c, key);
    SHELL("scontrol requeue %s", id);
    settle_until(&c, key, 2);
    check_went_on(&c, key);
    CHECK_INT(times_sent(&c, key), 1);
    memory_free(id);
    finish(&c);
}

/* A job of the partition `urgent` takes the nodes of both studies: one's jobs go back to the queue by themselves, the
 * other's are cancelled and sent anew. */
static void test_preempted(void)
{
    const char *key, *cheap;
    Case c = begin("preempted", STEADY(", partition: main"), &key);
    Case other = begin("ousted", STEADY(", partition: cheap"), &cheap);
    char *id = shell("sbatch --parsable --partition=urgent --nodelist=n[1-3] --exclusive --output=/dev/null --wrap 'sleep 2'");
    await_shell("scontrol show job %s | grep -q JobState=COMPLETED", id);
    memory_free(id);
    settle_until(&c, key, 2);
    check_went_on(&c, key);
    CHECK_INT(times_sent(&c, key), 1);
    settle_until(&other, cheap, 2);
    CHECK_INT(times_sent(&other, cheap), 2);
    SHELL("grep -q '\"cause\":\"preempted\"' %s/slurm/outcomes.jsonl", other.work);
    check_went_on(&other, cheap);
    finish(&other);
    finish(&c);
}

static void test_node_dies(void)
{
    const char *key;
    Case c = begin("node", STEADY(""), &key);
    char *node = node_of(&c, key, 1);
    /* The daemon, and the job's own processes with it, as when the machine loses power. */
    SHELL("slurm/devcluster kill %s --dir %s/cluster", node, cluster_directory);
    SHELL("for pid in $(pgrep -f '[a]ttempt %s/runs/%s/0001'); do kill -KILL $pid 2>/dev/null; done; true", c.work, key);
    SHELL("for pid in $(pgrep -f '[t]ask .*%s/slurm/waves'); do kill -KILL $pid 2>/dev/null; done; true", c.work);
    settle_until(&c, key, 2);
    check_went_on(&c, key);
    SHELL("slurm/devcluster start %s --dir %s/cluster", node, cluster_directory);
    await_shell("sinfo -h -N -n %s -o %%t | grep -Eq 'idle|mix'", node);
    memory_free(node);
    finish(&c);
}

static void test_controller_restarts(void)
{
    const char *key;
    Case c = begin("controller", STEADY(", timeout: 2s"), &key);
    /* Not before it has written down what it knows: what it forgets is no matter of this test. */
    char *id = slurm_id_of(&c, key);
    SHELL("touch %s/marked; sleep 1; scontrol update jobid=%s comment=seen", c.directory, id);
    memory_free(id);
    await_shell("test %s/cluster/state/job_state -nt %s/marked", cluster_directory, c.directory);
    SHELL("slurm/devcluster kill slurmctld --dir %s/cluster", cluster_directory);
    /* Nobody can be asked: an error, and nothing is concluded from it. */
    SyncOptions options = case_options();
    SyncSummary summary;
    CHECK_FAILS(sync_run(c.work, &options, &summary), STATUS_CHILD, "squeue");
    SHELL("slurm/devcluster start slurmctld --dir %s/cluster", cluster_directory);
    await_shell("squeue >/dev/null 2>&1");
    case_hold(&c, false);
    CHECK_INT(case_settle(&c).states[STATE_FINISHED], c.plan->count);
    CHECK_INT(times_sent(&c, key), 1);
    CHECK_INT(attempts_of(&c, key), 1);
    finish(&c);
}

static void test_node_is_drained(void)
{
    const char *key;
    Case c = begin("drained", STEADY(""), &key);
    char *node = node_of(&c, key, 1);
    SHELL("scontrol update nodename=%s state=drain reason=test", node);
    case_hold(&c, false);
    CHECK_INT(case_settle(&c).states[STATE_FINISHED], c.plan->count);
    CHECK_INT(attempts_of(&c, key), 1); /* what runs there goes on */
    char *later = node_of(&c, case_job(&c, STAGE_EVALUATE), 1);
    CHECK(strcmp(later, node) != 0);
    SHELL("scontrol update nodename=%s state=resume", node);
    memory_free(later);
    memory_free(node);
    finish(&c);
}

static void test_out_of_memory_gets_more(void)
{
    Case c = case_make("memory", "config:\n  train.steps: 3\n  generator.steps: 4\n  generator.rate: 5\n"
                                 "  run.checkpoint_seconds: 0\n  run.generator.memory: 300M\n"
                                 "  slurm: {export: [LSAN_OPTIONS, ASAN_OPTIONS]}\n");
    case_submit(&c);
    SyncSummary end = case_settle(&c);
    case_check_finished(&c, &end);
    CHECK_INT(times_sent(&c, case_job(&c, STAGE_GENERATOR)), 2);
    SHELL("grep -q '\"cause\":\"out-of-memory\"' %s/slurm/outcomes.jsonl", c.work);
    SHELL("grep -q -- --mem=600M %s/slurm/waves/*/script", c.work);
    case_free(&c);
}

/* Time limits -------------------------------------------------------------------------- */

/* Slurm looks at time limits every half minute, and signals up to a minute early. */
static void test_signal_before_the_time_limit(void)
{
    const char *key;
    Case c = begin("limited", STEADY(", time: 60, signal_before: 55"), &key);
    settle_until(&c, key, 2);
    check_went_on(&c, key);
    CHECK_INT(times_sent(&c, key), 1);
    finish(&c);
}

/* Cut off at its time limit without a warning. Alone on n4, and out of others' reach. */
static void test_cut_off_at_the_time_limit(void)
{
    Case c = case_make("cut", "config:\n  train.steps: 20\n  generator.steps: 1\n  run.checkpoint_seconds: 0\n"
                              "  slurm: {export: [LSAN_OPTIONS], partition: urgent, options: [--nodelist=n4],"
                              " time: 60, signal_before: 0}\n");
    const char *key = case_job(&c, STAGE_BACKBONE);
    case_hold(&c, true);
    case_submit(&c);
    await_checkpoints(&c, key, 1, 2);
    /* Stopped, it cannot use the SIGTERM that Slurm sends before its SIGKILL: else it may be back in the queue in time. */
    SHELL("pkill -STOP -f '[/]cut/work/'");
    await_shell("sleep 1; test \"$(squeue -h -o '%%j %%k' | grep -c 'backbone.*zeroth cut')\" = 0");
    settle_until(&c, key, 2);
    SHELL("grep -q '\"cause\":\"time-limit\"' %s/slurm/outcomes.jsonl", c.work);
    check_went_on(&c, key);
    finish(&c);
}

/* A job that is stopped again and again before its first checkpoint is given up, with the reason. */
static void test_no_progress_is_an_end(void)
{
    Case c = case_make("stuck", "config:\n  train.steps: 20\n  generator.steps: 3\n"
                                "  slurm: {export: [LSAN_OPTIONS], options: [--exclude=n4],"
                                " lines: [\"( while sleep 0.1; do pkill -KILL -P $$ -f '[a]ttempt .*runs' && break; done ) &\"]}\n");
    case_hold(&c, true);
    case_submit(&c);
    SyncSummary end = case_settle(&c);
    CHECK_INT(end.states[STATE_FAILED], 1);
    SHELL("grep -q 'attempts in a row without a new checkpoint' %s/slurm/outcomes.jsonl", c.work);
    case_free(&c);
}

int main(int argc, char **argv)
{
    static const TestCase slow[] = {TEST(test_cut_off_at_the_time_limit)};
    static const TestCase beside[] = {TEST(test_signal_before_the_time_limit),
                                      TEST(test_signal_checkpoints_and_requeues),
                                      TEST(test_signal_where_requeue_is_forbidden),
                                      TEST(test_requeued_by_an_administrator),
                                      TEST(test_out_of_memory_gets_more),
                                      TEST(test_no_progress_is_an_end)};
    static const TestCase alone[] = {TEST(test_preempted), TEST(test_node_is_drained), TEST(test_node_dies),
                                     TEST(test_controller_restarts)};
    ClusterTests tests = {.settings = "--set MinJobAge=60", .slow = slow, .slow_count = 1, .beside = beside,
                          .beside_count = sizeof beside / sizeof beside[0], .alone = alone,
                          .alone_count = sizeof alone / sizeof alone[0]};
    return cluster_test_main(&tests, argc, argv);
}
