/* Names of published state dicts. */
#include "models/segmenter/weight_names.h"

#include "tests/test.h"

static void check_name(WeightStyle style, const char *ours, const char *theirs)
{
    char name[128];
    CHECK(weight_name_foreign(style, ours, name, sizeof name));
    CHECK_STRING(name, theirs);
}

static void test_names(void)
{
    check_name(WEIGHTS_TORCHVISION, "backbone.layer1.0.bn2.running_mean", "layer1.0.bn2.running_mean");
    check_name(WEIGHTS_TORCHVISION, "backbone.features.1.conv.0.0.weight", "features.1.conv.0.0.weight");
    check_name(WEIGHTS_DETECTRON2, "backbone.conv1.weight", "stem.conv1.weight");
    check_name(WEIGHTS_DETECTRON2, "backbone.bn1.running_var", "stem.conv1.norm.running_var");
    check_name(WEIGHTS_DETECTRON2, "backbone.layer1.0.conv1.weight", "res2.0.conv1.weight");
    check_name(WEIGHTS_DETECTRON2, "backbone.layer3.22.bn3.bias", "res4.22.conv3.norm.bias");
    check_name(WEIGHTS_DETECTRON2, "backbone.layer4.0.downsample.0.weight", "res5.0.shortcut.weight");
    check_name(WEIGHTS_DETECTRON2, "backbone.layer4.0.downsample.1.running_mean", "res5.0.shortcut.norm.running_mean");
    check_name(WEIGHTS_MASK2FORMER, "backbone.bn1.weight", "backbone.stem.conv1.norm.weight");
    check_name(WEIGHTS_MASK2FORMER, "pixel_decoder.transformer.encoder.layers.0.self_attn.value_proj.weight",
               "sem_seg_head.pixel_decoder.transformer.encoder.layers.0.self_attn.value_proj.weight");
    check_name(WEIGHTS_PADING, "decoder.class_embed.bias", "sem_seg_head.predictor.class_embed.bias");
    check_name(WEIGHTS_ZEROTH, "decoder.query_feat.weight", "decoder.query_feat.weight");
    char name[128];
    CHECK(!weight_name_foreign(WEIGHTS_TORCHVISION, "decoder.query_feat.weight", name, sizeof name));
    CHECK(!weight_name_foreign(WEIGHTS_DETECTRON2, "backbone.features.0.0.weight", name, sizeof name));
    CHECK(!weight_name_foreign(WEIGHTS_DETECTRON2, "backbone.layer1.0.conv1.weight", name, 10)); /* no room */
}

static void test_parts(void)
{
    CHECK_INT(weight_part("backbone.conv1.weight"), WEIGHT_PART_BACKBONE);
    CHECK_INT(weight_part("pixel_decoder.mask_features.bias"), WEIGHT_PART_BODY);
    CHECK_INT(weight_part("decoder.class_embed.weight"), WEIGHT_PART_ALL);
    CHECK_INT(weight_part_foreign(WEIGHTS_TORCHVISION, "fc.bias"), WEIGHT_PART_NONE);
    CHECK_INT(weight_part_foreign(WEIGHTS_TORCHVISION, "bn1.num_batches_tracked"), WEIGHT_PART_NONE);
    CHECK_INT(weight_part_foreign(WEIGHTS_TORCHVISION, "layer9.0.conv1.weight"), WEIGHT_PART_BACKBONE);
    CHECK_INT(weight_part_foreign(WEIGHTS_DETECTRON2, "stem.fc.weight"), WEIGHT_PART_NONE);
    CHECK_INT(weight_part_foreign(WEIGHTS_MASK2FORMER, "criterion.empty_weight"), WEIGHT_PART_NONE);
    CHECK_INT(weight_part_foreign(WEIGHTS_PADING, "decoder.decoder.0.weight"), WEIGHT_PART_NONE);
    CHECK_INT(weight_part_foreign(WEIGHTS_PADING, "sem_seg_head.predictor.class_embed.weight"), WEIGHT_PART_ALL);
    CHECK_INT(weight_part_foreign(WEIGHTS_PADING, "sem_seg_head.predictor.query_feat.weight"), WEIGHT_PART_BODY);
}

static bool has(const void *file, const char *name)
{
    for (const char *const *at = file; *at != NULL; at++)
        if (strcmp(*at, name) == 0) return true;
    return false;
}

static void test_detection(void)
{
    static const char *const torchvision[] = {"conv1.weight", NULL}, *const detectron2[] = {"stem.conv1.weight", NULL},
                      *const published[] = {"backbone.stem.conv1.weight", "sem_seg_head.predictor.query_feat.weight", NULL},
                      *const pading[] = {"sem_seg_head.predictor.query_feat.weight", "new_fc.weight", NULL},
                      *const ours[] = {"decoder.query_feat.weight", "backbone.conv1.weight", NULL},
                      *const none[] = {"something.weight", NULL};
    WeightStyle style;
    CHECK(weight_style_detect(has, torchvision, &style) && style == WEIGHTS_TORCHVISION);
    CHECK(weight_style_detect(has, detectron2, &style) && style == WEIGHTS_DETECTRON2);
    CHECK(weight_style_detect(has, published, &style) && style == WEIGHTS_MASK2FORMER);
    CHECK(weight_style_detect(has, pading, &style) && style == WEIGHTS_PADING);
    CHECK(weight_style_detect(has, ours, &style) && style == WEIGHTS_ZEROTH);
    CHECK(!weight_style_detect(has, none, &style));
    CHECK(weight_style_find("pading", &style) && style == WEIGHTS_PADING);
    CHECK(!weight_style_find("caffe", &style));
}

TEST_MAIN(TEST(test_names), TEST(test_parts), TEST(test_detection))
