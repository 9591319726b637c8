#include "row_access.h"

#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <cstring>

#include "at_once.h"
#include "recycled.h"

namespace mlxffi {

namespace {

// Elements for which a thread is worth waking, and the bytes of a row up to which the cache has room for the next one.
constexpr int64_t least_work = 16384;
constexpr int64_t most_fetched = 256 * 1024;

template <class T>
int64_t read(const void* data, int64_t offset) {
  return static_cast<int64_t>(static_cast<const T*>(data)[offset]);
}

template <class T>
void gather(const char* from, int64_t stride, int64_t count, char* to) {
  for (int64_t i = 0; i < count; i++) {
    std::memcpy(to + i * sizeof(T), from + i * stride * static_cast<int64_t>(sizeof(T)), sizeof(T));
  }
}

// Elements that do not lie side by side, to where they do.
void gather(const char* from, int64_t stride, int64_t count, int64_t item, char* to) {
  switch (item) {
    case 1:
      return gather<uint8_t>(from, stride, count, to);
    case 2:
      return gather<uint16_t>(from, stride, count, to);
    case 4:
      return gather<uint32_t>(from, stride, count, to);
    default:
      return gather<uint64_t>(from, stride, count, to);
  }
}

} // namespace

Element element_of(mx::Dtype dtype) {
  return dtype == mx::float32 ? Element::float32
      : dtype == mx::float16  ? Element::float16
      : dtype == mx::bfloat16 ? Element::bfloat16
                              : Element::float64;
}

bool is_half(mx::Dtype dtype) {
  return dtype == mx::float16 || dtype == mx::bfloat16;
}

mx::Dtype computed_in(mx::Dtype dtype) {
  return is_half(dtype) ? mx::float32 : dtype;
}

AroundAxes::AroundAxes(const mx::Shape& shape, int first, int last) {
  for (int i = 0; i < static_cast<int>(shape.size()); i++) {
    (i < first ? outer : i <= last ? length : inner) *= shape[i];
  }
}

Places::Places(const mx::array& array, int inner) {
  for (int i = 0; i < static_cast<int>(array.ndim()) - inner; i++) {
    add(array.shape(i), array.strides()[i]);
  }
}

Places Places::across(const mx::array& array, int axis) {
  Places places;
  for (int i = 0; i < static_cast<int>(array.ndim()); i++) {
    if (i != axis) {
      places.add(array.shape(i), array.strides()[i]);
    }
  }
  return places;
}

void Places::add(int64_t size, int64_t stride) {
  size_ *= size;
  // Axes that lie as one become one; most batches are then a single axis.
  if (!shape_.empty() && strides_.back() == stride * size) {
    shape_.back() *= size;
    strides_.back() = stride;
  } else if (size != 1) {
    shape_.push_back(size);
    strides_.push_back(stride);
  }
}

int64_t Places::operator[](int64_t index) const {
  int64_t offset = 0;
  for (size_t i = shape_.size(); i-- > 1;) {
    offset += index % shape_[i] * strides_[i];
    index /= shape_[i];
  }
  return shape_.empty() ? 0 : offset + index * strides_[0];
}

RowsOf::RowsOf(const mx::array& array)
    : places_(array, 1), data_(array.data<char>()), length_(array.shape(-1)), stride_(array.strides().back()), item_(array.itemsize()) {}

const void* RowsOf::row(int64_t index, std::vector<char>& scratch) const {
  const char* start = data_ + places_[index] * item_;
  if (dense()) {
    return start;
  }
  scratch.resize(length_ * item_);
  gather(start, stride_, length_, item_, scratch.data());
  return scratch.data();
}

const void* RowsOf::following(int64_t index, int64_t end) const {
  bool useful = index + 1 < end && dense() && length_ * item_ <= most_fetched;
  return useful ? data_ + places_[index + 1] * item_ : nullptr;
}

NumbersOf::NumbersOf(const mx::array& array, int inner)
    : places_(array, inner), data_(array.data<char>()), dtype_(array.dtype()), stride_(inner ? array.strides().back() : 0) {}

double NumbersOf::number(int64_t index, int64_t column) const {
  int64_t offset = places_[index] + column * stride_;
  return dtype_ == mx::float64 ? static_cast<const double*>(data_)[offset] : static_cast<const float*>(data_)[offset];
}

int64_t NumbersOf::integer(int64_t index) const {
  int64_t offset = places_[index];
  switch (dtype_.val()) {
    case mx::Dtype::Val::uint8:
      return read<uint8_t>(data_, offset);
    case mx::Dtype::Val::uint16:
      return read<uint16_t>(data_, offset);
    case mx::Dtype::Val::uint32:
      return read<uint32_t>(data_, offset);
    case mx::Dtype::Val::uint64:
      return read<uint64_t>(data_, offset);
    case mx::Dtype::Val::int8:
      return read<int8_t>(data_, offset);
    case mx::Dtype::Val::int16:
      return read<int16_t>(data_, offset);
    case mx::Dtype::Val::int32:
      return read<int32_t>(data_, offset);
    default:
      return read<int64_t>(data_, offset);
  }
}

NumbersTo::NumbersTo(mx::array& array) {
  array.set_data(mx::allocator::malloc(array.nbytes()));
  data_ = array.data<char>();
  wide_ = array.dtype() == mx::float64;
}

void NumbersTo::put(int64_t index, double value) const {
  if (wide_) {
    static_cast<double*>(data_)[index] = value;
  } else {
    static_cast<float*>(data_)[index] = static_cast<float>(value);
  }
}

void release_siblings(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) {
  for (auto& output : outputs) {
    // MLX does the same once they are made, less those that a transform still looks at.
    if (&output.inputs() != &inputs && !output.is_tracer()) {
      output.inputs().clear();
    }
  }
}

void allocate_like(const mx::array& input, mx::array& result) {
  if (input.is_donatable() && input.flags().row_contiguous) {
    result.copy_shared_buffer(input);
  } else {
    allocate(result);
  }
}

void on_stream(mx::Stream stream, std::function<void()> task) {
  at_once() ? task() : mx::cpu::get_command_encoder(stream).dispatch(std::move(task));
}

void parallel_rows(int64_t count, int64_t length, const std::function<void(int64_t, int64_t)>& body) {
  // Sixteen parts for each thread even out what the machine does besides.
  parallel_for(count, std::max({int64_t(1), least_work / length, count / (16 * thread_count())}), body);
}

void widen_rows(const RowsOf& rows, Element element, const std::function<int64_t(int64_t)>& row, int64_t count, float* out) {
  auto widen = row_kernels().layers.widen[static_cast<int>(element)];
  parallel_rows(count, rows.length(), [&](int64_t begin, int64_t end) {
    std::vector<char> scratch;
    for (int64_t i = begin; i < end; i++) {
      widen(rows.row(row(i), scratch), out + i * rows.length(), rows.length());
    }
  });
}

void over_rows(mx::Stream stream, int64_t count, int64_t length, std::function<void(int64_t, int64_t)> body) {
  if (count > 0) {
    on_stream(stream, [=, body = std::move(body)] { parallel_rows(count, length, body); });
  }
}

} // namespace mlxffi
