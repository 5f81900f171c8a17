/* A set of 128-bit hashes, each with a number. Open addressing; the keys are
 * hashes already, so their bits are the slots. */
#ifndef JOBS_HASH_MAP_H
#define JOBS_HASH_MAP_H

#include "framework/hash.h"

typedef struct HashMapSlot {
    Hash128 key;
    uint32_t value;
    bool used;
} HashMapSlot;

typedef struct HashMap { /* zero-initialise */
    HashMapSlot *slots;
    size_t capacity; /* a power of two */
    size_t count;
} HashMap;

/* Adds `key` with `value` unless it is there; `*found` is the number it has now. */
Status hash_map_insert(HashMap *map, Hash128 key, uint32_t value, uint32_t *found);
bool hash_map_find(const HashMap *map, Hash128 key, uint32_t *value);
void hash_map_free(HashMap *map);

#endif
