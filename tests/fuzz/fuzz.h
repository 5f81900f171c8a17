/* A mutation fuzzer: inputs are made from valid files by a counter-based random
 * stream, so the N-th input of a target is the same in every run. Each runs
 * with a limit of processor time and, under AddressSanitizer, of memory; it
 * must be read, or refused in one clear line.
 *
 * FUZZ=N sets the number of inputs of each target, FUZZ_FIRST=N the first of
 * them, to go on or to see one again. What a target dies on is said before it
 * dies, and lies in fuzz-TARGET.input in the current directory. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/random.h"
#include "framework/text.h"
#include "tests/test.h"

enum { FUZZ_MAX_BYTES = 1 << 20, FUZZ_MAX_SEEDS = 16, FUZZ_CPU_SECONDS = 60 };

typedef struct FuzzInput {
    uint8_t *data; /* [FUZZ_MAX_BYTES] */
    size_t bytes;
} FuzzInput;

typedef struct FuzzTarget {
    const char *name;
    const char *file;            /* name of the file that holds the input; NULL: it is read from memory */
    int64_t quick;               /* inputs of a short run */
    /* Reads the input, at `path` where there is a file; the status is checked and freed by the caller. */
    Status (*read)(const FuzzInput *input, const char *path);
    /* Makes a mutated input well-formed again in part (checksums), or NULL. */
    void (*repair)(Random *random, int seed, FuzzInput *input);
    const char *const *words;    /* that the format knows, up to NULL; or NULL */
} FuzzTarget;

/* Valid inputs of the target that runs. */
typedef struct FuzzSeeds {
    int count;
    FuzzInput items[FUZZ_MAX_SEEDS];
} FuzzSeeds;

static inline void fuzz_add_seed(FuzzSeeds *seeds, const void *data, size_t bytes)
{
    CHECK(seeds->count < FUZZ_MAX_SEEDS && bytes <= FUZZ_MAX_BYTES);
    FuzzInput *seed = &seeds->items[seeds->count++];
    seed->data = memory_alloc(bytes + 1);
    CHECK(seed->data != NULL);
    if (bytes > 0) memcpy(seed->data, data, bytes);
    seed->bytes = bytes;
}

static inline void fuzz_add_file(FuzzSeeds *seeds, const char *path)
{
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    fuzz_add_seed(seeds, data, bytes);
    memory_free(data);
}

static inline void fuzz_clear_seeds(FuzzSeeds *seeds)
{
    for (int i = 0; i < seeds->count; i++) memory_free(seeds->items[i].data);
    *seeds = (FuzzSeeds){0};
}

/* -- mutations -- */

static inline size_t fuzz_place_(Random *random, size_t bytes)
{
    return bytes == 0 ? 0 : (size_t)random_below(random, (int64_t)bytes);
}

/* A length, mostly a short one. */
static inline size_t fuzz_length_(Random *random, size_t most)
{
    const size_t limit = (size_t)1 << random_below(random, 14);
    const size_t length = 1 + (size_t)random_below(random, (int64_t)limit);
    return length < most ? length : most;
}

static inline void fuzz_replace_(FuzzInput *input, size_t at, size_t old, const void *with, size_t bytes)
{
    if (input->bytes - old + bytes > FUZZ_MAX_BYTES) return;
    memmove(input->data + at + bytes, input->data + at + old, input->bytes - at - old);
    if (bytes > 0) memcpy(input->data + at, with, bytes);
    input->bytes = input->bytes - old + bytes;
}

/* A number that readers trip over, in 1, 2, 4 or 8 bytes of either order. */
static inline void fuzz_put_number_(Random *random, FuzzInput *input)
{
    static const uint64_t NUMBERS[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0xffffff,
                                       0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
                                       0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe};
    const size_t size = (size_t)1 << random_below(random, 4), at = fuzz_place_(random, input->bytes);
    uint64_t value = NUMBERS[random_below(random, sizeof NUMBERS / sizeof NUMBERS[0])];
    const bool big = random_below(random, 2) == 1;
    for (size_t i = 0; i < size && at + i < input->bytes; i++)
        input->data[at + i] = (uint8_t)(value >> 8 * (big ? size - 1 - i : i));
}

/* Another number in the place of a decimal one. */
static inline void fuzz_put_digits_(Random *random, FuzzInput *input)
{
    static const char *const NUMBERS[] = {"0", "-1", "1", "2", "255", "256", "65535", "65536", "16777216", "2147483647",
                                          "2147483648", "-2147483648", "4294967295", "4294967296", "9007199254740993",
                                          "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e308",
                                          "1e400", "-1e-400", "0.5", "1e15", "00", "1.", "nan", "inf", "NaN"};
    size_t at = fuzz_place_(random, input->bytes), end;
    while (at < input->bytes && (input->data[at] < '0' || input->data[at] > '9')) at++;
    for (end = at; end < input->bytes && input->data[end] >= '0' && input->data[end] <= '9';) end++;
    const char *number = NUMBERS[random_below(random, sizeof NUMBERS / sizeof NUMBERS[0])];
    if (at < end) fuzz_replace_(input, at, end - at, number, strlen(number));
}

static inline void fuzz_mutate_once_(Random *random, const FuzzSeeds *seeds, const FuzzTarget *target, FuzzInput *input)
{
    static const uint8_t BYTES[] = {0, 0xff, 0x7f, 0x80, ' ', '"', '\\', '{', '}', '[', ']', ',', ':', '\n', '\t', '-', '0',
                                    '9', 'e', '.', '/', '#', '&', '*', '\'', '\r'};
    uint8_t piece[4096];
    const size_t at = fuzz_place_(random, input->bytes), left = input->bytes - at;
    size_t length = fuzz_length_(random, left < sizeof piece ? left : sizeof piece);
    switch (random_below(random, 12)) {
    case 0: if (left > 0) input->data[at] ^= (uint8_t)(1 << random_below(random, 8)); break;
    case 1: if (left > 0) input->data[at] = (uint8_t)random_bits(random); break;
    case 2: if (left > 0) input->data[at] = BYTES[random_below(random, sizeof BYTES)]; break;
    case 3: fuzz_replace_(input, at, length, NULL, 0); break;
    case 4: /* a piece again, elsewhere */
        if (length > 0) memcpy(piece, input->data + at, length);
        fuzz_replace_(input, fuzz_place_(random, input->bytes), 0, piece, length);
        break;
    case 5:
        length = fuzz_length_(random, 64);
        for (size_t i = 0; i < length; i++) piece[i] = (uint8_t)random_bits(random);
        fuzz_replace_(input, at, 0, piece, length);
        break;
    case 6: { /* a piece of another seed */
        const FuzzInput *other = &seeds->items[random_below(random, seeds->count)];
        const size_t from = fuzz_place_(random, other->bytes);
        length = fuzz_length_(random, other->bytes - from);
        fuzz_replace_(input, at, length < left ? length : left, other->data + from, length);
        break;
    }
    case 7: fuzz_put_number_(random, input); break;
    case 8: fuzz_put_digits_(random, input); break;
    case 9: if (random_below(random, 4) == 0) input->bytes = at; break;
    case 10: {
        if (target->words == NULL) { fuzz_put_number_(random, input); break; }
        int64_t count = 0;
        while (target->words[count] != NULL) count++;
        const char *word = target->words[random_below(random, count)];
        fuzz_replace_(input, at, random_below(random, 2) == 1 ? (strlen(word) < left ? strlen(word) : left) : 0, word, strlen(word));
        break;
    }
    default: { /* one byte many times: deep nesting, long names */
        if (random_below(random, 4) != 0) break;
        length = 1 + fuzz_place_(random, sizeof piece);
        memset(piece, left > 0 ? input->data[at] : '[', length);
        fuzz_replace_(input, at, 0, piece, length);
    }
    }
}

static inline void fuzz_make(const FuzzTarget *target, const FuzzSeeds *seeds, int64_t number, FuzzInput *input)
{
    Random random = random_stream(1, RANDOM_TEST, random_name_key(target->name), (uint64_t)number);
    const int seed = (int)random_below(&random, seeds->count);
    input->bytes = seeds->items[seed].bytes;
    if (input->bytes > 0) memcpy(input->data, seeds->items[seed].data, input->bytes);
    const int64_t changes = number < seeds->count ? 0 : 1 + random_below(&random, (int64_t)1 << random_below(&random, 5));
    for (int64_t i = 0; i < changes; i++) fuzz_mutate_once_(&random, seeds, target, input);
    if (target->repair != NULL && changes > 0) target->repair(&random, seed, input);
}

/* -- running -- */

static struct FuzzNow { const char *target; int64_t number; const FuzzInput *input; } fuzz_now;

/* For signal handlers and dying sanitizers: what was being read. */
static inline void fuzz_tell(void)
{
    char path[128], line[160];
    if (fuzz_now.target == NULL) return;
    snprintf(path, sizeof path, "fuzz-%s.input", fuzz_now.target);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t kept = fd < 0 ? -1 : write(fd, fuzz_now.input->data, fuzz_now.input->bytes);
    if (fd >= 0) close(fd);
    int length = snprintf(line, sizeof line, "fuzz: target %s, input %lld%s%s\n", fuzz_now.target,
                          (long long)fuzz_now.number, kept < 0 ? "" : ", kept in ", kept < 0 ? "" : path);
    if (write(STDERR_FILENO, line, (size_t)length) < 0) return;
}

/* A sanitizer's way to say that it ends the program; not there without one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static inline void fuzz_on_signal_(int signal_number)
{
    static const char LATE[] = "fuzz: over the limit of processor time\n";
    if (signal_number == SIGPROF && write(STDERR_FILENO, LATE, sizeof LATE - 1) < 0) _exit(3);
    fuzz_tell();
    signal(signal_number == SIGPROF ? SIGABRT : signal_number, SIG_DFL);
    raise(signal_number == SIGPROF ? SIGABRT : signal_number);
}

static inline void fuzz_limit_cpu_(int seconds)
{
    const struct itimerval limit = {.it_value = {.tv_sec = seconds}};
    CHECK(setitimer(ITIMER_PROF, &limit, NULL) == 0);
}

static inline void fuzz_fail_(const char *what, const char *message)
{
    fuzz_tell();
    TEST_FAIL("%s: %s", what, message);
}

/* Refused in one clear line, which names the file where there is one. */
static inline void fuzz_check_status_(const FuzzTarget *target, const char *path, Status status)
{
    const char *message = status_message(status);
    if (status == OK) return;
    if (*message == '\0' || strlen(message) > 20000) fuzz_fail_("an error without a message, or with one that fills screens", message);
    for (const char *c = message; *c != '\0'; c++)
        if ((unsigned char)*c < ' ') fuzz_fail_("an error of more than one line", message);
    if (target->file != NULL && status_code(status) != STATUS_NO_MEMORY && strstr(message, path) == NULL &&
        strstr(message, path_name(path)) == NULL)
        fuzz_fail_("an error that does not name its file", message);
    status_free(status);
}

static inline void fuzz_write_file_(int fd, const FuzzInput *input)
{
    CHECK(pwrite(fd, input->data, input->bytes, 0) == (ssize_t)input->bytes);
    CHECK(ftruncate(fd, (off_t)input->bytes) == 0);
}

static inline int64_t fuzz_count_(const char *variable, int64_t fallback)
{
    const char *text = getenv(variable);
    int64_t value;
    return text != NULL && parse_integer(text, &value) && value >= 0 ? value : fallback;
}

/* `directory` is for the input's file. */
static inline void fuzz_run(const FuzzTarget *target, const FuzzSeeds *seeds, const char *directory)
{
    static const int SIGNALS[] = {SIGPROF, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    const int64_t first = fuzz_count_("FUZZ_FIRST", 0), count = fuzz_count_("FUZZ", target->quick);
    FuzzInput input = {.data = memory_alloc(FUZZ_MAX_BYTES)};
    char path[512] = "";
    int fd = -1;
    int64_t read = 0;
    CHECK(input.data != NULL && seeds->count > 0);
    if (target->file != NULL) {
        snprintf(path, sizeof path, "%s/%s", directory, target->file);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        CHECK(fd >= 0);
    }
    if (__sanitizer_set_death_callback != NULL) __sanitizer_set_death_callback(fuzz_tell);
    for (size_t i = 0; i < sizeof SIGNALS / sizeof SIGNALS[0]; i++) signal(SIGNALS[i], fuzz_on_signal_);
    for (int64_t n = first; n < first + count; n++) {
        fuzz_make(target, seeds, n, &input);
        fuzz_now = (struct FuzzNow){target->name, n, &input};
        if (fd >= 0) fuzz_write_file_(fd, &input);
        fuzz_limit_cpu_(FUZZ_CPU_SECONDS);
        Status status = target->read(&input, path);
        read += status == OK;
        if (n < seeds->count && first == 0 && status != OK)
            TEST_FAIL("%s: a valid input is refused: %s", target->name, status_message(status));
        fuzz_check_status_(target, path, status);
    }
    fuzz_limit_cpu_(0);
    fuzz_now.target = NULL;
    printf("  fuzz: %-14s %lld inputs, %lld of them read, the others refused\n", target->name, (long long)count,
           (long long)read);
    if (fd >= 0) close(fd);
    memory_free(input.data);
}

#endif
