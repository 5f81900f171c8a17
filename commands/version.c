#include "commands/version.h"

#ifndef ZEROTH_COMMIT
#define ZEROTH_COMMIT unknown
#endif
#define QUOTE_INNER(x) #x
#define QUOTE(x) QUOTE_INNER(x)

const char *version_commit(void)
{
    return QUOTE(ZEROTH_COMMIT);
}
