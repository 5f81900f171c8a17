/* Nothing trained ever reads an unseen label: whatever the training set says
 * of unseen classes, all weights come out with the same bits. */
#include "storage/image.h"
#include "tests/commands/artifacts.h"

#define MAX_CLASSES 64

typedef struct Classes {
    int64_t unseen[MAX_CLASSES], seen[MAX_CLASSES];
    int unseen_count, seen_count;
} Classes;

static const char VARIANTS[] = "variants:\n"
                               "  vanilla: {generator.kind: gmmn}\n"
                               "  full: {}\n";

static void read_classes(const Json *json, Classes *classes)
{
    const Json *categories = json_member(json, "categories");
    *classes = (Classes){0};
    for (size_t i = 0; i < categories->count; i++) {
        const char *split;
        int64_t id;
        CHECK_OK(json_get_string(&categories->items[i], "split", "categories", &split));
        CHECK_OK(json_get_integer(&categories->items[i], "id", "categories", &id));
        if (strcmp(split, "unseen") == 0) classes->unseen[classes->unseen_count++] = id;
        else classes->seen[classes->seen_count++] = id;
    }
    CHECK(classes->unseen_count >= 2 && classes->seen_count >= 2);
}

/* The place of `id` among `ids`, or -1. */
static int find_id(const int64_t *ids, int count, int64_t id)
{
    for (int i = 0; i < count; i++)
        if (ids[i] == id) return i;
    return -1;
}

static Json *segments_of(Json *json, size_t annotation)
{
    Json *annotations = (Json *)(uintptr_t)json_member(json, "annotations");
    return (Json *)(uintptr_t)json_member(&annotations->items[annotation], "segments_info");
}

static Json *category_of(Json *segment) { return (Json *)(uintptr_t)json_member(segment, "category_id"); }

static void write_json(const char *path, const Json *json)
{
    JsonWriter writer = {0};
    json_value(&writer, json);
    CHECK(!writer.text.failed);
    write_text(path, text_string(&writer.text));
    text_free(&writer.text);
}

/* Every unseen label becomes the next unseen label. */
static int change_unseen(Json *json, const Classes *classes)
{
    int changed = 0;
    size_t images = json_member(json, "annotations")->count;
    for (size_t a = 0; a < images; a++) {
        Json *segments = segments_of(json, a);
        for (size_t s = 0; s < segments->count; s++) {
            Json *category = category_of(&segments->items[s]);
            int at = find_id(classes->unseen, classes->unseen_count, category->integer);
            if (at < 0) continue;
            category->integer = classes->unseen[(at + 1) % classes->unseen_count];
            category->real = (double)category->integer;
            changed++;
        }
    }
    return changed;
}

/* One seen label becomes another: in the first image that holds seen classes only, so that no rule leaves it out. */
static int change_one_seen(Json *json, const Classes *classes)
{
    size_t images = json_member(json, "annotations")->count;
    for (size_t a = 0; a < images; a++) {
        Json *segments = segments_of(json, a);
        bool all_seen = segments->count > 0;
        for (size_t s = 0; s < segments->count; s++)
            all_seen &= find_id(classes->seen, classes->seen_count, category_of(&segments->items[s])->integer) >= 0;
        if (!all_seen) continue;
        Json *category = category_of(&segments->items[0]);
        int at = find_id(classes->seen, classes->seen_count, category->integer);
        category->integer = classes->seen[(at + 1) % classes->seen_count];
        category->real = (double)category->integer;
        return 1;
    }
    return 0;
}

/* The pixels of these ids become void. */
static void blank_ids(const char *png, const int64_t *ids, int count)
{
    Image image = {0};
    CHECK_OK(image_read(png, &image));
    for (size_t i = 0; i < (size_t)image.height * (size_t)image.width; i++) {
        uint8_t *p = image.rgb + 3 * i;
        if (find_id(ids, count, p[0] + 256 * p[1] + 65536 * p[2]) >= 0) memset(p, 0, 3);
    }
    CHECK_OK(image_write_png(png, &image));
    image_clear(&image);
}

/* Frees one element of an array; its id. */
static int64_t drop_segment(const Json *segment)
{
    int64_t id;
    CHECK_OK(json_get_integer(segment, "id", "segment", &id));
    Json *own = memory_alloc(sizeof *own);
    CHECK(own != NULL);
    *own = *segment;
    json_destroy(own);
    return id;
}

/* Every unseen segment goes, and its pixels with it. */
static int void_unseen(Json *json, const Classes *classes, const char *data)
{
    int changed = 0;
    const Json *annotations = json_member(json, "annotations");
    for (size_t a = 0; a < annotations->count; a++) {
        Json *segments = segments_of(json, a);
        int64_t ids[64];
        size_t kept = 0;
        int removed = 0;
        for (size_t s = 0; s < segments->count; s++) {
            CHECK(removed < 64);
            bool unseen = find_id(classes->unseen, classes->unseen_count, category_of(&segments->items[s])->integer) >= 0;
            if (unseen) ids[removed++] = drop_segment(&segments->items[s]);
            else segments->items[kept++] = segments->items[s];
        }
        if (removed == 0) continue;
        const char *name;
        CHECK_OK(json_get_string(&annotations->items[a], "file_name", "annotation", &name));
        blank_ids(text("%s/panoptic_train/%s", data, name), ids, removed);
        segments->count = kept;
        changed += removed;
    }
    return changed;
}

typedef enum Change { CHANGE_NONE, CHANGE_UNSEEN, CHANGE_VOID, CHANGE_ONE_SEEN } Change;

/* Gives DIRECTORY/data its scenes, changed, and runs the study there; returns the work directory. */
static const char *run_changed(const char *scenes, const char *name, Change change, const char *rule)
{
    const char *directory = in_root(name), *data = text("%s/data", directory), *json_path = text("%s/panoptic_train.json", data);
    copy_tree(scenes, data, true);
    Json *json;
    Classes classes;
    int changed = 1;
    CHECK_OK(json_read_file(json_path, &json));
    read_classes(json, &classes);
    if (change == CHANGE_UNSEEN) changed = change_unseen(json, &classes);
    if (change == CHANGE_VOID) changed = void_unseen(json, &classes, data);
    if (change == CHANGE_ONE_SEEN) changed = change_one_seen(json, &classes);
    CHECK(changed > 0);
    if (change != CHANGE_NONE) write_json(json_path, json);
    json_destroy(json);
    const char *study = make_study(directory, VARIANTS), *setting = text("data.unseen_rule=%s", rule);
    CHECK_CODE(PROGRAM("run", study, setting), 0);
    return text("%s/work", directory);
}

/* Files of that name over all artifacts of a stage, in one text that doesn't depend on keys: they name the inputs. */
static const char *bits_of(const char *work, const char *stage)
{
    Artifacts found = find_artifacts(work, stage);
    const char *lines[MAX_ARTIFACTS];
    CHECK(found.count > 0);
    for (int i = 0; i < found.count; i++) {
        int at = i;
        for (const char *own = artifact_text(found.directories[i]); at > 0 && strcmp(lines[at - 1], own) > 0; at--)
            lines[at] = lines[at - 1];
        lines[at] = artifact_text(found.directories[i]);
    }
    const char *all = "";
    for (int i = 0; i < found.count; i++) all = text("%s%s", all, lines[i]);
    return all;
}

static void check_same_bits(const char *a, const char *b)
{
    static const char *const STAGES[] = {"backbone", "extract", "generator", "evaluate"};
    CHECK(strcmp(path_name(only_artifact(a, "shard")), path_name(only_artifact(b, "shard"))) != 0); /* no job was shared */
    for (size_t i = 0; i < sizeof STAGES / sizeof STAGES[0]; i++)
        check_same_lines(STAGES[i], bits_of(a, STAGES[i]), bits_of(b, STAGES[i]));
}

static void test_drop(void)
{
    const char *scenes = in_root("scenes-drop");
    make_scenes(scenes, 40, 4, 0.5);
    const char *plain = run_changed(scenes, "drop-plain", CHANGE_NONE, "drop");
    check_same_bits(plain, run_changed(scenes, "drop-unseen", CHANGE_UNSEEN, "drop"));
}

static void test_ignore(void)
{
    const char *scenes = in_root("scenes-ignore");
    make_scenes(scenes, 24, 4, 1);
    const char *plain = run_changed(scenes, "ignore-plain", CHANGE_NONE, "ignore");
    check_same_bits(plain, run_changed(scenes, "ignore-unseen", CHANGE_UNSEEN, "ignore"));
    check_same_bits(plain, run_changed(scenes, "ignore-void", CHANGE_VOID, "ignore"));
}

/* The tests above can fail: a seen label does change the weights. */
static void test_seen_label_counts(void)
{
    const char *scenes = in_root("scenes-seen");
    make_scenes(scenes, 8, 2, 0);
    const char *plain = run_changed(scenes, "seen-plain", CHANGE_NONE, "drop");
    const char *changed = run_changed(scenes, "seen-changed", CHANGE_ONE_SEEN, "drop");
    CHECK(strcmp(bits_of(plain, "backbone"), bits_of(changed, "backbone")) != 0);
    CHECK(strcmp(bits_of(plain, "generator"), bits_of(changed, "generator")) != 0);
}

TEST_MAIN(TEST(test_drop), TEST(test_ignore), TEST(test_seen_label_counts))
