/* The whole segmenter: backbone, pixel decoder, masked-attention transformer
 * decoder and its training loss (Cheng et al. 2022). One image at a time: a
 * batch is several calls, whose gradients the caller adds up.
 *
 * Parameters have the published names under "backbone.", "pixel_decoder." and
 * "decoder."; the class head is "decoder.class_embed.weight" [S+1, D] and
 * ".bias" [S+1]. Not thread-safe. */
#ifndef SEGMENTER_SEGMENTER_H
#define SEGMENTER_SEGMENTER_H

#include "models/engine/graph.h"
#include "models/segmenter/backbone.h"
#include "models/segmenter/criterion.h"
#include "models/segmenter/pixel_decoder.h"

typedef struct SegmenterConfig {
    BackboneConfig backbone;
    PixelDecoderKind pixel_decoder;
    int pixel_layers;         /* encoder layers of the deformable one */
    int pixel_ffn;            /* hidden size of their feed-forward part; 0: ffn */
    int dim;                  /* D: queries, features; a multiple of heads and of 4 */
    int mask_dim;             /* of mask embeddings and features; 0: dim */
    int heads, ffn, layers;   /* of the transformer decoder; heads also of the deformable encoder */
    int queries;              /* Q */
    int classes;              /* S, without no object */
    bool decay_biases;        /* weight decay applies to biases of layers too, as published; never to norms */
    CriterionConfig criterion;
} SegmenterConfig;
SegmenterConfig segmenter_default(int classes); /* the small network of the config's defaults */

typedef struct Segmenter Segmenter;
/* Parameters are drawn from `seed`. dtype F32, or F64 for gradient checks.
 * STATUS_INVALID where sizes don't fit together. */
Status segmenter_create(const SegmenterConfig *config, const Backend *backend, Dtype dtype, uint64_t seed,
                        Segmenter **segmenter);
void segmenter_destroy(Segmenter *segmenter);
/* Owned by the segmenter; values may be overwritten by a checkpoint or another network's. */
Parameters *segmenter_parameters(Segmenter *segmenter);
const SegmenterConfig *segmenter_config(const Segmenter *segmenter);
/* Graphs kept, each for one image shape and purpose (training, inference), the least recently used thrown away
 * first; 4 by default. */
void segmenter_set_cache(Segmenter *segmenter, int graphs);

/* Sizes of the mask logits of a height x width image: a quarter, rounded up. */
void segmenter_mask_size(int64_t height, int64_t width, int64_t *mask_height, int64_t *mask_width);

/* Forward, loss and backward of one image [height, width, 3], normalised:
 * ADDS its share of the batch's gradient to parameters->grads (zero them
 * first, or per sample for a GradientTree). The target's map may have another
 * resolution than the image; both cover the same field. Any height and width:
 * maps round up. `batch`: criterion_count over the batch's images first.
 * A non-finite loss or gradient is not an error here: see losses, and
 * optimizer_clip. */
Status segmenter_train_sample(Segmenter *segmenter, const float *image, int64_t height, int64_t width,
                              const SegmentTarget *target, const CriterionBatch *batch, CriterionLosses *losses);
/* Told of gradients as they become final during segmenter_train_sample, see graph.h. */
void segmenter_set_gradient_hook(Segmenter *segmenter, GraphGradientHook *hook, void *context);
/* The same without backward: the loss alone, for validation. */
Status segmenter_loss(Segmenter *segmenter, const float *image, int64_t height, int64_t width,
                      const SegmentTarget *target, const CriterionBatch *batch, CriterionLosses *losses);

/* Outputs of the last head, in the caller's buffers; any may be NULL. */
typedef struct SegmenterOutputs {
    float *class_logits; /* [Q, S + 1] */
    float *mask_logits;  /* [Q, mask_height * mask_width] */
    float *embeddings;   /* [Q, D]: queries after the last norm, the class head's input */
} SegmenterOutputs;
/* `query_label` [Q] with `target`: the label of the segment that each query
 * matches (points keyed by `batch`), or S for no object. Both NULL: not
 * matched. */
Status segmenter_infer(Segmenter *segmenter, const float *image, int64_t height, int64_t width,
                       const SegmentTarget *target, const CriterionBatch *batch, SegmenterOutputs *outputs,
                       int32_t *query_label);

#endif
