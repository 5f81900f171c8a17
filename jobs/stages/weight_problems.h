/* What is wrong with a file of weights: all of it, by name, in one error. */
#ifndef STAGES_WEIGHT_PROBLEMS_H
#define STAGES_WEIGHT_PROBLEMS_H

#include "framework/text.h"
#include "models/segmenter/weight_names.h"
#include "storage/safetensors.h"

/* Zero-initialise before use. */
typedef struct WeightProblems { Text missing, misshapen, extra; int missing_count, misshapen_count, extra_count; } WeightProblems;
void weight_problems_clear(WeightProblems *problems);

/* Whether the file has a tensor of that name; notes one that is absent or of another shape. */
bool weight_problems_check(WeightProblems *problems, const Safetensors *file, const char *name, int rank,
                           const int64_t *shape);
/* Notes a tensor that belongs to nothing. */
void weight_problems_extra(WeightProblems *problems, const char *name);
/* OK where nothing was noted. */
Status weight_problems_report(const WeightProblems *problems, const char *path, WeightStyle style);

#endif
