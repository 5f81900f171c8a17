/* Heap and arenas. All long-lived memory of the program passes here, so that
 * tests can make any allocation fail (memory_fail_after). */
#ifndef FRAMEWORK_MEMORY_H
#define FRAMEWORK_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* malloc, calloc, realloc, strdup, free; NULL on failure. Blocks are aligned
 * to 64 bytes only by memory_alloc_aligned. All are released by memory_free. */
void *memory_alloc(size_t bytes);
void *memory_alloc_zero(size_t count, size_t size);
void *memory_alloc_aligned(size_t bytes); /* 64-byte alignment */
void *memory_resize(void *block, size_t bytes); /* not for aligned blocks */
char *memory_copy_string(const char *text);
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void memory_free(void *block);

/* Test hook: the allocation after the next `count` fails, once; a negative
 * count turns the hook off. Also set by ZEROTH_FAIL_ALLOC=COUNT. */
void memory_fail_after(int64_t count);

/* Memory that lives as long as a job or a step: allocated piece by piece,
 * released all at once. Not thread-safe. */
typedef struct Arena Arena;
Arena *arena_create(size_t block_bytes); /* NULL without memory */
void *arena_alloc(Arena *arena, size_t bytes); /* 16-byte aligned, not cleared; NULL without memory */
char *arena_copy_string(Arena *arena, const char *text);
char *arena_format(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_reset(Arena *arena); /* keeps the blocks */
void arena_destroy(Arena *arena);

#endif
