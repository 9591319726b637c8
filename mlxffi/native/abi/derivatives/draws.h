// The keys of random numbers that nobody gave a key for: what comes next, what came, and what comes in a map.
#pragma once

#include "convert.h"

namespace mlxc {

// The key, or the next one of this thread's default generator.
mx::array keyed(const std::optional<mx::array>& key);
void seed_draws(uint64_t seed);

// What a function drew, to be drawn again when it is run again.
struct Draws {
  Arrays keys;
  size_t next = 0;
  bool again = false;
  // Those of the function that calls this one.
  Draws* outer = nullptr;
};

// While one lives, this thread's draws are written down; or, with `again`, are those that were.
class DrawsOf {
 public:
  DrawsOf(Draws& draws, bool again);
  ~DrawsOf();
  DrawsOf(const DrawsOf&) = delete;
  DrawsOf& operator=(const DrawsOf&) = delete;
};

// While one lives, a draw of the default generator is another one for each slice of a map over that many; `slice` is
// a mapped input of the function.
class SpreadDraws {
 public:
  SpreadDraws(const mx::array& slice, int size);
  ~SpreadDraws();
  SpreadDraws(const SpreadDraws&) = delete;
  SpreadDraws& operator=(const SpreadDraws&) = delete;

  static bool active();
};

} // namespace mlxc
