/* The studies of the published benchmarks: they plan, state every setting, and name the classes of the split files. */
#include "framework/config.h"
#include "tests/commands/artifacts.h"

static const struct { const char *study, *split; int unseen; } STUDIES[] = {
    {"configs/coco-panoptic.yaml", "configs/splits/coco-panoptic-unseen.txt", 14},
    {"configs/coco-stuff.yaml", "configs/splits/coco-stuff-unseen.txt", 15},
    {"configs/coco-instance-48-17.yaml", "configs/splits/coco-48-17-unseen.txt", 17},
    {"configs/coco-instance-65-15.yaml", "configs/splits/coco-65-15-unseen.txt", 15},
};
#define STUDY_COUNT (sizeof STUDIES / sizeof STUDIES[0])

/* Settings that the networks of these studies don't have, that a user gives, or that have no published value. */
static const char *const UNSTATED[] = {"segmenter.weights", "generator.weights", "segmenter.width", "segmenter.blocks", "segmenter.padding",
                                       "train.patience", "train.milestones", "generator.gmmn_dropout",
                                       "generator.vector_norm", "generator.similarity_temperature",
                                       "generator.align_seen_seen", "generator.align_unseen_unseen",
                                       "generator.align_seen_unseen"};

static bool is_unstated(const char *key)
{
    for (size_t i = 0; i < sizeof UNSTATED / sizeof UNSTATED[0]; i++)
        if (strcmp(UNSTATED[i], key) == 0) return true;
    return false;
}

static void test_every_setting_is_stated(void)
{
    static const char *const sections[] = {"segmenter.", "train.", "generator.", "classifier."};
    for (size_t s = 0; s < STUDY_COUNT; s++) {
        const char *yaml = read_text(text("%s", STUDIES[s].study));
        for (int k = 0; k < CONFIG_SCHEMA_COUNT; k++) {
            const char *key = CONFIG_SCHEMA[k].name;
            for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
                if (strncmp(key, sections[i], strlen(sections[i])) != 0 || is_unstated(key)) continue;
                const char *section = strstr(yaml, text("\n  %.*s:\n", (int)strlen(sections[i]) - 1, key));
                CHECK(section != NULL);
                if (strstr(section, text("\n    %s: ", key + strlen(sections[i]))) == NULL)
                    TEST_FAIL("%s does not state %s", STUDIES[s].study, key);
            }
        }
    }
}

/* The flow list of data.unseen has the file's names and no other. */
static void test_splits(void)
{
    for (size_t s = 0; s < STUDY_COUNT; s++) {
        const char *yaml = read_text(text("%s", STUDIES[s].study)), *start = strstr(yaml, "unseen:\n      ["), *end;
        CHECK(start != NULL && (end = strchr(start, ']')) != NULL);
        Text names = {0};
        for (const char *at = strchr(start, '[') + 1; at < end; at++) {
            bool blank = *at == '\n' || *at == ' ';
            if (*at == ',') text_append(&names, "\n");
            else if (!blank || (*at == ' ' && names.length > 0 && names.data[names.length - 1] != '\n' && at[1] != ' '))
                text_append_bytes(&names, at, 1);
        }
        text_append(&names, "\n");
        CHECK_STRING(text_string(&names), read_text(text("%s", STUDIES[s].split)));
        int count = 0;
        for (const char *at = text_string(&names); *at != '\0'; at++) count += *at == '\n';
        CHECK_INT(count, STUDIES[s].unseen);
        text_free(&names);
    }
}

static void test_plans(void)
{
    const char *data = in_root("data"), *weights = in_root("w.safetensors");
    make_scenes(data, 4, 2, 0);
    write_text(weights, "not read by a plan");
    for (size_t s = 0; s < STUDY_COUNT; s++) {
        Result plan = PROGRAM("plan", STUDIES[s].study, text("data.root=%s", data), text("segmenter.weights=%s", weights),
                              "data.class_vectors=class_vectors.csv", "data.format=coco_panoptic", "data.train_json=panoptic_train.json",
                              "data.val_json=panoptic_val.json", "data.train_images=train", "data.val_images=val",
                              "data.train_panoptic=panoptic_train", "data.val_panoptic=panoptic_val", "--work",
                              in_root("work"), "--trials");
        CHECK_CODE(plan, 0);
        CHECK_SAYS(plan.out, "projection");
        CHECK_SAYS(plan.out, "vanilla GMMN");
    }
}

TEST_MAIN(TEST(test_every_setting_is_stated), TEST(test_splits), TEST(test_plans))
