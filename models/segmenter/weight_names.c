#include "models/segmenter/weight_names.h"

#include <stdio.h>
#include <string.h>

#define BACKBONE "backbone."
#define PIXELS "pixel_decoder."
#define DECODER "decoder."
#define PUBLISHED_PIXELS "sem_seg_head.pixel_decoder."
#define PUBLISHED_DECODER "sem_seg_head.predictor."
#define CLASS_HEAD "class_embed."

static const char *const style_names[] = {
#define X(style, name) name,
    WEIGHT_STYLES(X)
#undef X
};
_Static_assert(sizeof style_names / sizeof style_names[0] == WEIGHT_STYLE_COUNT, "every style has a name");

const char *weight_style_name(WeightStyle style)
{
    return (unsigned)style < WEIGHT_STYLE_COUNT ? style_names[style] : "unknown";
}

bool weight_style_find(const char *name, WeightStyle *style)
{
    for (int i = 0; i < WEIGHT_STYLE_COUNT; i++) {
        if (strcmp(style_names[i], name) != 0) continue;
        *style = (WeightStyle)i;
        return true;
    }
    return false;
}

bool weight_style_is_backbone(WeightStyle style)
{
    return style == WEIGHTS_TORCHVISION || style == WEIGHTS_DETECTRON2;
}

/* The text after `prefix`, or NULL. */
static const char *after(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static bool put(char *out, size_t size, const char *first, const char *second)
{
    int length = snprintf(out, size, "%s%s", first, second);
    return length >= 0 && (size_t)length < size;
}

/* -- a ResNet's tensors, as detectron2 has them -- */

/* A norm belongs to its convolution: bn2.weight is conv2.norm.weight. `rest`: conv2.weight, bn2.bias,
 * downsample.0.weight, downsample.1.running_mean, ... */
static bool detectron2_part(const char *rest, char *out, size_t size)
{
    int number, used = 0;
    int length = -1;
    if (sscanf(rest, "conv%d.%n", &number, &used) == 1 && used > 0)
        length = snprintf(out, size, "conv%d.%s", number, rest + used);
    else if (sscanf(rest, "bn%d.%n", &number, &used) == 1 && used > 0)
        length = snprintf(out, size, "conv%d.norm.%s", number, rest + used);
    else if (after(rest, "downsample.0.") != NULL)
        length = snprintf(out, size, "shortcut.%s", after(rest, "downsample.0."));
    else if (after(rest, "downsample.1.") != NULL)
        length = snprintf(out, size, "shortcut.norm.%s", after(rest, "downsample.1."));
    return length >= 0 && (size_t)length < size;
}

static bool detectron2_name(const char *ours, char *out, size_t size)
{
    int stage, block, used = 0, length;
    if (sscanf(ours, "layer%d.%d.%n", &stage, &block, &used) == 2 && used > 0) {
        length = snprintf(out, size, "res%d.%d.", stage + 1, block);
        ours += used;
    } else {
        length = snprintf(out, size, "stem.");
    }
    return length >= 0 && (size_t)length < size && detectron2_part(ours, out + length, size - (size_t)length);
}

/* -- whole names -- */

static bool published_name(const char *ours, char *out, size_t size)
{
    const char *rest;
    if ((rest = after(ours, BACKBONE)) != NULL)
        return put(out, size, BACKBONE, "") && detectron2_name(rest, out + strlen(BACKBONE), size - strlen(BACKBONE));
    if ((rest = after(ours, PIXELS)) != NULL) return put(out, size, PUBLISHED_PIXELS, rest);
    if ((rest = after(ours, DECODER)) != NULL) return put(out, size, PUBLISHED_DECODER, rest);
    return false;
}

bool weight_name_foreign(WeightStyle style, const char *ours, char *out, size_t size)
{
    const char *backbone = after(ours, BACKBONE);
    switch (style) {
    case WEIGHTS_ZEROTH: return put(out, size, ours, "");
    case WEIGHTS_TORCHVISION: return backbone != NULL && put(out, size, backbone, "");
    case WEIGHTS_DETECTRON2: return backbone != NULL && detectron2_name(backbone, out, size);
    case WEIGHTS_MASK2FORMER:
    case WEIGHTS_PADING: return published_name(ours, out, size);
    default: return false;
    }
}

/* -- parts -- */

WeightPart weight_part(const char *ours)
{
    if (after(ours, BACKBONE) != NULL) return WEIGHT_PART_BACKBONE;
    return after(ours, DECODER CLASS_HEAD) != NULL ? WEIGHT_PART_ALL : WEIGHT_PART_BODY;
}

static WeightPart published_part(const char *name)
{
    if (after(name, BACKBONE) != NULL) return WEIGHT_PART_BACKBONE;
    if (after(name, PUBLISHED_DECODER CLASS_HEAD) != NULL) return WEIGHT_PART_ALL;
    if (after(name, PUBLISHED_PIXELS) != NULL || after(name, PUBLISHED_DECODER) != NULL) return WEIGHT_PART_BODY;
    return WEIGHT_PART_NONE;
}

WeightPart weight_part_foreign(WeightStyle style, const char *name)
{
    /* what ImageNet's classifiers have after the maps that are used here */
    static const char *const tails[] = {"fc.", "classifier.", "features.18.", "stem.fc.", "linear.", "fc1000."};
    if (ends_in(name, ".num_batches_tracked")) return WEIGHT_PART_NONE;
    if (style == WEIGHTS_ZEROTH) return weight_part(name);
    if (!weight_style_is_backbone(style)) return published_part(name);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++)
        if (after(name, tails[i]) != NULL) return WEIGHT_PART_NONE;
    return WEIGHT_PART_BACKBONE;
}

bool weight_style_detect(bool (*has)(const void *file, const char *name), const void *file, WeightStyle *style)
{
    static const struct { const char *name; WeightStyle style; } marks[] = {
        {"sem_seg_head.predictor.query_feat.weight", WEIGHTS_MASK2FORMER},
        {"decoder.query_feat.weight", WEIGHTS_ZEROTH},
        {"stem.conv1.weight", WEIGHTS_DETECTRON2},
        {"conv1.weight", WEIGHTS_TORCHVISION},
        {"features.0.0.weight", WEIGHTS_TORCHVISION},
    };
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (!has(file, marks[i].name)) continue;
        *style = marks[i].style;
        if (*style == WEIGHTS_MASK2FORMER && has(file, "new_fc.weight")) *style = WEIGHTS_PADING;
        return true;
    }
    return false;
}
