#include "models/engine/tensor.h"

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
