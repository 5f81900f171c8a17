/* Data sets in other layouts than COCO panoptic, through the program: imported on two ranks, and as a study. */
#include "storage/label_map.h"
#include "storage/panoptic_json.h"
#include "tests/commands/artifacts.h"

/* The synthetic scenes again as COCO-Stuff has them: label PNGs of id - 1, and labels.txt. */
static void write_labels(const char *from, const char *to, const char *split)
{
    PanopticFile file;
    Text classes = {0};
    CHECK_OK(panoptic_file_read(text("%s/panoptic_%s.json", from, split), true, &file));
    CHECK_OK(directory_create(text("%s/stuffthingmaps/%s2017", to, split)));
    for (int a = 0; a < file.annotation_count; a++) {
        const PanopticAnnotation *annotation = &file.annotations[a];
        LabelMap ids = {0};
        CHECK_OK(label_map_read(text("%s/panoptic_%s/%s", from, split, annotation->file_name), &ids));
        const size_t pixels = (size_t)ids.height * (size_t)ids.width;
        uint16_t *labels = memory_alloc(pixels * sizeof *labels);
        CHECK(labels != NULL);
        for (size_t i = 0; i < pixels; i++) {
            labels[i] = 255;
            for (int s = 0; s < annotation->segment_count; s++)
                if (ids.values[i] == annotation->segments[s].id) labels[i] = (uint16_t)(annotation->segments[s].category_id - 1);
        }
        CHECK_OK(label_map_write(text("%s/stuffthingmaps/%s2017/%s", to, split, annotation->file_name), labels, ids.height,
                                 ids.width));
        memory_free(labels);
        label_map_clear(&ids);
    }
    for (int c = 0; c < file.classes.count; c++)
        text_format(&classes, "%lld: %s\n", (long long)file.classes.entries[c].id, file.classes.entries[c].name);
    write_text(text("%s/labels.txt", to), text_string(&classes));
    text_free(&classes);
    panoptic_file_clear(&file);
    copy_tree(text("%s/%s", from, split), text("%s/%s2017", to, split), true);
}

static const char *stuff(void)
{
    static const char *directory;
    if (directory != NULL) return directory;
    const char *scenes = in_root("scenes"), *made = in_root("stuff");
    make_scenes(scenes, 24, 5, 0.3);
    write_labels(scenes, made, "train");
    write_labels(scenes, made, "val");
    copy_file(text("%s/unseen.txt", scenes), text("%s/unseen.txt", made));
    copy_file(text("%s/class_vectors.csv", scenes), text("%s/class_vectors.csv", made));
    directory = made;
    return directory;
}

/* On one rank or two, the same shards; run again, nothing is left to do. */
static void test_import(void)
{
    const char *one = in_root("one"), *two = in_root("two"), *unseen = text("%s/unseen.txt", stuff());
    CHECK_CODE(PROGRAM("data", "import", "--root", stuff(), "--output", one, "--format", "coco_stuff", "--store", "encoded",
                       "--unseen", unseen, "--shard-images", "4"), 0);
    if (system("command -v mpirun >/dev/null 2>&1") != 0) SKIP("no mpirun here");
    const char *program = getenv("ZEROTH") != NULL ? getenv("ZEROTH") : "build/release/zeroth"; /* MPI leaks at its end */
    CHECK_INT(system(text("ASAN_OPTIONS=detect_leaks=0 mpirun -n 2 %s data import --root %s --output %s --format coco_stuff "
                          "--store encoded --unseen %s --shard-images 4 >/dev/null 2>&1", program, stuff(), two, unseen)), 0);
    CHECK_STRING(tree_text(two, false), tree_text(one, false));
    CHECK_CODE(PROGRAM("data", "verify", two), 0);
    Result result = PROGRAM("data", "import", "--root", stuff(), "--output", two, "--format", "coco_stuff", "--store", "encoded",
                     "--unseen", unseen, "--shard-images", "4");
    CHECK_CODE(result, 0);
    CHECK_SAYS(result.err, "8 of them there already");
}

static void test_study(void)
{
    const char *study = make_study(in_root("place"), "");
    CHECK_CODE(PROGRAM("run", study, text("data.root=%s", stuff()), "data.format=coco_stuff", "data.store=encoded",
                       "evaluate.export=[semantic]"), 0);
    const char *evaluated = only_artifact(in_root("place/work"), "evaluate");
    Json *metrics;
    CHECK_OK(json_read_file(text("%s/" METRICS_NAME, evaluated), &metrics));
    CHECK(json_member(metrics, "semantic.miou.seen")->type == JSON_REAL);
    CHECK(json_member(metrics, "instance.ap.all")->type == JSON_NULL); /* labels tell no instances */
    json_destroy(metrics);
    CHECK(file_exists(text("%s/predictions/semantic/000001000001.png", evaluated)));
}

static void test_refused(void)
{
    Result result = PROGRAM("data", "import", "--root", stuff(), "--output", in_root("no"), "--format", "lvis");
    CHECK_CODE(result, 2);
    CHECK_SAYS(result.err, "no format 'lvis'");
    result = PROGRAM("data", "import", "--root", stuff(), "--output", in_root("no"), "--format", "voc");
    CHECK(result.code != 0);
    CHECK_SAYS(result.err, "ImageSets/Segmentation/train.txt");
}

TEST_MAIN(TEST(test_import), TEST(test_study), TEST(test_refused))
