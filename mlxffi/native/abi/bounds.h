// Arrays of indices, kept within what they index: MLX reads and writes wherever they say.
//
// On a CPU, indices that are computed already are checked at the call, and others are clamped as they are computed. With
// MLXFFI_CHECK=1 all are checked, the others as they are computed, on GPUs too.
#pragma once

#include "convert.h"
#include "take.h"

namespace mlxc {

// A read one past the end gets the last element, as it gets what is there in MLX: programs rely on it. A write is an error.
enum class Access { read, write };

// Indices of places along an axis.
mx::array bounded(const mx::array& indices, mlxffi::PlacesOnAxis places, int axis, Access access, mx::StreamOrDevice s);

// Indices into the elements of an array, in order.
mx::array into_elements(const mx::array& a, const mx::array& indices, mx::StreamOrDevice s);

// Indices into one axis of an array.
mx::array into_axis(const mx::array& a, const mx::array& indices, int axis, Access access, mx::StreamOrDevice s);

// The same, of an array of the same rank, as MLX requires of them.
inline mx::array along_axis(const mx::array& a, const mx::array& indices, int axis, Access access, mx::StreamOrDevice s) {
  return a.ndim() == indices.ndim() ? into_axis(a, indices, axis, access, s) : indices;
}

// The first places of blocks in an array, along some of its axes: of blocks of these sizes; of updates.
Arrays of_slices(const mx::array& a, Arrays indices, const std::vector<int>& axes, const mx::Shape& sizes, mx::StreamOrDevice s);
Arrays of_updates(const mx::array& a, Arrays indices, const std::vector<int>& axes, const mx::array& updates, mx::StreamOrDevice s);
inline mx::array of_slices(const mx::array& a, const mx::array& indices, int axis, const mx::Shape& sizes, mx::StreamOrDevice s) {
  return of_slices(a, Arrays{indices}, std::vector<int>{axis}, sizes, s)[0];
}
inline mx::array of_updates(const mx::array& a, const mx::array& indices, int axis, const mx::array& updates, mx::StreamOrDevice s) {
  return of_updates(a, Arrays{indices}, std::vector<int>{axis}, updates, s)[0];
}

// Where a block begins along some axes, one number for each: of a block of these sizes; of an update.
mx::array block_of_slice(const mx::array& a, const mx::array& start, const std::vector<int>& axes, const mx::Shape& sizes, mx::StreamOrDevice s);
mx::array block_of_update(const mx::array& a, const mx::array& start, const std::vector<int>& axes, const mx::array& update, mx::StreamOrDevice s);

// Indices into the matrices of an array: all axes but the last two, as one.
std::optional<mx::array> into_matrices(const mx::array& a, const std::optional<mx::array>& indices, mx::StreamOrDevice s);

} // namespace mlxc
