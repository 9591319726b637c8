// The axes of a reduction, and the types that its sums are in.
#pragma once

#include "numbers.h"

#include <algorithm>

namespace mlxc::numbers {

inline bool is_half(const mx::array& a) {
  return a.dtype() == mx::float16 || a.dtype() == mx::bfloat16;
}

// In float32 where the type is narrower, and back.
template <class Call>
mx::array in_float32(const mx::array& a, mx::StreamOrDevice s, Call&& call) {
  return is_half(a) ? mx::astype(call(mx::astype(a, mx::float32, s)), a.dtype(), s) : call(a);
}

// The axes, counted from the front, in order.
inline std::vector<int> counted(const mx::array& a, std::vector<int> axes) {
  for (auto& axis : axes) {
    axis = axis < 0 ? axis + static_cast<int>(a.ndim()) : axis;
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

// Whether these are axes of the array, each once and at least one.
inline bool are_axes(const mx::array& a, const std::vector<int>& axes) {
  int ndim = static_cast<int>(a.ndim());
  if (axes.size() == 1) {
    return axes[0] >= -ndim && axes[0] < ndim;
  }
  auto known = counted(a, axes);
  bool distinct = std::adjacent_find(known.begin(), known.end()) == known.end();
  return distinct && !known.empty() && known.front() >= 0 && known.back() < ndim;
}

} // namespace mlxc::numbers
