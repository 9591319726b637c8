#include "convert.h"

namespace mlxc {

mx::Dtype dtype_of(const mlx_dtype& value, const char* argument) {
  static constexpr mx::Dtype dtypes[] = {
      mx::bool_,
      mx::uint8,
      mx::uint16,
      mx::uint32,
      mx::uint64,
      mx::int8,
      mx::int16,
      mx::int32,
      mx::int64,
      mx::float16,
      mx::float32,
      mx::float64,
      mx::bfloat16,
      mx::complex64,
  };
  return dtypes[enum_of<int>(value, std::size(dtypes), "mlx_dtype", argument)];
}

std::vector<std::string> texts(const char* const* data, size_t size) {
  if (!data && size) {
    throw BadArgument("data", "expected " + std::to_string(size) + " strings, got NULL");
  }
  std::vector<std::string> strings;
  for (size_t i = 0; i < size; i++) {
    strings.push_back(text(data[i], "data"));
  }
  return strings;
}

std::string shown(const std::string& name) {
  std::string text = name.substr(0, 64);
  std::replace_if(text.begin(), text.end(), [](char c) { return c < 32 || c > 126; }, '?');
  return "`" + text + (name.size() > text.size() ? "...`" : "`");
}

} // namespace mlxc
