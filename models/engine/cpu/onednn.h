/* What the kernels that use oneDNN share. */
#ifndef ENGINE_CPU_ONEDNN_H
#define ENGINE_CPU_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>

#include "framework/status.h"

/* The engine and stream of this process, made by the first call. */
Status onednn_open(dnnl_engine_t *engine, dnnl_stream_t *stream);
/* oneDNN's error as ours; `what` was being done. */
Status onednn_check(dnnl_status_t status, const char *what);
#define ONEDNN_TRY(call) TRY(onednn_check((call), #call))

/* A memory object without memory: onednn_bind gives it some before a run. */
Status onednn_memory(const dnnl_memory_desc_t *description, dnnl_memory_t *memory);
Status onednn_bind(dnnl_memory_t memory, const void *data);

#endif
