/* Values of one axis: lists, ranges, spaced numbers, and random draws. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/random.h"
#include "framework/text.h"
#include "jobs/study_private.h"

#define NOTATIONS "values, range, linspace, logspace (or log_range)"

static bool is_integral(const char *key)
{
    const ConfigKey *known = config_find_key(key, NULL);
    return known != NULL && known->type == CONFIG_INTEGER;
}

static Status number_value(StudyReader *reader, const char *key, double number, int line, const Yaml **out)
{
    Yaml *yaml = study_allocate(reader, 1, sizeof *yaml);
    if (yaml == NULL) return study_no_memory();
    yaml->line = line;
    yaml->scalar = arena_format(reader->study->arena, is_integral(key) ? "%.0f" : "%.15g",
                                is_integral(key) ? round(number) : number);
    *out = yaml;
    return yaml->scalar != NULL ? OK : study_no_memory();
}

/* `what` says what the list means, with an example. */
static Status read_numbers(const StudyReader *reader, const Yaml *list, size_t low, size_t high, const char *what,
                           double *numbers)
{
    if (list->type != YAML_LIST || list->count < low || list->count > high)
        return status_error(STATUS_INVALID, "%s:%d: expected a list of %s", reader->study->path, list->line, what);
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].type != YAML_SCALAR || !parse_real(list->items[i].scalar, &numbers[i]) ||
            !isfinite(numbers[i]))
            return status_error(STATUS_INVALID, "%s:%d: expected a number, in a list of %s", reader->study->path,
                                list->items[i].line, what);
    return OK;
}

/* [first, end] or [first, end, step], the end left out; a lone count is [0, count]. */
static Status read_range(StudyReader *reader, const char *key, const Yaml *list, Values *out)
{
    double n[3] = {0, 0, 1};
    if (list->type != YAML_SCALAR || !parse_real(list->scalar, &n[1]))
        TRY(read_numbers(reader, list, 2, 3, "two or three numbers: [first, end] or [first, end, step]", n));
    if (is_integral(key) && (n[0] != floor(n[0]) || n[1] != floor(n[1]) || n[2] != floor(n[2])))
        return study_bad(reader, list, "a range of this key is of integers: [first, end] or [first, end, step]");
    if (n[2] == 0) return study_bad(reader, list, "a range's step is not 0");
    /* A quotient that is an integer but for rounding is one: 0, 0.1, 0.2 of [0, 0.3, 0.1]. */
    double count = ceil((n[1] - n[0]) / n[2] - 1e-9);
    if (!(count >= 1))
        return study_bad(reader, list, "the range is empty: its end is left out, so the step must lead from the first "
                         "number towards it");
    if (count > STUDY_MAX_TRIALS) return study_bad(reader, list, "the range has too many values");
    out->count = (size_t)count;
    out->items = study_allocate(reader, out->count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < out->count; i++)
        TRY(number_value(reader, key, n[0] + (double)i * n[2], list->line, &out->items[i]));
    return OK;
}

static Status read_spaced(StudyReader *reader, const char *key, const Yaml *list, bool logarithmic, Values *out)
{
    double n[3];
    TRY(read_numbers(reader, list, 3, 3, "three numbers: [first, last, count]", n));
    if (n[2] != floor(n[2]) || n[2] < 1 || n[2] > STUDY_MAX_TRIALS)
        return study_bad(reader, list, "the third number is a count, 1 or more");
    if (logarithmic && (n[0] <= 0 || n[1] <= 0)) return study_bad(reader, list, "the ends of a logspace are above 0");
    out->count = (size_t)n[2];
    out->items = study_allocate(reader, out->count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < out->count; i++) {
        double t = out->count > 1 ? (double)i / (double)(out->count - 1) : 0;
        double value = logarithmic ? exp(log(n[0]) + t * (log(n[1]) - log(n[0]))) : n[0] + t * (n[1] - n[0]);
        if (i == 0) value = n[0]; /* the ends are exact */
        if (i > 0 && i + 1 == out->count) value = n[1];
        TRY(number_value(reader, key, value, list->line, &out->items[i]));
    }
    return OK;
}

static Status read_list_values(StudyReader *reader, const Yaml *list, Values *out)
{
    if (list->type != YAML_LIST || list->count == 0)
        return study_bad(reader, list, "an axis is a list of one or more values, as [1, 2], or one of " NOTATIONS
                         "; a single value belongs below 'config:'");
    out->count = list->count;
    out->items = study_allocate(reader, out->count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < out->count; i++) out->items[i] = &list->items[i];
    return OK;
}

Status study_read_values(StudyReader *reader, const char *key, const Yaml *yaml, Values *out, Conditions *when)
{
    *out = (Values){0};
    if (yaml->type != YAML_MAP) return read_list_values(reader, yaml, out);
    for (size_t i = 0; i < yaml->count; i++) {
        const Yaml *item = &yaml->items[i];
        const char *notation = yaml->keys[i];
        if (strcmp(notation, "when") == 0) {
            if (when == NULL)
                return study_bad(reader, item, "keys that go together have one condition: put 'when' beside them");
            TRY(study_read_conditions(reader, item, when));
            continue;
        }
        size_t before = out->count;
        if (strcmp(notation, "values") == 0 || strcmp(notation, "list") == 0)
            TRY(read_list_values(reader, item, out));
        else if (strcmp(notation, "range") == 0)
            TRY(read_range(reader, key, item, out));
        else if (strcmp(notation, "linspace") == 0)
            TRY(read_spaced(reader, key, item, false, out));
        else if (strcmp(notation, "logspace") == 0 || strcmp(notation, "log_range") == 0)
            TRY(read_spaced(reader, key, item, true, out));
        else if (strcmp(notation, "uniform") == 0 || strcmp(notation, "log_uniform") == 0 ||
                 strcmp(notation, "choice") == 0)
            return status_error(STATUS_INVALID, "%s:%d: '%s' draws at random: write random: {count: 10, seed: 1, keys: "
                                "{%s: {%s: [...]}}}", reader->study->path, item->line, notation, key, notation);
        else
            return status_error(STATUS_INVALID, "%s:%d: unknown axis notation '%s': use a list, " NOTATIONS "%s",
                                reader->study->path, item->line, notation, when != NULL ? ", and 'when'" : "");
        if (before > 0) return study_bad(reader, item, "an axis has one of " NOTATIONS);
    }
    return out->count > 0 ? OK : study_bad(reader, yaml, "an axis has one of " NOTATIONS);
}

Status study_draw(StudyReader *reader, const char *key, const Yaml *distribution, uint64_t seed, uint64_t number,
                  const Yaml **out)
{
    bool list = distribution->type == YAML_LIST;
    if (!list && (distribution->type != YAML_MAP || distribution->count != 1))
        return study_bad(reader, distribution, "a random key has one of uniform: [low, high], "
                         "log_uniform: [low, high], choice: [...], or a list to choose from");
    const char *kind = list ? "choice" : distribution->keys[0];
    const Yaml *arguments = list ? distribution : &distribution->items[0];
    Random random = random_stream(seed, RANDOM_SWEEP, number, random_name_key(key));
    if (strcmp(kind, "choice") == 0) {
        if (arguments->type != YAML_LIST || arguments->count == 0)
            return study_bad(reader, arguments, "choice wants a list of one or more values");
        *out = &arguments->items[random_below(&random, (int64_t)arguments->count)];
        return OK;
    }
    bool logarithmic = strcmp(kind, "log_uniform") == 0;
    if (!logarithmic && strcmp(kind, "uniform") != 0)
        return status_error(STATUS_INVALID, "%s:%d: unknown distribution '%s': use uniform, log_uniform or choice",
                            reader->study->path, arguments->line, kind);
    double n[2];
    TRY(read_numbers(reader, arguments, 2, 2, "two numbers: [low, high]", n));
    if (n[0] > n[1] || (logarithmic && n[0] <= 0))
        return study_bad(reader, arguments,
                         logarithmic ? "log_uniform wants 0 < low <= high" : "uniform wants low <= high");
    double u = random_uniform(&random), value;
    if (logarithmic)
        value = exp(log(n[0]) + u * (log(n[1]) - log(n[0])));
    else if (is_integral(key))
        value = floor(n[0] + u * (n[1] - n[0] + 1));
    else
        value = n[0] + u * (n[1] - n[0]);
    return number_value(reader, key, fmin(fmax(value, n[0]), n[1]), arguments->line, out);
}
