// How many know of an array, which MLX keeps to itself: an explicit instantiation may name what is private.
#pragma once

#include "fused.h"

namespace mlxffi {

template <auto description>
struct References {
  friend size_t references(const mx::array& array) {
    return (array.*description).use_count();
  }
};
size_t references(const mx::array& array);
template struct References<&mx::array::array_desc_>;

} // namespace mlxffi
