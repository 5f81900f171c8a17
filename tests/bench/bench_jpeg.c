/* Import against libjpeg-turbo's own decoder, in one run.
 *   bench_jpeg IMAGES ROUNDS
 * The peer reads the same JPEG files and decodes them into one buffer. The import does
 * that and everything else: JSON, id PNGs, checksums, shards flushed to disk. Each round
 * does both; the best round of each counts. */
#include <stdio.h>
#include <time.h>

#include <jpeglib.h>

#include "tests/storage/fixture.h"

static double clock_seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

typedef struct Times { double wall, cpu; } Times;

static Times now(void)
{
    return (Times){clock_seconds(CLOCK_MONOTONIC), clock_seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static void keep_best(Times *best, Times start)
{
    Times end = now();
    if (best->wall == 0 || end.wall - start.wall < best->wall) best->wall = end.wall - start.wall;
    if (best->cpu == 0 || end.cpu - start.cpu < best->cpu) best->cpu = end.cpu - start.cpu;
}

static void decode_file(const char *path, unsigned char *pixels, char *buffer, size_t capacity, size_t *bytes)
{
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t size = fread(buffer, 1, capacity, file);
    fclose(file);
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, (unsigned char *)buffer, size);
    jpeg_read_header(&info, TRUE);
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = pixels + (size_t)info.output_scanline * info.output_width * 3;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    *bytes += size;
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
    f.blobs = 20;
    f.classes = 20;
    f.noise = 20; /* 4.6 bits a pixel, as COCO's training images have */
    f.quality = 91;
    fixture_create(&f);
    char output[300];
    snprintf(output, sizeof output, "%s/shards", f.root);
    ImportOptions options = fixture_import(&f, output);
    options.shard_images = 512;
    unsigned char *pixels = malloc((size_t)f.height * (size_t)f.width * 3);
    enum { CAPACITY = 1 << 22 };
    char *buffer = malloc(CAPACITY);
    Times decode = {0}, import = {0};
    size_t bytes = 0;
    for (int round = 0; round < rounds; round++) {
        bytes = 0;
        Times start = now();
        for (int64_t i = 1; i <= images; i++) {
            char path[400];
            snprintf(path, sizeof path, "%s/%06lld.jpg", f.paths[1], (long long)i);
            decode_file(path, pixels, buffer, CAPACITY, &bytes);
        }
        keep_best(&decode, start);
        CHECK_OK(directory_remove(output));
        CHECK_OK(directory_create(output));
        start = now();
        CHECK_OK(import_everything(&options, NULL));
        keep_best(&import, start);
    }
    double total = (double)(images + 1); /* the val image too */
    double decode_rate = (double)images / decode.cpu, import_rate = total / import.cpu;
    printf("jpeg: %lld images of 640x480, %.0f KB each, %.1f bits a pixel\n", (long long)images,
           (double)bytes / (double)images / 1e3, 8 * (double)bytes / (double)images / (f.height * f.width));
    printf("jpeg: libjpeg-turbo decodes %.0f images/s of a core; import %.0f (wall: %.0f and %.0f)\n", decode_rate,
           import_rate, (double)images / decode.wall, total / import.wall);
    printf("jpeg: import / decode per core: %.2f (wall, disk included: %.2f); wanted 0.70\n", import_rate / decode_rate,
           total / import.wall / ((double)images / decode.wall));
    free(pixels);
    free(buffer);
    CHECK_OK(directory_remove(f.root));
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(bench)};
    images = argc > 1 ? atoll(argv[1]) : 100;
    rounds = argc > 2 ? atoi(argv[2]) : 5;
    return test_main(cases, 1, 1, argv);
}
