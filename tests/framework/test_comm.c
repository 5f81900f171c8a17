#include "framework/comm.h"

#include <sys/wait.h>
#include <time.h>

#include "tests/test.h"

/* The part under mpirun: this program starts itself again with three ranks,
 * and ZEROTH_TEST_COMM says what they do. */
static Comm *comm;

static void test_alone(void)
{
    Comm *alone;
    CHECK_OK(comm_create(&alone));
    CHECK_INT(comm_rank(alone), 0);
    CHECK_INT(comm_size(alone), 1);
    int64_t values[2] = {3, -4};
    CHECK_OK(comm_barrier(alone));
    CHECK_OK(comm_sum_integers(alone, values, 2));
    CHECK_INT(values[1], -4);
    CHECK_OK(comm_broadcast(alone, values, sizeof values, 0));
    CHECK_OK(comm_agree(alone, OK));
    CHECK_FAILS(comm_agree(alone, status_error(STATUS_IO, "mine")), STATUS_IO, "mine");
    CHECK_FAILS(comm_send(alone, values, 8, 1, 0), STATUS_INTERNAL, "rank 1");
    CHECK_FAILS(comm_receive(alone, values, 8, 0, 0), STATUS_INTERNAL, "rank 0");
    CommRequest request = {0};
    bool done = false;
    CHECK_FAILS(comm_send_begin(alone, values, 8, 1, 0, &request), STATUS_INTERNAL, "rank 1");
    CHECK_FAILS(comm_receive_begin(alone, values, 8, 0, 0, &request), STATUS_INTERNAL, "rank 0");
    CHECK_OK(comm_test(&request, &done)); /* never begun: done */
    CHECK(done);
    CHECK_OK(comm_gather(alone, values, sizeof values));
    CHECK_INT(values[1], -4);
    comm_destroy(alone);
    comm_destroy(NULL);
    CHECK(comm_waited(NULL) == 0);
    CHECK_INT(comm_rank(NULL), 0);
    CHECK_INT(comm_size(NULL), 1);
    CHECK_OK(comm_barrier(NULL));
    CHECK_FAILS(comm_agree(NULL, status_error(STATUS_IO, "mine")), STATUS_IO, "mine");
}

static void ranks_exchange(void)
{
    int rank = comm_rank(comm);
    CHECK_INT(comm_size(comm), 3);
    int64_t values[3] = {rank, 10 * rank, INT64_MIN / 4};
    CHECK_OK(comm_sum_integers(comm, values, 3));
    CHECK_INT(values[0], 3);
    CHECK_INT(values[1], 30);
    CHECK_INT(values[2], INT64_MIN / 4 * 3);
    char text[100000];
    memset(text, rank == 1 ? 'y' : 'n', sizeof text);
    CHECK_OK(comm_broadcast(comm, text, sizeof text, 1));
    for (size_t i = 0; i < sizeof text; i++) CHECK_INT(text[i], 'y');
    CHECK_OK(comm_barrier(comm));
    /* A ring. */
    int token = rank == 0 ? 1 : 0;
    if (rank > 0) CHECK_OK(comm_receive(comm, &token, sizeof token, rank - 1, 7));
    token *= 2;
    CHECK_OK(comm_send(comm, &token, sizeof token, (rank + 1) % 3, 7));
    if (rank == 0) {
        CHECK_OK(comm_receive(comm, &token, sizeof token, 2, 7));
        CHECK_INT(token, 8);
    }
    if (rank == 0) CHECK_OK(comm_send(comm, NULL, 0, 1, 8));
    if (rank == 1) CHECK_OK(comm_receive(comm, NULL, 0, 0, 8));
    CHECK_FAILS(comm_send(comm, &token, sizeof token, 3, 0), STATUS_INTERNAL, "rank 3");
    if (rank == 0) CHECK_OK(comm_send(comm, &token, 2, 1, 9));
    if (rank == 1) CHECK_FAILS(comm_receive(comm, &token, sizeof token, 0, 9), STATUS_INTERNAL, "2 bytes where 4");
    /* More than was asked for is MPI's own error, turned into a Status. */
    if (rank == 0) CHECK_OK(comm_send(comm, values, 24, 1, 10));
    if (rank == 1) CHECK_FAILS(comm_receive(comm, &token, sizeof token, 0, 10), STATUS_LIBRARY, "MPI cannot receive");
}

static void wait_for(CommRequest *request)
{
    for (bool done = false; !done;) CHECK_OK(comm_test(request, &done));
}

/* Everybody sends to everybody, all at once and long enough not to go through before it is fetched. */
static void ranks_overlap(void)
{
    enum { COUNT = 1 << 18 };
    int rank = comm_rank(comm);
    static int32_t out[3][COUNT], in[3][COUNT];
    CommRequest sends[3] = {{0}}, receives[3] = {{0}};
    for (int peer = 0; peer < 3; peer++)
        for (int i = 0; i < COUNT; i++) out[peer][i] = rank * 1000 + peer * 100 + i;
    for (int peer = 0; peer < 3; peer++) {
        if (peer == rank) continue;
        CHECK_OK(comm_receive_begin(comm, in[peer], sizeof in[peer], peer, rank, &receives[peer]));
        CHECK_OK(comm_send_begin(comm, out[peer], sizeof out[peer], peer, peer, &sends[peer]));
    }
    for (int peer = 0; peer < 3; peer++) {
        wait_for(&receives[peer]);
        wait_for(&sends[peer]);
        for (int i = 0; i < COUNT && peer != rank; i++) CHECK_INT(in[peer][i], peer * 1000 + rank * 100 + i);
    }
    if (rank == 0) CHECK_OK(comm_send(comm, out, 2, 1, 9));
    if (rank == 1) {
        bool done = false;
        Status status = OK;
        CHECK_OK(comm_receive_begin(comm, in, 4, 0, 9, &receives[0]));
        while (!done && status == OK) status = comm_test(&receives[0], &done);
        CHECK_FAILS(status, STATUS_INTERNAL, "2 bytes where 4");
    }
    /* Waiting is not working, whatever MPI does meanwhile. */
    double before = comm_waited(comm);
    if (rank == 0) nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    if (rank == 0) CHECK(comm_waited(comm) == before);
    CHECK_OK(comm_barrier(comm));
    CHECK(comm_waited(comm) > before);
    comm_wait_begins(comm);
    double begun = comm_waited(comm);
    for (volatile int i = 0; i < 1000000; i++) continue;
    CHECK(comm_waited(comm) > begun); /* the one under way counts */
    comm_wait_ends(comm);
    CHECK(comm_waited(comm) > begun);
    double parts[3] = {0};
    parts[rank] = rank == 1 ? (double)NAN : rank + 0.5;
    CHECK_OK(comm_gather(comm, parts, sizeof parts[0]));
    CHECK(parts[0] == 0.5 && isnan(parts[1]) && parts[2] == 2.5);
}

static void ranks_agree(void)
{
    int rank = comm_rank(comm);
    CHECK_OK(comm_agree(comm, OK));
    Status own = rank == 1 ? status_error(STATUS_NO_SPACE, "disk of one") : OK;
    if (rank == 1) CHECK_FAILS(comm_agree(comm, own), STATUS_NO_SPACE, "disk of one");
    else CHECK_FAILS(comm_agree(comm, own), STATUS_CHILD, "rank 1 failed: disk of one");
    own = rank > 0 ? status_error(STATUS_IO, "rank %d", rank) : OK;
    if (rank > 0) CHECK_FAILS(comm_agree(comm, own), STATUS_IO, rank == 1 ? "rank 1" : "rank 2");
    else CHECK_FAILS(comm_agree(comm, own), STATUS_CHILD, "rank 1 failed");
    CHECK_OK(comm_agree(comm, OK));
}

/* The exit code of three ranks doing `what`. */
static int run_ranks(const char *what)
{
    if (system("command -v mpirun >/dev/null 2>&1") != 0) SKIP("no mpirun here");
    char path[4096], command[4600];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    CHECK(length > 0);
    path[length] = '\0';
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    /* MPI leaves memory behind at its end, which is not ours to report. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    setenv("ZEROTH_TEST_COMM", what, 1);
    snprintf(command, sizeof command, "timeout 60 mpirun --oversubscribe -n 3 '%s' >/dev/null", path);
    int result = system(command);
    unsetenv("ZEROTH_TEST_COMM");
    CHECK(WIFEXITED(result));
    return WEXITSTATUS(result);
}

static void test_three_ranks_exchange(void) { CHECK_INT(run_ranks("exchange"), 0); }
static void test_three_ranks_agree(void) { CHECK_INT(run_ranks("agree"), 0); }
static void test_three_ranks_overlap(void) { CHECK_INT(run_ranks("overlap"), 0); }
static void test_abort(void) { CHECK_INT(run_ranks("abort"), 75); }

/* Checks of a rank end the test; the program must then end all ranks. */
static int rank_main(const char *what)
{
    Status status = comm_create(&comm);
    if (status != OK) {
        fprintf(stderr, "%s\n", status_message(status));
        return 1;
    }
    if (strcmp(what, "abort") == 0) {
        if (comm_rank(comm) == 1) comm_abort(comm, 75);
        status_free(comm_barrier(comm)); /* the others wait, and are ended */
        return 1;
    }
    TestCase test = {what, strcmp(what, "agree") == 0     ? ranks_agree
                           : strcmp(what, "overlap") == 0 ? ranks_overlap
                                                          : ranks_exchange};
    if (test_main(&test, 1, 1, NULL) != 0) comm_abort(comm, 1);
    comm_destroy(comm);
    return 0;
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(test_alone), TEST(test_three_ranks_exchange), TEST(test_three_ranks_agree),
                                     TEST(test_three_ranks_overlap),
                                     TEST(test_abort)};
    const char *what = getenv("ZEROTH_TEST_COMM");
    if (what != NULL) return rank_main(what);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
