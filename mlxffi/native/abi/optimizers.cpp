// The C functions of mlxffi/fused.h for optimizers: what arguments must be.
#include "optimizer.h"

#include "c_abi.h"
#include "kernel_arguments.h"

namespace mlxc {

namespace {

const mx::array& real(const mx::array& array, const char* argument) {
  if (!mx::issubdtype(array.dtype(), mx::floating)) {
    throw BadArgument(argument, "expected floating point, got " + described(array));
  }
  return array;
}

const mx::array& like(const mx::array& parameter, const mx::array& array, const char* argument) {
  if (real(array, argument).shape() != parameter.shape()) {
    throw BadArgument(argument, "expected the shape of parameter, " + printed(parameter.shape()) + ", got " + described(array));
  }
  return array;
}

} // namespace

} // namespace mlxc

using namespace mlxc;

extern "C" int mlxffi_adam(
    mlx_vector_array *res, const mlx_array parameter, const mlx_array gradient, const mlx_array m, const mlx_array v,
    const mlx_array numbers, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto w = real(get(parameter, "parameter"), "parameter");
    auto g = like(w, get(gradient, "gradient"), "gradient");
    auto mean = like(w, get(m, "m"), "m"), square = like(w, get(v, "v"), "v");
    if (mean.dtype() != square.dtype()) {
      throw BadArgument("v", "expected the dtype of m, " + printed(mean.dtype()) + ", got " + described(square));
    }
    auto given = real(get(numbers, "numbers"), "numbers");
    if (given.shape() != mx::Shape{mlxffi::adam_numbers}) {
      throw BadArgument("numbers", "expected [" + std::to_string(mlxffi::adam_numbers) + "], got " + described(given));
    }
    put(res, mlxffi::adam({w, g, mean, square, given}, kernel_stream(s)));
  });
}

extern "C" int mlxffi_sum_of_squares(mlx_array* res, const mlx_array x, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    put(res, mlxffi::sum_of_squares(real(get(x, "x"), "x"), kernel_stream(s)));
  });
}
