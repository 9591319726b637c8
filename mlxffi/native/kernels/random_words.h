// Random bits, which a counter and a key determine.
#pragma once

#include <cstdint>

namespace mlxffi {

struct RandomKey {
  uint32_t first, second;
};

// Hashes pairs of counters (first + i, second + i) with a key by Threefry (20 rounds), whose results are two words each.
using RandomWords = void (*)(RandomKey key, uint32_t first, uint32_t second, int64_t count, uint32_t* firsts, uint32_t* seconds);

} // namespace mlxffi
