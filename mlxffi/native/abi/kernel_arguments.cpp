#include "kernel_arguments.h"

#include "pool.h"
#include "rows.h"

namespace mlxc {

std::string described(const mx::array& array) {
  return printed(array.dtype()) + " " + printed(array.shape());
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
