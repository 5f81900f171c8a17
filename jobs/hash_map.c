#include "jobs/hash_map.h"

#include "framework/memory.h"

static HashMapSlot *slot_of(const HashMap *map, Hash128 key)
{
    size_t mask = map->capacity - 1, i = (size_t)key.low & mask;
    while (map->slots[i].used && !hash_equal(map->slots[i].key, key)) i = (i + 1) & mask;
    return &map->slots[i];
}

static Status grow(HashMap *map)
{
    HashMap larger = {.capacity = map->capacity > 0 ? map->capacity * 2 : 64, .count = map->count};
    larger.slots = memory_alloc_zero(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL) return status_no_memory(larger.capacity * sizeof *larger.slots, "a table of keys");
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].used) *slot_of(&larger, map->slots[i].key) = map->slots[i];
    memory_free(map->slots);
    *map = larger;
    return OK;
}

Status hash_map_insert(HashMap *map, Hash128 key, uint32_t value, uint32_t *found)
{
    if (map->count * 2 >= map->capacity) TRY(grow(map));
    HashMapSlot *slot = slot_of(map, key);
    if (!slot->used) {
        *slot = (HashMapSlot){.key = key, .value = value, .used = true};
        map->count++;
    }
    *found = slot->value;
    return OK;
}

bool hash_map_find(const HashMap *map, Hash128 key, uint32_t *value)
{
    if (map->capacity == 0) return false;
    const HashMapSlot *slot = slot_of(map, key);
    if (slot->used) *value = slot->value;
    return slot->used;
}

void hash_map_free(HashMap *map)
{
    memory_free(map->slots);
    *map = (HashMap){0};
}
