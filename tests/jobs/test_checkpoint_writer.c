/* The thread that writes checkpoints: what it writes is the state as it was
 * when it was handed over, one at a time, and no failure is lost. */
#include "jobs/checkpoint_writer.h"

#include "framework/memory.h"
#include "framework/threads.h"
#include "tests/test.h"

enum { VALUES = 1000 };

/* What the thread sees; it waits in the write until `open`. */
typedef struct Disk {
    Monitor monitor;
    bool open, full;
    int writes;
    int64_t step;
    float sum;
    char kind[20], name[20];
} Disk;

static Status write_state(void *context, int64_t step, double waited, const char *kind, const ArrayList *arrays)
{
    Disk *disk = context;
    (void)waited;
    monitor_enter(&disk->monitor);
    while (!disk->open) monitor_wait(&disk->monitor, -1);
    disk->writes++;
    disk->step = step;
    disk->sum = 0;
    for (int a = 0; a < arrays->count; a++)
        for (int i = 0; i < VALUES; i++) disk->sum += ((const float *)arrays->items[a].data)[i];
    snprintf(disk->kind, sizeof disk->kind, "%s", kind);
    snprintf(disk->name, sizeof disk->name, "%s", arrays->items[0].name);
    Status status = disk->full ? status_error(STATUS_NO_SPACE, "the disk is full") : OK;
    monitor_leave(&disk->monitor);
    return status;
}

static void set_open(Disk *disk, bool open)
{
    monitor_enter(&disk->monitor);
    disk->open = open;
    monitor_tell(&disk->monitor);
    monitor_leave(&disk->monitor);
}

static ArrayList list_state(float *a, float *b)
{
    ArrayList arrays = {0};
    int64_t shape = VALUES;
    CHECK_OK(array_list_add(&arrays, "model.", "a", ARRAY_F32, 1, &shape, a));
    CHECK_OK(array_list_add(&arrays, "model.", "b", ARRAY_F32, 1, &shape, b));
    return arrays;
}

static float values[2][VALUES];

static void fill(float value)
{
    for (int i = 0; i < VALUES; i++) values[0][i] = values[1][i] = value;
}

static void test_copy_is_written(void)
{
    Disk disk = {.open = false};
    CheckpointWriter *writer;
    monitor_create(&disk.monitor);
    CHECK_OK(checkpoint_writer_create(write_state, &disk, &writer));
    fill(1);
    ArrayList arrays = list_state(values[0], values[1]);
    CHECK_OK(checkpoint_writer_reserve(writer, &arrays));
    CHECK(arrays.items == NULL);
    CHECK_OK(checkpoint_writer_wait(writer));
    CHECK(!checkpoint_writer_busy(writer));
    arrays = list_state(values[0], values[1]);
    CHECK_OK(checkpoint_writer_take(writer, 7, thread_clock(), "some-state", &arrays));
    CHECK(arrays.items == NULL);
    fill(5); /* the next step, while the thread has not written a byte */
    CHECK(checkpoint_writer_busy(writer));
    CHECK_OK(checkpoint_writer_result(writer));
    set_open(&disk, true);
    CHECK_OK(checkpoint_writer_wait(writer));
    CHECK(!checkpoint_writer_busy(writer));
    CHECK_INT(disk.step, 7);
    CHECK(disk.sum == 2 * VALUES);
    CHECK_STRING(disk.kind, "some-state");
    CHECK_STRING(disk.name, "model.a");
    arrays = list_state(values[0], values[1]);
    CHECK_OK(checkpoint_writer_take(writer, 8, thread_clock(), "some-state", &arrays));
    checkpoint_writer_destroy(writer); /* not before that one is written */
    CHECK_INT(disk.writes, 2);
    CHECK(disk.sum == 10 * VALUES);
    monitor_destroy(&disk.monitor);
}

static void test_failure_is_told_once(void)
{
    Disk disk = {.open = true, .full = true};
    CheckpointWriter *writer;
    monitor_create(&disk.monitor);
    CHECK_OK(checkpoint_writer_create(write_state, &disk, &writer));
    ArrayList arrays = list_state(values[0], values[1]);
    CHECK_OK(checkpoint_writer_take(writer, 1, thread_clock(), "some-state", &arrays));
    while (checkpoint_writer_busy(writer)) continue;
    CHECK_FAILS(checkpoint_writer_result(writer), STATUS_NO_SPACE, "the disk is full");
    CHECK_OK(checkpoint_writer_result(writer));
    arrays = list_state(values[0], values[1]);
    CHECK_OK(checkpoint_writer_take(writer, 2, thread_clock(), "some-state", &arrays));
    CHECK_FAILS(checkpoint_writer_wait(writer), STATUS_NO_SPACE, "the disk is full");
    arrays = list_state(values[0], values[1]);
    memory_fail_after(0);
    Status status = checkpoint_writer_reserve(writer, &arrays);
    memory_fail_after(-1);
    CHECK_OK(status); /* the buffer is there already */
    checkpoint_writer_destroy(writer);
    CHECK_OK(checkpoint_writer_create(write_state, &disk, &writer));
    arrays = list_state(values[0], values[1]);
    memory_fail_after(0);
    status = checkpoint_writer_reserve(writer, &arrays);
    memory_fail_after(-1);
    CHECK_FAILS(status, STATUS_NO_MEMORY, "a copy of the state");
    checkpoint_writer_destroy(writer);
    checkpoint_writer_destroy(NULL);
    monitor_destroy(&disk.monitor);
}

TEST_MAIN(TEST(test_copy_is_written), TEST(test_failure_is_told_once))
