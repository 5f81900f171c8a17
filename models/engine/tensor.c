#include "models/engine/tensor.h"

#include <stdio.h>

#include "models/engine/op.h"

static const struct { const char *name; int size; } dtypes[] = {
#define X(dtype, name, size) [dtype] = {name, size},
    DTYPES(X)
#undef X
};
_Static_assert(sizeof dtypes / sizeof dtypes[0] == DTYPE_COUNT, "every dtype has its row");

int dtype_size(Dtype dtype)
{
    return dtypes[dtype].size;
}

const char *dtype_name(Dtype dtype)
{
    return dtypes[dtype].name;
}

int64_t tensor_leading(const Tensor *tensor, int trailing)
{
    int64_t product = 1;
    for (int d = 0; d < tensor->rank - trailing; d++) product *= tensor->shape[d];
    return product;
}

ShapeText shape_text(const Tensor *tensor)
{
    ShapeText shape = {"no tensor"};
    if (tensor == NULL) return shape;
    int at = snprintf(shape.text, sizeof shape.text, "[");
    for (int d = 0; d < tensor->rank; d++)
        at += snprintf(shape.text + at, sizeof shape.text - (size_t)at, d == 0 ? "%lld" : ", %lld", (long long)tensor->shape[d]);
    snprintf(shape.text + at, sizeof shape.text - (size_t)at, "]%s%s", tensor_is_real(tensor) ? "" : " ",
             tensor_is_real(tensor) ? "" : dtype_name(tensor->dtype));
    return shape;
}

bool tensor_same_shape(const Tensor *a, const Tensor *b)
{
    bool same = a->rank == b->rank;
    for (int d = 0; same && d < a->rank; d++) same = a->shape[d] == b->shape[d];
    return same;
}
