/* Checkpoints written by a thread of their own, from a copy, so that a step
 * waits for no disk. One at a time: a state that comes due while another is
 * being written is left to a later step. Calls come from one thread. */
#ifndef JOBS_CHECKPOINT_WRITER_H
#define JOBS_CHECKPOINT_WRITER_H

#include "storage/checkpoint.h"

/* Writes one state; runs in the thread. `waited`: seconds that the attempt gave to listing and copying it. */
typedef Status CheckpointWrite(void *context, int64_t step, double waited, const char *kind, const ArrayList *arrays);

typedef struct CheckpointWriter CheckpointWriter;
Status checkpoint_writer_create(CheckpointWrite *write, void *context, CheckpointWriter **writer);
/* Waits for a write under way. A failure that nobody asked for is logged. NULL is fine. */
void checkpoint_writer_destroy(CheckpointWriter *writer);

/* Memory for such arrays, so that none is missing later and the first copy is as fast as the others. Takes the list. */
Status checkpoint_writer_reserve(CheckpointWriter *writer, ArrayList *arrays);
/* Whether a write, or what reserve started, is under way. */
bool checkpoint_writer_busy(CheckpointWriter *writer);
/* Copies the arrays and has the copy written. Takes the list. `began`: when the attempt began to list it (seconds of
 * the monotonic clock). The writer must not be busy. */
Status checkpoint_writer_take(CheckpointWriter *writer, int64_t step, double began, const char *kind, ArrayList *arrays);
/* The failure of the last write, once; OK while it is under way. */
Status checkpoint_writer_result(CheckpointWriter *writer);
/* Waits until nothing is under way; its failure. */
Status checkpoint_writer_wait(CheckpointWriter *writer);

#endif
