/* The command line. Each subcommand is one function in the file of its name,
 * and one row of the table in main.c (name, usage, summary, help). It gets its
 * own arguments (argv[0] is the subcommand) and returns the exit code. It holds
 * no logic of its own: it reads flags, calls a floor below, prints.
 *
 *     int command_data(int argc, char **argv)
 *     {
 *         CommonFlags common = {0};
 *         bool force = false;
 *         const Flag flags[] = {{"--force", NULL, FLAG_SWITCH, &force}};
 *         Arguments arguments;
 *         Status status = flags_parse(flags, 1, &common, argc, argv, &arguments);
 *         if (status == OK) status = do_it(arguments.items, arguments.count);
 *         arguments_free(&arguments);
 *         return command_end(status);
 *     }
 *
 * main.c answers --help from the table before the function is called. */
#ifndef COMMANDS_COMMANDS_H
#define COMMANDS_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/status.h"

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;   /* after "zeroth NAME " */
    const char *summary; /* half a line, for the list of commands; NULL hides the command */
    const char *help;    /* lines below the usage; may be NULL */
} Command;

int command_run(int argc, char **argv);
int command_submit(int argc, char **argv);
int command_sync(int argc, char **argv);
int command_task(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_watch(int argc, char **argv);
int command_pause(int argc, char **argv);
int command_resume(int argc, char **argv);
int command_cancel(int argc, char **argv);
int command_retry(int argc, char **argv);
int command_status(int argc, char **argv);
int command_logs(int argc, char **argv);
int command_config(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_attempt(int argc, char **argv);
int command_report(int argc, char **argv);
int command_dashboard(int argc, char **argv);
int command_score(int argc, char **argv);
int command_data(int argc, char **argv);
int command_predict(int argc, char **argv);
int command_weights(int argc, char **argv);
int command_ledger(int argc, char **argv);
int command_gc(int argc, char **argv);

/* Flags ---------------------------------------------------------------- */

typedef enum FlagKind {
    FLAG_SWITCH,  /* bool: present */
    FLAG_STRING,  /* const char *: "--flag VALUE" or "--flag=VALUE" */
    FLAG_INTEGER, /* int64_t */
    FLAG_REAL     /* double */
} FlagKind;

typedef struct Flag {
    const char *name;  /* "--format" */
    const char *brief; /* "-f", or NULL */
    FlagKind kind;
    void *value;       /* of the kind's type; untouched where the flag is absent */
} Flag;

/* Flags that every command takes; besides them --locks KIND, which flags_parse puts into the environment. */
typedef struct CommonFlags {
    const char *work; /* --work DIR; NULL where absent */
    bool quiet;       /* -q: warnings and errors only */
    bool verbose;     /* -v: debug lines */
} CommonFlags;

/* What is left: positional arguments, and KEY=VALUE overrides of the config
 * (a lower-case dotted name before the first '='). Strings belong to argv. */
typedef struct Arguments {
    const char *command; /* argv[0], for messages */
    char **items;
    int count;
    char **overrides;
    int override_count;
} Arguments;

/* Sets the log level by -q and -v. An unknown flag, or one without its value,
 * is STATUS_USAGE. After "--" all is positional. `arguments` may be freed after
 * a failure too. */
Status flags_parse(const Flag *flags, int count, CommonFlags *common, int argc, char **argv, Arguments *arguments);
void arguments_free(Arguments *arguments);
/* STATUS_USAGE that names the command, unless there are between `low` and `high` positional arguments;
 * `what` names them ("STUDY.yaml"). */
Status arguments_expect(const Arguments *arguments, int low, int high, const char *what);

/* Prints a failure once and frees it; the exit code. */
int command_end(Status status);

#endif
