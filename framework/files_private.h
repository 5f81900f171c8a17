/* What the file modules of this folder share; for them alone. */
#ifndef FRAMEWORK_FILES_PRIVATE_H
#define FRAMEWORK_FILES_PRIVATE_H

#include "framework/files.h"

#define FILES_POINTS(X)     \
    X(FILES_OPEN, "open")   \
    X(FILES_WRITE, "write") \
    X(FILES_SYNC, "sync")   \
    X(FILES_RENAME, "rename") \
    X(FILES_DIRSYNC, "dirsync")

typedef enum FilesPoint {
#define X(point, name) point,
    FILES_POINTS(X)
#undef X
    FILES_POINT_COUNT
} FilesPoint;

/* What an injection wants of this passage of a point. A kill at a write comes
 * after half of the bytes, so that it tears; at all other points before. */
typedef enum FilesFault { FAULT_NONE, FAULT_KILL, FAULT_SHORT, FAULT_NO_SPACE } FilesFault;

FilesFault files_fault(FilesPoint point);
/* The same for points other than write: kills here, and true with errno set
 * where the call must fail. */
bool files_fault_fails(FilesPoint point);
void files_kill(void) __attribute__((noreturn)); /* SIGKILL to this process */

Status files_sync_path(const char *path);   /* fsync of a file by name */
Status files_sync_parent(const char *path); /* fsync of the directory of `path` */

#endif
