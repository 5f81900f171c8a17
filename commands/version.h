/* What this binary was built from; recorded with every attempt. Lives beside
 * the commands so that a new commit relinks the program and no test. */
#ifndef COMMANDS_VERSION_H
#define COMMANDS_VERSION_H

#define VERSION_NUMBER "0.1"

/* Twelve hex digits of the commit, "+dirty" where tracked files differed from
 * it; "unknown" outside a repository. */
const char *version_commit(void);

#endif
