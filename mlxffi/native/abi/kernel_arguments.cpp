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

mx::Stream kernel_stream(mlx_stream s) {
  auto stream = resolved(s, "s");
  if (stream.device == mx::Device::cpu) {
    mlxffi::thread_count();
    mlxffi::row_kernels();
  }
  return stream;
}

} // namespace mlxc
