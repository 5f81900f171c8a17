#include "storage/rle.h"

#include <string.h>

#include "framework/memory.h"

void rle_clear(Rle *rle)
{
    memory_free(rle->counts);
    *rle = (Rle){0};
}

/* Room for `count` runs; those there are kept. */
static Status reserve(Rle *rle, size_t count)
{
    if (count <= rle->capacity) return OK;
    size_t capacity = count + count / 2 + 16;
    uint32_t *larger = memory_resize(rle->counts, capacity * sizeof *larger);
    if (larger == NULL) return status_no_memory(capacity * sizeof *larger, "a mask");
    rle->counts = larger;
    rle->capacity = capacity;
    return OK;
}

static Status append(Rle *rle, uint32_t run)
{
    TRY(reserve(rle, rle->count + 1));
    rle->counts[rle->count++] = run;
    return OK;
}

static void begin(Rle *rle, int height, int width)
{
    rle->height = height;
    rle->width = width;
    rle->count = 0;
}

/* Columns are gathered by strips, as a walk down a single column would miss the cache at every pixel. */
enum { STRIP = 64 };

Status rle_encode(const uint8_t *mask, int height, int width, Rle *rle)
{
    begin(rle, height, width);
    uint8_t *strip = memory_alloc((size_t)height * STRIP + 1), value = 0;
    if (strip == NULL) return status_no_memory((size_t)height * STRIP, "a mask");
    uint32_t run = 0;
    Status status = OK;
    for (int left = 0; left < width && status == OK; left += STRIP) {
        const int columns = width - left < STRIP ? width - left : STRIP;
        for (int y = 0; y < height; y++) {
            const uint8_t *row = mask + (size_t)y * (size_t)width + left;
            for (int x = 0; x < columns; x++) strip[(size_t)x * (size_t)height + (size_t)y] = row[x] != 0;
        }
        const size_t pixels = (size_t)columns * (size_t)height;
        for (size_t i = 0; i < pixels && status == OK;) {
            const uint8_t *change = memchr(strip + i, !value, pixels - i);
            const size_t end = change == NULL ? pixels : (size_t)(change - strip);
            run += (uint32_t)(end - i);
            i = end;
            if (change == NULL) break;
            status = append(rle, run);
            run = 0;
            value = !value;
        }
    }
    if (status == OK) status = append(rle, run);
    memory_free(strip);
    return status;
}

void rle_decode(const Rle *rle, uint8_t *mask)
{
    const size_t height = (size_t)rle->height, width = (size_t)rle->width;
    size_t x = 0, y = 0;
    memset(mask, 0, height * width);
    for (size_t k = 0; k < rle->count; k++) {
        if (k % 2 == 0) {
            const size_t at = x * height + y + rle->counts[k];
            x = at / height;
            y = at % height;
            continue;
        }
        for (uint32_t i = 0; i < rle->counts[k]; i++) {
            mask[y * width + x] = 1;
            if (++y == height) {
                y = 0;
                x++;
            }
        }
    }
}

int64_t rle_area(const Rle *rle)
{
    int64_t area = 0;
    for (size_t k = 1; k < rle->count; k += 2) area += rle->counts[k];
    return area;
}

void rle_box(const Rle *rle, int64_t box[4])
{
    const int64_t height = rle->height;
    int64_t left = rle->width, right = -1, top = height, bottom = -1, at = 0;
    for (size_t k = 0; k < rle->count; at += rle->counts[k++]) {
        if (k % 2 == 0 || rle->counts[k] == 0) continue;
        const int64_t end = at + rle->counts[k] - 1, first = at / height, last = end / height;
        const int64_t high = first == last ? at % height : 0, low = first == last ? end % height : height - 1;
        left = first < left ? first : left;
        right = last > right ? last : right;
        top = high < top ? high : top;
        bottom = low > bottom ? low : bottom;
    }
    const bool empty = right < 0;
    box[0] = empty ? 0 : left;
    box[1] = empty ? 0 : top;
    box[2] = empty ? 0 : right - left + 1;
    box[3] = empty ? 0 : bottom - top + 1;
}

/* Two masks walked together: a stretch at a time over which neither changes. */
typedef struct Walk {
    const Rle *rle;
    size_t next;
    uint32_t left; /* of the present run */
    bool inside;
} Walk;

static void walk_skip_empty(Walk *walk)
{
    while (walk->left == 0 && walk->next < walk->rle->count) {
        walk->left = walk->rle->counts[walk->next++];
        walk->inside = walk->next % 2 == 0;
    }
}

static Walk walk_begin(const Rle *rle)
{
    Walk walk = {.rle = rle};
    walk_skip_empty(&walk);
    return walk;
}

/* Length of the next stretch, 0 at the end; `in_a` and `in_b` tell where it lies. */
static uint32_t walk_both(Walk *a, Walk *b, bool *in_a, bool *in_b)
{
    const uint32_t stretch = a->left < b->left ? a->left : b->left;
    *in_a = a->inside;
    *in_b = b->inside;
    a->left -= stretch;
    b->left -= stretch;
    walk_skip_empty(a);
    walk_skip_empty(b);
    return stretch;
}

int64_t rle_common(const Rle *first, const Rle *second)
{
    Walk a = walk_begin(first), b = walk_begin(second);
    bool in_a, in_b;
    int64_t common = 0;
    for (uint32_t stretch; (stretch = walk_both(&a, &b, &in_a, &in_b)) > 0;)
        if (in_a && in_b) common += stretch;
    return common;
}

double rle_iou(const Rle *detection, const Rle *truth, bool crowd)
{
    const int64_t common = rle_common(detection, truth), own = rle_area(detection);
    if (common == 0) return 0;
    return (double)common / (double)(crowd ? own : own + rle_area(truth) - common);
}

static Status merge_two(const Rle *first, const Rle *second, bool intersect, Rle *out)
{
    begin(out, first->height, first->width);
    Walk a = walk_begin(first), b = walk_begin(second);
    bool in_a, in_b, inside = false;
    uint32_t run = 0;
    for (uint32_t stretch; (stretch = walk_both(&a, &b, &in_a, &in_b)) > 0; run += stretch) {
        if ((intersect ? in_a && in_b : in_a || in_b) == inside) continue;
        TRY(append(out, run));
        run = 0;
        inside = !inside;
    }
    return append(out, run);
}

static Status copy(const Rle *from, Rle *to)
{
    begin(to, from->height, from->width);
    TRY(reserve(to, from->count));
    memcpy(to->counts, from->counts, from->count * sizeof *to->counts);
    to->count = from->count;
    return OK;
}

Status rle_merge(const Rle *masks, size_t count, bool intersect, Rle *out)
{
    Rle so_far = {0};
    Status status = copy(&masks[0], out);
    for (size_t i = 1; i < count && status == OK; i++) {
        const Rle swap = so_far;
        so_far = *out;
        *out = swap;
        status = merge_two(&so_far, &masks[i], intersect, out);
    }
    rle_clear(&so_far);
    return status;
}

/* -- text -- */

/* Each run as its difference from the one two before it, five bits a character, lowest first. */
void rle_write(const Rle *rle, Text *text)
{
    for (size_t i = 0; i < rle->count; i++) {
        int64_t value = (int64_t)rle->counts[i] - (i > 2 ? (int64_t)rle->counts[i - 2] : 0);
        for (bool more = true; more;) {
            char c = (char)(value & 0x1f);
            value >>= 5;
            more = (c & 0x10) != 0 ? value != -1 : value != 0;
            c = (char)((more ? c | 0x20 : c) + 48);
            text_append_bytes(text, &c, 1);
        }
    }
}

static Status take_run(Rle *rle, int64_t run, int64_t *total)
{
    const int64_t pixels = (int64_t)rle->height * rle->width;
    if (run < 0 || run > pixels - *total)
        return status_error(STATUS_INVALID, "run %zu of a mask of %d x %d pixels is %lld, after %lld pixels", rle->count,
                            rle->width, rle->height, (long long)run, (long long)*total);
    *total += run;
    return append(rle, (uint32_t)run);
}

static Status check_total(const Rle *rle, int64_t total)
{
    const int64_t pixels = (int64_t)rle->height * rle->width;
    if (total == pixels) return OK;
    return status_error(STATUS_INVALID, "runs of a mask of %d x %d pixels cover %lld of %lld", rle->width, rle->height,
                        (long long)total, (long long)pixels);
}

Status rle_parse(const char *text, size_t bytes, int height, int width, Rle *rle)
{
    int64_t total = 0;
    begin(rle, height, width);
    for (size_t i = 0; i < bytes;) {
        int64_t value = 0;
        bool more = true;
        int shift = 0;
        for (; more && i < bytes; i++, shift += 5) {
            const int c = (unsigned char)text[i] - 48;
            if (c < 0 || c > 63 || shift > 35)
                return status_error(STATUS_INVALID, "byte %zu of a mask's text is no part of a run", i);
            value |= (int64_t)(c & 0x1f) << shift;
            more = (c & 0x20) != 0;
            if (!more && (c & 0x10) != 0) value -= (int64_t)1 << (shift + 5);
        }
        if (more) return status_error(STATUS_INVALID, "a mask's text ends within a run");
        if (rle->count > 2) value += rle->counts[rle->count - 2];
        TRY(take_run(rle, value, &total));
    }
    return check_total(rle, total);
}

Status rle_from_counts(const int64_t *counts, size_t count, int height, int width, Rle *rle)
{
    int64_t total = 0;
    begin(rle, height, width);
    for (size_t i = 0; i < count; i++) TRY(take_run(rle, counts[i], &total));
    return check_total(rle, total);
}
