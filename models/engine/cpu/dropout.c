#include "models/engine/cpu/dropout.h"

void drop_block(const DropStream *stream, uint64_t block, uint8_t *kept)
{
    uint32_t c[4][DROP_LANES], k0 = stream->key[0], k1 = stream->key[1], keep = stream->keep;
    for (uint32_t l = 0; l < DROP_LANES; l++) {
        uint64_t place = block * DROP_LANES + l;
        c[0][l] = (uint32_t)place;
        c[1][l] = (uint32_t)(place >> 32);
        c[2][l] = stream->high[0];
        c[3][l] = stream->high[1];
    }
    for (int round = 0; round < DROP_ROUNDS; round++) {
        for (int l = 0; l < DROP_LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c[0][l], p1 = (uint64_t)0xCD9E8D57u * c[2][l];
            c[0][l] = (uint32_t)(p1 >> 32) ^ c[1][l] ^ k0;
            c[1][l] = (uint32_t)p1;
            c[2][l] = (uint32_t)(p0 >> 32) ^ c[3][l] ^ k1;
            c[3][l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int w = 0; w < 4; w++) {
        uint8_t *to = kept + w * 2 * DROP_LANES;
        for (int l = 0; l < DROP_LANES; l++) to[l] = (c[w][l] & 0xffffu) < keep;
        for (int l = 0; l < DROP_LANES; l++) to[DROP_LANES + l] = (c[w][l] >> 16) < keep;
    }
}
