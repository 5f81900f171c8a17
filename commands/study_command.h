/* What commands about a study have in common. */
#ifndef COMMANDS_STUDY_COMMAND_H
#define COMMANDS_STUDY_COMMAND_H

#include "commands/commands.h"
#include "jobs/plan.h"

/* Study of arguments->items[0] with the overrides, and its plan in the work
 * directory that flag, study or default name (made absolute). */
Status load_plan(const CommonFlags *common, const Arguments *arguments, StageId last, Study **study, Plan **plan);
/* The plan of a study that is read already, as things are now. */
Status plan_study(const CommonFlags *common, const Study *study, StageId last, Plan **plan);
/* The work directory of a command without a study: flag or default. */
const char *default_work(const CommonFlags *common);
/* Whether an argument is a study file rather than a name: it ends in .yaml. */
bool is_study_file(const char *argument);
/* Name and work directory (flag, study or default) of a study file; the caller
 * frees both, after a failure too. */
Status find_study(const CommonFlags *common, const Arguments *arguments, const char *path, char **name, char **work);

/* The same of the first argument, which is a study file or a study's name: one that the work directory has no record
 * of is STATUS_NOT_FOUND. */
Status find_named_study(const CommonFlags *common, const Arguments *arguments, char **name, char **work);
/* Shows a study that another process runs, until that is gone or all is done. */
Status follow_study(const char *work, const char *name, bool quiet);

/* The end of a noun that is counted. */
const char *plural(size_t count);

#endif
