/* Jobs on several ranks under mpirun: the same bytes as on one, whatever dies
 * on the way, and no rank that waits for a dead one. */
#include "jobs/attempt.h"
#include "jobs/events.h"
#include "tests/commands/artifacts.h"

#define STEPS "train.steps=40"
#define EACH_STEP "run.checkpoint_seconds=0"

/* The scenes, made once; more than one shard, part of features and block of test images. */
static const char *study_path(void)
{
    static const char *path;
    if (path == NULL) {
        make_scenes(in_root("study/data"), 40, 20, 0.3);
        path = make_study(in_root("study"), "sweep: {train.batch: [4]}\n");
    }
    return path;
}

static const char *on_ranks(int ranks) { return text("run.ranks=%d", ranks); }

/* The whole study on one rank. */
static const char *on_one(void)
{
    static const char *work;
    if (work == NULL) {
        const char *path = in_root("one");
        CHECK_CODE(PROGRAM("run", study_path(), "--work", path, STEPS), 0);
        work = path;
    }
    return work;
}

static bool has_mpirun(void)
{
    /* MPI leaves memory behind at its end, some of it in modules that are unloaded by then, so that none can be named. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    return system("command -v mpirun >/dev/null 2>&1") == 0;
}

/* Every stage, every byte: segmenter, features, classifier, metrics, pictures. */
static void test_whole_study_on_two(void)
{
    if (!has_mpirun()) SKIP("no mpirun here");
    const char *work = in_root("two");
    CHECK_CODE(PROGRAM("run", study_path(), "--work", work, STEPS, on_ranks(2)), 0);
    check_artifacts_whole(work);
    check_no_leftovers(work);
    check_same_artifacts(on_one(), work);
}

/* A batch that is no power of two, shared by two and by three: subtrees go over the borders of ranks. */
static void test_odd_shares(void)
{
    if (!has_mpirun()) SKIP("no mpirun here");
    const char *first = NULL;
    for (int ranks = 1; ranks <= 3; ranks++) {
        const char *work = in_root(text("six-%d", ranks));
        CHECK_CODE(PROGRAM("run", study_path(), "--work", work, "train.batch=6", "train.steps=6",
                           text("run.backbone.ranks=%d", ranks)), 0);
        if (first == NULL) first = work;
        else check_same_artifacts(first, work);
    }
}

static void test_ranks_must_divide(void)
{
    if (!has_mpirun()) SKIP("no mpirun here");
    Result result = PROGRAM("run", study_path(), "--work", in_root("three"), "run.backbone.ranks=3");
    CHECK_CODE(result, 3);
    CHECK_SAYS(result.err, "4 images do not part evenly among 3 ranks");
}

/* Disturbances ------------------------------------------------------------------- */

typedef struct Process {
    pid_t pid;
    bool launcher;
} Process;
enum { MOST_PROCESSES = 64 };

static bool has_name(pid_t pid, const char *name)
{
    char path[64], line[64] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    bool got = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return got && strcmp(line, name) == 0;
}

static pid_t parent_of(const char *pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return -1;
    bool got = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    const char *after_name = got ? strrchr(line, ')') : NULL;
    int parent = -1;
    if (after_name != NULL) sscanf(after_name, ") %*c %d", &parent);
    return (pid_t)parent;
}

/* Children of one process. */
static int children_of(pid_t pid, Process *found)
{
    char **names;
    size_t name_count;
    int count = 0;
    CHECK_OK(directory_list("/proc", &names, &name_count));
    for (size_t i = 0; i < name_count && count < MOST_PROCESSES; i++) {
        int64_t child;
        if (!parse_integer(names[i], &child) || parent_of(names[i]) != pid) continue;
        bool launcher = has_name((pid_t)child, "mpirun") || has_name((pid_t)child, "orterun");
        found[count++] = (Process){(pid_t)child, launcher};
    }
    names_free(names, name_count);
    return count;
}

/* The job of a stage that has begun, from its attempts; "" where there is none. */
static const char *running_key(const char *work, const char *stage)
{
    char **names;
    size_t count;
    const char *runs = text("%s/runs", work), *found = "";
    if (!is_directory(runs)) return found;
    CHECK_OK(directory_list(runs, &names, &count));
    for (size_t i = 0; i < count && *found == '\0'; i++) {
        const char *spec = text("%s/%s/0001/" SPEC_NAME, runs, names[i]);
        if (file_exists(spec) && strstr(read_text(spec), text("\"stage\":\"%s\"", stage)) != NULL) found = text("%s", names[i]);
    }
    names_free(names, count);
    return found;
}

typedef struct Moment {
    const char *work;
    int64_t step;
} Moment;

/* Whether the backbone has a checkpoint of that step or a later one. */
static bool has_come(void *context)
{
    const Moment *moment = context;
    const char *key = running_key(moment->work, "backbone");
    CheckpointFile *files;
    size_t count;
    if (*key == '\0') return false;
    CHECK_OK(checkpoints_list(moment->work, key, &files, &count));
    bool come = count > 0 && files[0].step >= moment->step;
    checkpoints_free(files, count);
    return come;
}

static bool is_gone(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    const char *stat = file_exists(path) ? read_text(path) : ") Z";
    const char *after_name = strrchr(stat, ')');
    return after_name == NULL || after_name[2] == 'Z';
}

typedef enum Disturbance { KILL_RANK, KILL_LAUNCHER, TERM_RUNNER } Disturbance;

/* The run, its launcher (or, of one rank, the job itself) and its ranks, once the backbone has come to `step`. */
typedef struct Running {
    Child child;
    Process launcher, rank[MOST_PROCESSES];
    int ranks;
} Running;

static Running start_and_wait(const char *work, int ranks, int64_t step)
{
    Running run = {.child = PROGRAM_START("run", study_path(), "--work", work, STEPS, EACH_STEP, on_ranks(ranks))};
    Moment moment = {work, step};
    Process below[MOST_PROCESSES];
    CHECK(wait_until(run.child, has_come, &moment));
    CHECK_INT(children_of(run.child.pid, below), 1);
    run.launcher = below[0];
    CHECK_INT(run.launcher.launcher, ranks > 1);
    if (ranks > 1) run.ranks = children_of(run.launcher.pid, run.rank);
    else run.rank[run.ranks++] = run.launcher;
    CHECK_INT(run.ranks, ranks);
    return run;
}

/* Without a wait for anybody's time limit: ranks that hang are still there when the test program is ended. */
static void wait_for_ranks(const Running *run)
{
    for (int i = 0; i < run->ranks; i++)
        while (!is_gone(run->rank[i].pid)) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Runs the study on `ranks` until its backbone has come to `step`, and strikes; the runner, which would try again, dies
 * too. All ranks are gone then, and the job's lock is free:
 * else the test never ends. */
static void disturb(const char *work, int ranks, int64_t step, Disturbance how)
{
    Running run = start_and_wait(work, ranks, step);
    kill(run.child.pid, how == TERM_RUNNER ? SIGTERM : SIGKILL);
    if (how == KILL_RANK) kill(run.rank[ranks - 1].pid, SIGKILL);
    if (how == KILL_LAUNCHER) kill(run.launcher.pid, SIGKILL);
    Result result = program_end(run.child);
    if (result.code != (how == TERM_RUNNER ? 75 : 128 + SIGKILL)) {
        show_result_(&result);
        TEST_FAIL("%d ranks, disturbance %d: exit code %d", ranks, (int)how, result.code);
    }
    wait_for_ranks(&run);
    for (bool live = true; live; nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL)) /* last threads may go on a bit */
        CHECK_OK(attempt_is_live(work, running_key(work, "backbone"), &live, NULL));
    CHECK_INT(artifact_count(work, "backbone"), 0); /* else it was over before, and nothing is shown here */
}

/* Killed and stopped on every number of ranks, each time resumed on another. */
static void test_resume_on_other_ranks(void)
{
    if (!has_mpirun()) SKIP("no mpirun here");
    const char *work = in_root("changing");
    disturb(work, 4, 3, KILL_RANK);
    disturb(work, 1, 6, KILL_RANK);
    disturb(work, 2, 9, KILL_LAUNCHER);
    disturb(work, 4, 12, TERM_RUNNER);
    disturb(work, 1, 18, TERM_RUNNER);
    disturb(work, 4, 21, KILL_LAUNCHER);
    CHECK_CODE(PROGRAM("run", study_path(), "--work", work, STEPS, on_ranks(4)), 0);
    check_artifacts_whole(work);
    check_no_leftovers(work);
    check_same_artifacts(on_one(), work);
}

/* A runner that lives knows of what its job died, and goes on from the checkpoint. */
static void test_runner_goes_on(void)
{
    if (!has_mpirun()) SKIP("no mpirun here");
    const char *work = in_root("goes-on");
    Running run = start_and_wait(work, 2, 5);
    kill(run.rank[0].pid, SIGKILL);
    Result result = program_end(run.child);
    CHECK_CODE(result, 0);
    CHECK_SAYS(result.err, "killed by signal 9");
    check_same_artifacts(on_one(), work);
}

/* An image that cannot be read concerns the rank that reads it; the others, who wait for it, end too, and the cause is told. */
static void test_failing_rank(void)
{
    if (!has_mpirun()) SKIP("no mpirun here");
    const char *work = in_root("failing");
    copy_tree(text("%s/artifacts", on_one()), text("%s/artifacts", work), false);
    for (const char *stages[] = {"backbone", "extract", "generator", "evaluate", NULL}, **stage = stages; *stage != NULL; stage++)
        CHECK_OK(directory_remove(only_artifact(work, *stage)));
    const char *shards = only_artifact(work, "shard"), *damaged = NULL;
    char **names;
    size_t count;
    CHECK_OK(directory_list(shards, &names, &count));
    for (size_t i = 0; i < count && damaged == NULL; i++)
        if (strstr(names[i], "train") != NULL && strstr(names[i], ".h5") != NULL) damaged = text("%s/%s", shards, names[i]);
    names_free(names, count);
    CHECK(damaged != NULL);
    for (double at = 0.5; at < 0.95; at += 0.02) flip_byte(damaged, at); /* pixels of several images */
    Result result = PROGRAM("run", study_path(), "--work", work, STEPS, on_ranks(4));
    CHECK_CODE(result, 12);
    CHECK_SAYS(text("%s%s", result.out, result.err), path_name(damaged));
}

TEST_MAIN(TEST(test_whole_study_on_two), TEST(test_odd_shares), TEST(test_ranks_must_divide),
          TEST(test_resume_on_other_ranks), TEST(test_runner_goes_on), TEST(test_failing_rank))
