/* The real program on a real Slurm of four nodes, as its users call it: the
 * table of a local run, to the bit, with a network trained by ranks on two
 * nodes; and what they see on the way. */
#include "tests/commands/e2e.h"
#include "tests/slurm/devcluster.h"

#define VARIANTS "variants:\n  vanilla: {generator.kind: gmmn}\n  full: {}\n"

/* A study in a directory of its own beside the same scenes. `slurm` is the inside of a YAML map. */
static const char *study_in(const char *name, const char *slurm)
{
    const char *directory = in_root(name);
    if (cluster_directory == NULL) {
        cluster_need("");
        make_scenes(in_root("data"), 16, 6, 1);
    }
    const char *path = make_study(directory, VARIANTS);
    CHECK(symlink(in_root("data"), text("%s/data", directory)) == 0);
    edit_file(path, "config:\n", text("config:\n  slurm: {poll: 0.3s, canary: 0, export: [LSAN_OPTIONS, ASAN_OPTIONS], "
                                      "timeout: 60s%s}\n", slurm));
    return path;
}

/* The files of all artifacts but their manifests, which tell of attempts and commits. */
static const char *artifacts_of(const char *work)
{
    const char *all = tree_text(text("%s/artifacts", work), false), *out = "";
    for (const char *line = all; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n');
        if (strstr(text("%.*s", (int)(end - line), line), "artifact.json") == NULL)
            out = text("%s%.*s\n", out, (int)(end - line), line);
    }
    return out;
}

static void check_same_as_local(const char *path, const char *work)
{
    const char *local = in_root("local");
    if (!is_directory(local))
        CHECK_CODE(PROGRAM("run", path, "--work", local, "--executor", "local", "run.backbone.ranks=1", "run.shard.ranks=1", "-q"), 0);
    Result here = PROGRAM("report", path, "--work", local, "--format", "csv");
    Result there = PROGRAM("report", path, "--work", work, "--format", "csv");
    CHECK_CODE(here, 0);
    CHECK_CODE(there, 0);
    CHECK_SAYS(here.out, "full");
    CHECK_STRING(there.out, here.out);
    check_same_lines("artifacts", artifacts_of(work), artifacts_of(local));
}

static void test_table_of_the_local_run(void)
{
    const char *path = study_in("table", ", backbone.options: [--nodes=2, --ntasks-per-node=1]");
    edit_file(path, "run: {attempts: 1, cores: 2}", "run: {attempts: 2, cores: 2, backbone.ranks: 2}");
    const char *work = in_root("table/work");
    Result run = PROGRAM("run", path, "--executor", "slurm");
    CHECK_CODE(run, 0);
    CHECK_SAYS(run.err, "7 finished");
    char *nodes = shell("squeue --states=all -h -o '%%j %%D %%T' | grep '^backbone'");
    CHECK(strstr(nodes, " 2 COMPLETED") != NULL);
    memory_free(nodes);
    check_same_as_local(path, work);
    /* The ledger knows as much, and nothing is left to send. */
    Result status = PROGRAM("status", path);
    CHECK_CODE(status, 0);
    CHECK_SAYS(status.out, "finished");
    Result again = PROGRAM("submit", path);
    CHECK_CODE(again, 0);
    CHECK_SAYS(again.out, "0 jobs sent");
    Result plan = PROGRAM("plan", path);
    CHECK_SAYS(plan.out, "7 finished, 0 to do");
}

static void test_mpirun_where_a_site_lacks_pmix(void)
{
    const char *path = study_in("mpirun", ", mpi: mpirun, shard.options: [--nodes=2, --ntasks-per-node=1]");
    edit_file(path, "run: {attempts: 1, cores: 2}", "run: {attempts: 2, cores: 2, shard.ranks: 2}");
    CHECK_CODE(PROGRAM("run", path, "--executor", "slurm", "--only", "backbone", "-q"), 0);
    char *ranks = shell("grep -h '\"event\":\"start\"' %s/runs/*/0001/events.jsonl | grep -c '\"ranks\":2'", in_root("mpirun/work"));
    CHECK_STRING(ranks, "1");
    memory_free(ranks);
}

static void test_one_allocation_does_a_whole_study(void)
{
    const char *path = study_in("allocation", "");
    edit_file(path, "run: {attempts: 1, cores: 2}", "run: {attempts: 2, shard.ranks: 3}");
    SHELL("salloc --quiet --nodes=2 --ntasks-per-node=2 %s run %s --executor local -q 2>%s", program(), path, in_root("salloc"));
    check_same_as_local(path, in_root("allocation/work"));
    char *steps = shell("cat %s/cluster/log/n*.log | grep -c 'launch task' || true", cluster_directory);
    CHECK(atoi(steps) > 0);
    memory_free(steps);
}

static bool all_are_held(void *context)
{
    (void)context;
    return system("test $(squeue -h -r -o '%k %r' | grep -c 'zeroth left JobHeldUser') -ge 1") == 0;
}

static void test_left_to_itself_and_cancelled(void)
{
    const char *path = study_in("left", ", options: [--hold]");
    edit_file(path, "name: tiny", "name: left");
    Child child = PROGRAM_START("run", path, "--executor", "slurm");
    CHECK(wait_until(child, all_are_held, NULL));
    while (!is_directory(in_root("left/work/studies/left"))) pause_shortly();
    CHECK(kill(child.pid, SIGINT) == 0);
    Result stopped = program_end(child);
    CHECK_CODE(stopped, 75);
    CHECK_SAYS(stopped.err, "stay in Slurm");
    Result status = PROGRAM("status", path);
    CHECK_CODE(status, 0);
    CHECK_SAYS(status.out, "queued");
    CHECK_SAYS(status.out, "in Slurm:");
    CHECK_SAYS(status.out, "PENDING");
    CHECK_SAYS(status.out, "JobHeldUser");
    Result cancel = PROGRAM("cancel", path);
    CHECK_CODE(cancel, 0);
    await_shell("test $(squeue -h -o '%%k' | grep -c 'zeroth left') = 0");
    status = PROGRAM("status", path);
    CHECK_SAYS(status.out, "cancelled");
}

static void test_dry_run_shows_and_sends_nothing(void)
{
    const char *path = study_in("dry", ", partition: gpu, account: lab, time: 90m, mem: 2G, modules: [openmpi/4.1], "
                                       "lines: [\"export NAME='a value'\"]");
    Result dry = PROGRAM("submit", path, "--dry-run");
    CHECK_CODE(dry, 0);
    const char *const PARTS[] = {"sbatch --parsable --job-name=shard.", "--dependency=aftercorr:<shard.", "#SBATCH --partition='gpu'",
                                 "#SBATCH --account='lab'", "#SBATCH --time=90", "#SBATCH --mem=2048M", "module load 'openmpi/4.1'",
                                 "export NAME='a value'", "#SBATCH --signal=B:USR1@120", "#SBATCH --requeue",
                                 "#SBATCH --open-mode=append", "evaluate"};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) CHECK_SAYS(dry.out, PARTS[i]);
    CHECK(!is_directory(in_root("dry/work")));
    CHECK_STRING(PROGRAM("run", path, "--executor", "local", "--dry-run").out, "");
    Result refused = PROGRAM("submit", path);
    CHECK_CODE(refused, 12);
    CHECK_SAYS(refused.err, "Invalid partition name specified");
    CHECK(count_text(refused.err, "\n") == 1);
}

static void test_without_slurm_it_is_said(void)
{
    const char *path = study_in("without", "");
    Result none = PROGRAM_WITH("PATH=/nowhere", "submit", path);
    CHECK_CODE(none, 4);
    CHECK_SAYS(none.err, "scontrol: not found: Slurm's programs must be in PATH");
    Result sync = PROGRAM("sync", "--work", in_root("never"));
    CHECK_CODE(sync, 4);
    CHECK_SAYS(sync.err, "zeroth submit STUDY.yaml");
}

TEST_MAIN(TEST(test_table_of_the_local_run), TEST(test_mpirun_where_a_site_lacks_pmix),
          TEST(test_one_allocation_does_a_whole_study), TEST(test_left_to_itself_and_cancelled),
          TEST(test_dry_run_shows_and_sends_nothing), TEST(test_without_slurm_it_is_said))
