// Sorting along an axis: many short rows side by side by a network, long ones by their digits.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

#include <optional>

namespace mlxffi {

namespace mx = mlx::core;

// What is made of a row: its numbers in order, or the places where these stood.
enum class Sorted { numbers, places };

// Whether there are kernels for numbers of a type.
bool can_sort(mx::Dtype dtype);

// Sorts on the stream, as MLX does: equal numbers, 0 and -0 among them, keep their order, and NaNs come last in theirs. With
// a place from the front, up to which rows need only be partitioned, there stands what sorting puts there, with no larger
// number before it and no smaller one behind.
void sort(const mx::array& a, int axis, Sorted what, std::optional<int64_t> kth, mx::array& out, mx::Stream s);

} // namespace mlxffi
