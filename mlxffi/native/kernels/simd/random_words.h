// Threefry-2x32 with 20 rounds (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).
#pragma once

#include "../random_words.h"
#include "elementwise.h"

namespace mlxffi {
namespace {

// The state after a round: a sum, and the other word turned and mixed with it.
template <int turn>
MLXFFI_INLINE void mix(Words& a, Words& b) {
  a += b;
  b = ((b << turn) | (b >> (32 - turn))) ^ a;
}

// Four rounds, and the key that is added after them.
template <int first, int second, int third, int fourth>
MLXFFI_INLINE void mix_four(Words& a, Words& b, uint32_t key_a, uint32_t key_b) {
  mix<first>(a, b);
  mix<second>(a, b);
  mix<third>(a, b);
  mix<fourth>(a, b);
  a += key_a;
  b += key_b;
}

MLXFFI_INLINE void hash(RandomKey key, Words& a, Words& b) {
  uint32_t first = key.first, second = key.second, third = 0x1bd11bda ^ first ^ second;
  a += first;
  b += second;
  mix_four<13, 15, 26, 6>(a, b, second, third + 1);
  mix_four<17, 29, 16, 24>(a, b, third, first + 2);
  mix_four<13, 15, 26, 6>(a, b, first, second + 3);
  mix_four<17, 29, 16, 24>(a, b, second, third + 4);
  mix_four<13, 15, 26, 6>(a, b, third, first + 5);
}

void random_words(RandomKey key, uint32_t first, uint32_t second, int64_t count, uint32_t* firsts, uint32_t* seconds) {
  Words places;
  for (int i = 0; i < lanes<uint32_t>; i++) {
    places[i] = i;
  }
  each<uint32_t>(count, [&](int64_t i, int part) MLXFFI_INLINED {
    Words a = places + (first + static_cast<uint32_t>(i)), b = places + (second + static_cast<uint32_t>(i));
    hash(key, a, b);
    put(firsts + i, a, part * sizeof(uint32_t));
    put(seconds + i, b, part * sizeof(uint32_t));
  });
}

} // namespace
} // namespace mlxffi
