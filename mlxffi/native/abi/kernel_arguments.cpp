#include "kernel_arguments.h"

#include "pool.h"
#include "rows.h"

namespace mlxc {

std::string described(const mx::array& array) {
  return printed(array.dtype()) + " " + printed(array.shape());
}

const mx::array& floating(const mx::array& array, const char* argument) {
  if (!mx::issubdtype(array.dtype(), mx::floating) || array.ndim() == 0) {
    throw BadArgument(argument, "expected floating point of one axis or more, got " + described(array));
  }
  return array;
}

void check_packed(
    const mx::array& weight, const mx::array& scales, int features, int group_size, int bits, bool fits, const char* argument) {
  fits = fits && weight.dtype() == mx::uint32 && group_size > 0 && bits > 0 &&
      int64_t(weight.shape(1)) * 32 == int64_t(features) * bits && scales.shape() == mx::Shape{weight.shape(0), features / group_size};
  if (!fits) {
    auto wanted = std::to_string(bits) + " bits in groups of " + std::to_string(group_size) + " for " + std::to_string(features) + " features";
    throw BadArgument(argument, "expected a weight of uint32, packed as " + wanted + ", got " + described(weight) + " with scales " + described(scales));
  }
}

mx::Stream kernel_stream(mlx_stream s) {
  auto stream = resolved(s, "s");
  if (stream.device == mx::Device::cpu) {
    mlxffi::thread_count();
    mlxffi::row_kernels();
  }
  return stream;
}

} // namespace mlxc
