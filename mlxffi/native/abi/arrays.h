// What array.h needs beyond the members of mx::array: access that checks before it reads memory.
#pragma once

#include <cmath>
#include <limits>

#include "convert.h"
#include "evaluation.h"
#include "mlx/dtype_utils.h"

namespace mlxc {

mx::array copied(const void* data, const int* shape, int dim, mx::Dtype dtype);
mx::array as_strided(const mx::array& a, const mx::Shape& shape, const mx::Strides& strides, size_t offset, mx::StreamOrDevice s);
int dim_of(const mx::array& array, int dim);

std::string text_of(const mx::array& array);

// The arrays, all of which must have been evaluated.
const Arrays& evaluated(const Arrays& arrays);
const mx::array& evaluated(const mx::array& array);

inline const mx::array::Flags& flags(const mx::array& array) {
  return evaluated(array).flags();
}

// An element as another type. MLX's own conversion is undefined where a number does not fit.
template <class To, class From>
To converted(const From& value) {
  if constexpr (std::is_same_v<To, From> || std::is_same_v<To, mx::complex64_t>) {
    return To(value);
  } else if constexpr (std::is_same_v<From, mx::complex64_t>) {
    return converted<To>(value.real());
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_integral_v<From>) {
    return static_cast<To>(value);
  } else if constexpr (std::is_integral_v<To>) {
    constexpr double least(std::numeric_limits<To>::min()), most(std::numeric_limits<To>::max());
    double number = static_cast<double>(value);
    return std::isnan(number) ? 0 : number <= least ? std::numeric_limits<To>::min() : number >= most ? std::numeric_limits<To>::max() : static_cast<To>(number);
  } else {
    return static_cast<To>(value);
  }
}

template <class Value>
Value item(const mx::array& array) {
  if (array.size() != 1) {
    throw BadArgument("arr", "expected an array of one element, got shape " + printed(array.shape()));
  }
  computed(array);
  Value value{};
  mx::dispatch_all_types(array.dtype(), [&](auto type) { value = converted<Value>(*array.data<MLX_GET_TYPE(type)>()); });
  return value;
}

// Elements as they lie there, whatever their dtype: programs read them through a pointer of one type for all.
template <class Value>
const Value* data(const mx::array& array) {
  wait(evaluated(array));
  return array.size() ? reinterpret_cast<const Value*>(array.data<char>()) : nullptr;
}

} // namespace mlxc
