#include "models/metrics/tradeoff.h"

#include <math.h>
#include <stdlib.h>

#include "framework/memory.h"

double tradeoff_area(const TradeoffPoint *points, int count)
{
    double area = 0;
    for (int i = 1; i < count; i++)
        area += (points[i - 1].seen - points[i].seen) * (points[i - 1].unseen + points[i].unseen) / 2;
    return area;
}

void tradeoff_shift_bias(const float *bias, const ClassTable *classes, double shift, float *out)
{
    for (int c = 0; c < classes->count; c++) {
        const bool unseen = classes->entries[c].is_unseen;
        if (isinf(shift)) out[c] = unseen == (shift < 0) ? -INFINITY : bias[c];
        else out[c] = unseen ? bias[c] : (float)((double)bias[c] - shift);
    }
    out[classes->count] = bias[classes->count];
}

/* A training query that is right: the shift at which it no longer is, and its weight. */
typedef struct Margin {
    double shift, weight;
    int64_t row;
} Margin;

static int compare_margins(const void *a, const void *b)
{
    const Margin *x = a, *y = b;
    if (x->shift != y->shift) return x->shift < y->shift ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static double logit(const float *x, const float *weight, const float *bias, int64_t c, int dim)
{
    double sum = (double)bias[c];
    for (int i = 0; i < dim; i++) sum += (double)x[i] * (double)weight[c * dim + i];
    return sum;
}

/* Whether the query of class `label` is right, and by how much its logit leads those a shift doesn't lower. */
static bool find_margin(const float *x, int32_t label, int dim, const float *weight, const float *bias,
                        const ClassTable *classes, double *margin)
{
    const double own = logit(x, weight, bias, label, dim);
    double rival = logit(x, weight, bias, classes->count, dim);
    bool right = true;
    for (int c = 0; c < classes->count && right; c++) {
        if (c == label) continue;
        const double other = logit(x, weight, bias, c, dim);
        if (classes->entries[c].is_unseen) rival = fmax(rival, other);
        else right = other < own;
    }
    *margin = own - rival;
    return right && own > rival;
}

/* Collects the margins of queries that are right; each class weighs one. counts [C] is scratch. */
static int64_t collect(const float *embeddings, const int32_t *labels, int64_t rows, int dim, const float *weight,
                       const float *bias, const ClassTable *classes, int64_t *counts, Margin *margins)
{
    int64_t count = 0;
    for (int64_t i = 0; i < rows; i++) {
        double margin;
        if (labels[i] >= classes->count) continue;
        counts[labels[i]]++;
        if (find_margin(embeddings + i * dim, labels[i], dim, weight, bias, classes, &margin))
            margins[count++] = (Margin){.shift = margin, .row = i};
    }
    for (int64_t i = 0; i < count; i++) margins[i].weight = 1.0 / (double)counts[labels[margins[i].row]];
    return count;
}

Status tradeoff_choose_shift(const float *embeddings, const int32_t *labels, int64_t rows, int dim, const float *weight,
                             const float *bias, const ClassTable *classes, double budget, double *shift)
{
    *shift = 0;
    Margin *margins = memory_alloc(((size_t)rows + 1) * sizeof *margins);
    int64_t *counts = memory_alloc_zero((size_t)classes->count + 1, sizeof *counts);
    Status status = OK;
    if (margins == NULL || counts == NULL) {
        status = status_no_memory((size_t)rows * sizeof *margins, "margins of training queries");
    } else {
        const int64_t count = collect(embeddings, labels, rows, dim, weight, bias, classes, counts, margins);
        double total = 0, lost = 0;
        qsort(margins, (size_t)count, sizeof *margins, compare_margins);
        for (int64_t i = 0; i < count; i++) total += margins[i].weight;
        /* A query stays right up to its margin: the shift goes to the margin of the first that may not be lost. */
        int64_t i = 0;
        while (i + 1 < count && lost + margins[i].weight <= budget * total) lost += margins[i++].weight;
        if (count > 0) *shift = nextafter(margins[i].shift, 0);
    }
    memory_free(margins);
    memory_free(counts);
    return status;
}
