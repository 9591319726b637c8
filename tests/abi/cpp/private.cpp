// C++ helpers see the objects behind the handles of a C program, and give it objects of their own.
#include <cstdio>
#include <cstdlib>

#include "mlx/c/private/mlx.h"
#include "mlxffi/mlxffi.h"

namespace {

namespace mx = mlx::core;

void check(bool right, const char* what) {
  if (!right) {
    std::printf("not so: %s\n", what);
    std::exit(1);
  }
}

void arrays() {
  mlx_array a = mlx_array_new_float(2), same = a;
  check(mlx_array_get_(a).item<float>() == 2, "a handle's array");
  mlx_array_set_(a, mx::array(3.0f) + mx::array(4.0f));
  check(a.ctx == same.ctx && mlx_array_get_(same).item<float>() == 7, "an array goes under the handle that is there");
  mlx_array made = mlx_array_new_(mx::array({1, 2}));
  check(mlx_array_size(made) == 2 && mlx_array_dtype(made) == MLX_INT32, "C reads an array of C++");
  mlx_array_free_(a);
  mlx_array_free_(made);
}

void the_others() {
  mlx_string text = mlx_string_new_("text");
  check(mlx_string_get_(text) == mlx_string_data(text), "a string");
  mlx_vector_array arrays = mlx_vector_array_new_({mx::array(1), mx::array(2)});
  check(mlx_vector_array_size(arrays) == 2, "a vector of arrays");
  mlx_map_string_to_string map = mlx_map_string_to_string_new_({{"a", "b"}});
  const char* value = nullptr;
  check(mlx_map_string_to_string_get(&value, map, "a") == 0 && *value == 'b', "a map");
  mlx_stream stream = mlx_stream_new_(mx::default_stream(mx::Device::cpu));
  check(mlx_stream_get_(stream) == mx::default_stream(mx::Device::cpu), "a stream");
  mlx_device device = mlx_device_new_(mx::Device::cpu);
  check(mlx_device_get_(device) == mx::Device(mx::Device::cpu), "a device");
  mlx_string_free_(text);
  mlx_vector_array_free_(arrays);
  mlx_map_string_to_string_free_(map);
  mlx_stream_free_(stream);
  mlx_device_free_(device);
}

void closures() {
  mlx_closure twice = mlx_closure_new_([](const std::vector<mx::array>& in) { return std::vector<mx::array>{in[0] + in[0]}; });
  mlx_vector_array in = mlx_vector_array_new_({mx::array(3.0f)}), out{nullptr};
  check(mlx_closure_apply(&out, twice, in) == 0 && mlx_vector_array_get_(out)[0].item<float>() == 6, "C calls a function of C++");
  mlx_closure_free_(twice);
  mlx_vector_array_free_(in);
  mlx_vector_array_free_(out);
}

void empty_handles() {
  try {
    mlx_array_get_({nullptr});
  } catch (const std::invalid_argument&) {
    return;
  }
  check(false, "an empty handle is an error");
}

} // namespace

int main() {
  arrays();
  the_others();
  closures();
  empty_handles();
  check(mlxffi_live_total() == 0, "nothing is left");
  std::puts("ok");
}
