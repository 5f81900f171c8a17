/* zeroth score: how good predictions in files are. */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "models/metrics/score_files.h"
#include "models/metrics/score_instances.h"
#include "models/metrics/score_semantic.h"
#include "models/metrics/summary.h"
#include "storage/coco.h"

typedef struct ScoreFlags {
    const char *truth_folder, *prediction_folder, *unseen, *format, *classes;
    bool per_class;
} ScoreFlags;

static void table_line(const char *name, int width, const PanopticQuality *quality)
{
    if (quality->classes == 0)
        printf("%-*s |     -      -      - %5d\n", width, name, 0);
    else
        printf("%-*s | %5.1f  %5.1f  %5.1f %5d\n", width, name, 100.0 * quality->pq, 100.0 * quality->sq,
               100.0 * quality->rq, quality->classes);
}

/* The columns and lines of panopticapi's table, then the zero-shot ones. */
static void print_table(const PanopticFile *truth, const PanopticScore *score, bool per_class)
{
    const ClassTable *classes = &truth->classes;
    static const char *const titles[GROUP_COUNT] = {"All", "Things", "Stuff", "Seen", "Unseen"};
    int width = 9;
    for (int c = 0; c < classes->count && per_class; c++) {
        int length = (int)strlen(classes->entries[c].name) + 2;
        width = length > width ? length : width;
    }
    printf("%-*s |    PQ     SQ     RQ     N\n", width, "");
    for (int i = 0; i < width + 28; i++)
        putchar('-');
    putchar('\n');
    int groups = truth->has_split ? GROUP_COUNT : GROUP_STUFF + 1;
    for (int g = 0; g < groups; g++) {
        PanopticQuality quality = panoptic_quality_group(score, classes, (MetricGroup)g);
        table_line(titles[g], width, &quality);
    }
    if (truth->has_split) {
        PanopticQuality quality = panoptic_quality_harmonic(score, classes);
        table_line("Harmonic", width, &quality);
    }
    for (int c = 0; c < classes->count && per_class; c++) {
        char name[256];
        snprintf(name, sizeof name, "%s%s", classes->entries[c].is_unseen ? "* " : "  ", classes->entries[c].name);
        PanopticQuality quality = panoptic_quality_class(score, c);
        table_line(name, width, &quality);
    }
}

static void csv_field(const char *text)
{
    if (strpbrk(text, ",\"\n") == NULL) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void csv_line(const char *kind, const char *name, const char *split, const PanopticQuality *quality)
{
    printf("%s,", kind);
    csv_field(name);
    if (quality->classes == 0)
        printf(",%s,,,,0\n", split);
    else
        printf(",%s,%.17g,%.17g,%.17g,%d\n", split, quality->pq, quality->sq, quality->rq, quality->classes);
}

static void print_csv(const PanopticFile *truth, const PanopticScore *score)
{
    const ClassTable *classes = &truth->classes;
    printf("kind,name,split,pq,sq,rq,classes\n");
    for (int g = 0; g < GROUP_COUNT; g++) {
        PanopticQuality quality = panoptic_quality_group(score, classes, (MetricGroup)g);
        csv_line("group", metric_group_name((MetricGroup)g), "", &quality);
    }
    PanopticQuality harmonic = panoptic_quality_harmonic(score, classes);
    csv_line("group", "harmonic", "", &harmonic);
    for (int c = 0; c < classes->count; c++) {
        PanopticQuality quality = panoptic_quality_class(score, c);
        csv_line("class", classes->entries[c].name, classes->entries[c].is_unseen ? "unseen" : "seen", &quality);
    }
}

static Status print_json(int64_t images, const ClassTable *classes, const MetricSources *sources)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "images");
    json_integer(&writer, images);
    metrics_write_json(&writer, classes, sources);
    json_end_object(&writer);
    Status status = writer.text.failed ? status_no_memory(writer.text.length, "the scores") : OK;
    if (status == OK)
        printf("%s\n", text_string(&writer.text));
    text_free(&writer.text);
    return status;
}

/* One metric's groups in a line. */
static void print_metric(const Json *root, const char *metric, bool csv)
{
    static const char *const GROUPS[] = {"all", "seen", "unseen", "harmonic"};
    printf(csv ? "%s" : "%-18s", metric);
    for (size_t g = 0; g < sizeof GROUPS / sizeof GROUPS[0]; g++) {
        char key[96];
        snprintf(key, sizeof key, "%s.%s", metric, GROUPS[g]);
        const Json *value = json_member(root, key);
        const bool known = value != NULL && value->type != JSON_NULL;
        if (csv && known) printf(",%.17g", value->real);
        else if (csv) printf(",");
        else if (known) printf("  %8.1f", 100.0 * value->real);
        else printf("  %8s", "-");
    }
    printf("\n");
}

static void print_classes(const Json *classes, bool csv)
{
    for (size_t c = 0; c < classes->count; c++) {
        const Json *values = &classes->items[c];
        for (size_t i = 0; i < values->count; i++) {
            if (values->items[i].type != JSON_REAL && values->items[i].type != JSON_INTEGER) continue;
            if (csv) {
                csv_field(classes->keys[c]);
                printf(",%s,%.17g\n", values->keys[i], values->items[i].real);
            } else {
                printf("  %-30s %-20s %6.1f\n", classes->keys[c], values->keys[i], 100.0 * values->items[i].real);
            }
        }
    }
}

/* A line per metric: its keys up to the group's name, each once. */
static void score_print_lines(const Json *root, bool csv, bool per_class)
{
    if (csv) printf("metric,all,seen,unseen,harmonic\n");
    else printf("%-18s  %8s  %8s  %8s  %8s\n", "", "all", "seen", "unseen", "harmonic");
    for (size_t i = 0; i < root->count; i++) {
        const char *dot = strrchr(root->keys[i], '.');
        char metric[64];
        if (dot == NULL || strcmp(dot, ".all") != 0) continue;
        snprintf(metric, sizeof metric, "%.*s", (int)(dot - root->keys[i]), root->keys[i]);
        print_metric(root, metric, csv);
    }
    if (per_class) print_classes(json_member(root, "classes"), csv);
}

/* The members of metrics.json as lines: every group of every metric, and its classes where they are wanted. */
static Status print_lines(int64_t images, const ClassTable *classes, const MetricSources *sources, const ScoreFlags *flags)
{
    if (strcmp(flags->format, "json") == 0) return print_json(images, classes, sources);
    JsonWriter writer = {0};
    Json *root = NULL;
    json_begin_object(&writer);
    metrics_write_json(&writer, classes, sources);
    json_end_object(&writer);
    Status status = writer.text.failed ? status_no_memory(writer.text.length, "the scores")
                                       : json_parse(writer.text.data, writer.text.length, "scores", &root);
    if (status == OK) score_print_lines(root, strcmp(flags->format, "csv") == 0, flags->per_class);
    json_destroy(root);
    text_free(&writer.text);
    return status;
}

static Status set_unseen(const char *path, PanopticFile *truth)
{
    char **names = NULL;
    size_t count = 0;
    TRY(unseen_names_read(path, &names, &count));
    Status status = panoptic_file_set_unseen(truth, names, count);
    names_free(names, count);
    return status_wrap(status, "%s", path);
}

static Status score_panoptic(const char *truth_path, const char *prediction_path, const ScoreFlags *flags)
{
    PanopticFile truth = {0}, prediction = {0};
    PanopticScore score = {0};
    Status status;
    TRY_GOTO(status, panoptic_file_read(truth_path, true, &truth), done);
    if (flags->unseen != NULL)
        TRY_GOTO(status, set_unseen(flags->unseen, &truth), done);
    TRY_GOTO(status, panoptic_file_read(prediction_path, false, &prediction), done);
    TRY_GOTO(status, panoptic_score_files(&truth, flags->truth_folder, &prediction, flags->prediction_folder, &score),
             done);
    if (strcmp(flags->format, "json") == 0)
        status = print_json(truth.annotation_count, &truth.classes, &(MetricSources){.panoptic = &score});
    else if (strcmp(flags->format, "csv") == 0)
        print_csv(&truth, &score);
    else
        print_table(&truth, &score, flags->per_class);
done:
    panoptic_score_clear(&score);
    panoptic_file_clear(&truth);
    panoptic_file_clear(&prediction);
    return status;
}

static Status mark_unseen(const char *path, ClassTable *classes)
{
    char **names = NULL;
    size_t count = 0;
    TRY(unseen_names_read(path, &names, &count));
    Status status = OK;
    for (int c = 0; c < classes->count; c++) classes->entries[c].is_unseen = false;
    for (size_t i = 0; i < count && status == OK; i++) {
        const int c = class_table_find(classes, names[i]);
        if (c < 0) status = status_error(STATUS_NOT_FOUND, "%s: no category is named '%s'", path, names[i]);
        else classes->entries[c].is_unseen = true;
    }
    names_free(names, count);
    return status;
}

static Status score_instances(const char *truth_path, const char *prediction_path, const ScoreFlags *flags)
{
    InstanceSet truth = {0}, results = {0};
    InstanceScore score = {0};
    InstanceResults values = {0};
    Status status;
    TRY_GOTO(status, instance_json_read(truth_path, false, &truth), done);
    if (flags->unseen != NULL)
        TRY_GOTO(status, mark_unseen(flags->unseen, &truth.set.classes), done);
    TRY_GOTO(status, instance_json_read(prediction_path, true, &results), done);
    TRY_GOTO(status, instance_score_files(&truth, &results, &score), done);
    TRY_GOTO(status, instance_results_create(&score, &values), done);
    status = print_lines(truth.set.image_count, &truth.set.classes, &(MetricSources){.instances = &values}, flags);
done:
    instance_results_clear(&values);
    instance_score_clear(&score);
    instance_set_clear(&truth);
    instance_set_clear(&results);
    return status;
}

static Status score_semantic(const char *truth_folder, const char *prediction_folder, const ScoreFlags *flags)
{
    size_t length = strlen(prediction_folder);
    while (length > 1 && prediction_folder[length - 1] == '/') length--;
    char *path = flags->classes != NULL ? memory_copy_string(flags->classes)
                                        : memory_format("%.*s.json", (int)length, prediction_folder);
    ClassTable classes = {0};
    SemanticScore score = {0};
    int64_t images = 0;
    Status status = path == NULL ? status_no_memory(256, "a path") : OK;
    if (status == OK) status = panoptic_categories_read(path, &classes);
    if (status == OK && flags->unseen != NULL) status = mark_unseen(flags->unseen, &classes);
    if (status == OK) status = semantic_score_folders(&classes, truth_folder, prediction_folder, &score, &images);
    if (status == OK) status = print_lines(images, &classes, &(MetricSources){.semantic = &score}, flags);
    semantic_score_clear(&score);
    class_table_clear(&classes);
    memory_free(path);
    return status;
}

typedef struct Scorer {
    const char *name;
    Status (*score)(const char *truth, const char *prediction, const ScoreFlags *flags);
} Scorer;
static const Scorer SCORERS[] = {{"panoptic", score_panoptic}, {"instances", score_instances}, {"semantic", score_semantic}};

static Status run_scorer(const Arguments *arguments, const ScoreFlags *flags)
{
    TRY(arguments_expect(arguments, 3, 3, "one of panoptic GT.json PRED.json, instances GT.json PRED.json, semantic GT_DIR PRED_DIR"));
    if (strcmp(flags->format, "table") != 0 && strcmp(flags->format, "json") != 0 && strcmp(flags->format, "csv") != 0)
        return status_error(STATUS_USAGE, "score: --format is table, json or csv, not '%s'", flags->format);
    for (size_t i = 0; i < sizeof SCORERS / sizeof SCORERS[0]; i++)
        if (strcmp(SCORERS[i].name, arguments->items[0]) == 0)
            return SCORERS[i].score(arguments->items[1], arguments->items[2], flags);
    return status_error(STATUS_USAGE, "score: '%s' cannot be scored, only 'panoptic', 'instances' and 'semantic' can",
                        arguments->items[0]);
}

int command_score(int argc, char **argv)
{
    CommonFlags common = {0};
    ScoreFlags score = {.format = "table"};
    const Flag flags[] = {{"--gt-folder", NULL, FLAG_STRING, &score.truth_folder},
                          {"--pred-folder", NULL, FLAG_STRING, &score.prediction_folder},
                          {"--classes", NULL, FLAG_STRING, &score.classes},
                          {"--unseen", NULL, FLAG_STRING, &score.unseen},
                          {"--format", NULL, FLAG_STRING, &score.format},
                          {"--per-class", NULL, FLAG_SWITCH, &score.per_class}};
    Arguments arguments;
    Status status = flags_parse(flags, (int)(sizeof flags / sizeof *flags), &common, argc, argv, &arguments);
    if (status == OK)
        status = run_scorer(&arguments, &score);
    arguments_free(&arguments);
    return command_end(status);
}
