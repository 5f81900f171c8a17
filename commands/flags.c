/* Flags of subcommands. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"

/* KEY=VALUE: a config key is made of lower-case letters, digits, '_' and '.'. */
static bool is_override(const char *argument)
{
    const char *c = argument;
    if (!islower((unsigned char)*c)) return false;
    while (islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_' || *c == '.') c++;
    return *c == '=';
}

/* The flag that `argument` names, and the text after '=' (or NULL). */
static const Flag *find_flag(const Flag *flags, int count, const char *argument, const char **value)
{
    size_t length = strcspn(argument, "=");
    *value = argument[length] == '=' ? argument + length + 1 : NULL;
    for (int i = 0; i < count; i++) {
        if (strlen(flags[i].name) == length && strncmp(flags[i].name, argument, length) == 0) return &flags[i];
        if (flags[i].brief != NULL && strcmp(flags[i].brief, argument) == 0) return &flags[i];
    }
    return NULL;
}

static Status store(const Flag *flag, const char *value)
{
    switch (flag->kind) {
    case FLAG_SWITCH:
        if (value != NULL) return status_error(STATUS_USAGE, "%s takes no value", flag->name);
        *(bool *)flag->value = true;
        return OK;
    case FLAG_STRING: *(const char **)flag->value = value; return OK;
    case FLAG_INTEGER:
        if (parse_integer(value, flag->value)) return OK;
        return status_error(STATUS_USAGE, "%s wants an integer, not '%s'", flag->name, value);
    case FLAG_REAL:
        if (parse_real(value, flag->value)) return OK;
        return status_error(STATUS_USAGE, "%s wants a number, not '%s'", flag->name, value);
    }
    return status_error(STATUS_INTERNAL, "flag %s has no kind", flag->name);
}

/* One flag at argv[*index]; moves *index past a separate value. */
static Status take_flag(const Flag *flags, int count, const Flag *common, int common_count, int argc, char **argv,
                        int *index)
{
    const char *value;
    const Flag *flag = find_flag(flags, count, argv[*index], &value);
    if (flag == NULL) flag = find_flag(common, common_count, argv[*index], &value);
    if (flag == NULL)
        return status_error(STATUS_USAGE, "%s: unknown flag '%s': see 'zeroth %s --help'", argv[0], argv[*index], argv[0]);
    if (flag->kind != FLAG_SWITCH && value == NULL) {
        if (*index + 1 >= argc) return status_error(STATUS_USAGE, "%s: %s wants a value", argv[0], flag->name);
        value = argv[++*index];
    }
    return status_wrap(store(flag, value), "%s", argv[0]);
}

/* By the environment, which the processes that this one starts get too. */
static Status set_locks(const char *name)
{
    FileLockKind kind;
    if (!file_lock_kind_from_name(name, &kind))
        return status_error(STATUS_USAGE, "--locks: no kind of locks '%s': there are fcntl and lease", name);
    return setenv(FILE_LOCKS_ENVIRONMENT, name, 1) == 0 ? OK : status_no_memory(strlen(name), "a setting");
}

Status flags_parse(const Flag *flags, int count, CommonFlags *common, int argc, char **argv, Arguments *arguments)
{
    const char *locks = NULL;
    const Flag shared[] = {{"--work", NULL, FLAG_STRING, &common->work},
                           {"--locks", NULL, FLAG_STRING, &locks},
                           {"--quiet", "-q", FLAG_SWITCH, &common->quiet},
                           {"--verbose", "-v", FLAG_SWITCH, &common->verbose}};
    const int shared_count = (int)(sizeof shared / sizeof shared[0]);
    *arguments = (Arguments){.command = argv[0]};
    size_t bytes = sizeof(char *) * (size_t)(argc + 1);
    arguments->items = memory_alloc(bytes);
    arguments->overrides = memory_alloc(bytes);
    if (arguments->items == NULL || arguments->overrides == NULL) return status_no_memory(bytes, "arguments");
    bool only_positional = false;
    for (int i = 1; i < argc; i++) {
        if (!only_positional && strcmp(argv[i], "--") == 0) {
            only_positional = true;
        } else if (!only_positional && argv[i][0] == '-' && argv[i][1] != '\0') {
            TRY(take_flag(flags, count, shared, shared_count, argc, argv, &i));
        } else if (!only_positional && is_override(argv[i])) {
            arguments->overrides[arguments->override_count++] = argv[i];
        } else {
            arguments->items[arguments->count++] = argv[i];
        }
    }
    if (locks != NULL) TRY(set_locks(locks));
    if (common->quiet) log_set_level(LOG_LEVEL_WARNING);
    if (common->verbose) log_set_level(LOG_LEVEL_DEBUG);
    return OK;
}

void arguments_free(Arguments *arguments)
{
    memory_free(arguments->items);
    memory_free(arguments->overrides);
    *arguments = (Arguments){0};
}

Status arguments_expect(const Arguments *arguments, int low, int high, const char *what)
{
    if (arguments->count < low) return status_error(STATUS_USAGE, "%s: %s is missing", arguments->command, what);
    if (arguments->count > high)
        return status_error(STATUS_USAGE, "%s: unexpected argument '%s'", arguments->command, arguments->items[high]);
    return OK;
}

int command_end(Status status)
{
    if (status == OK) return 0;
    int code = status_exit_code(status_code(status));
    log_status(LOG_LEVEL_ERROR, status);
    return code;
}
