#include "jobs/stages/weight_problems.h"

#include <stdio.h>
#include <string.h>

enum { LISTED = 12 };

void weight_problems_clear(WeightProblems *problems)
{
    text_free(&problems->missing);
    text_free(&problems->misshapen);
    text_free(&problems->extra);
}

static void list_name(Text *text, int *count, const char *name, const char *more)
{
    if ((*count)++ < LISTED) text_format(text, "%s%s%s", text->length > 0 ? ", " : "", name, more);
}

bool weight_problems_check(WeightProblems *problems, const Safetensors *file, const char *name, int rank,
                           const int64_t *shape)
{
    const char *type;
    int found_rank;
    const int64_t *found;
    if (!safetensors_describe(file, name, &type, &found_rank, &found)) {
        list_name(&problems->missing, &problems->missing_count, name, "");
        return false;
    }
    if (found_rank == rank && memcmp(found, shape, (size_t)rank * sizeof *shape) == 0) return true;
    char stored[96], wanted[96], more[256];
    safetensors_format_shape(found_rank, found, stored, sizeof stored);
    safetensors_format_shape(rank, shape, wanted, sizeof wanted);
    snprintf(more, sizeof more, " (%s, not %s)", stored, wanted);
    list_name(&problems->misshapen, &problems->misshapen_count, name, more);
    return true;
}

void weight_problems_extra(WeightProblems *problems, const char *name)
{
    list_name(&problems->extra, &problems->extra_count, name, "");
}

static void conclude(Text *text, const Text *names, int count, const char *what)
{
    if (count == 0) return;
    text_format(text, "%s%d %s %s: %s", text->length > 0 ? "; " : "", count, count == 1 ? "tensor" : "tensors", what,
                text_string(names));
    if (count > LISTED) text_format(text, " and %d more", count - LISTED);
}

Status weight_problems_report(const WeightProblems *p, const char *path, WeightStyle style)
{
    if (p->missing_count + p->misshapen_count + p->extra_count == 0) return OK;
    Text text = {0};
    conclude(&text, &p->missing, p->missing_count, "missing");
    conclude(&text, &p->misshapen, p->misshapen_count, "of another shape");
    conclude(&text, &p->extra, p->extra_count, "of no use to this network");
    Status status = status_error(STATUS_INVALID, "%s (names as %s's): %s", path, weight_style_name(style),
                                 text_string(&text));
    text_free(&text);
    return status;
}
