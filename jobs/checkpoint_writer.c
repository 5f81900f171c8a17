#include "jobs/checkpoint_writer.h"

#include <string.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "framework/threads.h"

enum { ALIGNMENT = 64 };
typedef enum Task { TASK_NONE, TASK_TOUCH, TASK_WRITE, TASK_END } Task;

struct CheckpointWriter {
    CheckpointWrite *write;
    void *context;
    Thread thread;
    Monitor monitor; /* guards task, failure and, while there is a task, all below */
    Task task;
    Status failure;
    char *buffer;
    int64_t capacity;
    ArrayList arrays; /* data point into the buffer */
    const char *kind;
    int64_t step;
    double waited;
};

/* Done is `task` none again. */
static void *work(void *pointer)
{
    CheckpointWriter *writer = pointer;
    monitor_enter(&writer->monitor);
    while (writer->task != TASK_END) {
        if (writer->task == TASK_NONE) {
            monitor_wait(&writer->monitor, -1);
            continue;
        }
        Task task = writer->task;
        monitor_leave(&writer->monitor);
        Status status = OK;
        if (task == TASK_TOUCH) memset(writer->buffer, 0, (size_t)writer->capacity);
        else status = writer->write(writer->context, writer->step, writer->waited, writer->kind, &writer->arrays);
        array_list_clear(&writer->arrays);
        monitor_enter(&writer->monitor);
        writer->failure = status_first(writer->failure, status);
        writer->task = TASK_NONE;
        monitor_tell(&writer->monitor);
    }
    monitor_leave(&writer->monitor);
    return NULL;
}

Status checkpoint_writer_create(CheckpointWrite *write, void *context, CheckpointWriter **out)
{
    *out = NULL;
    CheckpointWriter *writer = memory_alloc_zero(1, sizeof *writer);
    if (writer == NULL) return status_no_memory(sizeof *writer, "a checkpoint writer");
    writer->write = write;
    writer->context = context;
    monitor_create(&writer->monitor);
    Status status = thread_start(work, writer, &writer->thread);
    if (status != OK) {
        monitor_destroy(&writer->monitor);
        memory_free(writer);
        return status;
    }
    *out = writer;
    return OK;
}

static void set_task(CheckpointWriter *writer, Task task)
{
    monitor_enter(&writer->monitor);
    writer->task = task;
    monitor_tell(&writer->monitor);
    monitor_leave(&writer->monitor);
}

void checkpoint_writer_destroy(CheckpointWriter *writer)
{
    if (writer == NULL) return;
    log_status(LOG_LEVEL_WARNING, checkpoint_writer_wait(writer));
    set_task(writer, TASK_END);
    thread_join(&writer->thread);
    monitor_destroy(&writer->monitor);
    array_list_clear(&writer->arrays);
    memory_free(writer->buffer);
    memory_free(writer);
}

static int64_t rounded(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static Status reserve(CheckpointWriter *writer, const ArrayList *arrays)
{
    int64_t bytes = 0;
    for (int i = 0; i < arrays->count; i++) bytes += rounded(array_bytes(&arrays->items[i]));
    if (bytes <= writer->capacity) return OK;
    memory_free(writer->buffer);
    writer->capacity = 0;
    writer->buffer = memory_alloc_aligned((size_t)bytes);
    if (writer->buffer == NULL) return status_no_memory((size_t)bytes, "a copy of the state, for checkpoints");
    writer->capacity = bytes;
    return OK;
}

Status checkpoint_writer_reserve(CheckpointWriter *writer, ArrayList *arrays)
{
    Status status = checkpoint_writer_wait(writer);
    if (status == OK) status = reserve(writer, arrays);
    array_list_clear(arrays);
    if (status == OK) set_task(writer, TASK_TOUCH);
    return status;
}

bool checkpoint_writer_busy(CheckpointWriter *writer)
{
    monitor_enter(&writer->monitor);
    bool busy = writer->task != TASK_NONE;
    monitor_leave(&writer->monitor);
    return busy;
}

Status checkpoint_writer_take(CheckpointWriter *writer, int64_t step, double began, const char *kind, ArrayList *arrays)
{
    Status status = reserve(writer, arrays);
    if (status != OK) {
        array_list_clear(arrays);
        return status;
    }
    char *to = writer->buffer;
    for (int i = 0; i < arrays->count; i++) {
        int64_t bytes = array_bytes(&arrays->items[i]);
        memcpy(to, arrays->items[i].data, (size_t)bytes);
        arrays->items[i].data = to;
        to += rounded(bytes);
    }
    writer->arrays = *arrays;
    *arrays = (ArrayList){0};
    writer->kind = kind;
    writer->step = step;
    writer->waited = thread_clock() - began;
    set_task(writer, TASK_WRITE);
    return OK;
}

static Status take_failure(CheckpointWriter *writer)
{
    Status failure = writer->failure;
    writer->failure = OK;
    return failure;
}

Status checkpoint_writer_result(CheckpointWriter *writer)
{
    monitor_enter(&writer->monitor);
    Status failure = take_failure(writer);
    monitor_leave(&writer->monitor);
    return failure;
}

Status checkpoint_writer_wait(CheckpointWriter *writer)
{
    monitor_enter(&writer->monitor);
    while (writer->task == TASK_TOUCH || writer->task == TASK_WRITE) monitor_wait(&writer->monitor, -1);
    Status failure = take_failure(writer);
    monitor_leave(&writer->monitor);
    return failure;
}
