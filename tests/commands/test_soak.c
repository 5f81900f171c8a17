/* A study of 31 jobs under SIGKILL at random moments, to workers, to the runner
 * and to all at once, run again each time until it is done: tables and
 * artifacts are those of a run that was left alone, bit for bit.
 *
 * SOAK_KILLS says how many (20), SOAK_SEED where they fall. A study that is done
 * is checked and begun anew, until as many have fallen. */
#include "framework/random.h"
#include "tests/commands/artifacts.h"
#include "tests/commands/processes.h"

static const char STUDY[] = "variants:\n"
                            "  vanilla: {generator.kind: gmmn}\n"
                            "  full: {classifier.when: after}\n"
                            "sweep: {seed: [0, 1, 2, 3, 4]}\n";
enum { JOBS = 1 + 5 * 2 + 2 * 5 * 2 };

#define SETTINGS "run.checkpoint_seconds=0.05", "run.attempts=5", "run.backoff=0", "run.shard.ranks=2"

static const char *study;

static int64_t number_of(const char *variable, int64_t fallback)
{
    const char *text_of = getenv(variable);
    int64_t value;
    return text_of != NULL && parse_integer(text_of, &value) ? value : fallback;
}

static const char *table_of(const char *work)
{
    Result result = PROGRAM("report", study, "--work", work, "--format", "csv", SETTINGS);
    CHECK_CODE(result, 0);
    return result.out;
}

/* Which processes it strikes, drawn by weight: workers mostly. */
static void strike(Child child, Random *random)
{
    pid_t below[MAX_PROCESSES];
    int count = descendants(child.pid, below), how = (int)random_below(random, 6);
    if (how == 0) { /* all at once, as a machine that loses power */
        kill(child.pid, SIGKILL);
        for (int i = 0; i < count; i++) kill(below[i], SIGKILL);
    } else if (how <= 2) {
        kill(child.pid, SIGKILL);
    } else if (count > 0) { /* a worker, a rank, or their mpirun */
        kill(below[random_below(random, (uint64_t)count)], SIGKILL);
    }
}

/* One start of the study, struck every few events until it ends; true where it is done. */
static bool run_once(const char *work, Random *random, int *kills, int most)
{
    Child child = PROGRAM_START("run", study, "--work", work, SETTINGS);
    while (*kills < most) {
        Moment moment = {work, count_events(work) + 1 + (int)random_below(random, 80)};
        if (!wait_until(child, has_come, &moment)) break;
        nanosleep(&(struct timespec){.tv_nsec = (long)random_below(random, 20000000)}, NULL);
        strike(child, random);
        ++*kills;
    }
    Result result = program_end(child);
    if (result.code != 0 && result.code != 128 + SIGKILL) {
        show_result_(&result);
        TEST_FAIL("a run ended with %d", result.code);
    }
    return result.code == 0;
}

static void check_ledger(const char *work)
{
    Result help = PROGRAM("ledger", "--help");
    if (help.code != 0) return; /* a program without that command */
    CHECK_CODE(PROGRAM("ledger", "check", "--work", work), 0);
}

static void test_kills_change_no_bit(void)
{
    int most = (int)number_of("SOAK_KILLS", 20), kills = 0, studies = 0;
    uint64_t seed = (uint64_t)number_of("SOAK_SEED", 1);
    Random random = random_stream(seed, RANDOM_TEST, 3, 0);
    /* Under several ranks: what MPI leaves behind has no name once its plugins are unloaded. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    make_scenes(in_root("study/data"), 30, 5, 0.3);
    study = make_study(in_root("study"), STUDY);
    const char *undisturbed = in_root("undisturbed");
    CHECK_CODE(PROGRAM("run", study, "--work", undisturbed, SETTINGS), 0);
    const char *table = table_of(undisturbed);
    printf("  soak: %d kills, SOAK_SEED=%llu\n", most, (unsigned long long)seed);
    fflush(stdout);
    while (kills < most) {
        const char *work = in_root(text("work-%d", studies++));
        int starts = 0;
        while (!run_once(work, &random, &kills, most))
            if (++starts > 60) TEST_FAIL("study %d never ends", studies);
        CHECK_STRING(table_of(work), table);
        check_no_leftovers(work);
        check_artifacts_whole(work);
        check_same_artifacts(undisturbed, work);
        check_ledger(work);
        CHECK_OK(directory_remove(work));
    }
    printf("  soak: %d kills fell into %d studies of %d jobs\n", kills, studies, JOBS);
}

TEST_MAIN(TEST(test_kills_change_no_bit))
