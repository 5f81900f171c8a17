/* Files of one JSON object a line, to which somebody may be appending just now. */
#ifndef FRAMEWORK_JSON_LINES_H
#define FRAMEWORK_JSON_LINES_H

#include "framework/json.h"

/* `line` is NULL for a whole line that is no JSON. */
typedef Status (*JsonLineTaker)(void *context, const Json *line);

/* Calls `take` for every whole line from byte *offset on, and moves *offset
 * behind the last of them. A torn last line is left for later. An absent file
 * has no lines. */
Status json_lines_read(const char *path, int64_t *offset, JsonLineTaker take, void *context);

/* Appends the object of `writer`, which is ended and freed, as one line; on one
 * of its own even behind a line that a kill has torn. With `sync` it is on the
 * disk when the call returns. */
Status json_lines_append(const char *path, JsonWriter *writer, bool sync);

#endif
