#include "bounds.h"

#include <mlx/dtype_utils.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "at_once.h"
#include "composing.h"
#include "evaluation.h"
#include "fused.h"

namespace mlxc {

namespace {

using mlxffi::PlacesOnAxis;

struct Range {
  int64_t least = std::numeric_limits<int64_t>::max(), most = std::numeric_limits<int64_t>::min();
};

// Whether all indices are from -count to count - 1, without a sign from 0; false also where sums wrap. Blocks of a fixed size become vector code,
// which a search for the least and the greatest does not: this is paid by every access at known indices.
template <class Value>
bool surely_inside(const Value* data, size_t size, int64_t count) {
  using Bits = std::make_unsigned_t<Value>;
  constexpr size_t block = 64;
  constexpr auto sign = Bits(Bits(1) << (8 * sizeof(Value) - 1));
  if (count >= static_cast<int64_t>(sign / 2)) {
    return false;
  }
  Bits from_end = std::is_signed_v<Value> ? count : 0, last = count - 1;
  auto outside = [=](Value index) { return Bits(Bits(index) + from_end) | Bits(last - Bits(index)); };
  Bits found = 0;
  size_t i = 0;
  for (; i + block <= size; i += block) {
    for (size_t j = 0; j < block; j++) {
      found |= outside(data[i + j]);
    }
  }
  for (; i < size; i++) {
    found |= outside(data[i]);
  }
  return !(found & sign);
}

// Where positions count the same from both ends, the least and the greatest index say all.
template <class Value>
Range range_of_indices(const Value* data, size_t size) {
  Value least = data[0], most = data[0];
  for (size_t i = 1; i < size; i++) {
    least = std::min(least, data[i]);
    most = std::max(most, data[i]);
  }
  // What has no place among 64 bits with a sign lies beyond all.
  bool is_beyond = most > 0 && static_cast<uint64_t>(most) > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  return {static_cast<int64_t>(least), is_beyond ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(most)};
}

// The places that the elements of an array say, each once: axes along which it repeats are left out.
template <class Value>
void extend(Range& range, const mx::array& a, const Value* data, PlacesOnAxis places, size_t axis = 0) {
  if (axis == a.ndim()) {
    int64_t place = places.of(*data);
    range = {std::min(range.least, place), std::max(range.most, place)};
    return;
  }
  int64_t stride = a.strides(axis), size = stride ? a.shape(axis) : 1;
  for (int64_t i = 0; i < size; i++) {
    extend(range, a, data + i * stride, places, axis + 1);
  }
}

template <class Value>
Range range_of(const mx::array& a, const Value* data, PlacesOnAxis places) {
  if (places.from_end == places.count && a.flags().contiguous) {
    if (surely_inside(data, a.data_size(), places.count)) {
      return {0, 0};
    }
    auto [least, most] = range_of_indices(data, a.data_size());
    // Negative ones as the places that they say, but for those that fall short of all.
    bool is_inside = least >= -places.count && most < places.count;
    return is_inside ? Range{0, 0} : Range{least < -places.count ? least + places.count : 0, most};
  }
  Range range;
  extend(range, a, data, places);
  return range;
}

Range range_of(const mx::array& a, PlacesOnAxis places) {
  Range range;
  mx::dispatch_int_types(a.dtype(), "indices", [&](auto type) { range = range_of(a, a.data<MLX_GET_TYPE(type)>(), places); });
  return range;
}

void check(Range range, PlacesOnAxis places, int axis) {
  if (range.least < 0 || range.most >= places.count) {
    throw std::out_of_range(
        "[indices] expected positions from " + std::to_string(-places.from_end) + " to " + std::to_string(places.count - 1) +
        " on axis " + std::to_string(axis) + ", got " + std::to_string(range.least < 0 ? range.least - places.from_end : range.most));
  }
}

bool checks_all() {
  static const char* setting = std::getenv("MLXFFI_CHECK");
  static const bool all = setting && *setting && std::strcmp(setting, "0");
  return all;
}

bool is_known(const mx::array& indices) {
  return !indices.is_tracer() && is_available(indices);
}

// What an array that is not computed yet shows all of, in another shape: the numbers in it are known as soon as those.
mx::array shown_in_full(const mx::array& indices) {
  Scheduling lock;
  auto* source = &indices;
  while (source->status() == mx::array::Status::unscheduled && source->inputs().size() == 1 &&
         source->inputs()[0].size() <= indices.size() && mlxffi::costs_nothing(source->primitive())) {
    source = &source->inputs()[0];
  }
  return *source;
}

// Whether a check of known numbers can take the place of clamping.
bool is_surely_inside(const mx::array& indices, PlacesOnAxis places) {
  auto source = shown_in_full(indices);
  if (source.id() == indices.id() || !is_known(source)) {
    return false;
  }
  auto range = range_of(source, places);
  return range.least >= 0 && range.most < places.count;
}

bool is_on_cpu(const mx::StreamOrDevice& s) {
  static const bool has_gpu = mx::device_count(mx::Device::gpu) > 0;
  return !has_gpu || mx::to_stream(s).device == mx::Device::cpu;
}

// Whether places that are known want clamping.
bool is_past_end(Range range, PlacesOnAxis places, int axis, Access access) {
  bool is_past = access == Access::read && range.most == places.count && !checks_all();
  check({range.least, range.most - is_past}, places, axis);
  return is_past;
}

int counted_axis(const mx::array& a, int axis) {
  return axis < 0 ? axis + static_cast<int>(a.ndim()) : axis;
}

bool has_axis(const mx::array& a, int axis) {
  return axis >= 0 && axis < static_cast<int>(a.ndim());
}

// The size of a block along an axis of `a`; of an update, whose last axes are the block's.
int64_t extent(const mx::array&, const mx::Shape& sizes, int axis) {
  return axis < static_cast<int>(sizes.size()) ? sizes[axis] : 1;
}
int64_t extent(const mx::array& a, const mx::array& updates, int axis) {
  int place = static_cast<int>(updates.ndim()) - static_cast<int>(a.ndim()) + axis;
  return place >= 0 ? updates.shape(place) : 1;
}

template <class Blocks>
const Arrays& blocks_within(const mx::array& a, const Arrays& indices, const List& axes, const Blocks& blocks, Access access, const mx::StreamOrDevice& s, Arrays& changed) {
  for (size_t i = 0; i < indices.size() && i < axes.size(); i++) {
    int axis = counted_axis(a, axes.begin()[i]);
    if (!has_axis(a, axis)) {
      continue;
    }
    Changed other;
    auto& within = bounded(indices[i], {a.shape(axis) - extent(a, blocks, axis) + 1, a.shape(axis)}, axis, access, s, std::move(other));
    if (&within != &indices[i]) {
      changed = changed.empty() ? indices : changed;
      changed[i] = within;
    }
  }
  return changed.empty() ? indices : changed;
}

template <class Blocks>
PlacesOnAxis places_of_block(const mx::array& a, const Blocks& blocks, int axis) {
  return {a.shape(axis) - extent(a, blocks, axis) + 1, 0};
}

// Whether a block begins where all of it is in the array, as far as that is known.
template <class Blocks>
bool is_block_within(const mx::array& a, const mx::array& start, const std::vector<int>& axes, const Blocks& blocks, Access access) {
  if (start.ndim() > 1 || !is_known(start)) {
    return false;
  }
  bool is_past = false;
  mx::dispatch_int_types(start.dtype(), "start", [&](auto type) {
    auto data = start.data<MLX_GET_TYPE(type)>();
    for (size_t i = 0; i < axes.size(); i++) {
      if (int axis = counted_axis(a, axes[i]); has_axis(a, axis)) {
        auto places = places_of_block(a, blocks, axis);
        int64_t place = places.of(data[i ? i * start.strides(0) : 0]);
        is_past |= places.count > 0 && is_past_end({place, place}, places, axis, access);
      }
    }
  });
  return !is_past;
}

// Each number of `start` by itself: they have bounds of their own.
template <class Blocks>
mx::array block_within(const mx::array& a, const mx::array& start, const std::vector<int>& axes, const Blocks& blocks, Access access, mx::StreamOrDevice s) {
  bool is_checked = is_on_cpu(s) || checks_all();
  if (!is_checked || axes.empty() || start.size() != axes.size() || !mx::issubdtype(start.dtype(), mx::integer) || is_block_within(a, start, axes, blocks, access)) {
    return start;
  }
  auto parts = start.size() == 1 ? Arrays{start} : mx::split(mx::reshape(start, {-1}, s), static_cast<int>(start.size()), s);
  for (size_t i = 0; i < axes.size(); i++) {
    if (int axis = counted_axis(a, axes[i]); has_axis(a, axis)) {
      parts[i] = bounded(parts[i], places_of_block(a, blocks, axis), axis, access, s);
    }
  }
  return parts.size() == 1 ? parts[0] : mx::concatenate(parts, s);
}

} // namespace

const mx::array& bounded(const mx::array& indices, PlacesOnAxis places, int axis, Access access, const mx::StreamOrDevice& s, Changed&& changed) {
  bool on_cpu = is_on_cpu(s);
  if (!indices.size() || places.count <= 0 || !mx::issubdtype(indices.dtype(), mx::integer) || (!on_cpu && !checks_all())) {
    return indices;
  }
  if (on_cpu && is_known(indices)) {
    return is_past_end(range_of(indices, places), places, axis, access) ? changed.emplace(mlxffi::clamp_indices(indices, places, mx::to_stream(s))) : indices;
  }
  if (mlxffi::Composing::active() || (on_cpu && is_surely_inside(indices, places))) {
    return indices;
  }
  if (!checks_all()) {
    return changed.emplace(mlxffi::clamp_indices(indices, places, mx::to_stream(s)));
  }
  // What comes after a check that failed is computed all the same.
  auto cpu = mx::default_stream(mx::Device::cpu);
  auto check_all = [places, axis](const mx::array& a) { check(range_of(a, places), places, axis); };
  return changed.emplace(mlxffi::clamp_indices(checked(indices, check_all, cpu), places, cpu));
}

const mx::array& into_elements(const mx::array& a, const mx::array& indices, const mx::StreamOrDevice& s, Changed&& changed) {
  auto size = static_cast<int64_t>(a.size());
  return bounded(indices, {size, size}, 0, Access::read, s, std::move(changed));
}

const mx::array& into_axis(const mx::array& a, const mx::array& indices, int axis, Access access, const mx::StreamOrDevice& s, Changed&& changed) {
  int place = counted_axis(a, axis);
  return has_axis(a, place) ? bounded(indices, {a.shape(place), a.shape(place)}, place, access, s, std::move(changed)) : indices;
}

const Arrays& of_slices(const mx::array& a, const Arrays& indices, const List& axes, const mx::Shape& sizes, const mx::StreamOrDevice& s, Arrays&& changed) {
  return blocks_within(a, indices, axes, sizes, Access::read, s, changed);
}

const Arrays& of_updates(const mx::array& a, const Arrays& indices, const List& axes, const mx::array& updates, const mx::StreamOrDevice& s, Arrays&& changed) {
  return blocks_within(a, indices, axes, updates, Access::write, s, changed);
}

mx::array slice_block(const mx::array& a, const mx::array& start, std::vector<int> axes, mx::Shape sizes, mx::StreamOrDevice s) {
  auto within = block_within(a, start, axes, sizes, Access::read, s);
  return mx::slice(a, within, std::move(axes), std::move(sizes), s);
}

mx::array block_of_update(const mx::array& a, const mx::array& start, const std::vector<int>& axes, const mx::array& update, mx::StreamOrDevice s) {
  return block_within(a, start, axes, update, Access::write, s);
}

std::optional<mx::array> into_matrices(const mx::array& a, const std::optional<mx::array>& indices, mx::StreamOrDevice s) {
  int64_t count = a.ndim() > 2 && a.shape(-1) && a.shape(-2) ? a.size() / (int64_t(a.shape(-1)) * a.shape(-2)) : 1;
  return indices ? std::optional(bounded(*indices, {count, 0}, 0, Access::read, s)) : indices;
}

} // namespace mlxc
