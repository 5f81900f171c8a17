#include "framework/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Compiled in rather than linked: Debian's library knows SSE2 only, and wider vectors hash twice as fast. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "framework/memory.h"

/* Only fingerprints have parts: they are made when the first one begins. */
typedef struct Parts {
    XXH3_state_t states[HASHER_MAX_PARTS];
    const char *names[HASHER_MAX_PARTS];
    int count;
} Parts;

struct Hasher {
    XXH3_state_t state; /* wants 64-byte alignment */
    Parts *parts;
};

static Hash128 from_xxh(XXH128_hash_t hash)
{
    return (Hash128){.low = hash.low64, .high = hash.high64};
}

Hash128 hash_bytes(const void *data, size_t bytes)
{
    return from_xxh(XXH3_128bits(data, bytes));
}

bool hash_equal(Hash128 a, Hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

void hash_to_hex(Hash128 hash, char out[HASH_HEX_SIZE])
{
    snprintf(out, HASH_HEX_SIZE, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
}

bool hash_from_hex(const char *hex, Hash128 *hash)
{
    uint64_t words[2] = {0, 0};
    for (int i = 0; i < HASH_HEX_SIZE - 1; i++) {
        static const char DIGITS[] = "0123456789abcdef";
        const char *digit = hex[i] != '\0' ? strchr(DIGITS, hex[i]) : NULL;
        if (digit == NULL) return false;
        words[i / 16] = words[i / 16] << 4 | (uint64_t)(digit - DIGITS);
    }
    if (hex[HASH_HEX_SIZE - 1] != '\0') return false;
    *hash = (Hash128){.high = words[0], .low = words[1]};
    return true;
}

Hasher *hasher_create(void)
{
    Hasher *hasher = memory_alloc_aligned(sizeof *hasher);
    if (hasher == NULL) return NULL;
    XXH3_INITSTATE(&hasher->state);
    XXH3_128bits_reset(&hasher->state);
    hasher->parts = NULL;
    return hasher;
}

void hasher_add(Hasher *hasher, const void *data, size_t bytes)
{
    if (bytes == 0) return;
    XXH3_128bits_update(&hasher->state, data, bytes);
    if (hasher->parts != NULL) XXH3_128bits_update(&hasher->parts->states[hasher->parts->count - 1], data, bytes);
}

void hasher_add_string(Hasher *hasher, const char *string)
{
    size_t length = strlen(string);
    hasher_add_integer(hasher, (int64_t)length);
    hasher_add(hasher, string, length);
}

void hasher_add_integer(Hasher *hasher, int64_t value)
{
    unsigned char little_endian[8]; /* keys must not depend on the machine */
    for (int i = 0; i < 8; i++) little_endian[i] = (unsigned char)((uint64_t)value >> 8 * i & 0xff);
    hasher_add(hasher, little_endian, sizeof little_endian);
}

Hash128 hasher_result(const Hasher *hasher)
{
    return from_xxh(XXH3_128bits_digest(&hasher->state));
}

void hasher_destroy(Hasher *hasher)
{
    if (hasher == NULL) return;
    memory_free(hasher->parts);
    memory_free(hasher);
}

Status hasher_begin_part(Hasher *hasher, const char *name)
{
    if (hasher->parts == NULL) {
        Parts *parts = memory_alloc_aligned(sizeof *parts);
        if (parts == NULL) return status_no_memory(sizeof *parts, "the parts of a hash");
        parts->count = 0;
        hasher->parts = parts;
    }
    Parts *parts = hasher->parts;
    if (parts->count == HASHER_MAX_PARTS) return OK;
    XXH3_INITSTATE(&parts->states[parts->count]);
    XXH3_128bits_reset(&parts->states[parts->count]);
    parts->names[parts->count++] = name;
    return OK;
}

int hasher_part_count(const Hasher *hasher)
{
    return hasher->parts != NULL ? hasher->parts->count : 0;
}

const char *hasher_part(const Hasher *hasher, int part, Hash128 *hash)
{
    *hash = from_xxh(XXH3_128bits_digest(&hasher->parts->states[part]));
    return hasher->parts->names[part];
}

static Status hash_descriptor(int fd, const char *path, Hasher *hasher, char *buffer, size_t size, int64_t *total)
{
    for (;;) {
        ssize_t got = read(fd, buffer, size);
        if (got == 0) return OK;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return status_errno(errno, "read", path);
        hasher_add(hasher, buffer, (size_t)got);
        *total += got;
    }
}

Status hash_file(const char *path, Hash128 *hash, int64_t *bytes)
{
    enum { BUFFER_BYTES = 1 << 18 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    Status status;
    int64_t total = 0;
    Hasher *hasher = hasher_create();
    char *buffer = memory_alloc(BUFFER_BYTES);
    if (hasher == NULL || buffer == NULL) status = status_no_memory(BUFFER_BYTES, path);
    else status = hash_descriptor(fd, path, hasher, buffer, BUFFER_BYTES, &total);
    if (status == OK) {
        *hash = hasher_result(hasher);
        if (bytes != NULL) *bytes = total;
    }
    memory_free(buffer);
    hasher_destroy(hasher);
    close(fd);
    return status;
}
