/* What the variants of a study set: the ablation view takes a key that only
 * variants change for an axis too. */
#ifndef DASHBOARDS_VARIANTS_H
#define DASHBOARDS_VARIANTS_H

#include "framework/status.h"

/* From WORK/studies/NAME/study.yaml: a JSON object, variant to {key: text as written}; "{}" where there is no such file
 * or no variant. Freed by memory_free. */
Status variants_read(const char *work, const char *study, char **json);

#endif
