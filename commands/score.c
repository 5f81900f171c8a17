/* zeroth score: how good predictions in files are. */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "framework/files.h"
#include "framework/json.h"
#include "models/metrics/score_files.h"
#include "models/metrics/summary.h"
#include "storage/coco.h"

typedef struct ScoreFlags {
    const char *truth_folder, *prediction_folder, *unseen, *format;
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

static Status print_json(const PanopticFile *truth, const PanopticScore *score)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "images");
    json_integer(&writer, truth->annotation_count);
    metrics_write_json(&writer, &truth->classes, score, NULL);
    json_end_object(&writer);
    Status status = writer.text.failed ? status_no_memory(writer.text.length, "the scores") : OK;
    if (status == OK)
        printf("%s\n", text_string(&writer.text));
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
        status = print_json(&truth, &score);
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

static Status check_arguments(const Arguments *arguments, const ScoreFlags *flags)
{
    TRY(arguments_expect(arguments, 3, 3, "one of panoptic GT.json PRED.json"));
    if (strcmp(arguments->items[0], "panoptic") != 0)
        return status_error(STATUS_USAGE, "score: '%s' cannot be scored, only 'panoptic' can", arguments->items[0]);
    if (strcmp(flags->format, "table") != 0 && strcmp(flags->format, "json") != 0 && strcmp(flags->format, "csv") != 0)
        return status_error(STATUS_USAGE, "score: --format is table, json or csv, not '%s'", flags->format);
    return OK;
}

int command_score(int argc, char **argv)
{
    CommonFlags common = {0};
    ScoreFlags score = {.format = "table"};
    const Flag flags[] = {{"--gt-folder", NULL, FLAG_STRING, &score.truth_folder},
                          {"--pred-folder", NULL, FLAG_STRING, &score.prediction_folder},
                          {"--unseen", NULL, FLAG_STRING, &score.unseen},
                          {"--format", NULL, FLAG_STRING, &score.format},
                          {"--per-class", NULL, FLAG_SWITCH, &score.per_class}};
    Arguments arguments;
    Status status = flags_parse(flags, (int)(sizeof flags / sizeof *flags), &common, argc, argv, &arguments);
    if (status == OK)
        status = check_arguments(&arguments, &score);
    if (status == OK)
        status = score_panoptic(arguments.items[1], arguments.items[2], &score);
    arguments_free(&arguments);
    return command_end(status);
}
