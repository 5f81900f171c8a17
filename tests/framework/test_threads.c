#include "framework/threads.h"

#include <signal.h>

#include "tests/test.h"

typedef struct Shared {
    Monitor monitor;
    int turn;
    bool blocked[3];
} Shared;

static const int SIGNALS[3] = {SIGTERM, SIGUSR1, SIGCHLD};

/* Answers every even turn by the next odd one. */
static void *answer(void *pointer)
{
    Shared *shared = pointer;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    monitor_enter(&shared->monitor);
    for (int i = 0; i < 3; i++) shared->blocked[i] = sigismember(&mask, SIGNALS[i]) == 1;
    while (shared->turn < 9) {
        if (shared->turn % 2 == 0) {
            shared->turn++;
            monitor_tell(&shared->monitor);
        } else {
            monitor_wait(&shared->monitor, -1);
        }
    }
    monitor_leave(&shared->monitor);
    return NULL;
}

static void test_turns_and_signals(void)
{
    Shared shared = {.turn = 0};
    Thread thread;
    sigset_t before, after;
    monitor_create(&shared.monitor);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK_OK(thread_start(answer, &shared, &thread));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int i = 0; i < 3; i++) CHECK_INT(sigismember(&after, SIGNALS[i]), sigismember(&before, SIGNALS[i]));
    for (int turn = 1; turn <= 9; turn += 2) {
        monitor_enter(&shared.monitor);
        while (shared.turn != turn) monitor_wait(&shared.monitor, -1);
        if (turn < 9) shared.turn++;
        monitor_tell(&shared.monitor);
        monitor_leave(&shared.monitor);
    }
    thread_join(&thread);
    CHECK_INT(shared.turn, 9);
    for (int i = 0; i < 3; i++) CHECK(shared.blocked[i]);
    monitor_destroy(&shared.monitor);
}

static void test_wait_ends(void)
{
    Monitor monitor;
    monitor_create(&monitor);
    monitor_enter(&monitor);
    double before = thread_clock(), limits[] = {0, 0.001, 0.0299, 1e-9};
    for (int i = 0; i < 4; i++) monitor_wait(&monitor, limits[i]); /* nobody tells: each ends by its limit */
    monitor_leave(&monitor);
    CHECK(thread_clock() >= before);
    monitor_destroy(&monitor);
}

TEST_MAIN(TEST(test_turns_and_signals), TEST(test_wait_ends))
