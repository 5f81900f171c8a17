/* Mask2Former's transformer decoder (Cheng et al. 2022, section 3.2): learned
 * queries, masked cross-attention to three feature scales in turn,
 * self-attention, feed-forward, norms after; the same heads predict classes
 * and masks from the input queries and after every layer. Published parameter
 * names and layouts. */
#ifndef SEGMENTER_MASK_DECODER_H
#define SEGMENTER_MASK_DECODER_H

#include "models/engine/graph.h"

#define MASK_DECODER_MAX_LAYERS 31
#define MASK_DECODER_SCALES 3

typedef struct MaskDecoderConfig {
    int dim;      /* D, a multiple of 4 and of heads: queries and multi-scale features */
    int mask_dim; /* M: mask features and mask embeddings */
    int heads, ffn, layers;
    int queries;  /* Q */
    int classes;  /* S, without no object */
} MaskDecoderConfig;

/* Heads 0 .. layers: of the input queries, then after each layer. */
typedef struct MaskDecoderOutputs {
    int heads;
    Tensor *class_logits[MASK_DECODER_MAX_LAYERS + 1]; /* [N, Q, S + 1] */
    Tensor *mask_logits[MASK_DECODER_MAX_LAYERS + 1];  /* [N, Q, H * W] of mask_features */
    Tensor *embeddings; /* [N, Q, D]: the last head's queries after the norm, input of its class layer */
} MaskDecoderOutputs;

/* STATUS_INVALID for sizes that don't fit together. `prefix` is "" or ends in a dot. */
Status mask_decoder_add_parameters(Parameters *parameters, const char *prefix, const MaskDecoderConfig *config);
/* `scales`: [N, h, w, D], from coarse to fine; `mask_features` [N, H, W, M].
 * Without `auxiliary` only the last head's class logits are made, the others
 * are NULL (every head's masks are made: the next layer attends by them).
 * Marks no outputs. Mistakes are kept in the graph. */
void mask_decoder_build(Graph *graph, const Parameters *parameters, const char *prefix,
                        const MaskDecoderConfig *config, Tensor *const scales[MASK_DECODER_SCALES],
                        Tensor *mask_features, bool auxiliary, MaskDecoderOutputs *outputs);

#endif
