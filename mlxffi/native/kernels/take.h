// Lookups whose sizes follow from their inputs: MLX's node keeps those of the arrays that it was made for.
#pragma once

#include <cstdint>
#include <type_traits>

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// The slices of `a` at the positions in `indices` along an axis, counted from the front, on a CPU stream. Indices are
// in range.
mx::array take_slices(const mx::array& a, const mx::array& indices, int axis, mx::Stream s);

// The places along an axis that indices may say: from 0 to count - 1, with `from_end` added to negative ones.
struct PlacesOnAxis {
  int64_t count, from_end;

  template <class Value>
  int64_t of(Value index) const {
    int64_t place = static_cast<int64_t>(index);
    if constexpr (std::is_unsigned_v<Value>) {
      return place < 0 ? INT64_MAX : place;
    }
    return place < 0 ? place + from_end : place;
  }
};

// The indices, each moved to the nearest place of its sign. On a CPU stream.
mx::array clamp_indices(const mx::array& indices, PlacesOnAxis places, mx::Stream s);

} // namespace mlxffi
