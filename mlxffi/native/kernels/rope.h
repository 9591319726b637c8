// Rotary position embedding.
#pragma once

#include "fused.h"
#include "row_access.h"

namespace mlxffi {

struct RopeOptions {
  int dims;
  bool traditional;
  std::optional<float> base;
  float scale;

  bool operator==(const RopeOptions&) const = default;
};

// Radians a position, for each pair; `freqs` stand for the powers of the base where there is none.
std::vector<double> radians(const RopeOptions& options, const std::optional<NumbersOf>& freqs);

// Cosines and sines of angles [firsts, positions, pairs].
template <class T>
struct Turns {
  std::vector<double> radians, firsts;
  int64_t positions = 0;
  std::vector<T> cosines{}, sines{};
};
// Those of consecutive positions from each of `firsts` on. All layers of a model ask for the same: a thread keeps the last.
template <class T>
const Turns<T>& turns(const std::vector<double>& radians, const std::vector<double>& firsts, int64_t positions);

// MLX's fast::rope; fused on a CPU for floating point arrays of three and more axes.
mx::array rope(
    const mx::array& x, const RopeOptions& options, const mx::array& offset, const std::optional<mx::array>& freqs, mx::Stream s);

} // namespace mlxffi
