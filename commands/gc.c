/* zeroth gc: lists, then removes, what no recorded study needs. */
#include <stdio.h>
#include <string.h>

#include "commands/study_command.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/gc.h"

static void print_garbage(const Garbage *garbage, const char *work, bool removed)
{
    char size[16];
    size_t skipped = strlen(work) + 1;
    for (size_t i = 0; i < garbage->count; i++) {
        text_bytes((double)garbage->items[i].bytes, size, sizeof size);
        printf("%10s  %-60s  %s\n", size, garbage->items[i].path + skipped, garbage->items[i].why);
    }
    if (garbage->count == 0) {
        printf("%s: nothing to remove\n", work);
        return;
    }
    text_bytes((double)garbage->bytes, size, sizeof size);
    printf("%10s  %s in %zu place%s%s\n", size, removed ? "removed" : "could go", garbage->count,
           plural(garbage->count),
           removed ? "" : ": the same command with --remove removes it");
}

static Status collect(const char *work, const char *forget, bool removes)
{
    /* A ledger that was not there would be an empty one, and its writer would make the directory. */
    char *path = path_join(work, LEDGER_NAME);
    bool known = path != NULL && file_exists(path);
    memory_free(path);
    if (!known)
        return status_error(STATUS_NOT_FOUND,
                            "%s: no ledger there: name a work directory by --work; a lost ledger is remade "
                            "by 'zeroth ledger rebuild'", work);
    Ledger *ledger;
    TRY(ledger_open_writer(work, &ledger));
    GarbageOptions options = {.forget = forget, .lookup = stage_get};
    Garbage garbage;
    Status status = garbage_find(ledger, &options, &garbage);
    if (status == OK && removes) status = garbage_remove(ledger, &garbage);
    if (status == OK) print_garbage(&garbage, work, removes);
    garbage_free(&garbage);
    ledger_close(ledger);
    return status;
}

int command_gc(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    const char *forget = NULL;
    bool removes = false;
    const Flag flags[] = {{"--forget", NULL, FLAG_STRING, &forget}, {"--remove", NULL, FLAG_SWITCH, &removes}};
    Status status = flags_parse(flags, 2, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 0, 0, "");
    if (status == OK) status = collect(default_work(&common), forget, removes);
    arguments_free(&arguments);
    return command_end(status);
}
