#include "copies.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "recycled.h"
#include "row_access.h"
#include "strided_copy.h"

namespace mlxffi {

namespace {

mx::Strides dense_strides(const mx::Shape& shape) {
  mx::Strides strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride *= shape[i]) {
    strides[i] = stride;
  }
  return strides;
}

StridedCopy copy_of(const mx::array& a, const mx::Strides& strides, char* to) {
  return {a.shape(), a.strides(), a.data<char>(), strides, to, static_cast<int64_t>(a.itemsize())};
}

void copy_all(const mx::array& a, mx::array& out, mx::Stream s) {
  allocate(out);
  on_stream(s, [copy = copy_of(a, dense_strides(a.shape()), out.data<char>())] { copy.run(); });
}

// Whether the numbers can be seen in another shape where they are: each run of axes that lie as one is split or kept.
bool can_be_seen_as(const mx::array& a, const mx::Shape& shape) {
  size_t place = 0;
  for (size_t i = 0; i < a.ndim();) {
    int64_t size = a.shape(i), stride = a.strides()[i];
    for (i++; i < a.ndim() && (a.shape(i) == 1 || size == 1 || stride == a.strides()[i] * a.shape(i)); i++) {
      stride = a.shape(i) == 1 ? stride : a.strides()[i];
      size *= a.shape(i);
    }
    int64_t seen = 1;
    while (place < shape.size() && (seen < size || shape[place] == 1)) {
      seen *= shape[place++];
    }
    if (seen != size) {
      return false;
    }
  }
  return true;
}

// What lies outside the numbers of `shape` that stand at `low` in those of `padded`.
class Surroundings {
 public:
  Surroundings(mx::Shape padded, mx::Shape shape, mx::Shape low, int64_t item)
      : padded_(std::move(padded)), shape_(std::move(shape)), low_(std::move(low)), strides_(dense_strides(padded_)), item_(item) {}

  const mx::Strides& strides() const {
    return strides_;
  }
  // Where the first of the numbers stands, in bytes.
  int64_t first() const {
    int64_t offset = 0;
    for (size_t i = 0; i < low_.size(); i++) {
      offset += low_[i] * strides_[i] * item_;
    }
    return offset;
  }
  void fill(char* to, const char* value, size_t axis = 0) const {
    if (axis == shape_.size()) {
      return;
    }
    int64_t step = strides_[axis] * item_, end = low_[axis] + shape_[axis];
    fill_run(to, low_[axis] * strides_[axis], value);
    for (int64_t i = low_[axis]; i < end && axis + 1 < shape_.size(); i++) {
      fill(to + i * step, value, axis + 1);
    }
    fill_run(to + end * step, (padded_[axis] - end) * strides_[axis], value);
  }

 private:
  // What is there already is copied behind itself.
  void fill_run(char* to, int64_t count, const char* value) const {
    int64_t bytes = count * item_;
    std::memcpy(to, value, std::min(bytes, item_));
    for (int64_t done = item_; done < bytes; done *= 2) {
      std::memcpy(to + done, to, std::min(done, bytes - done));
    }
  }

  mx::Shape padded_, shape_, low_;
  mx::Strides strides_;
  int64_t item_;
};

} // namespace

void make_contiguous(const mx::array& a, bool may_be_columns, mx::array& out, mx::Stream s) {
  // A small part of an array does not keep all of its memory.
  constexpr size_t most_besides = 16384;
  bool is_contiguous = a.flags().row_contiguous || (may_be_columns && a.flags().col_contiguous);
  is_contiguous && a.buffer_size() <= a.nbytes() + most_besides ? out.copy_shared_buffer(a) : copy_all(a, out, s);
}

bool is_reshape(const mx::Primitive& primitive) {
  std::string_view name = primitive.name();
  return name == "Reshape" || name == "Flatten" || name == "Unflatten";
}

bool copy_reshaped(const mx::array& a, mx::array& out, mx::Stream s) {
  bool copies = a.size() > 0 && !a.flags().row_contiguous && !can_be_seen_as(a, out.shape());
  if (copies) {
    copy_all(a, out, s);
  }
  return copies;
}

void pad(const mx::Pad& pad, const Arrays& inputs, mx::array& out, mx::Stream s) {
  auto [axes, low_sizes, high_sizes] = pad.state();
  auto& a = inputs[0];
  mx::Shape low(a.ndim(), 0);
  for (size_t i = 0; i < axes.size(); i++) {
    low[axes[i]] = low_sizes[i];
  }
  allocate(out);
  Surroundings around(out.shape(), a.shape(), low, a.itemsize());
  auto to = out.data<char>();
  on_stream(s, [=, value = inputs[1].data<char>(), copy = copy_of(a, around.strides(), to + around.first())] {
    around.fill(to, value);
    copy.run();
  });
}

bool put_slice(const mx::SliceUpdate& update, const Arrays& inputs, mx::array& out, mx::Stream s) {
  auto [kind, start, end, steps] = update.state();
  auto& a = inputs[0];
  if (kind != mx::SliceUpdate::None || !a.flags().row_contiguous) {
    return false;
  }
  auto strides = dense_strides(a.shape());
  allocate_like(a, out);
  auto from = a.data<char>();
  auto to = out.data<char>(), place = to;
  mx::Strides places = strides;
  for (size_t i = 0; i < strides.size(); i++) {
    place += start[i] * strides[i] * static_cast<int64_t>(a.itemsize());
    places[i] *= steps[i];
  }
  on_stream(s, [from, to, all = copy_of(a, strides, to), part = copy_of(inputs[1], places, place)] {
    if (from != to) {
      all.run();
    }
    part.run();
  });
  return true;
}

} // namespace mlxffi
