/* What the end-to-end tests share: a directory that goes when the program
 * ends, the real program started as a user starts it, a tiny data set and
 * study, and looks at what was left on disk.
 *
 * The program is $ZEROTH, or build/release/zeroth. E2E_KEEP=1 keeps the
 * directory. Strings live until the program ends. */
#ifndef TESTS_COMMANDS_E2E_H
#define TESTS_COMMANDS_E2E_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "framework/files.h"
#include "framework/hash.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/synth.h"
#include "tests/test.h"

#define E2E_MAX_ARGUMENTS 32

static Arena *e2e_arena_;
static char *e2e_root_;
static pid_t e2e_owner_;

static inline void e2e_end_(void)
{
    if (getpid() != e2e_owner_) return; /* a child that could not exec ends here too */
    if (getenv("E2E_KEEP") != NULL) printf("  kept: %s\n", e2e_root_);
    else status_free(directory_remove(e2e_root_));
    arena_destroy(e2e_arena_);
}

static inline const char *e2e_root(void)
{
    if (e2e_root_ != NULL) return e2e_root_;
    const char *base = getenv("TMPDIR");
    e2e_arena_ = arena_create(1 << 16);
    CHECK(e2e_arena_ != NULL);
    e2e_root_ = arena_format(e2e_arena_, "%s/zeroth-e2e-XXXXXX", base != NULL && *base != '\0' ? base : "/tmp");
    CHECK(e2e_root_ != NULL && mkdtemp(e2e_root_) != NULL);
    e2e_owner_ = getpid();
    atexit(e2e_end_);
    return e2e_root_;
}

/* Formatted text that lives as long as the program. */
__attribute__((format(printf, 1, 2))) static inline const char *text(const char *format, ...)
{
    e2e_root();
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *out = arena_alloc(e2e_arena_, (size_t)length + 1);
    CHECK(out != NULL);
    va_start(arguments, format);
    vsnprintf(out, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return out;
}

/* A path below the program's directory. */
static inline const char *in_root(const char *name) { return text("%s/%s", e2e_root(), name); }

/* Files ---------------------------------------------------------------------- */

static inline const char *read_text(const char *path)
{
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    char *copy = arena_alloc(e2e_arena_, bytes + 1);
    CHECK(copy != NULL);
    memcpy(copy, data, bytes + 1);
    memory_free(data);
    return copy;
}

static inline void write_text(const char *path, const char *content)
{
    CHECK_OK(file_write(path, content, strlen(content)));
}

static inline bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static inline void copy_file(const char *from, const char *to)
{
    char *data;
    size_t bytes;
    CHECK_OK(file_read(from, 0, &data, &bytes));
    CHECK_OK(file_write(to, data, bytes));
    memory_free(data);
}

/* All of a directory: copies as hard links where `linked`, for what no test changes in place (file_write replaces). */
static inline void copy_tree(const char *from, const char *to, bool linked)
{
    char **names;
    size_t count;
    CHECK_OK(directory_create(to));
    CHECK_OK(directory_list(from, &names, &count));
    for (size_t i = 0; i < count; i++) {
        const char *a = text("%s/%s", from, names[i]), *b = text("%s/%s", to, names[i]);
        if (is_directory(a)) copy_tree(a, b, linked);
        else if (!linked || link(a, b) != 0) copy_file(a, b);
    }
    names_free(names, count);
}

static inline void tree_walk_(const char *root, const char *below, bool times, Text *out)
{
    char **names;
    size_t count;
    CHECK_OK(directory_list(*below == '\0' ? root : text("%s/%s", root, below), &names, &count));
    for (size_t i = 0; i < count; i++) {
        const char *name = *below == '\0' ? text("%s", names[i]) : text("%s/%s", below, names[i]);
        const char *path = text("%s/%s", root, name);
        struct stat info;
        CHECK(lstat(path, &info) == 0);
        if (S_ISDIR(info.st_mode)) {
            tree_walk_(root, name, times, out);
            continue;
        }
        Hash128 hash;
        char hex[HASH_HEX_SIZE];
        CHECK_OK(hash_file(path, &hash, NULL));
        hash_to_hex(hash, hex);
        text_format(out, "%s %s", name, hex);
        if (times) text_format(out, " %lld.%09ld", (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
        text_append(out, "\n");
    }
    names_free(names, count);
}

/* "NAME HASH\n" of every file below, sorted: equal texts are equal trees. With `times`, also when each was written. */
static inline const char *tree_text(const char *root, bool times)
{
    Text out = {0};
    tree_walk_(root, "", times, &out);
    CHECK(!out.failed);
    const char *copy = text("%s", text_string(&out));
    text_free(&out);
    return copy;
}

/* Ends the test with the first line that differs. */
static inline void check_same_lines(const char *what, const char *a, const char *b)
{
    while (*a != '\0' || *b != '\0') {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        if (la != lb || strncmp(a, b, la) != 0)
            TEST_FAIL("%s differ: \"%.*s\" against \"%.*s\"", what, (int)la, a, (int)lb, b);
        a += la + (a[la] == '\n');
        b += lb + (b[lb] == '\n');
    }
}

static inline bool same_file(const char *a, const char *b)
{
    Hash128 ha, hb;
    int64_t na, nb;
    CHECK_OK(hash_file(a, &ha, &na));
    CHECK_OK(hash_file(b, &hb, &nb));
    return na == nb && hash_equal(ha, hb);
}

/* How many files below `root` have a name that ends in `ending`. */
static inline int count_files(const char *root, const char *ending)
{
    if (!is_directory(root)) return 0;
    int found = 0;
    size_t length = strlen(ending);
    for (const char *line = tree_text(root, false); *line != '\0'; line = strchr(line, '\n') + 1) {
        size_t name = strcspn(line, " ");
        found += name >= length && strncmp(line + name - length, ending, length) == 0;
    }
    return found;
}

static inline int count_entries(const char *directory)
{
    char **names;
    size_t count;
    if (!is_directory(directory)) return 0;
    CHECK_OK(directory_list(directory, &names, &count));
    names_free(names, count);
    return (int)count;
}

static inline int count_text(const char *in, const char *part)
{
    int count = 0;
    for (const char *at = strstr(in, part); at != NULL; at = strstr(at + 1, part)) count++;
    return count;
}

/* `in` with every (or, from the `skip`-th on, one) `old` replaced. */
static inline const char *replaced(const char *in, const char *old, const char *new)
{
    Text out = {0};
    for (const char *at; (at = strstr(in, old)) != NULL; in = at + strlen(old)) {
        text_append_bytes(&out, in, (size_t)(at - in));
        text_append(&out, new);
    }
    text_append(&out, in);
    const char *copy = text("%s", text_string(&out));
    text_free(&out);
    return copy;
}

static inline void edit_file(const char *path, const char *old, const char *new)
{
    const char *before = read_text(path);
    CHECK(strstr(before, old) != NULL);
    write_text(path, replaced(before, old, new));
}

/* The first `fraction` of a file, as a broken download leaves it. A new file: other names of the old one stay whole. */
static inline void cut_file(const char *path, double fraction)
{
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    CHECK_OK(file_write(path, data, (size_t)((double)bytes * fraction)));
    memory_free(data);
}

/* One byte turned over in place, at a fraction of the file's length; every name of the file sees it. */
static inline void flip_byte(const char *path, double fraction)
{
    int fd = open(path, O_RDWR);
    struct stat info;
    unsigned char byte;
    CHECK(fd >= 0 && fstat(fd, &info) == 0);
    off_t at = (off_t)((double)info.st_size * fraction);
    CHECK(pread(fd, &byte, 1, at) == 1);
    byte ^= 0x55;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

/* The program ---------------------------------------------------------------- */

typedef struct Result {
    int code;        /* exit code; 128 + N after signal N */
    const char *out; /* standard output */
    const char *err; /* standard error */
} Result;

typedef struct Child {
    pid_t pid;
    const char *out, *err; /* files */
} Child;

static inline const char *program(void)
{
    const char *path = getenv("ZEROTH");
    return path != NULL && *path != '\0' ? path : "build/release/zeroth";
}

/* Starts the program in a process group of its own. `environment` is NAME=VALUE or NULL. */
static inline Child program_start(const char *environment, const char *const *arguments)
{
    static int number;
    const char *argv[E2E_MAX_ARGUMENTS + 2] = {program()};
    int count = 0;
    while (arguments[count] != NULL) {
        CHECK(count < E2E_MAX_ARGUMENTS);
        argv[count + 1] = arguments[count];
        count++;
    }
    number++;
    Child child = {.out = in_root(text("out-%d", number)), .err = in_root(text("err-%d", number))};
    const char *equals = environment != NULL ? strchr(environment, '=') : NULL;
    const char *name = equals != NULL ? text("%.*s", (int)(equals - environment), environment) : NULL;
    fflush(NULL);
    child.pid = fork();
    CHECK(child.pid >= 0);
    if (child.pid == 0) {
        int out = open(child.out, O_WRONLY | O_CREAT | O_TRUNC, 0666), err = open(child.err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        int in = open("/dev/null", O_RDONLY);
        setpgid(0, 0);
        if (out < 0 || err < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(126);
        if (name != NULL) setenv(name, equals + 1, 1);
        setenv("NO_COLOR", "1", 1);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return child;
}

static inline Result program_end(Child child)
{
    int status;
    CHECK(waitpid(child.pid, &status, 0) == child.pid);
    Result result = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)};
    result.out = read_text(child.out);
    result.err = read_text(child.err);
    unlink(child.out);
    unlink(child.err);
    if (result.code == 127) TEST_FAIL("cannot start %s", program());
    if (strstr(result.err, "Sanitizer") != NULL || strstr(result.err, "runtime error:") != NULL)
        TEST_FAIL("a sanitizer's report:\n%s", result.err);
    return result;
}

#define PROGRAM_START(...) program_start(NULL, (const char *const[]){__VA_ARGS__, NULL})
#define PROGRAM(...) program_end(PROGRAM_START(__VA_ARGS__))
#define PROGRAM_WITH(environment, ...) program_end(program_start(environment, (const char *const[]){__VA_ARGS__, NULL}))

static inline void show_result_(const Result *result)
{
    fprintf(stderr, "exit code %d\nstandard output:\n%s\nstandard error:\n%s\n", result->code, result->out, result->err);
}

/* The result has that exit code. */
#define CHECK_CODE(result, expected)                                                       \
    do {                                                                                   \
        Result check_result_ = (result);                                                   \
        if (check_result_.code != (expected)) {                                            \
            show_result_(&check_result_);                                                  \
            TEST_FAIL("exit code of %s is %d, not %d", #result, check_result_.code, expected); \
        }                                                                                  \
    } while (0)

static inline void check_says_(const char *file, int line, const char *where, const char *said, const char *part)
{
    if (strstr(said, part) != NULL) return;
    fprintf(stderr, "%s:%d: \"%s\" is not in %s:\n%s\n", file, line, part, where, said);
    longjmp(test_jump, 1);
}
#define CHECK_SAYS(said, part) check_says_(__FILE__, __LINE__, #said, said, part)

/* A tiny study -------------------------------------------------------------- */

/* Small scenes of the usual classes. Unseen classes may occur in every training scene where `unseen_rate`
 * is 1. */
static inline void make_scenes(const char *directory, int train, int val, double unseen_rate)
{
    SynthOptions options = synth_defaults();
    options.output = directory;
    options.train_images = train;
    options.val_images = val;
    options.height = options.width = 32;
    options.unseen_rate = unseen_rate;
    options.vector_dim = 16;
    int quiet = open("/dev/null", O_WRONLY), kept = dup(2); /* progress lines are not what these tests are about */
    fflush(stderr);
    dup2(quiet, 2);
    Status status = synth_write(&options);
    dup2(kept, 2);
    close(quiet);
    close(kept);
    CHECK_OK(status);
}

#define TINY_CONFIG                                                                               \
    "config:\n"                                                                                   \
    "  data: {root: data, unseen_file: unseen.txt, class_vectors: class_vectors.csv, shard_images: 16}\n" \
    "  segmenter: {width: 8, blocks: [1], dim: 32, heads: 2, ffn: 16, layers: 2, queries: 8, points: 32, backbone_rate: 1}\n" \
    "  train: {steps: 8, batch: 2, crop: [32, 32], warmup: 2}\n"                                  \
    "  extract: {pictures: 4}\n"                                                                  \
    "  generator: {steps: 10, rows: 8, primitives: 8, layers: 1, heads: 2, ffn: 16}\n"            \
    "  classifier: {rows: 16}\n"                                                                  \
    "  evaluate: {pictures: 3, score: 0.1}\n"                                                     \
    "  run: {attempts: 1, cores: 2}\n"

/* DIRECTORY/study.yaml beside DIRECTORY/data; work is DIRECTORY/work. `rest` are variants and sweep, as YAML. */
static inline const char *make_study(const char *directory, const char *rest)
{
    CHECK_OK(directory_create(directory));
    const char *path = text("%s/study.yaml", directory);
    write_text(path, text("name: tiny\nwork: work\n%s%s", TINY_CONFIG, rest));
    return path;
}

/* Waits until `child` has ended or `ready` holds; true where it has not ended. */
static inline bool wait_until(Child child, bool (*ready)(void *context), void *context)
{
    for (;;) {
        siginfo_t info = {0};
        CHECK(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
        if (info.si_pid != 0) return false;
        if (ready(context)) return true;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

#endif
