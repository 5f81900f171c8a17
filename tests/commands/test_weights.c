/* Weights in and out through the program: a study that only takes given weights, export, import, list. */
#include "storage/safetensors.h"
#include "tests/commands/artifacts.h"

typedef struct Tensors {
    Safetensors *file;
    int count;
    SafetensorsEntry entries[200];
} Tensors;

static void read_tensors(const char *path, Tensors *tensors)
{
    CHECK_OK(safetensors_open(path, &tensors->file));
    tensors->count = safetensors_count(tensors->file);
    CHECK(tensors->count <= 200);
    for (int i = 0; i < tensors->count; i++) {
        SafetensorsEntry *entry = &tensors->entries[i];
        const char *type;
        int64_t count = 1;
        entry->name = safetensors_name(tensors->file, i);
        CHECK(safetensors_describe(tensors->file, entry->name, &type, &entry->rank, &entry->shape));
        for (int d = 0; d < entry->rank; d++) count *= entry->shape[d];
        float *values = malloc((size_t)count * sizeof *values);
        CHECK_OK(safetensors_read(tensors->file, entry->name, entry->rank, entry->shape, values));
        entry->data = values;
    }
}

static void free_tensors(Tensors *tensors)
{
    for (int i = 0; i < tensors->count; i++) free((void *)(uintptr_t)tensors->entries[i].data);
    safetensors_close(tensors->file);
}

/* One file with the tensors of two. */
static void merge_files(const char *const parts[2], const char *path)
{
    static Tensors a, b;
    static SafetensorsEntry all[400];
    read_tensors(parts[0], &a);
    read_tensors(parts[1], &b);
    memcpy(all, a.entries, (size_t)a.count * sizeof *all);
    memcpy(all + a.count, b.entries, (size_t)b.count * sizeof *all);
    CHECK_OK(safetensors_write(path, all, a.count + b.count, NULL, 0));
    free_tensors(&a);
    free_tensors(&b);
}

static void check_same_tensors(const char *one, const char *other)
{
    static Tensors a, b;
    read_tensors(one, &a);
    read_tensors(other, &b);
    CHECK_INT(a.count, b.count);
    for (int i = 0; i < a.count; i++) {
        int64_t count = 1;
        CHECK_STRING(a.entries[i].name, b.entries[i].name);
        for (int d = 0; d < a.entries[i].rank; d++) count *= a.entries[i].shape[d];
        CHECK(memcmp(a.entries[i].data, b.entries[i].data, (size_t)count * sizeof(float)) == 0);
    }
    free_tensors(&a);
    free_tensors(&b);
}

static const char *segmenter_of(const char *work)
{
    return text("%s/segmenter.h5", only_artifact(work, "backbone"));
}

/* The tensors of a file as 'weights list' prints them, without the line on what it is. */
static const char *listed(const char *path)
{
    Result result = PROGRAM("weights", "list", path);
    CHECK_CODE(result, 0);
    const char *at = result.out;
    while (*at == '#') at = strchr(at, '\n') + 1;
    return at;
}

static void test_there_and_back(void)
{
    const char *directory = in_root("there"), *work = text("%s/work", directory);
    make_scenes(text("%s/data", directory), 16, 4, 0.2);
    const char *study = make_study(directory, "variants: {none: {generator.kind: none}, projection: {generator.kind: projection}}\n");
    CHECK_CODE(PROGRAM("run", study, "--only", "backbone"), 0);
    const char *model = segmenter_of(work), *out = text("%s/w.safetensors", directory);
    CHECK_CODE(PROGRAM("weights", "export", model, "-o", out, "--names", "mask2former"), 0);
    Result list = PROGRAM("weights", "list", out);
    CHECK_SAYS(list.out, "names as mask2former");
    CHECK_SAYS(list.out, "sem_seg_head.predictor.class_embed.weight");
    /* The same network from the file alone: no step is taken, and the weights are those. */
    const char *other = text("%s/other", directory);
    CHECK_CODE(PROGRAM("run", study, "--work", other, text("segmenter.weights=%s", out), "segmenter.load=all", "train.steps=0"), 0);
    const char *copy = text("%s/copy.safetensors", directory);
    CHECK_CODE(PROGRAM("weights", "export", segmenter_of(other), "-o", copy, "--names", "zeroth"), 0);
    check_same_lines("tensors", listed(model), listed(copy));
    CHECK_INT(artifact_count(other, "evaluate"), 2); /* with and without a projection */
    /* And into a segmenter that is there. */
    const char *replaced = text("%s/replaced.h5", directory), *again = text("%s/again.safetensors", directory);
    CHECK_CODE(PROGRAM("weights", "import", copy, model, "--output", replaced), 0);
    CHECK_CODE(PROGRAM("weights", "export", replaced, "-o", again, "--names", "mask2former"), 0);
    size_t bytes, more;
    char *first, *second;
    CHECK_OK(file_read(out, 0, &first, &bytes));
    CHECK_OK(file_read(again, 0, &second, &more));
    CHECK(bytes == more && memcmp(first, second, bytes) == 0);
    memory_free(first);
    memory_free(second);
}

/* A trained generator and its classifier, put into one file and taken as they are: the same classifier. */
static void test_generator(void)
{
    const char *directory = in_root("generator"), *work = text("%s/work", directory), *other = text("%s/other", directory);
    make_scenes(text("%s/data", directory), 16, 4, 0.2);
    const char *study = make_study(directory, "");
    CHECK_CODE(PROGRAM("run", study), 0);
    const char *model = only_artifact(work, "generator"), *merged = text("%s/pading.safetensors", directory);
    const char *parts[2] = {text("%s/classifier.safetensors", directory), text("%s/generator.safetensors", directory)};
    CHECK_CODE(PROGRAM("weights", "export", text("%s/classifier.h5", model), "-o", parts[0], "--names", "pading"), 0);
    CHECK_CODE(PROGRAM("weights", "export", text("%s/generator.h5", model), "-o", parts[1], "--names", "pading"), 0);
    Result wrong = PROGRAM("weights", "export", text("%s/generator.h5", model), "-o", merged, "--names", "torchvision");
    CHECK(wrong.code != 0);
    CHECK_SAYS(wrong.err, "only zeroth's and pading's");
    merge_files(parts, merged);
    CHECK_CODE(PROGRAM("run", study, "--work", other, text("generator.weights=%s", merged), "generator.steps=0"), 0);
    const char *again = text("%s/again.safetensors", directory);
    CHECK_CODE(PROGRAM("weights", "export", text("%s/classifier.h5", only_artifact(other, "generator")), "-o", again,
                       "--names", "pading"), 0);
    check_same_tensors(parts[0], again);
    wrong = PROGRAM("run", study, "--work", text("%s/third", directory), text("generator.weights=%s", parts[0]));
    CHECK(wrong.code != 0);
    CHECK_SAYS(wrong.err, "generator.weights");
}

static void test_refusals(void)
{
    const char *none = in_root("none.safetensors");
    Result result = PROGRAM("weights", "list", none);
    CHECK(result.code != 0);
    CHECK_SAYS(result.err, "none.safetensors");
    result = PROGRAM("weights", "burn");
    CHECK(result.code != 0);
    CHECK_SAYS(result.err, "'burn' is none of import, export, list");
    result = PROGRAM("weights", "export", none, "-o", none, "--names", "caffe");
    CHECK(result.code != 0);
    CHECK_SAYS(result.err, "not 'caffe'");
    result = PROGRAM("weights", "export", none);
    CHECK(result.code != 0);
    CHECK_SAYS(result.err, "--output");
}

TEST_MAIN(TEST(test_there_and_back), TEST(test_generator), TEST(test_refusals))
