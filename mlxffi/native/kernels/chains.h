// Elementwise operations of which each takes what only the one before it made: computed together, in blocks.
#pragma once

#include <optional>

#include "evaluations.h"

namespace mlxffi {

// What computes an array without the arrays that it alone needs.
struct Chain {
  std::shared_ptr<const Blocks> blocks;
  // What it is computed from.
  Arrays inputs;
  // How many operations it has.
  size_t length;
};

// That of an operation on many numbers, of at most so many operations; none where it would be of one only. Results are those of
// one operation after the other, to the bit.
std::optional<Chain> chain_of(const mx::array& node, size_t most);

} // namespace mlxffi
