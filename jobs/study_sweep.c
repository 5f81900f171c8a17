/* Axes of a sweep: every notation becomes a dimension, a list of points. */
#include <stdio.h>
#include <string.h>

#include "framework/text.h"
#include "jobs/study_private.h"

static Status reserve_points(StudyReader *reader, Dimension *dimension, size_t points, size_t settings)
{
    dimension->count = points;
    dimension->points = study_allocate(reader, points, sizeof *dimension->points);
    if (dimension->points == NULL) return study_no_memory();
    for (size_t i = 0; i < points; i++) {
        dimension->points[i].settings = study_allocate(reader, settings, sizeof(Setting));
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
    if (strcmp(key, VARIANT_KEY) == 0)
        return study_bad(reader, yaml, "all variants run; leave some out by exclude: [{variant: NAME}]");
    static const char *const TOP[] = {"exclude", "variants", "halving", "report", "config"};
    for (size_t i = 0; i < sizeof TOP / sizeof TOP[0]; i++)
        if (strcmp(key, TOP[i]) == 0)
            return status_error(STATUS_INVALID, "%s:%d: '%s' stands beside 'sweep:', not below it", reader->study->path,
                                yaml->line, key);
    if (config_find_key(key, NULL) == NULL) { /* before its values, whose errors would be beside the point */
        const char *ignored;
        TRY(study_check_value(reader, key, yaml, &ignored));
    }
    TRY(study_read_values(reader, key, yaml, &values, &out->when));
    TRY(reserve_points(reader, out, values.count, 1));
    for (size_t i = 0; i < values.count; i++) TRY(add_setting(reader, &out->points[i], key, values.items[i]));
    return OK;
}

static Status read_zip(StudyReader *reader, const Yaml *yaml, Dimension *out)
{
    if (yaml->type != YAML_MAP || yaml->count == 0)
        return study_bad(reader, yaml, "zip is a map of keys, each with a list of the same length; a list of such maps "
                         "makes several");
    Members members;
    const char *first = NULL;
    TRY(study_flatten(reader, yaml, &members));
    for (size_t i = 0; i < members.count; i++) {
        const Member *member = &members.items[i];
        Values values;
        if (strcmp(member->name, "when") == 0) {
            TRY(study_read_conditions(reader, member->value, &out->when));
            continue;
        }
        TRY(study_read_values(reader, member->name, member->value, &values, NULL));
        if (first == NULL) TRY(reserve_points(reader, out, values.count, members.count));
        if (first == NULL) first = member->name;
        if (values.count != out->count)
            return status_error(STATUS_INVALID, "%s:%d: zip: '%s' has %zu values where '%s' has %zu: keys that go "
                                "together have equally many", reader->study->path, member->value->line, member->name,
                                values.count, first, out->count);
        for (size_t j = 0; j < values.count; j++)
            TRY(add_setting(reader, &out->points[j], member->name, values.items[j]));
    }
    return first != NULL ? OK : study_bad(reader, yaml, "zip has no keys");
}

/* A list of maps, or, for a condition, {values: LIST, when: CONDITION}. */
static Status read_points(StudyReader *reader, const Yaml *yaml, Dimension *out)
{
    const Yaml *list = yaml;
    if (yaml->type == YAML_MAP) {
        static const char *const KNOWN[] = {"values", "list", "when"};
        TRY(study_check_members(reader, yaml, "points", KNOWN, sizeof KNOWN / sizeof KNOWN[0]));
        list = yaml_member(yaml, "values") != NULL ? yaml_member(yaml, "values") : yaml_member(yaml, "list");
        if (yaml_member(yaml, "when") != NULL)
            TRY(study_read_conditions(reader, yaml_member(yaml, "when"), &out->when));
    }
    if (list == NULL || list->type != YAML_LIST || list->count == 0)
        return study_bad(reader, yaml, "points is a list of maps of keys, or {values: LIST, when: CONDITION}");
    out->count = list->count;
    out->points = study_allocate(reader, list->count, sizeof *out->points);
    if (out->points == NULL) return study_no_memory();
    for (size_t i = 0; i < list->count; i++) {
        const Yaml *map = &list->items[i];
        Members members;
        if (map->type != YAML_MAP)
            return study_bad(reader, map, "a point is a map of keys, as {generator.noise: false}");
        if (yaml_member(map, "when") != NULL)
            return study_bad(reader, yaml_member(map, "when"), "a condition holds for all points of a list: write "
                             "{values: LIST, when: CONDITION}");
        TRY(study_flatten(reader, map, &members));
        out->points[i].settings = study_allocate(reader, members.count, sizeof(Setting));
        if (out->points[i].settings == NULL) return study_no_memory();
        for (size_t j = 0; j < members.count; j++)
            TRY(add_setting(reader, &out->points[i], members.items[j].name, members.items[j].value));
    }
    return OK;
}

static Status read_random(StudyReader *reader, const Yaml *yaml, Dimension *out)
{
    static const char *const KNOWN[] = {"count", "seed", "keys", "when"};
    const Yaml *keys = yaml_member(yaml, "keys"), *count_yaml = yaml_member(yaml, "count"),
               *seed_yaml = yaml_member(yaml, "seed");
    int64_t count = 0, seed = 0;
    if (yaml->type == YAML_MAP) TRY(study_check_members(reader, yaml, "random", KNOWN, sizeof KNOWN / sizeof KNOWN[0]));
    if (keys == NULL || keys->type != YAML_MAP || keys->count == 0)
        return study_bad(reader, yaml, "random wants keys, each with its distribution: {count: 10, seed: 1, keys: "
                         "{train.rate: {log_uniform: [1e-4, 1e-2]}}}");
    if (count_yaml == NULL || count_yaml->type != YAML_SCALAR || !parse_integer(count_yaml->scalar, &count) ||
        count < 1 || count > STUDY_MAX_TRIALS)
        return study_bad(reader, count_yaml != NULL ? count_yaml : yaml, "random wants a count, 1 or more");
    if (seed_yaml != NULL && (seed_yaml->type != YAML_SCALAR || !parse_integer(seed_yaml->scalar, &seed)))
        return study_bad(reader, seed_yaml, "the seed of random is an integer");
    if (yaml_member(yaml, "when") != NULL)
        TRY(study_read_conditions(reader, yaml_member(yaml, "when"), &out->when));
    Members members;
    TRY(study_flatten(reader, keys, &members));
    TRY(reserve_points(reader, out, (size_t)count, members.count));
    for (size_t i = 0; i < out->count; i++)
        for (size_t j = 0; j < members.count; j++) {
            const Member *member = &members.items[j];
            const Yaml *value;
            TRY(study_draw(reader, member->name, member->value, (uint64_t)seed, i, &value));
            TRY(add_setting(reader, &out->points[i], member->name, value));
        }
    return OK;
}

/* An axis of nothing but run.* and its like would only repeat trials. */
static Status check_is_read(const StudyReader *reader, const Dimension *dimension)
{
    const char *unread = NULL;
    for (size_t i = 0; i < dimension->count; i++)
        for (size_t j = 0; j < dimension->points[i].count; j++) {
            unread = dimension->points[i].settings[j].key;
            if (config_find_key(unread, NULL)->stages != 0) return OK;
        }
    if (unread == NULL) return OK;
    return status_error(STATUS_INVALID, "%s:%d: no stage reads '%s', so trials that differ in it alone are one trial: "
                        "set it below 'config:' or in a variant, or zip it with a key that a stage reads",
                        reader->study->path, dimension->line, unread);
}

static Status read_dimension(StudyReader *reader, const char *key, const Yaml *yaml, Dimension *out)
{
    *out = (Dimension){.line = yaml->line};
    if (strcmp(key, "zip") == 0)
        TRY(read_zip(reader, yaml, out));
    else if (strcmp(key, "points") == 0)
        TRY(read_points(reader, yaml, out));
    else if (strcmp(key, "random") == 0)
        TRY(read_random(reader, yaml, out));
    else
        TRY(read_axis(reader, key, yaml, out));
    TRY(check_is_read(reader, out));
    /* All of it set by the command line: one point stands for all. */
    bool empty = true;
    for (size_t i = 0; i < out->count && empty; i++) empty = out->points[i].count == 0;
    if (empty) out->count = 1;
    return OK;
}

/* Order --------------------------------------------------------------------- */

static bool sets(const Dimension *dimension, const char *key)
{
    for (size_t i = 0; i < dimension->count; i++)
        for (size_t j = 0; j < dimension->points[i].count; j++)
            if (dimension->points[i].settings[j].key == key) return true;
    return false;
}

static bool waits_for(const Dimension *dimension, const Dimension *other)
{
    for (size_t i = 0; i < dimension->when.count; i++)
        if (sets(other, dimension->when.items[i].key)) return true;
    return false;
}

/* Sorts conditional dimensions behind the others and behind those that their
 * conditions are about, keeping order otherwise, so that a condition sees the
 * values that it is about. */
static Status order_dimensions(StudyReader *reader, Sweep *sweep)
{
    size_t count = sweep->count, filled = 0;
    Dimension *sorted = study_allocate(reader, count, sizeof *sorted);
    bool *placed = study_allocate(reader, count, sizeof *placed);
    if (sorted == NULL || placed == NULL) return study_no_memory();
    for (size_t i = 0; i < count; i++)
        if (sweep->dimensions[i].when.count == 0) {
            sorted[filled++] = sweep->dimensions[i];
            placed[i] = true;
        }
    while (filled < count) {
        size_t next = 0;
        for (; next < count; next++) {
            bool ready = !placed[next];
            for (size_t j = 0; j < count && ready; j++)
                ready = j == next || placed[j] || !waits_for(&sweep->dimensions[next], &sweep->dimensions[j]);
            if (ready) break;
        }
        if (next == count) {
            for (next = 0; placed[next];) next++;
            return status_error(STATUS_INVALID, "%s:%d: the conditions of this axis and of another depend on each "
                                "other's values: take one of them out", reader->study->path,
                                sweep->dimensions[next].line);
        }
        sorted[filled++] = sweep->dimensions[next];
        placed[next] = true;
    }
    sweep->dimensions = sorted;
    return OK;
}

/* Two axes that both always set a key: the first one's values would go under. */
static Status check_set_once(const StudyReader *reader, const Sweep *sweep)
{
    for (size_t i = 0; i < sweep->count && sweep->dimensions[i].when.count == 0; i++)
        for (size_t p = 0; p < sweep->dimensions[i].count; p++)
            for (size_t s = 0; s < sweep->dimensions[i].points[p].count; s++) {
                const char *key = sweep->dimensions[i].points[p].settings[s].key;
                bool again = p > 0 && s < sweep->dimensions[i].points[p - 1].count &&
                             sweep->dimensions[i].points[p - 1].settings[s].key == key;
                for (size_t j = i + 1; !again && j < sweep->count && sweep->dimensions[j].when.count == 0; j++)
                    if (sets(&sweep->dimensions[j], key))
                        return status_error(STATUS_INVALID, "%s:%d: '%s' is swept by the axis of line %d already: keep "
                                            "one of them, or give them conditions ('when')", reader->study->path,
                                            sweep->dimensions[j].line, key, sweep->dimensions[i].line);
            }
    return OK;
}

static bool always_sets(const Dimension *dimension, const char *key)
{
    if (dimension->when.count > 0) return false;
    for (size_t i = 0; i < dimension->count; i++) {
        bool found = false;
        for (size_t j = 0; j < dimension->points[i].count && !found; j++)
            found = dimension->points[i].settings[j].key == key;
        if (!found) return false;
    }
    return true;
}

Status study_check_variants(StudyReader *reader, const Yaml *variants, const Sweep *sweep)
{
    for (size_t v = 0; variants != NULL && v < variants->count; v++) {
        Members members;
        if (variants->items[v].type != YAML_MAP) continue;
        TRY(study_flatten(reader, &variants->items[v], &members));
        for (size_t i = 0; i < members.count; i++) {
            const ConfigKey *known = config_find_key(members.items[i].name, NULL);
            for (size_t d = 0; known != NULL && d < sweep->count; d++)
                if (always_sets(&sweep->dimensions[d], known->name))
                    return status_error(STATUS_INVALID, "%s:%d: variant '%s' sets '%s', which the axis of line %d sets "
                                        "in every trial: take it out of one of them, or give the axis a condition, as "
                                        "when: {variant: {not: %s}}", reader->study->path, members.items[i].value->line,
                                        variants->keys[v], known->name, sweep->dimensions[d].line, variants->keys[v]);
        }
    }
    return OK;
}

/* Several of one kind: lists of zip and random maps, and of {values, when} maps of points. */
static bool is_several(const char *key, const Yaml *item)
{
    if (item->type != YAML_LIST || item->count == 0) return false;
    if (strcmp(key, "points") == 0) {
        const Yaml *first = &item->items[0];
        return yaml_member(first, "values") != NULL || yaml_member(first, "list") != NULL;
    }
    return strcmp(key, "zip") == 0 || strcmp(key, "random") == 0;
}

Status study_read_sweep(StudyReader *reader, const Yaml *yaml, Sweep *out)
{
    *out = (Sweep){0};
    if (yaml == NULL || (yaml->type == YAML_SCALAR && yaml->scalar[0] == '\0')) return OK;
    if (yaml->type != YAML_MAP) return study_bad(reader, yaml, "sweep is a map of axes, as {seed: [0, 1, 2]}");
    Members members;
    TRY(study_flatten(reader, yaml, &members));
    size_t capacity = 0;
    for (size_t i = 0; i < members.count; i++) capacity += 1 + members.items[i].value->count;
    out->dimensions = study_allocate(reader, capacity, sizeof *out->dimensions);
    if (out->dimensions == NULL) return study_no_memory();
    for (size_t i = 0; i < members.count; i++) {
        const Yaml *item = members.items[i].value;
        bool several = is_several(members.items[i].name, item);
        for (size_t j = 0; j < (several ? item->count : 1); j++)
            TRY(read_dimension(reader, members.items[i].name, several ? &item->items[j] : item,
                               &out->dimensions[out->count++]));
    }
    TRY(order_dimensions(reader, out));
    return check_set_once(reader, out);
}
