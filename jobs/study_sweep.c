/* Axes of a sweep: every notation becomes a dimension, a list of points. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/random.h"
#include "framework/text.h"
#include "jobs/study_private.h"

Status study_no_memory(void)
{
    return status_no_memory(0, "a study");
}

bool study_is_overridden(const StudyReader *reader, const char *key)
{
    size_t length = strlen(key);
    for (int i = 0; i < reader->override_count; i++)
        if (strncmp(reader->overrides[i], key, length) == 0 && reader->overrides[i][length] == '=') return true;
    return false;
}

static Status bad(const StudyReader *reader, const Yaml *yaml, const char *what)
{
    return status_error(STATUS_INVALID, "%s:%d: %s", reader->study->path, yaml->line, what);
}

Status study_check_value(StudyReader *reader, const char *name, const Yaml *value, const char **key)
{
    TRY(config_set_yaml(reader->scratch, name, value, reader->study->path));
    *key = config_find_key(name, NULL)->name;
    return OK;
}

static void *allocate(StudyReader *reader, size_t count, size_t size)
{
    void *block = arena_alloc(reader->study->arena, (count > 0 ? count : 1) * size);
    if (block != NULL) memset(block, 0, (count > 0 ? count : 1) * size);
    return block;
}

/* Conditions -------------------------------------------------------------- */

Status study_read_conditions(StudyReader *reader, const Yaml *map, Conditions *out)
{
    *out = (Conditions){0};
    if (map->type != YAML_MAP || map->count == 0)
        return bad(reader, map, "a condition is a map of keys and values, as {generator.kind: primitive}");
    out->items = allocate(reader, map->count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < map->count; i++) {
        const Yaml *value = &map->items[i];
        const ConfigKey *known = config_find_key(map->keys[i], NULL);
        /* A list means any of its values, except where the key itself holds lists. */
        bool any = value->type == YAML_LIST && known != NULL && known->type < CONFIG_INTEGER_LIST;
        Condition *condition = &out->items[out->count];
        condition->count = any ? value->count : 1;
        condition->texts = allocate(reader, condition->count, sizeof *condition->texts);
        if (condition->texts == NULL) return study_no_memory();
        for (size_t j = 0; j < condition->count; j++) {
            TRY(study_check_value(reader, map->keys[i], any ? &value->items[j] : value, &condition->key));
            condition->texts[j] = arena_copy_string(reader->study->arena, config_text(reader->scratch, condition->key));
            if (condition->texts[j] == NULL) return study_no_memory();
        }
        out->count++;
    }
    return OK;
}

bool study_conditions_hold(const Conditions *conditions, const Config *config)
{
    for (size_t i = 0; i < conditions->count; i++) {
        const Condition *condition = &conditions->items[i];
        const char *text = config_text(config, condition->key);
        bool found = false;
        for (size_t j = 0; j < condition->count && !found; j++) found = strcmp(text, condition->texts[j]) == 0;
        if (!found) return false;
    }
    return true;
}

/* Values of one axis -------------------------------------------------------- */

typedef struct Values {
    const Yaml **items;
    size_t count;
} Values;

static Status number_value(StudyReader *reader, const char *key, double number, int line, const Yaml **out)
{
    const ConfigKey *known = config_find_key(key, NULL);
    bool integral = known != NULL && known->type == CONFIG_INTEGER;
    Yaml *yaml = allocate(reader, 1, sizeof *yaml);
    if (yaml == NULL) return study_no_memory();
    yaml->line = line;
    yaml->scalar = integral ? arena_format(reader->study->arena, "%.0f", round(number))
                            : arena_format(reader->study->arena, "%.15g", number);
    *out = yaml;
    return yaml->scalar != NULL ? OK : study_no_memory();
}

static Status read_numbers(const StudyReader *reader, const Yaml *list, size_t low, size_t high, double *numbers)
{
    if (list->type != YAML_LIST || list->count < low || list->count > high)
        return bad(reader, list, low == high ? "expected a list of numbers: [first, last] or [first, last, count]"
                                             : "expected a list of two or three numbers");
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].type != YAML_SCALAR || !parse_real(list->items[i].scalar, &numbers[i]) ||
            !isfinite(numbers[i]))
            return bad(reader, &list->items[i], "expected a number");
    return OK;
}

static Status read_range(StudyReader *reader, const char *key, const Yaml *list, Values *out)
{
    double n[3] = {0, 0, 1};
    TRY(read_numbers(reader, list, 2, 3, n));
    if (n[0] != floor(n[0]) || n[1] != floor(n[1]) || n[2] != floor(n[2]) || n[2] < 1)
        return bad(reader, list, "a range is [first, end] or [first, end, step] of integers, step 1 or more");
    double count = ceil((n[1] - n[0]) / n[2]);
    if (count < 1) return bad(reader, list, "the range is empty: its end is left out, so it must be above the first");
    if (count > STUDY_MAX_TRIALS) return bad(reader, list, "the range has too many values");
    out->count = (size_t)count;
    out->items = allocate(reader, out->count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < out->count; i++)
        TRY(number_value(reader, key, n[0] + (double)i * n[2], list->line, &out->items[i]));
    return OK;
}

static Status read_spaced(StudyReader *reader, const char *key, const Yaml *list, bool logarithmic, Values *out)
{
    double n[3];
    TRY(read_numbers(reader, list, 3, 3, n));
    if (n[2] != floor(n[2]) || n[2] < 1 || n[2] > STUDY_MAX_TRIALS)
        return bad(reader, list, "the third number is a count, 1 or more");
    if (logarithmic && (n[0] <= 0 || n[1] <= 0)) return bad(reader, list, "the ends of a logspace are above 0");
    out->count = (size_t)n[2];
    out->items = allocate(reader, out->count, sizeof *out->items);
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
    if (list->type != YAML_LIST || list->count == 0) return bad(reader, list, "an axis is a list of one or more values");
    out->count = list->count;
    out->items = allocate(reader, out->count, sizeof *out->items);
    if (out->items == NULL) return study_no_memory();
    for (size_t i = 0; i < out->count; i++) out->items[i] = &list->items[i];
    return OK;
}

/* `yaml` is a list, or a map with one of the notations and perhaps `when`. */
static Status read_values(StudyReader *reader, const char *key, const Yaml *yaml, Values *out, Conditions *when)
{
    *out = (Values){0};
    if (yaml->type != YAML_MAP) return read_list_values(reader, yaml, out);
    for (size_t i = 0; i < yaml->count; i++) {
        const Yaml *item = &yaml->items[i];
        const char *notation = yaml->keys[i];
        if (strcmp(notation, "when") == 0 && when != NULL) {
            TRY(study_read_conditions(reader, item, when));
            continue;
        }
        if (out->count > 0) return bad(reader, item, "an axis has one of values, range, linspace, logspace");
        if (strcmp(notation, "values") == 0 || strcmp(notation, "list") == 0)
            TRY(read_list_values(reader, item, out));
        else if (strcmp(notation, "range") == 0)
            TRY(read_range(reader, key, item, out));
        else if (strcmp(notation, "linspace") == 0 || strcmp(notation, "logspace") == 0)
            TRY(read_spaced(reader, key, item, notation[1] == 'o', out));
        else
            return status_error(STATUS_INVALID, "%s:%d: unknown axis notation '%s': use a list, values, range, linspace, "
                                "logspace%s", reader->study->path, item->line, notation, when != NULL ? " or when" : "");
    }
    return out->count > 0 ? OK : bad(reader, yaml, "an axis has one of values, range, linspace, logspace");
}

/* Dimensions ------------------------------------------------------------------ */

static Status reserve_points(StudyReader *reader, Dimension *dimension, size_t points, size_t settings)
{
    dimension->count = points;
    dimension->points = allocate(reader, points, sizeof *dimension->points);
    if (dimension->points == NULL) return study_no_memory();
    for (size_t i = 0; i < points; i++) {
        dimension->points[i].settings = allocate(reader, settings, sizeof(Setting));
        if (dimension->points[i].settings == NULL) return study_no_memory();
    }
    return OK;
}

/* Adds KEY=VALUE to a point, unless the command line sets that key. */
static Status add_setting(StudyReader *reader, Point *point, const char *name, const Yaml *value)
{
    Setting *setting = &point->settings[point->count];
    setting->value = value;
    TRY(study_check_value(reader, name, value, &setting->key));
    if (!study_is_overridden(reader, name)) point->count++;
    return OK;
}

static Status read_axis(StudyReader *reader, const char *key, const Yaml *yaml, Dimension *out)
{
    Values values;
    TRY(read_values(reader, key, yaml, &values, &out->when));
    TRY(reserve_points(reader, out, values.count, 1));
    for (size_t i = 0; i < values.count; i++) TRY(add_setting(reader, &out->points[i], key, values.items[i]));
    return OK;
}

static Status read_zip(StudyReader *reader, const Yaml *yaml, Dimension *out)
{
    if (yaml->type != YAML_MAP || yaml->count == 0)
        return bad(reader, yaml, "zip is a map of keys, each with a list of the same length");
    for (size_t i = 0; i < yaml->count; i++) {
        Values values;
        if (strcmp(yaml->keys[i], "when") == 0) {
            TRY(study_read_conditions(reader, &yaml->items[i], &out->when));
            continue;
        }
        TRY(read_values(reader, yaml->keys[i], &yaml->items[i], &values, NULL));
        if (out->points == NULL) TRY(reserve_points(reader, out, values.count, yaml->count));
        if (values.count != out->count)
            return status_error(STATUS_INVALID, "%s:%d: zip: '%s' has %zu values where the first key has %zu",
                                reader->study->path, yaml->items[i].line, yaml->keys[i], values.count, out->count);
        for (size_t j = 0; j < values.count; j++)
            TRY(add_setting(reader, &out->points[j], yaml->keys[i], values.items[j]));
    }
    return out->points != NULL ? OK : bad(reader, yaml, "zip has no keys");
}

static Status read_points(StudyReader *reader, const Yaml *yaml, Dimension *out)
{
    if (yaml->type != YAML_LIST || yaml->count == 0) return bad(reader, yaml, "points is a list of maps of keys");
    size_t widest = 0;
    for (size_t i = 0; i < yaml->count; i++)
        if (yaml->items[i].count > widest) widest = yaml->items[i].count;
    TRY(reserve_points(reader, out, yaml->count, widest));
    for (size_t i = 0; i < yaml->count; i++) {
        const Yaml *map = &yaml->items[i];
        if (map->type != YAML_MAP) return bad(reader, map, "a point is a map of keys");
        for (size_t j = 0; j < map->count; j++)
            TRY(add_setting(reader, &out->points[i], map->keys[j], &map->items[j]));
    }
    return OK;
}

/* Draws are keyed by seed, number and key: another key changes none of them. */
static Status draw(StudyReader *reader, const char *key, const Yaml *distribution, uint64_t seed, uint64_t number,
                   const Yaml **out)
{
    if (distribution->type != YAML_MAP || distribution->count != 1)
        return bad(reader, distribution, "a random key has one of uniform: [a, b], log_uniform: [a, b], choice: [...]");
    const char *kind = distribution->keys[0];
    const Yaml *arguments = &distribution->items[0];
    Random random = random_stream(seed, RANDOM_SWEEP, number, random_name_key(key));
    if (strcmp(kind, "choice") == 0) {
        if (arguments->type != YAML_LIST || arguments->count == 0) return bad(reader, arguments, "choice wants a list");
        *out = &arguments->items[random_below(&random, (int64_t)arguments->count)];
        return OK;
    }
    bool logarithmic = strcmp(kind, "log_uniform") == 0;
    if (!logarithmic && strcmp(kind, "uniform") != 0)
        return status_error(STATUS_INVALID, "%s:%d: unknown distribution '%s': use uniform, log_uniform or choice",
                            reader->study->path, arguments->line, kind);
    double n[2];
    TRY(read_numbers(reader, arguments, 2, 2, n));
    if (n[0] > n[1] || (logarithmic && n[0] <= 0))
        return bad(reader, arguments, logarithmic ? "log_uniform wants 0 < low <= high" : "uniform wants low <= high");
    const ConfigKey *known = config_find_key(key, NULL);
    double u = random_uniform(&random), value;
    if (logarithmic)
        value = exp(log(n[0]) + u * (log(n[1]) - log(n[0])));
    else if (known != NULL && known->type == CONFIG_INTEGER)
        value = floor(n[0] + u * (n[1] - n[0] + 1));
    else
        value = n[0] + u * (n[1] - n[0]);
    return number_value(reader, key, fmin(fmax(value, n[0]), n[1]), arguments->line, out);
}

static Status read_random(StudyReader *reader, const Yaml *yaml, Dimension *out)
{
    const Yaml *keys = yaml_member(yaml, "keys"), *count_yaml = yaml_member(yaml, "count"),
               *seed_yaml = yaml_member(yaml, "seed");
    int64_t count = 0, seed = 0;
    for (size_t i = 0; yaml->type == YAML_MAP && i < yaml->count; i++) {
        const char *name = yaml->keys[i];
        if (strcmp(name, "keys") != 0 && strcmp(name, "count") != 0 && strcmp(name, "seed") != 0 &&
            strcmp(name, "when") != 0)
            return status_error(STATUS_INVALID, "%s:%d: unknown '%s' in random: it has count, seed, keys and when",
                                reader->study->path, yaml->items[i].line, name);
    }
    if (keys == NULL || keys->type != YAML_MAP || keys->count == 0)
        return bad(reader, yaml, "random wants keys, each with its distribution");
    if (count_yaml == NULL || count_yaml->type != YAML_SCALAR || !parse_integer(count_yaml->scalar, &count) ||
        count < 1 || count > STUDY_MAX_TRIALS)
        return bad(reader, count_yaml != NULL ? count_yaml : yaml, "random wants a count, 1 or more");
    if (seed_yaml != NULL && (seed_yaml->type != YAML_SCALAR || !parse_integer(seed_yaml->scalar, &seed)))
        return bad(reader, seed_yaml, "the seed of random is an integer");
    if (yaml_member(yaml, "when") != NULL) TRY(study_read_conditions(reader, yaml_member(yaml, "when"), &out->when));
    TRY(reserve_points(reader, out, (size_t)count, keys->count));
    for (size_t i = 0; i < out->count; i++)
        for (size_t j = 0; j < keys->count; j++) {
            const Yaml *value;
            TRY(draw(reader, keys->keys[j], &keys->items[j], (uint64_t)seed, i, &value));
            TRY(add_setting(reader, &out->points[i], keys->keys[j], value));
        }
    return OK;
}

static Status read_dimension(StudyReader *reader, const char *key, const Yaml *yaml, Dimension *out)
{
    *out = (Dimension){0};
    if (strcmp(key, "zip") == 0)
        TRY(read_zip(reader, yaml, out));
    else if (strcmp(key, "points") == 0)
        TRY(read_points(reader, yaml, out));
    else if (strcmp(key, "random") == 0)
        TRY(read_random(reader, yaml, out));
    else
        TRY(read_axis(reader, key, yaml, out));
    /* All of it set by the command line: one point stands for all. */
    bool empty = true;
    for (size_t i = 0; i < out->count && empty; i++) empty = out->points[i].count == 0;
    if (empty) out->count = 1;
    return OK;
}

/* Sorts conditional dimensions behind the others, keeping order otherwise, so
 * that a condition sees the values that it is about. */
static void conditional_last(Dimension *dimensions, size_t count, Dimension *spare)
{
    size_t filled = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < count; i++)
            if ((dimensions[i].when.count > 0) == (pass == 1)) spare[filled++] = dimensions[i];
    memcpy(dimensions, spare, count * sizeof *dimensions);
}

Status study_read_sweep(StudyReader *reader, const Yaml *yaml, Sweep *out)
{
    *out = (Sweep){0};
    if (yaml == NULL || (yaml->type == YAML_SCALAR && yaml->scalar[0] == '\0')) return OK;
    if (yaml->type != YAML_MAP) return bad(reader, yaml, "sweep is a map of axes");
    size_t capacity = 0;
    for (size_t i = 0; i < yaml->count; i++) capacity += 1 + yaml->items[i].count;
    out->dimensions = allocate(reader, capacity, sizeof *out->dimensions);
    Dimension *spare = allocate(reader, capacity, sizeof *spare);
    if (out->dimensions == NULL || spare == NULL) return study_no_memory();
    for (size_t i = 0; i < yaml->count; i++) {
        const Yaml *item = &yaml->items[i];
        bool several = (strcmp(yaml->keys[i], "zip") == 0 || strcmp(yaml->keys[i], "random") == 0) &&
                       item->type == YAML_LIST;
        for (size_t j = 0; j < (several ? item->count : 1); j++)
            TRY(read_dimension(reader, yaml->keys[i], several ? &item->items[j] : item,
                               &out->dimensions[out->count++]));
    }
    conditional_last(out->dimensions, out->count, spare);
    return OK;
}
