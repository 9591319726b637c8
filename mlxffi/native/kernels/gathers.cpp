#include "gathers.h"

#include <cstring>
#include <type_traits>

#include <mlx/dtype_utils.h>

#include "recycled.h"
#include "row_access.h"

namespace mlxffi {

namespace {

// A number is moved as an integer of its size.
template <class T>
struct Number {
  int64_t item = sizeof(T);

  void copy(const char* from, char* to) const {
    std::memcpy(to, from, sizeof(T));
  }
};

struct Slice {
  int64_t item;

  void copy(const char* from, char* to) const {
    std::memcpy(to, from, item);
  }
};

// Of `outer` arrays of `length` items each, those at `count` indices.
struct Lookup {
  const char* from;
  char* to;
  int64_t outer, length, count;

  template <class Index, class Item>
  void move(const Index* indices, Item item) const {
    parallel_rows(outer * count, std::max<int64_t>(1, item.item / 4), [=, this](int64_t begin, int64_t end) {
      while (begin < end) {
        int64_t array = begin / count, first = begin % count, last = std::min(count, first + end - begin);
        auto start = from + array * length * item.item;
        auto target = to + array * count * item.item;
        for (int64_t i = first; i < last; i++) {
          auto index = static_cast<int64_t>(indices[i]);
          if constexpr (std::is_signed_v<Index>) {
            index += index < 0 ? length : 0;
          }
          item.copy(start + index * item.item, target + i * item.item);
        }
        begin += last - first;
      }
    });
  }

  template <class Index>
  void run(const Index* indices, int64_t item) const {
    switch (item) {
      case 1:
        return move(indices, Number<uint8_t>());
      case 2:
        return move(indices, Number<uint16_t>());
      case 4:
        return move(indices, Number<uint32_t>());
      case 8:
        return move(indices, Number<uint64_t>());
      default:
        return move(indices, Slice{item});
    }
  }
};

int64_t product(const mx::Shape& shape, int begin, int end) {
  int64_t count = 1;
  for (int i = begin; i < end; i++) {
    count *= shape[i];
  }
  return count;
}

// Lays `out` [indices, slice] out so that the indices stand in the place of the axis: MLX moves them there afterwards.
void allocate_in_place_of(int axis, int index_axes, mx::array& out) {
  allocate(out);
  auto strides = out.strides();
  int ndim = out.ndim();
  int64_t stride = 1;
  auto lay = [&](int begin, int end) {
    for (int i = end; i-- > begin;) {
      strides[i] = stride;
      stride *= out.shape(i);
    }
  };
  lay(index_axes + axis, ndim);
  lay(0, index_axes);
  lay(index_axes, index_axes + axis);
  auto flags = out.flags();
  flags.row_contiguous = flags.col_contiguous = false;
  out.copy_shared_buffer(out, strides, flags, out.size());
}

} // namespace

bool gather(int axis, const mx::Shape& slice, const mx::array& a, const mx::array& indices, mx::array& out, mx::Stream s) {
  auto whole = a.shape();
  whole[axis] = 1;
  if (slice != whole || !a.flags().row_contiguous || !indices.flags().row_contiguous || indices.dtype() == mx::bool_) {
    return false;
  }
  int64_t outer = product(a.shape(), 0, axis), inner = product(a.shape(), axis + 1, a.ndim());
  outer > 1 ? allocate_in_place_of(axis, indices.ndim(), out) : allocate(out);
  Lookup lookup{a.data<char>(), out.data<char>(), outer, a.shape(axis), static_cast<int64_t>(indices.size())};
  mx::dispatch_int_types(indices.dtype(), "gather", [&](auto type) {
    using Index = MLX_GET_TYPE(type);
    on_stream(s, [=, item = inner * a.itemsize(), from = indices.data<Index>()] { lookup.run(from, item); });
  });
  return true;
}

} // namespace mlxffi
