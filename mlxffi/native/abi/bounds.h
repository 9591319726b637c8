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

// Indices that are not those that were given live here, until the end of the call in which they are an argument.
using Changed = std::optional<mx::array>;

// Indices of places along an axis.
const mx::array& bounded(const mx::array& indices, mlxffi::PlacesOnAxis places, int axis, Access access, const mx::StreamOrDevice& s, Changed&& changed = {});

// Indices into the elements of an array, in order.
const mx::array& into_elements(const mx::array& a, const mx::array& indices, const mx::StreamOrDevice& s, Changed&& changed = {});

// Indices into one axis of an array.
const mx::array& into_axis(const mx::array& a, const mx::array& indices, int axis, Access access, const mx::StreamOrDevice& s, Changed&& changed = {});

// The same, of an array of the same rank, as MLX requires of them.
inline const mx::array& along_axis(const mx::array& a, const mx::array& indices, int axis, Access access, const mx::StreamOrDevice& s, Changed&& changed = {}) {
  return a.ndim() == indices.ndim() ? into_axis(a, indices, axis, access, s, std::move(changed)) : indices;
}

// The first places of blocks in an array, along some of its axes: of blocks of these sizes; of updates.
const Arrays& of_slices(const mx::array& a, const Arrays& indices, const List& axes, const mx::Shape& sizes, const mx::StreamOrDevice& s, Arrays&& changed = {});
const Arrays& of_updates(const mx::array& a, const Arrays& indices, const List& axes, const mx::array& updates, const mx::StreamOrDevice& s, Arrays&& changed = {});
inline mx::array of_slices(const mx::array& a, const mx::array& indices, int axis, const mx::Shape& sizes, const mx::StreamOrDevice& s) {
  return of_slices(a, Arrays{indices}, List(&axis, 1, "axis"), sizes, s)[0];
}
inline mx::array of_updates(const mx::array& a, const mx::array& indices, int axis, const mx::array& updates, const mx::StreamOrDevice& s) {
  return of_updates(a, Arrays{indices}, List(&axis, 1, "axis"), updates, s)[0];
}

// The block of these sizes that begins at one number for each of some axes.
mx::array slice_block(const mx::array& a, const mx::array& start, std::vector<int> axes, mx::Shape sizes, mx::StreamOrDevice s);

// Where an update begins, likewise.
mx::array block_of_update(const mx::array& a, const mx::array& start, const std::vector<int>& axes, const mx::array& update, mx::StreamOrDevice s);

// Indices into the matrices of an array: all axes but the last two, as one.
std::optional<mx::array> into_matrices(const mx::array& a, const std::optional<mx::array>& indices, mx::StreamOrDevice s);

} // namespace mlxc
