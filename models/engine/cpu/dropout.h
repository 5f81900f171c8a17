/* Dropout's draws: a pure function of the graph's random position, the op and
 * the element's place, so threads and order do not matter. */
#ifndef ENGINE_CPU_DROPOUT_H
#define ENGINE_CPU_DROPOUT_H

#include "framework/random.h"
#include "models/engine/op.h"

/* Elements of one block: 16 Philox4x32 side by side, two draws of 16 bits from
 * each word (a probability is then exact to 2^-16). Seven rounds pass all of
 * BigCrush already, say its authors; the ten of framework/random.h are for
 * margin, which a mask does not need. */
enum { DROP_LANES = 16, DROP_BLOCK = 8 * DROP_LANES, DROP_ROUNDS = 7 };

typedef struct DropStream { uint32_t key[2], high[2], keep; } DropStream;

static inline DropStream drop_stream(const Op *op, double p)
{
    uint64_t seed, step, sample;
    graph_random_position(op->graph, &seed, &step, &sample);
    Random random = random_stream(seed, RANDOM_DROPOUT, step, sample);
    DropStream stream;
    stream.key[0] = random_bits(&random);
    stream.key[1] = random_bits(&random);
    stream.high[0] = random_bits(&random);
    stream.high[1] = (uint32_t)op->index;
    stream.keep = (uint32_t)((1 - p) * 65536 + 0.5);
    return stream;
}

/* kept[0..DROP_BLOCK): 1 with probability 1 - p, else 0. Not inline: GCC
 * vectorises it better alone. */
void drop_block(const DropStream *stream, uint64_t block, uint8_t *kept);

#endif
