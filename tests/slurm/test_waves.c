/* A large study of stages that do nothing, sent in waves under limits that it
 * would break many times over: an array's size, and the jobs of a user in the
 * queue. SOAK=1: three thousand jobs under 1001 and 200, else a tenth. */
#include "jobs/slurm_queue.h"
#include "tests/slurm/cluster.h"

static bool is_soak(void)
{
    const char *soak = getenv("SOAK");
    return soak != NULL && strcmp(soak, "1") == 0;
}

static void test_large_study_in_waves(void)
{
    /* One shard, backbone and extract; a generator and an evaluate job for each value. */
    int jobs = is_soak() ? 3000 : 200, limit = is_soak() ? 200 : 40;
    char *yaml = memory_format("config:\n  train.steps: 1\n  generator.steps: 1\n"
                               "  slurm: {max_submit: %d, canary: 20, export: [LSAN_OPTIONS], timeout: 60s%s}\n"
                               "sweep: {generator.rows: {range: [2, %d]}}\n",
                               limit, is_soak() ? "" : ", pack: 4", 2 + (jobs - 3) / 2);
    Case c = case_make("waves", yaml);
    memory_free(yaml);
    SyncSummary first = case_submit(&c);
    CHECK_INT(first.sent, is_soak() ? 5 : 1); /* the canaries; packs are of ready jobs */
    size_t most = 0, finished = 0;
    double end = seconds_now() + 90;
    while (finished < c.plan->count) {
        SyncSummary summary = case_sync(&c);
        SlurmQueue queue = {0};
        CHECK_OK(slurm_queue_read(60, &queue));
        if (queue.live > most) most = queue.live;
        slurm_queue_free(&queue);
        CHECK_INT(summary.states[STATE_FAILED] + summary.states[STATE_UNKNOWN] + summary.states[STATE_CANCELLED], 0);
        if (summary.states[STATE_FINISHED] > finished) end = seconds_now() + 90;
        finished = summary.states[STATE_FINISHED];
        if (seconds_now() > end)
            TEST_FAIL("no job has finished for 90 seconds, %zu of %zu so far; %s", finished, c.plan->count, summary.note);
        pause_shortly();
    }
    CHECK(most <= (size_t)limit);
    CHECK((int)most > limit / 4);
    char *waves = shell("ls %s/slurm/waves | wc -l", c.work), *twice = shell("cat %s/slurm/waves/*/tasks | tr ' ' '\\n' | "
                        "grep -E '^[0-9a-f]{32}$' | sort | uniq -d | wc -l", c.work);
    CHECK(atoi(waves) > 5);
    CHECK_STRING(twice, "0");
    printf("  %zu jobs in %s waves, at most %zu in the queue\n", c.plan->count, waves, most);
    memory_free(waves);
    memory_free(twice);
    case_free(&c);
}

int main(int argc, char **argv)
{
    static const TestCase alone[] = {TEST(test_large_study_in_waves)};
    ClusterTests tests = {.settings = "--cpus 8 --set MaxArraySize=1001 --set MinJobAge=5", .alone = alone, .alone_count = 1};
    return cluster_test_main(&tests, argc, argv);
}
