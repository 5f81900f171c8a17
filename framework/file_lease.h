/* Locks by leases; for file_lock.c alone. See files.h. */
#ifndef FRAMEWORK_FILE_LEASE_H
#define FRAMEWORK_FILE_LEASE_H

#include "framework/files.h"

typedef struct FileLease FileLease;
Status file_lease_take(const char *path, FileLease **lease);
void file_lease_release(FileLease *lease);
Status file_lease_look(const char *path, bool *held, char **holder);

#endif
