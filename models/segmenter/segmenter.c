#include "models/segmenter/segmenter.h"

#include <string.h>

#include "framework/memory.h"
#include "models/segmenter/mask_decoder.h"

#define DEFAULT_CACHE 4
#define MAX_CACHE 64
#define SAMPLING_POINTS 4 /* of the deformable encoder, a head and level (Zhu et al. 2021) */

/* The network for one image shape. */
typedef struct Net {
    int64_t height, width;
    bool training;
    int64_t mask_height, mask_width;
    Graph *graph;
    Tensor *image;
    MaskDecoderOutputs outputs;
    int64_t last_use;
} Net;

struct Segmenter {
    SegmenterConfig config;
    PixelDecoderConfig pixel_decoder;
    MaskDecoderConfig mask_decoder;
    const Backend *backend;
    Parameters *parameters;
    Criterion *criterion;
    Net *nets[MAX_CACHE];
    int net_count, cache;
    int64_t clock; /* counts uses */
    void *staging; /* host copies of one run's heads, for backends whose memory is not the host's; also conversions */
    size_t staging_bytes;
    GraphGradientHook *hook;
    void *hook_context;
};

SegmenterConfig segmenter_default(int classes)
{
    return (SegmenterConfig){.backbone = {.kind = BACKBONE_RESNET, .width = 32, .blocks = {1, 1, 1, 1}, .stem = 3,
                                          .lr_multiplier = 0.1},
                             .pixel_decoder = PIXEL_DECODER_FPN, .pixel_layers = 2, .dim = 64, .heads = 4, .ffn = 128,
                             .layers = 3, .queries = 20, .classes = classes, .criterion = criterion_default()};
}

void segmenter_mask_size(int64_t height, int64_t width, int64_t *mask_height, int64_t *mask_width)
{
    *mask_height = (height + 3) / 4;
    *mask_width = (width + 3) / 4;
}

/* -- creation -- */

static void set_parts(Segmenter *s)
{
    const SegmenterConfig *c = &s->config;
    int mask_dim = c->mask_dim > 0 ? c->mask_dim : c->dim;
    s->pixel_decoder = (PixelDecoderConfig){
        .kind = c->pixel_decoder, .dim = c->dim, .mask_dim = mask_dim, .layers = c->pixel_layers, .heads = c->heads,
        .points = SAMPLING_POINTS, .ffn = c->pixel_ffn > 0 ? c->pixel_ffn : c->ffn};
    backbone_channels(&c->backbone, s->pixel_decoder.channels);
    s->mask_decoder = (MaskDecoderConfig){.dim = c->dim, .mask_dim = mask_dim, .heads = c->heads, .ffn = c->ffn,
                                          .layers = c->layers, .queries = c->queries, .classes = c->classes};
}

static Status check_config(const SegmenterConfig *c)
{
    const BackboneConfig *b = &c->backbone;
    if (b->kind == BACKBONE_RESNET) {
        if (b->width < 1) return status_error(STATUS_INVALID, "backbone width %d must be positive", b->width);
        if (b->stem < 1 || b->stem % 2 == 0)
            return status_error(STATUS_INVALID, "the backbone's first kernel has side %d, which is not odd", b->stem);
        for (int i = 0; i < 4; i++)
            if (b->blocks[i] < 1) return status_error(STATUS_INVALID, "stage %d of the backbone has no block", i + 1);
    }
    if (c->pixel_decoder == PIXEL_DECODER_DEFORMABLE && c->pixel_layers < 1)
        return status_error(STATUS_INVALID, "the deformable pixel decoder needs at least one layer");
    if (c->mask_dim < 0) return status_error(STATUS_INVALID, "mask_dim %d is negative", c->mask_dim);
    if (c->layers + 1 > CRITERION_MAX_HEADS)
        return status_error(STATUS_INVALID, "%d decoder layers; at most %d", c->layers, CRITERION_MAX_HEADS - 1);
    return OK;
}

/* A bias whose weight is a matrix is a layer's; a norm's weight is a vector. */
static void decay_biases(const Parameters *parameters)
{
    static const char tail[] = "bias", stacked[] = "in_proj_bias";
    for (int i = 0; i < parameters->count; i++) {
        Parameter *p = parameters->items[i];
        size_t length = strlen(p->name), end = sizeof tail - 1;
        if (p->rank != 1 || length < end || length - end > 200 || strcmp(p->name + length - end, tail) != 0) continue;
        char weight[256];
        memcpy(weight, p->name, length - end);
        memcpy(weight + length - end, "weight", sizeof "weight");
        const Parameter *beside = parameters_find(parameters, weight);
        bool of_attention = length >= sizeof stacked - 1 && strcmp(p->name + length - (sizeof stacked - 1), stacked) == 0;
        p->decay = of_attention || (beside != NULL && beside->rank >= 2);
    }
}

Status segmenter_create(const SegmenterConfig *config, const Backend *backend, Dtype dtype, uint64_t seed,
                        Segmenter **segmenter)
{
    *segmenter = NULL;
    TRY(check_config(config));
    Segmenter *s = memory_alloc_zero(1, sizeof *s);
    if (s == NULL) return status_no_memory(sizeof *s, "a segmenter");
    s->config = *config;
    s->backend = backend;
    s->cache = DEFAULT_CACHE;
    set_parts(s);
    Status status;
    TRY_GOTO(status, parameters_create(dtype, &s->parameters), failed);
    backbone_add_parameters(s->parameters, "backbone.", &s->config.backbone);
    pixel_decoder_add_parameters(s->parameters, "pixel_decoder.", &s->pixel_decoder);
    TRY_GOTO(status, mask_decoder_add_parameters(s->parameters, "decoder.", &s->mask_decoder), failed);
    if (config->decay_biases) decay_biases(s->parameters);
    TRY_GOTO(status, parameters_allocate(s->parameters, seed), failed);
    pixel_decoder_initialize(s->parameters, "pixel_decoder.", &s->pixel_decoder);
    TRY_GOTO(status, criterion_create(&config->criterion, dtype, config->queries, config->classes, &s->criterion), failed);
    *segmenter = s;
    return OK;
failed:
    segmenter_destroy(s);
    return status;
}

static void net_destroy(Net *net)
{
    if (net == NULL) return;
    graph_destroy(net->graph);
    memory_free(net);
}

void segmenter_destroy(Segmenter *s)
{
    if (s == NULL) return;
    for (int i = 0; i < s->net_count; i++) net_destroy(s->nets[i]);
    criterion_destroy(s->criterion);
    parameters_destroy(s->parameters);
    memory_free(s->staging);
    memory_free(s);
}

Parameters *segmenter_parameters(Segmenter *segmenter)
{
    return segmenter->parameters;
}

const SegmenterConfig *segmenter_config(const Segmenter *segmenter)
{
    return &segmenter->config;
}

/* -- graphs, one for each shape and purpose -- */

static void drop_oldest(Segmenter *s)
{
    int oldest = 0;
    for (int i = 1; i < s->net_count; i++)
        if (s->nets[i]->last_use < s->nets[oldest]->last_use) oldest = i;
    net_destroy(s->nets[oldest]);
    s->nets[oldest] = s->nets[--s->net_count];
}

void segmenter_set_cache(Segmenter *s, int graphs)
{
    s->cache = graphs < 1 ? 1 : graphs > MAX_CACHE ? MAX_CACHE : graphs;
    while (s->net_count > s->cache) drop_oldest(s);
}

static Status build_net(Segmenter *s, Net *net)
{
    TRY(graph_create(s->backend, s->parameters->dtype, &net->graph));
    Tensor *features[4] = {NULL};
    PixelDecoderOutput pixels = {0};
    net->image = graph_add_input(net->graph, s->parameters->dtype, 4, (int64_t[]){1, net->height, net->width, 3}, false);
    backbone_build(net->graph, s->parameters, "backbone.", &s->config.backbone, net->image, features);
    pixel_decoder_build(net->graph, s->parameters, "pixel_decoder.", &s->pixel_decoder, features, &pixels);
    mask_decoder_build(net->graph, s->parameters, "decoder.", &s->mask_decoder, pixels.multi_scale,
                       pixels.mask_features, net->training, &net->outputs);
    int last = net->outputs.heads - 1;
    for (int h = net->training ? 0 : last; h <= last; h++) {
        graph_mark_output(net->outputs.class_logits[h]);
        graph_mark_output(net->outputs.mask_logits[h]);
    }
    if (!net->training) graph_mark_output(net->outputs.embeddings);
    TRY(graph_compile(net->graph, net->training));
    if (net->outputs.mask_logits[last]->shape[2] != net->mask_height * net->mask_width)
        return status_error(STATUS_INTERNAL, "masks of a %lld x %lld image are not a quarter of it",
                            (long long)net->height, (long long)net->width);
    return OK;
}

static Status find_net(Segmenter *s, int64_t height, int64_t width, bool training, Net **found)
{
    for (int i = 0; i < s->net_count; i++) {
        Net *net = s->nets[i];
        if (net->height != height || net->width != width || net->training != training) continue;
        net->last_use = ++s->clock;
        *found = net;
        return OK;
    }
    if (height < 1 || width < 1)
        return status_error(STATUS_INVALID, "an image of %lld x %lld pixels", (long long)height, (long long)width);
    while (s->net_count >= s->cache) drop_oldest(s); /* first, so that never more than the limit are in memory */
    Net *net = memory_alloc_zero(1, sizeof *net);
    if (net == NULL) return status_no_memory(sizeof *net, "a graph");
    *net = (Net){.height = height, .width = width, .training = training, .last_use = ++s->clock};
    segmenter_mask_size(height, width, &net->mask_height, &net->mask_width);
    Status status = build_net(s, net);
    if (status != OK) {
        net_destroy(net);
        return status_wrap(status, "segmenter for %lld x %lld", (long long)height, (long long)width);
    }
    s->nets[s->net_count++] = net;
    *found = net;
    return OK;
}

/* -- to and from the graph's memory -- */

static bool on_host(const Segmenter *s)
{
    return s->backend == backend_cpu();
}

static Status reserve_staging(Segmenter *s, size_t bytes)
{
    if (bytes <= s->staging_bytes) return OK;
    memory_free(s->staging);
    s->staging_bytes = 0;
    s->staging = memory_alloc_aligned(bytes);
    if (s->staging == NULL) return status_no_memory(bytes, "outputs of the segmenter");
    s->staging_bytes = bytes;
    return OK;
}

static size_t tensor_bytes(const Tensor *tensor)
{
    return (size_t)tensor->count * (size_t)dtype_size(tensor->dtype);
}

static Status put_image(Segmenter *s, const Net *net, const float *image)
{
    const Tensor *input = net->image;
    if (input->dtype == DTYPE_F32) return s->backend->upload(input->data, image, tensor_bytes(input));
    TRY(reserve_staging(s, tensor_bytes(input)));
    double *values = s->staging;
    for (int64_t i = 0; i < input->count; i++) values[i] = (double)image[i];
    return s->backend->upload(input->data, values, tensor_bytes(input));
}

static Status get_floats(Segmenter *s, const Tensor *tensor, float *out)
{
    if (out == NULL) return OK;
    if (tensor->dtype == DTYPE_F32) return s->backend->download(out, tensor->data, tensor_bytes(tensor));
    TRY(reserve_staging(s, tensor_bytes(tensor)));
    TRY(s->backend->download(s->staging, tensor->data, tensor_bytes(tensor)));
    const double *values = s->staging;
    for (int64_t i = 0; i < tensor->count; i++) out[i] = (float)values[i];
    return OK;
}

/* Places in the staging memory: 64-byte aligned. */
static void *take_staging(char **next, size_t bytes)
{
    void *place = *next;
    *next += (bytes + 63) / 64 * 64;
    return place;
}

/* The heads from `first` on as the criterion wants them: the graph's own memory where that is the host's, else copies. */
static Status get_heads(Segmenter *s, const Net *net, int first, bool gradients, CriterionHead *heads)
{
    const int count = net->outputs.heads - first;
    size_t class_bytes = tensor_bytes(net->outputs.class_logits[first]);
    size_t mask_bytes = tensor_bytes(net->outputs.mask_logits[first]);
    if (!on_host(s)) TRY(reserve_staging(s, (size_t)count * 2 * (class_bytes + mask_bytes + 128)));
    char *next = s->staging;
    for (int h = 0; h < count; h++) {
        Tensor *class_logits = net->outputs.class_logits[first + h], *mask_logits = net->outputs.mask_logits[first + h];
        heads[h] = (CriterionHead){class_logits->data, mask_logits->data, gradients ? class_logits->grad : NULL,
                                   gradients ? mask_logits->grad : NULL};
        if (on_host(s)) continue;
        void *class_copy = take_staging(&next, class_bytes), *mask_copy = take_staging(&next, mask_bytes);
        TRY(s->backend->download(class_copy, class_logits->data, class_bytes));
        TRY(s->backend->download(mask_copy, mask_logits->data, mask_bytes));
        heads[h] = (CriterionHead){class_copy, mask_copy, gradients ? take_staging(&next, class_bytes) : NULL,
                                   gradients ? take_staging(&next, mask_bytes) : NULL};
    }
    return OK;
}

static Status put_gradients(Segmenter *s, const Net *net, const CriterionHead *heads)
{
    if (on_host(s)) return OK; /* the criterion wrote them there */
    for (int h = 0; h < net->outputs.heads; h++) {
        Tensor *class_logits = net->outputs.class_logits[h], *mask_logits = net->outputs.mask_logits[h];
        TRY(s->backend->upload(class_logits->grad, heads[h].class_grad, tensor_bytes(class_logits)));
        TRY(s->backend->upload(mask_logits->grad, heads[h].mask_grad, tensor_bytes(mask_logits)));
    }
    return OK;
}

/* -- the calls -- */

static Status forward_loss(Segmenter *s, const float *image, int64_t height, int64_t width, const SegmentTarget *target,
                           const CriterionBatch *batch, bool gradients, Net **net, CriterionLosses *losses)
{
    CriterionHead heads[CRITERION_MAX_HEADS];
    TRY(find_net(s, height, width, true, net));
    graph_set_random((*net)->graph, batch->seed, batch->step, batch->sample);
    TRY(put_image(s, *net, image));
    TRY(graph_forward((*net)->graph));
    TRY(get_heads(s, *net, 0, gradients, heads));
    TRY(criterion_run(s->criterion, heads, (*net)->outputs.heads, (*net)->mask_height, (*net)->mask_width, target, batch,
                      NULL, losses));
    return gradients ? put_gradients(s, *net, heads) : OK;
}

Status segmenter_train_sample(Segmenter *s, const float *image, int64_t height, int64_t width,
                              const SegmentTarget *target, const CriterionBatch *batch, CriterionLosses *losses)
{
    Net *net;
    TRY(forward_loss(s, image, height, width, target, batch, true, &net, losses));
    graph_set_gradient_hook(net->graph, s->hook, s->hook_context);
    return graph_backward(net->graph);
}

void segmenter_set_gradient_hook(Segmenter *s, GraphGradientHook *hook, void *context)
{
    s->hook = hook;
    s->hook_context = context;
}

Status segmenter_loss(Segmenter *s, const float *image, int64_t height, int64_t width, const SegmentTarget *target,
                      const CriterionBatch *batch, CriterionLosses *losses)
{
    Net *net;
    return forward_loss(s, image, height, width, target, batch, false, &net, losses);
}

Status segmenter_infer(Segmenter *s, const float *image, int64_t height, int64_t width, const SegmentTarget *target,
                       const CriterionBatch *batch, SegmenterOutputs *outputs, int32_t *query_label)
{
    Net *net;
    TRY(find_net(s, height, width, false, &net));
    TRY(put_image(s, net, image));
    TRY(graph_forward(net->graph));
    int last = net->outputs.heads - 1;
    if (outputs != NULL) {
        TRY(get_floats(s, net->outputs.class_logits[last], outputs->class_logits));
        TRY(get_floats(s, net->outputs.mask_logits[last], outputs->mask_logits));
        TRY(get_floats(s, net->outputs.embeddings, outputs->embeddings));
    }
    if (target == NULL || query_label == NULL) return OK;
    CriterionHead head;
    int64_t non_finite;
    TRY(get_heads(s, net, last, false, &head));
    TRY(criterion_match(s->criterion, &head, net->mask_height, net->mask_width, target, batch, query_label, &non_finite));
    for (int q = 0; q < s->config.queries; q++)
        query_label[q] = query_label[q] < 0 ? s->config.classes : target->segments[query_label[q]].label;
    return OK;
}
