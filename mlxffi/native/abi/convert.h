// C arguments as the C++ values that MLX takes; what is not a valid argument throws BadArgument.
#pragma once

#include <cstring>

#include "handles.h"

namespace mlxc {

// A list of integers given as pointer and length. MLX wants a Shape here and a std::vector<int> there.
template <class Element, class Wide>
class ListOf {
 public:
  template <class Length>
  ListOf(const Element* data, Length length, const char* argument) : data_(data), length_(length) {
    if (length < Length(0) || length_ > max_length) {
      throw BadArgument(argument, "expected a length from 0 to " + std::to_string(max_length) + ", got " + std::to_string(length));
    }
    if (!data && length) {
      throw BadArgument(argument, "expected " + std::to_string(length) + " values, got NULL");
    }
  }
  operator std::vector<Element>() const {
    return {begin(), end()};
  }
  operator Wide() const {
    return {begin(), end()};
  }
  const Element* begin() const {
    return data_;
  }
  const Element* end() const {
    return data_ + length_;
  }
  size_t size() const {
    return length_;
  }

 private:
  // No list of an operation (a shape, axes, strides) is nearly as long: a larger figure is a negative one in disguise.
  static constexpr size_t max_length = size_t(1) << 24;
  const Element* data_;
  size_t length_;
};

using List = ListOf<int, mx::Shape>;
using List64 = ListOf<int64_t, mx::Strides>;
struct NoWide {
  NoWide(const uint64_t*, const uint64_t*) {}
};
using ListU64 = ListOf<uint64_t, NoWide>;

inline std::optional<std::vector<int>> maybe_list(const int* data, size_t length, const char* argument) {
  if (!data) {
    return std::nullopt;
  }
  return List(data, length, argument);
}

inline std::string text(const char* value, const char* argument) {
  if (!value) {
    throw BadArgument(argument, "expected a string, got NULL");
  }
  return value;
}

// A string that may be NULL; MLX's name for "whichever backend there is" stands for it.
inline std::string maybe(const char* value, const char*) {
  return value ? value : "any";
}

// The C enums list their members in the order of the C++ ones. A C program may pass any number, which C++ must not
// read as an enum: its bytes are copied.
template <class Target, class Source>
Target enum_of(const Source& value, int count, const char* type, const char* argument) {
  int number = 0;
  static_assert(sizeof(number) == sizeof(value));
  std::memcpy(&number, &value, sizeof(number));
  if (number < 0 || number >= count) {
    throw BadArgument(argument, "expected an " + std::string(type) + " from 0 to " + std::to_string(count - 1) + ", got " + std::to_string(number));
  }
  return static_cast<Target>(number);
}

mx::Dtype dtype_of(const mlx_dtype& value, const char* argument);

inline mlx_dtype dtype_to_c(mx::Dtype dtype) {
  return static_cast<mlx_dtype>(dtype.val());
}

inline mx::Device::DeviceType device_type_of(const mlx_device_type& value, const char* argument) {
  return enum_of<mx::Device::DeviceType>(value, 2, "mlx_device_type", argument);
}

inline mlx_device_type device_type_to_c(mx::Device::DeviceType type) {
  return type == mx::Device::cpu ? MLX_CPU : MLX_GPU;
}

inline mx::fft::FFTNorm fft_norm_of(const mlx_fft_norm& value, const char* argument) {
  return enum_of<mx::fft::FFTNorm>(value, 3, "mlx_fft_norm", argument);
}

inline mx::CompileMode compile_mode_of(const mlx_compile_mode& value, const char* argument) {
  return enum_of<mx::CompileMode>(value, 4, "mlx_compile_mode", argument);
}

inline mx::CompileOptions math_mode_of(const mlx_fast_math_mode& value, const char* argument) {
  mx::CompileOptions options;
  options.math_mode = enum_of<mx::MathMode>(value, 3, "mlx_fast_math_mode", argument);
  return options;
}

inline std::optional<int> optional_of(mlx_optional_int value) {
  return value.has_value ? std::optional<int>(value.value) : std::nullopt;
}

inline std::optional<float> optional_of(mlx_optional_float value) {
  return value.has_value ? std::optional<float>(value.value) : std::nullopt;
}

inline std::optional<bool> optional_of(mlx_optional_bool value) {
  return value.has_value ? std::optional<bool>(value.value) : std::nullopt;
}

inline std::optional<mx::Dtype> optional_of(const mlx_optional_dtype& value, const char* argument) {
  return value.has_value ? std::optional<mx::Dtype>(dtype_of(value.value, argument)) : std::nullopt;
}

// Whether a handle is the one of mlxffi_default_stream().
bool is_default_stream(mlx_stream stream);

inline mx::StreamOrDevice stream_of(mlx_stream stream, const char* argument) {
  if (is_default_stream(stream)) {
    return {};
  }
  return get(stream, argument);
}

inline mx::Stream resolved(mlx_stream stream, const char* argument) {
  return mx::to_stream(stream_of(stream, argument));
}

// A stream slot may hold the default stream's handle, which is never overwritten.
inline void put(mlx_stream* slot, const mx::Stream& stream) {
  bool taken = slot && !is_default_stream(*slot);
  mlx_stream result{taken ? slot->ctx : nullptr};
  put<mlx_stream, const mx::Stream&>(slot ? &result : slot, stream);
  *slot = result;
}

inline int release(mlx_stream stream) {
  return is_default_stream(stream) ? 0 : release<mlx_stream>(stream);
}

// What mlx_*_set copies.
template <class Handle>
decltype(auto) source(Handle handle, const char* argument) {
  return get(handle, argument);
}

inline mx::Stream source(mlx_stream stream, const char* argument) {
  return resolved(stream, argument);
}

// The C++ object of each handle in a list.
template <class Handle>
std::vector<Object<Handle>> elements(const Handle* data, size_t size) {
  if (!data && size) {
    throw BadArgument("data", "expected " + std::to_string(size) + " handles, got NULL");
  }
  std::vector<Object<Handle>> objects;
  objects.reserve(size);
  for (size_t i = 0; i < size; i++) {
    objects.push_back(get(data[i], "data"));
  }
  return objects;
}

// A name out of a file in a message: mangled files have names of any length and any bytes.
std::string shown(const std::string& name);

std::vector<std::string> texts(const char* const* data, size_t size);

template <class Value>
std::string printed(const Value& value) {
  std::ostringstream stream;
  stream << value;
  return stream.str();
}

} // namespace mlxc
