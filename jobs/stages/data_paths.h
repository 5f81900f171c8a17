/* Where a study's data lie: keys that name files do so relative to data.root. */
#ifndef STAGES_DATA_PATHS_H
#define STAGES_DATA_PATHS_H

#include "framework/config.h"

/* The file or directory that `key` names, below data.root unless absolute; freed by memory_free. STATUS_INVALID names
 * the key where it or data.root is not set, STATUS_NOT_FOUND where data.root is no directory. */
Status data_path(const Config *config, const char *key, char **path);
/* `name` below data.root (or absolute), for a key that may leave it to a default; `name` is not empty. */
Status data_path_of(const Config *config, const char *name, char **path);

#endif
