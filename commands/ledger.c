/* zeroth ledger show|check|rebuild|migrate: the ledger itself. */
#include <stdio.h>
#include <string.h>

#include "commands/study_command.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/ledger.h"

typedef struct LedgerFlags {
    CommonFlags common;
    const char *format;
    bool full;
} LedgerFlags;

/* Of `study` (NULL: none), the flag or the default; freed by memory_free. */
static Status find_work(const LedgerFlags *flags, const Arguments *arguments, const char *study, char **work)
{
    char *name = NULL;
    Status status = OK;
    *work = NULL;
    if (study != NULL && !is_study_file(study))
        return status_error(STATUS_USAGE, "ledger: '%s' is no STUDY.yaml", study);
    if (study != NULL)
        status = find_study(&flags->common, arguments, study, &name, work);
    else if ((*work = memory_copy_string(default_work(&flags->common))) == NULL)
        status = status_no_memory(0, "a path");
    memory_free(name);
    return status;
}

/* show ------------------------------------------------------------------------- */

static void print_scalar(const Json *value)
{
    if (value->type == JSON_STRING) printf("%s", value->string);
    if (value->type == JSON_INTEGER) printf("%lld", (long long)value->integer);
    if (value->type == JSON_REAL) printf("%.15g", value->real);
    if (value->type == JSON_BOOL) printf(value->boolean ? "yes" : "no");
}

static bool is_scalar(const Json *value)
{
    return value->type != JSON_OBJECT && value->type != JSON_ARRAY;
}

static void print_tree(const Json *json, int indent)
{
    for (size_t i = 0; i < json->count; i++) {
        const Json *item = &json->items[i];
        if (json->type == JSON_OBJECT)
            printf("%*s%-*s%s", indent, "", is_scalar(item) ? 26 - indent : 0, json->keys[i],
                   is_scalar(item) ? " " : "");
        else
            printf("%*s-%s", indent, "", is_scalar(item) ? " " : "");
        if (is_scalar(item)) print_scalar(item);
        printf("\n");
        if (!is_scalar(item)) print_tree(item, indent + 2);
    }
}

static Status print_record(const char *json, size_t bytes, bool as_json)
{
    if (as_json) {
        printf("%s\n", json);
        return OK;
    }
    Json *record;
    TRY(json_parse(json, bytes, "a job's record", &record));
    print_tree(record, 0);
    json_destroy(record);
    return OK;
}

static Status show(const LedgerFlags *flags, const Arguments *arguments)
{
    bool as_json = flags->format != NULL && strcmp(flags->format, "json") == 0;
    if (flags->format != NULL && !as_json && strcmp(flags->format, "text") != 0)
        return status_error(STATUS_USAGE, "ledger show: no format '%s': there are text and json", flags->format);
    if (arguments->count == 2 && is_study_file(arguments->items[1]))
        return status_error(STATUS_USAGE, "ledger show: JOB is missing: 'zeroth status --all %s' lists them",
                            arguments->items[1]);
    const char *study = arguments->count == 3 ? arguments->items[1] : NULL;
    char *work;
    Ledger *ledger = NULL;
    JsonWriter writer = {0};
    Status status = find_work(flags, arguments, study, &work);
    if (status == OK) status = ledger_open_reader(work, &ledger);
    if (status == OK) status = ledger_show(ledger, arguments->items[arguments->count - 1], &writer);
    if (status == OK) status = print_record(text_string(&writer.text), writer.text.length, as_json);
    text_free(&writer.text);
    ledger_close(ledger);
    memory_free(work);
    return status;
}

/* check, rebuild, migrate ------------------------------------------------------------- */

static void print_line(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
}

static Status check(const LedgerFlags *flags, const char *work)
{
    int64_t found;
    TRY(ledger_check(work, flags->full, print_line, NULL, &found));
    if (found > 0)
        return status_error(STATUS_CORRUPT,
                            "%s: %lld disagreement%s: 'zeroth ledger rebuild --work %s' mends the ledger; a "
                            "damaged artifact is made again when its study is run", work, (long long)found,
                            plural((size_t)found), work);
    if (!flags->common.quiet) printf("%s: ledger and directories agree\n", work);
    return OK;
}

static Status rebuild(const LedgerFlags *flags, const char *work)
{
    LedgerRebuilt rebuilt;
    TRY(ledger_rebuild(work, &rebuilt));
    if (!flags->common.quiet)
        printf("%s: %lld stud%s, %lld job%s, %lld attempt%s\n", work, (long long)rebuilt.studies,
               rebuilt.studies == 1 ? "y" : "ies", (long long)rebuilt.jobs, plural((size_t)rebuilt.jobs),
               (long long)rebuilt.attempts, plural((size_t)rebuilt.attempts));
    return OK;
}

static Status migrate(const LedgerFlags *flags, const char *work)
{
    Ledger *ledger;
    Status status = ledger_open_reader(work, &ledger);
    if (status_code(status) == STATUS_VERSION) {
        status_free(status);
        status = ledger_open_writer(work, &ledger);
    }
    TRY(status);
    ledger_close(ledger);
    if (!flags->common.quiet) printf("%s: schema %d\n", work, LEDGER_VERSION);
    return OK;
}

static Status act(const LedgerFlags *flags, const Arguments *arguments)
{
    static const struct { const char *name; Status (*run)(const LedgerFlags *flags, const char *work); } ACTIONS[] = {
        {"check", check}, {"rebuild", rebuild}, {"migrate", migrate}};
    const char *action = arguments->items[0];
    if (strcmp(action, "show") == 0) {
        TRY(arguments_expect(arguments, 2, 3, "JOB"));
        return show(flags, arguments);
    }
    for (size_t i = 0; i < sizeof ACTIONS / sizeof ACTIONS[0]; i++) {
        if (strcmp(action, ACTIONS[i].name) != 0) continue;
        TRY(arguments_expect(arguments, 1, 2, "STUDY.yaml"));
        char *work;
        Status status = find_work(flags, arguments, arguments->count == 2 ? arguments->items[1] : NULL, &work);
        if (status == OK) status = ACTIONS[i].run(flags, work);
        memory_free(work);
        return status;
    }
    return status_error(STATUS_USAGE, "ledger: no action '%s': there are show, check, rebuild, migrate", action);
}

int command_ledger(int argc, char **argv)
{
    LedgerFlags ledger_flags = {0};
    Arguments arguments;
    const Flag flags[] = {{"--format", "-f", FLAG_STRING, &ledger_flags.format},
                          {"--full", NULL, FLAG_SWITCH, &ledger_flags.full}};
    Status status = flags_parse(flags, 2, &ledger_flags.common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 3, "show, check, rebuild or migrate");
    if (status == OK) status = act(&ledger_flags, &arguments);
    arguments_free(&arguments);
    return command_end(status);
}
