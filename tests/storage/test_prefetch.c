/* Reading ahead gives what reading gives, in the order asked for. */
#include <pthread.h>

#include "storage/prefetch.h"
#include "tests/storage/fixture.h"

static Fixture fixture;
static char output[300];

static Dataset *open_dataset(bool encoded)
{
    Dataset *dataset;
    if (fixture.root[0] == '\0') {
        fixture = fixture_defaults();
        fixture_create(&fixture);
    }
    snprintf(output, sizeof output, "%s/%s", fixture.root, encoded ? "encoded" : "plain");
    ImportOptions options = fixture_import(&fixture, output);
    options.encoded = encoded;
    CHECK_OK(import_everything(&options, NULL));
    CHECK_OK(dataset_open(output, "train", &dataset));
    return dataset;
}

/* Some order, which remembers what it was asked. */
typedef struct Order {
    int64_t count, expected;
    bool ascending;
} Order;

static int64_t pick(void *context, int64_t n)
{
    Order *order = context;
    order->ascending = order->ascending && n == order->expected;
    order->expected = n + 1;
    return n * n * 5 % order->count;
}

static void check_reads(Dataset *dataset, int threads, int depth, int64_t first, int64_t end)
{
    Order order = {.count = dataset_count(dataset), .expected = first, .ascending = true};
    Prefetch *prefetch;
    Sample *sample, own = {0};
    double waited = 0;
    CHECK_OK(prefetch_create(dataset, threads, depth, pick, &order, first, end, &prefetch));
    for (int64_t n = first; n < end; n++) {
        CHECK_OK(prefetch_next(prefetch, &sample, &waited));
        CHECK_OK(dataset_read(dataset, n * n * 5 % order.count, &own));
        const size_t pixels = (size_t)own.height * (size_t)own.width;
        CHECK_INT(sample->image_id, own.image_id);
        CHECK(memcmp(sample->rgb, own.rgb, 3 * pixels) == 0);
        CHECK(memcmp(sample->map, own.map, 2 * pixels) == 0);
        memset(sample->rgb, 0, 3 * pixels); /* it is the caller's to change */
    }
    CHECK_FAILS(prefetch_next(prefetch, &sample, &waited), STATUS_INTERNAL, "asked for");
    prefetch_destroy(prefetch);
    CHECK(order.ascending && waited >= 0);
    sample_clear(&own);
}

static void test_order(void)
{
    for (int encoded = 0; encoded < 2; encoded++) {
        Dataset *dataset = open_dataset(encoded == 1);
        for (int threads = 0; threads <= 4; threads++)
            for (int depth = 1; depth <= 9; depth += 4) check_reads(dataset, threads, depth, 3, 60);
        dataset_close(dataset);
    }
}

/* It ends while its threads wait for a slot, or have images that nobody asks for. */
static void test_early_end(void)
{
    Dataset *dataset = open_dataset(true);
    for (int asked = 0; asked < 4; asked++) {
        Order order = {.count = dataset_count(dataset), .ascending = true};
        Prefetch *prefetch;
        Sample *sample;
        double waited = 0;
        CHECK_OK(prefetch_create(dataset, 3, 5, pick, &order, 0, INT64_MAX, &prefetch));
        for (int i = 0; i < asked; i++) CHECK_OK(prefetch_next(prefetch, &sample, &waited));
        prefetch_destroy(prefetch);
        CHECK(order.ascending && order.expected <= asked + 6); /* never further ahead than five */
    }
    prefetch_destroy(NULL);
    dataset_close(dataset);
}

static int64_t pick_outside(void *context, int64_t n)
{
    (void)context;
    return n == 2 ? 100000 : 0;
}

/* A failed read comes in its turn. */
static void test_failed_read(void)
{
    Dataset *dataset = open_dataset(false);
    for (int threads = 0; threads < 3; threads += 2) {
        Prefetch *prefetch;
        Sample *sample;
        double waited = 0;
        CHECK_OK(prefetch_create(dataset, threads, 4, pick_outside, NULL, 0, 8, &prefetch));
        for (int n = 0; n < 8; n++) {
            if (n == 2) CHECK_FAILS(prefetch_next(prefetch, &sample, &waited), STATUS_INTERNAL, "image 100000");
            else CHECK_OK(prefetch_next(prefetch, &sample, &waited));
        }
        prefetch_destroy(prefetch);
    }
    dataset_close(dataset);
}

static void test_refused(void)
{
    Prefetch *prefetch;
    CHECK_FAILS(prefetch_create(NULL, -1, 1, pick, NULL, 0, 1, &prefetch), STATUS_INVALID, "-1 reader threads");
    CHECK_FAILS(prefetch_create(NULL, 1, 0, pick, NULL, 0, 1, &prefetch), STATUS_INVALID, "0 images ahead");
}

/* Many readers of one data set at once. */
static void *read_all(void *argument)
{
    Dataset *dataset = argument;
    Sample sample = {0};
    Status status = OK;
    for (int64_t i = 0; i < 200 && status == OK; i++) status = dataset_read(dataset, i * 3 % dataset_count(dataset), &sample);
    sample_clear(&sample);
    return status;
}

static void test_threads(void)
{
    Dataset *dataset = open_dataset(true);
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) CHECK(pthread_create(&threads[i], NULL, read_all, dataset) == 0);
    for (int i = 0; i < 6; i++) {
        void *status;
        CHECK(pthread_join(threads[i], &status) == 0);
        CHECK_OK((Status)status);
    }
    dataset_close(dataset);
    CHECK_OK(directory_remove(fixture.root));
    fixture.root[0] = '\0';
}

TEST_MAIN(TEST(test_order), TEST(test_early_end), TEST(test_failed_read), TEST(test_refused), TEST(test_threads))
