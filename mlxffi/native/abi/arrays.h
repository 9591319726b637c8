// What array.h needs beyond the members of mx::array: access that checks before it reads memory.
#pragma once

#include "convert.h"
#include "evaluation.h"

namespace mlxc {

mx::array copied(const void* data, const int* shape, int dim, mx::Dtype dtype);
mx::array as_strided(const mx::array& a, const mx::Shape& shape, const mx::Strides& strides, size_t offset, mx::StreamOrDevice s);
int dim_of(const mx::array& array, int dim);
void wait(mx::array& array);

std::string text_of(mx::array& array);

// The arrays, all of which must have been evaluated.
const Arrays& evaluated(const Arrays& arrays);
const mx::array& evaluated(const mx::array& array);

inline const mx::array::Flags& flags(const mx::array& array) {
  return evaluated(array).flags();
}

// Storage of a dtype may be read as that C type, or raw as the unsigned integer of the same width.
template <class Value>
void check_readable(const mx::array& array) {
  // MLX takes a C++ double for float32.
  const mx::Dtype wanted = std::is_same_v<Value, double> ? mx::float64 : mx::Dtype(mx::TypeToDtype<Value>());
  bool raw = std::is_unsigned_v<Value> && !std::is_same_v<Value, bool> && array.itemsize() == sizeof(Value);
  if (array.dtype() != wanted && !raw) {
    throw BadArgument("arr", "expected an array of dtype " + printed(wanted) + ", got " + printed(array.dtype()));
  }
}

template <class Value>
Value item(mx::array& array) {
  check_readable<Value>(array);
  evaluate({array});
  return array.item<Value>();
}

template <class Value>
const Value* data(mx::array& array) {
  check_readable<Value>(array);
  wait(array);
  return array.size() ? array.data<Value>() : nullptr;
}

} // namespace mlxc
