// Philox4x32-10, a counter-based random number generator: J. K. Salmon, M. A. Moraes, R. O. Dror,
// D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. A number depends on its key
// and counter alone, so nothing drawn from it depends on the order of execution, on fusion, layout,
// threads or backend.

#pragma once

#include <cstdint>

namespace mn {

// What numbers are drawn for; part of the counter, so that the streams differ.
enum class RandomPurpose : uint32_t { kWeight = 1, kBias = 2, kDropout = 3 };

struct Philox {
    uint32_t key[2];

    explicit Philox(uint64_t seed)
        : key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {}

    // The 32-bit number of `index` in the stream of a layer and purpose.
    uint32_t draw(uint64_t index, uint32_t layer, RandomPurpose purpose) const {
        uint32_t out[4];
        block({static_cast<uint32_t>(index >> 2), static_cast<uint32_t>(index >> 34), layer,
               static_cast<uint32_t>(purpose)},
              out);
        return out[index & 3];
    }

    // In [0, 1), a multiple of 2^-24.
    float uniform(uint64_t index, uint32_t layer, RandomPurpose purpose) const {
        return static_cast<float>(draw(index, layer, purpose) >> 8) * 0x1p-24f;
    }

    struct Counter {
        uint32_t word[4];
    };

    void block(Counter counter, uint32_t out[4]) const {
        uint32_t k0 = key[0], k1 = key[1];
        uint32_t* c = counter.word;
        for (int round = 0; round < 10; round++) {
            const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
            const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
            const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
            const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
            c[1] = static_cast<uint32_t>(p1);
            c[3] = static_cast<uint32_t>(p0);
            c[0] = n0;
            c[2] = n2;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        for (int i = 0; i < 4; i++) out[i] = c[i];
    }
};

// The generator of one training step's dropout: `uniform(unit, layer, RandomPurpose::kDropout)`
// below the probability drops the unit. Units are counted in the order of images, channels, rows
// and columns of the whole batch, whatever the layout. Its key is drawn from the seed at the place
// of the step, so that neither two steps nor two seeds share a stream.
inline Philox dropout_stream(uint64_t seed, uint64_t step) {
    uint32_t key[4];
    Philox(seed).block({{static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), 0,
                         static_cast<uint32_t>(RandomPurpose::kDropout)}},
                       key);
    return Philox(uint64_t{key[1]} << 32 | key[0]);
}

}  // namespace mn
