/* What the commands that talk to Slurm have in common. */
#ifndef COMMANDS_SLURM_COMMAND_H
#define COMMANDS_SLURM_COMMAND_H

#include "commands/study_command.h"
#include "jobs/sync.h"

SyncOptions slurm_options(bool no_canary);
/* A sync beside another command's purpose: its failure is a warning. True where jobs were ever submitted from there, and
 * it was done. */
bool sync_beside(const char *work, bool wait);
void print_sync(const char *work, const SyncSummary *summary);
/* zeroth run --executor slurm: submits and follows, or shows what it would submit. A study with halving is planned anew
 * after each of its rounds. */
Status run_with_slurm(Plan **plan, bool no_canary, bool dry_run, bool quiet);

#endif
