#include "models/engine/cpu/onednn.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t shared_engine;
static dnnl_stream_t shared_stream;
static dnnl_status_t opened;

static void open_once(void)
{
    opened = dnnl_engine_create(&shared_engine, dnnl_cpu, 0);
    if (opened == dnnl_success) opened = dnnl_stream_create(&shared_stream, shared_engine, dnnl_stream_default_flags);
}

Status onednn_check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success) return OK;
    if (status == dnnl_out_of_memory) return status_error(STATUS_NO_MEMORY, "oneDNN: no memory in %s", what);
    return status_error(STATUS_LIBRARY, "oneDNN: error %d in %s", (int)status, what);
}

Status onednn_open(dnnl_engine_t *engine, dnnl_stream_t *stream)
{
    pthread_once(&once, open_once);
    TRY(onednn_check(opened, "opening the CPU engine"));
    *engine = shared_engine;
    *stream = shared_stream;
    return OK;
}

Status onednn_memory(const dnnl_memory_desc_t *description, dnnl_memory_t *memory)
{
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    TRY(onednn_open(&engine, &stream));
    return onednn_check(dnnl_memory_create(memory, description, engine, DNNL_MEMORY_NONE), "creating a memory");
}

Status onednn_bind(dnnl_memory_t memory, const void *data)
{
    void *bound;
    dnnl_status_t status = dnnl_memory_get_data_handle(memory, &bound);
    if (status != dnnl_success || bound == data) return onednn_check(status, "reading a memory's address");
    return onednn_check(dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data), "setting a memory's address");
}
