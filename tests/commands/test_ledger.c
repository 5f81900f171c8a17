/* The ledger's commands and locks by leases, with the real program. */
#include "tests/commands/e2e.h"

#define SHORT "train.steps=2", "generator.steps=2"

typedef struct Place {
    const char *directory, *study, *work;
} Place;

static Place make_place(const char *name, const char *rest)
{
    Place place = {.directory = in_root(name), .work = in_root(text("%s/work", name))};
    place.study = make_study(place.directory, rest);
    make_scenes(text("%s/data", place.directory), 12, 4, 0);
    return place;
}

/* The key of the one artifact with that file. */
static const char *key_of(const char *work, const char *with)
{
    char **names;
    size_t count;
    const char *found = NULL;
    const char *artifacts = text("%s/artifacts", work);
    CHECK_OK(directory_list(artifacts, &names, &count));
    for (size_t i = 0; i < count; i++)
        if (file_exists(text("%s/%s/%s", artifacts, names[i], with))) found = text("%s", names[i]);
    names_free(names, count);
    CHECK(found != NULL);
    return found;
}

static void test_ledger_commands(void)
{
    Place place = make_place("ledger", "");
    CHECK_CODE(PROGRAM("ledger", "check", "--work", place.work), 4);
    CHECK_CODE(PROGRAM("ledger", "rebuild", "--work", place.work), 4);
    CHECK_CODE(PROGRAM("run", place.study), 0);
    const char *key = key_of(place.work, "metrics.json");
    Result shown = PROGRAM("ledger", "show", place.study, text("%.10s", key), "--format", "json");
    CHECK_CODE(shown, 0);
    Json *record;
    CHECK_OK(json_parse(shown.out, strlen(shown.out), "shown", &record));
    const Json *attempts = json_member(record, "attempts");
    CHECK_INT(attempts->count, 1);
    static const char *const FACTS[] = {"host", "code", "compiler", "flags", "hdf5", "onednn", "mpi", "sqlite",
                                        "libjpeg",
                                        "libpng", "libc", "kernel", "cpu", "instructions", "gpus", "cores", "memory"};
    for (size_t i = 0; i < sizeof FACTS / sizeof FACTS[0]; i++) {
        const Json *fact = json_member(json_member(&attempts->items[0], "provenance"), FACTS[i]);
        if (fact == NULL || fact->type != JSON_STRING || fact->string[0] == '\0')
            TEST_FAIL("no '%s' is recorded", FACTS[i]);
    }
    CHECK_STRING(json_member(json_member(record, "config"), "classifier.rows")->string, "16");
    CHECK_STRING(json_member(record, "key")->string, key);
    json_destroy(record);
    shown = PROGRAM("ledger", "show", text("%.10s", key), "--work", place.work);
    CHECK_CODE(shown, 0);
    CHECK_SAYS(shown.out, "onednn");
    CHECK_CODE(PROGRAM("ledger", "show", "zz", "--work", place.work), 4);
    /* Lost, remade, and in agreement. */
    CHECK_CODE(PROGRAM("ledger", "check", "--full", place.study), 0);
    Result before = PROGRAM("status", "--all", place.study), report = PROGRAM("report", place.study);
    CHECK(unlink(text("%s/ledger.sqlite", place.work)) == 0);
    Result rebuilt = PROGRAM("ledger", "rebuild", "--work", place.work);
    CHECK_CODE(rebuilt, 0);
    CHECK_SAYS(rebuilt.out, "1 study, 5 jobs, 5 attempts");
    CHECK_CODE(PROGRAM("ledger", "check", "--full", "--work", place.work), 0);
    check_same_lines("status", before.out, PROGRAM("status", "--all", place.study).out);
    check_same_lines("report", report.out, PROGRAM("report", place.study).out);
    /* A damaged artifact is found, and made again. */
    flip_byte(text("%s/artifacts/%s/metrics.json", place.work, key), 0.5);
    Result checked = PROGRAM("ledger", "check", "--full", "--work", place.work);
    CHECK_CODE(checked, 5);
    CHECK_SAYS(checked.out, "metrics.json");
    CHECK_SAYS(checked.err, "zeroth ledger rebuild");
    CHECK_CODE(PROGRAM("ledger", "look"), 2);
}

static void test_garbage_command(void)
{
    Place place = make_place("gc", "");
    CHECK_CODE(PROGRAM("gc", "--work", place.work), 4);
    CHECK(!is_directory(place.work));
    CHECK_CODE(PROGRAM("run", place.study, "--only", "shard"), 0);
    CHECK_CODE(PROGRAM("run", place.study, SHORT), 0);
    Result result = PROGRAM("gc", "--work", place.work, "--remove");
    CHECK_CODE(result, 0);
    CHECK_SAYS(result.out, "nothing to remove");
    CHECK_INT(count_entries(text("%s/artifacts", place.work)), 5);
    result = PROGRAM("gc", "--work", place.work, "--forget", "tiny");
    CHECK_CODE(result, 0);
    CHECK_SAYS(result.out, "artifact that no study needs");
    CHECK_SAYS(result.out, "could go in 11 places: the same command with --remove");
    CHECK_INT(count_entries(text("%s/artifacts", place.work)), 5);
    CHECK_CODE(PROGRAM("gc", "--work", place.work, "--forget", "tiny", "--remove"), 0);
    CHECK_INT(count_entries(text("%s/artifacts", place.work)), 0);
    CHECK_INT(count_entries(text("%s/runs", place.work)), 0);
    CHECK_CODE(PROGRAM("ledger", "check", "--work", place.work), 0);
    CHECK_CODE(PROGRAM("gc", "--work", place.work, "--forget", "tiny"), 4);
}

/* Without locks ------------------------------------------------------------------ */

/* From now on, no program that is started can lock a file. */
static void take_locks_away(void)
{
    const char *place = text("%.*s/tests/commands/no_locks.so", (int)(path_name(program()) - program() - 1), program());
    if (!file_exists(place)) TEST_FAIL("%s is not built", place);
    setenv("LD_PRELOAD", place, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
}

static void give_locks_back(void)
{
    unsetenv("LD_PRELOAD");
    unsetenv("ASAN_OPTIONS");
}

/* Not by tree_text: names come and go while a worker writes. */
static bool has_checkpoint(void *context)
{
    const char *runs = context;
    DIR *jobs = opendir(runs);
    bool found = false;
    for (struct dirent *job; jobs != NULL && !found && (job = readdir(jobs)) != NULL;) {
        DIR *files = opendir(text("%s/%s/0001", runs, job->d_name));
        for (struct dirent *file; files != NULL && (file = readdir(files)) != NULL;)
            found |= strncmp(file->d_name, "checkpoint-", 11) == 0;
        if (files != NULL) closedir(files);
    }
    if (jobs != NULL) closedir(jobs);
    return found;
}

static void check_without_locks(void)
{
    Place place = make_place("locks", "");
    Result result = PROGRAM("run", place.study, SHORT);
    CHECK_CODE(result, 7);
    CHECK_SAYS(result.err, "--locks lease");
    CHECK_INT(count_text(result.err, "\n"), 1);
    CHECK(!file_exists(text("%s/locks", place.work)));
    result = PROGRAM("doctor", "--work", place.work);
    CHECK_CODE(result, 13);
    CHECK_SAYS(result.out, "--locks lease");
    CHECK_CODE(PROGRAM("run", place.study, "--locks", "maybe"), 2);
    /* With the switch it runs; afterwards nobody has to say it again. */
    const char *steps = "train.steps=300";
    Child runner = PROGRAM_START("run", place.study, steps, "--locks", "lease", "run.checkpoint_seconds=0.05");
    CHECK(wait_until(runner, has_checkpoint, (void *)(uintptr_t)text("%s/runs", place.work)));
    result = PROGRAM("run", place.study, steps);
    CHECK_CODE(result, 11);
    CHECK_SAYS(result.err, text("process %d on ", (int)runner.pid));
    CHECK_CODE(PROGRAM("status", "--work", place.work), 0); /* readers are let in */
    kill(runner.pid, SIGKILL);
    program_end(runner);
    /* At once, not after the time by which a lease grows stale; what its worker did meanwhile is kept. */
    result = PROGRAM("run", place.study, steps);
    CHECK_CODE(result, 0);
    CHECK(count_text(result.err, "held by") == 0);
    CHECK_CODE(PROGRAM("run", place.study, SHORT), 0);
    CHECK_CODE(PROGRAM("report", place.study, SHORT), 0);
    CHECK_CODE(PROGRAM("ledger", "rebuild", "--work", place.work), 0);
    CHECK_CODE(PROGRAM("ledger", "check", "--work", place.work), 0);
    CHECK_CODE(PROGRAM("doctor", "--work", place.work), 0);
    result = PROGRAM("status", "--work", place.work, "--locks", "fcntl");
    CHECK_CODE(result, 3);
    CHECK_SAYS(result.err, "work/locks");
}

static void test_no_locks(void)
{
    take_locks_away();
    jmp_buf outer;
    memcpy(&outer, &test_jump, sizeof outer);
    volatile int outcome = setjmp(test_jump);
    if (outcome == 0) check_without_locks();
    memcpy(&test_jump, &outer, sizeof outer);
    give_locks_back();
    if (outcome != 0) longjmp(test_jump, outcome);
}

TEST_MAIN(TEST(test_ledger_commands), TEST(test_garbage_command), TEST(test_no_locks))
