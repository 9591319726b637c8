// The heads of attention out of one array: their norms and rotations.
#pragma once

#include "fused.h"

namespace mlxffi {

// How the heads of a row lie: queries, then keys, then values, all of one width; or queries alone.
struct HeadCounts {
  int heads, key_heads;

  // How many kinds of heads are turned.
  int kinds() const {
    return key_heads ? 2 : 1;
  }

  int all() const {
    return heads + 2 * key_heads;
  }
  bool operator==(const HeadCounts&) const = default;
};

// How heads are rotated: cosines [positions, D / 2] and sines [positions, 2, D / 2], the latter with the sign for each of a
// pair (i, i + D / 2); the rows of what is rotated follow those again and again.
struct HeadTurns {
  mx::array cosines, sines;
};

// {queries [n, heads, D], keys and values [n, key_heads, D]} of x [n, all heads' D], or the first of these alone; queries and
// keys are divided by the roots of their mean squares, times norms [D] of each kind where there are any, and rotated. On a GPU
// one kernel forward and one backward, and a small one more where gradients of norms are wanted.
Arrays prepared_heads(const mx::array& x, HeadCounts counts, const HeadTurns& turns, const Arrays& norms, float eps, mx::Stream s);

} // namespace mlxffi
