/* What this binary was built from; recorded with every attempt. */
#ifndef FRAMEWORK_VERSION_H
#define FRAMEWORK_VERSION_H

#define VERSION_NUMBER "0.1"

const char *version_commit(void);   /* twelve hex digits, "+dirty" where the tree was changed; "unknown" */
const char *version_compiler(void); /* "gcc 12.2.0" */

#endif
