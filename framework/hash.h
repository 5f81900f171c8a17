/* 128-bit XXH3 for job keys and checksums. Not for defence against forgery. */
#ifndef FRAMEWORK_HASH_H
#define FRAMEWORK_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "framework/status.h"

#define HASH_HEX_SIZE 33 /* 32 digits and NUL */

typedef struct Hash128 { uint64_t low, high; } Hash128;

Hash128 hash_bytes(const void *data, size_t bytes);
bool hash_equal(Hash128 a, Hash128 b);
void hash_to_hex(Hash128 hash, char out[HASH_HEX_SIZE]);
bool hash_from_hex(const char *hex, Hash128 *hash);

/* Streaming form. The result does not depend on how the input is cut. */
typedef struct Hasher Hasher;
Hasher *hasher_create(void); /* NULL without memory */
void hasher_add(Hasher *hasher, const void *data, size_t bytes);
/* Length and bytes, so that ("ab","c") differs from ("a","bc"). */
void hasher_add_string(Hasher *hasher, const char *string);
void hasher_add_integer(Hasher *hasher, int64_t value);
Hash128 hasher_result(const Hasher *hasher);
void hasher_destroy(Hasher *hasher);

/* What is added from here to the next part is also hashed by itself under `name`, a string that outlives the hasher;
 * the result is the same with and without parts. At most HASHER_MAX_PARTS, which the last one then goes on. */
#define HASHER_MAX_PARTS 16
Status hasher_begin_part(Hasher *hasher, const char *name);
int hasher_part_count(const Hasher *hasher);
const char *hasher_part(const Hasher *hasher, int part, Hash128 *hash); /* its name */

Status hash_file(const char *path, Hash128 *hash, int64_t *bytes); /* bytes may be NULL */

#endif
