/* Planning 10 000 trials with the real binary: trials per second and the peak of its memory.
 *   bench_plan ZEROTH STUDY.yaml TRIALS */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

/* Seconds of one plan, and of the processor for it; `*peak` is its largest resident set, in bytes. */
static double plan(char *program, char *study, double *processor, long *peak)
{
    double start = now();
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL) _exit(126);
        execl(program, program, "plan", study, (char *)NULL);
        _exit(127);
    }
    int code = 0;
    struct rusage usage = {0};
    if (child < 0 || wait4(child, &code, 0, &usage) != child || code != 0) {
        fprintf(stderr, "bench_plan: %s plan %s ended with %d\n", program, study, code);
        exit(1);
    }
    *peak = usage.ru_maxrss * 1024;
    *processor = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    return now() - start;
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    double trials = strtod(argv[3], NULL), best = 1e9, busy = 1e9, processor;
    long peak = 0;
    for (int i = 0; i < 5; i++) {
        double seconds = plan(argv[1], argv[2], &processor, &peak);
        if (processor < busy) busy = processor;
        if (seconds < best) best = seconds;
    }
    printf("plan of %.0f trials: %.2f s, the program's start included (%.2f s of processor time); %.0f trials/s; peak "
           "memory %.0f MB\n", trials, best, busy, trials / best, (double)peak / 1e6);
    return 0;
}
