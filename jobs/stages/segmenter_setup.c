#include "jobs/stages/segmenter_setup.h"

#include <string.h>

#include "framework/memory.h"
#include "jobs/stages/weights.h"
#include "storage/class_table.h"

/* The choices of segmenter.backbone from the third on: torchvision's. */
static const struct { const char *name; bool bottleneck; int blocks[4]; } RESNETS[] = {
    {"resnet18", false, {2, 2, 2, 2}},
    {"resnet34", false, {3, 4, 6, 3}},
    {"resnet50", true, {3, 4, 6, 3}},
    {"resnet101", true, {3, 4, 23, 3}},
};

/* A small ResNet as segmenter.width and segmenter.blocks say. */
static void set_own_resnet(const Config *config, BackboneConfig *b)
{
    b->stem = 3;
    b->width = (int)config_integer(config, "segmenter.width");
    for (int i = 0; i < 4; i++) {
        int64_t last = config_list_count(config, "segmenter.blocks") - 1;
        b->blocks[i] = (int)config_list_integer(config, "segmenter.blocks", i < last ? i : last);
    }
}

static BackboneConfig backbone_config_from(const Config *config)
{
    const char *name = config_string(config, "segmenter.backbone");
    BackboneConfig b = {.kind = strcmp(name, "mobilenet_v2") == 0 ? BACKBONE_MOBILENET_V2 : BACKBONE_RESNET};
    set_own_resnet(config, &b);
    for (size_t i = 0; i < sizeof RESNETS / sizeof RESNETS[0]; i++) {
        if (strcmp(name, RESNETS[i].name) != 0) continue;
        b.stem = 7;
        b.width = 64;
        b.bottleneck = RESNETS[i].bottleneck;
        memcpy(b.blocks, RESNETS[i].blocks, sizeof b.blocks);
        b.norm = BACKBONE_FROZEN_BATCH_NORM;
        b.pixels = BACKBONE_PIXELS_IMAGENET;
    }
    b.padding = (BackbonePadding)config_choice(config, "segmenter.padding");
    if (b.kind == BACKBONE_MOBILENET_V2 && b.padding == BACKBONE_PADDING_SYMMETRIC) b.pixels = BACKBONE_PIXELS_IMAGENET;
    int norm = config_choice(config, "segmenter.norm"), pixels = config_choice(config, "segmenter.pixels");
    if (norm > 0) b.norm = (BackboneNorm)(norm - 1);
    if (pixels > 0) b.pixels = (BackbonePixels)(pixels - 1);
    b.lr_multiplier = config_real(config, "segmenter.backbone_rate");
    b.frozen_stages = config_bool(config, "segmenter.freeze_backbone") ? 4 : 0;
    return b;
}

SegmenterConfig segmenter_config_from(const Config *config, int classes)
{
    SegmenterConfig s = segmenter_default(classes);
    s.backbone = backbone_config_from(config);
    s.pixel_decoder = (PixelDecoderKind)config_choice(config, "segmenter.pixel_decoder");
    s.pixel_layers = (int)config_integer(config, "segmenter.pixel_layers");
    s.pixel_ffn = (int)config_integer(config, "segmenter.pixel_ffn");
    s.dim = (int)config_integer(config, "segmenter.dim");
    s.mask_dim = s.dim;
    s.heads = (int)config_integer(config, "segmenter.heads");
    s.ffn = (int)config_integer(config, "segmenter.ffn");
    s.layers = (int)config_integer(config, "segmenter.layers");
    s.queries = (int)config_integer(config, "segmenter.queries");
    s.decay_biases = config_bool(config, "train.decay_biases");
    s.criterion.points = config_integer(config, "segmenter.points");
    s.criterion.class_weight = config_real(config, "segmenter.class_weight");
    s.criterion.mask_weight = config_real(config, "segmenter.mask_weight");
    s.criterion.dice_weight = config_real(config, "segmenter.dice_weight");
    s.criterion.no_object_weight = config_real(config, "segmenter.no_object_weight");
    s.criterion.ignore_void = config_bool(config, "segmenter.ignore_void");
    return s;
}

/* The keys that describe the network, and none that say where a user's files lie: equal networks, equal headers. */
static void write_network_keys(const Config *config, JsonWriter *writer)
{
    const unsigned network = 1u << STAGE_BACKBONE | 1u << STAGE_EXTRACT;
    json_begin_object(writer);
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        if ((CONFIG_SCHEMA[i].stages & network) != network) continue;
        json_key(writer, CONFIG_SCHEMA[i].name);
        json_string(writer, config_text(config, CONFIG_SCHEMA[i].name));
    }
    json_end_object(writer);
}

Status segmenter_write(const char *path, Segmenter *segmenter, const Config *config, const ClassTable *classes)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "config");
    write_network_keys(config, &writer);
    json_key(&writer, "classes");
    class_table_write_json(&writer, classes);
    json_end_object(&writer);
    ArrayList arrays = {0};
    Status status = weights_list(&arrays, "", segmenter_parameters(segmenter));
    if (status == OK && writer.text.failed) status = status_no_memory(1024, "a weights header");
    if (status == OK)
        status = checkpoint_write(path, SEGMENTER_KIND, text_string(&writer.text), arrays.items, arrays.count);
    array_list_clear(&arrays);
    text_free(&writer.text);
    return status;
}

static Status build_from_header(const Json *header, const char *path, Segmenter **segmenter, ClassTable *classes)
{
    TRY(class_table_read_json(json_member(header, "classes"), path, classes));
    Config *config = NULL;
    TRY(config_create(&config));
    Status status = config_read_json(config, json_member(header, "config"), path);
    if (status == OK) {
        SegmenterConfig setup = segmenter_config_from(config, classes->seen_count);
        status = segmenter_create(&setup, backend_cpu(), DTYPE_F32, 0, segmenter);
    }
    config_destroy(config);
    return status;
}

Status segmenter_read(const char *path, Segmenter **segmenter, ClassTable *classes, char **digest)
{
    Checkpoint *checkpoint = NULL;
    Json *header = NULL;
    ClassTable table = {0};
    *segmenter = NULL;
    Status status = checkpoint_read(path, SEGMENTER_KIND, &checkpoint);
    if (status != OK) return status;
    const char *text = checkpoint_header(checkpoint);
    TRY_GOTO(status, json_parse(text, strlen(text), path, &header), done);
    TRY_GOTO(status, build_from_header(header, path, segmenter, &table), done);
    TRY_GOTO(status, weights_load(checkpoint, "", segmenter_parameters(*segmenter)), done);
    if (digest != NULL && (*digest = memory_copy_string(checkpoint_digest(checkpoint))) == NULL)
        status = status_no_memory(HASH_HEX_SIZE, "a digest");
done:
    if (status == OK && classes != NULL) *classes = table;
    else class_table_clear(&table);
    if (status != OK) {
        segmenter_destroy(*segmenter);
        *segmenter = NULL;
        status = status_wrap(status, "%s", path);
    }
    json_destroy(header);
    checkpoint_destroy(checkpoint);
    return status;
}
