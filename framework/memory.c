#include "framework/memory.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNED_BYTES = 64, ARENA_ALIGNMENT = 16 };

/* Allocations left before the one that fails; negative: none fails. */
static _Atomic int64_t allocations_left = -1;
static pthread_once_t environment_once = PTHREAD_ONCE_INIT;

static void read_environment(void)
{
    const char *count = getenv("ZEROTH_FAIL_ALLOC");
    if (count != NULL && *count != '\0') atomic_store(&allocations_left, strtoll(count, NULL, 10));
}

static bool must_fail(void)
{
    pthread_once(&environment_once, read_environment);
    int64_t left = atomic_load_explicit(&allocations_left, memory_order_relaxed);
    if (left < 0) return false; /* the usual case: no shared write */
    return atomic_fetch_sub(&allocations_left, 1) == 0;
}

void memory_fail_after(int64_t count)
{
    pthread_once(&environment_once, read_environment);
    atomic_store(&allocations_left, count < 0 ? -1 : count);
}

void *memory_alloc(size_t bytes)
{
    return must_fail() ? NULL : malloc(bytes > 0 ? bytes : 1);
}

void *memory_alloc_zero(size_t count, size_t size)
{
    if (must_fail()) return NULL;
    return count > 0 && size > 0 ? calloc(count, size) : calloc(1, 1);
}

void *memory_alloc_aligned(size_t bytes)
{
    if (must_fail() || bytes > SIZE_MAX - ALIGNED_BYTES) return NULL;
    size_t rounded = (bytes + ALIGNED_BYTES - 1) / ALIGNED_BYTES * ALIGNED_BYTES;
    return aligned_alloc(ALIGNED_BYTES, rounded > 0 ? rounded : ALIGNED_BYTES);
}

void *memory_resize(void *block, size_t bytes)
{
    return must_fail() ? NULL : realloc(block, bytes > 0 ? bytes : 1);
}

char *memory_copy_string(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = memory_alloc(bytes);
    if (copy != NULL) memcpy(copy, text, bytes);
    return copy;
}

char *memory_format(const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : memory_alloc((size_t)length + 1);
    if (text != NULL) vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void memory_free(void *block)
{
    free(block);
}

/* Arenas: a list of blocks, filled in order. Blocks before `current` are full
 * (or were too small for a request), those after it are empty. */
typedef struct Block Block;
struct Block {
    Block *next;
    size_t bytes, used;
    alignas(ARENA_ALIGNMENT) char data[];
};

struct Arena {
    Block *first, *current;
    size_t block_bytes;
};

static Block *block_create(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(Block)) return NULL;
    Block *block = memory_alloc(sizeof(Block) + bytes);
    if (block != NULL) *block = (Block){.bytes = bytes};
    return block;
}

Arena *arena_create(size_t block_bytes)
{
    Arena *arena = memory_alloc(sizeof *arena);
    if (arena == NULL) return NULL;
    *arena = (Arena){.block_bytes = block_bytes};
    arena->first = arena->current = block_create(block_bytes);
    if (arena->first == NULL) {
        memory_free(arena);
        return NULL;
    }
    return arena;
}

void *arena_alloc(Arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX - ARENA_ALIGNMENT) return NULL;
    bytes = (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (bytes == 0) bytes = ARENA_ALIGNMENT; /* so that pieces are distinct */
    Block *block = arena->current;
    while (block->bytes - block->used < bytes) {
        if (block->next == NULL) {
            block->next = block_create(bytes > arena->block_bytes ? bytes : arena->block_bytes);
            if (block->next == NULL) return NULL;
        }
        block = block->next;
    }
    arena->current = block;
    void *piece = block->data + block->used;
    block->used += bytes;
    return piece;
}

char *arena_copy_string(Arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = arena_alloc(arena, bytes);
    if (copy != NULL) memcpy(copy, text, bytes);
    return copy;
}

char *arena_format(Arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text != NULL) vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void arena_reset(Arena *arena)
{
    for (Block *block = arena->first; block != NULL; block = block->next) block->used = 0;
    arena->current = arena->first;
}

void arena_destroy(Arena *arena)
{
    if (arena == NULL) return;
    for (Block *block = arena->first, *next; block != NULL; block = next) {
        next = block->next;
        memory_free(block);
    }
    memory_free(arena);
}
