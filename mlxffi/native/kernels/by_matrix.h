// Products whose matrices are chosen by indices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace mlxffi {

// The products in the order of their matrices, so that those of one follow each other.
inline std::vector<int64_t> by_matrix(const std::vector<int64_t>& matrices) {
  std::vector<int64_t> order(matrices.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return matrices[a] < matrices[b]; });
  return order;
}

} // namespace mlxffi
