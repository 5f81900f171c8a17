/* Weights in and out through the program: a study that only takes given weights, export, import, list. */
#include "tests/commands/artifacts.h"

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

TEST_MAIN(TEST(test_there_and_back), TEST(test_refusals))
