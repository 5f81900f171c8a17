/* What a path holds, for people: a data set, a feature store (file or directory
 * of parts) or a checkpoint. */
#ifndef STORAGE_DESCRIBE_H
#define STORAGE_DESCRIBE_H

#include <stdio.h>

#include "framework/status.h"

Status store_describe(const char *path, FILE *out);
/* Checks every checksum and cross-reference, and prints a line of counts. */
Status store_verify(const char *path, FILE *out);

#endif
