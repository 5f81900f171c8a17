/* Shuffled reads of a data set against reading the same file from end to end, in one run.
 *   bench_store IMAGES ROUNDS
 * Both from the page cache, both into memory that is used again; rounds alternate and the
 * best of each counts. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "tests/storage/fixture.h"

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* All of a file through one buffer; the bytes it has. */
static int64_t read_through(const char *path, char *buffer, size_t capacity)
{
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    int64_t total = 0;
    ssize_t got;
    while ((got = read(fd, buffer, capacity)) > 0) total += got;
    close(fd);
    return total;
}

static int64_t images;
static int rounds;

static void bench(void)
{
    Fixture f = fixture_defaults();
    f.train = (int)images;
    f.val = 1;
    f.height = 480;
    f.width = 640;
    f.blobs = 6;
    fixture_create(&f);
    char output[300], shard[320];
    snprintf(output, sizeof output, "%s/shards", f.root);
    ImportOptions options = fixture_import(&f, output);
    options.shard_images = (int)images; /* one shard, so that both sides read the same file */
    CHECK_OK(import_everything(&options, NULL));
    snprintf(shard, sizeof shard, "%s/train-00000.h5", output);
    size_t capacity = (size_t)f.height * (size_t)f.width * 4; /* a read of an image's size */
    char *buffer = malloc(capacity);
    int64_t *order = malloc((size_t)images * sizeof *order);
    for (int64_t i = 0; i < images; i++) order[i] = i;
    Dataset *dataset;
    CHECK_OK(dataset_open(output, "train", &dataset));
    Sample sample = {0};
    double raw = 0, shuffled = 0;
    int64_t bytes = read_through(shard, buffer, capacity);
    for (int round = 0; round < rounds; round++) {
        Random random = random_stream(1, RANDOM_TEST, 1, (uint64_t)round);
        random_shuffle(&random, order, images);
        double start = seconds();
        CHECK_INT(read_through(shard, buffer, capacity), bytes);
        double raw_time = seconds() - start;
        start = seconds();
        for (int64_t i = 0; i < images; i++) CHECK_OK(dataset_read(dataset, order[i], &sample));
        double shuffled_time = seconds() - start;
        if (raw == 0 || raw_time < raw) raw = raw_time;
        if (shuffled == 0 || shuffled_time < shuffled) shuffled = shuffled_time;
    }
    printf("store: %lld images of 640x480, %.0f MB\n", (long long)images, (double)bytes / 1e6);
    printf("store: raw sequential read %.0f MB/s; shuffled images, checksums checked, %.0f MB/s of the file\n",
           (double)bytes / raw / 1e6, (double)bytes / shuffled / 1e6);
    printf("store: shuffled / raw: %.2f; wanted 0.50\n", raw / shuffled);
    sample_clear(&sample);
    dataset_close(dataset);
    free(buffer);
    free(order);
    CHECK_OK(directory_remove(f.root));
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(bench)};
    images = argc > 1 ? atoll(argv[1]) : 100;
    rounds = argc > 2 ? atoi(argv[2]) : 7;
    return test_main(cases, 1, 1, argv);
}
