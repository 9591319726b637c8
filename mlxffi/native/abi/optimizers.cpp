// The C functions of mlxffi/fused.h for optimizers: what arguments must be.
#include "optimizer.h"

#include "c_abi.h"
#include "kernel_arguments.h"

namespace mlxc {

namespace {

using Arrays = std::vector<mx::array>;

std::string at(const char* argument, size_t place) {
  return std::string(argument) + "[" + std::to_string(place) + "]";
}

Arrays real(const mlx_vector_array vector, const char* argument) {
  auto arrays = get(vector, argument);
  for (size_t i = 0; i < arrays.size(); i++) {
    if (!mx::issubdtype(arrays[i].dtype(), mx::floating)) {
      throw BadArgument(at(argument, i).c_str(), "expected floating point, got " + described(arrays[i]));
    }
  }
  return arrays;
}

Arrays like(const Arrays& parameters, const mlx_vector_array vector, const char* argument) {
  auto arrays = real(vector, argument);
  if (arrays.size() != parameters.size()) {
    auto wanted = std::to_string(parameters.size()) + ", as there are parameters";
    throw BadArgument(argument, "expected " + wanted + ", got " + std::to_string(arrays.size()));
  }
  for (size_t i = 0; i < arrays.size(); i++) {
    if (arrays[i].shape() != parameters[i].shape()) {
      throw BadArgument(
          at(argument, i).c_str(), "expected the shape of its parameter, " + printed(parameters[i].shape()) + ", got " + described(arrays[i]));
    }
  }
  return arrays;
}

void require_like(const Arrays& m, const Arrays& v) {
  for (size_t i = 0; i < m.size(); i++) {
    if (m[i].dtype() != v[i].dtype()) {
      throw BadArgument(at("v", i).c_str(), "expected the dtype of its m, " + printed(m[i].dtype()) + ", got " + described(v[i]));
    }
  }
}

} // namespace

} // namespace mlxc

using namespace mlxc;

extern "C" int mlxffi_adam(
    mlx_vector_array *res, const mlx_vector_array parameters, const mlx_vector_array gradients, const mlx_vector_array m,
    const mlx_vector_array v, const mlx_array numbers, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto w = real(parameters, "parameters");
    mlxffi::AdamArrays arrays{w, like(w, gradients, "gradients"), like(w, m, "m"), like(w, v, "v")};
    require_like(arrays.m, arrays.v);
    auto given = get(numbers, "numbers");
    if (!mx::issubdtype(given.dtype(), mx::floating) || given.shape() != mx::Shape{mlxffi::adam_numbers}) {
      throw BadArgument("numbers", "expected floating point [" + std::to_string(mlxffi::adam_numbers) + "], got " + described(given));
    }
    put(res, mlxffi::adam(arrays, given, kernel_stream(s)));
  });
}

extern "C" int mlxffi_sum_of_squares(mlx_array* res, const mlx_vector_array arrays, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    put(res, mlxffi::sum_of_squares(real(arrays, "arrays"), kernel_stream(s)));
  });
}
