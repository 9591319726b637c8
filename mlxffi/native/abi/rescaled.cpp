// Operations that count the last axis in other units.
#include "support.h"

using namespace mlxc;

extern "C" int mlx_view(mlx_array* res, const mlx_array a, mlx_dtype dtype, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto&& array = get(a, "a");
    auto wanted = dtype_of(dtype, "dtype");
    put(res, mx::view(rescalable(array, "a", array.itemsize(), wanted.size()), wanted, stream_of(s, "s")));
  });
}

extern "C" int mlx_quantize(mlx_vector_array* res, const mlx_array w, mlx_optional_int group_size, mlx_optional_int bits, const char* mode, const mlx_array global_scale, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto packing = positive(optional_of(bits), "bits");
    auto&& matrix = get(w, "w");
    put(res, mx::quantize(rescalable(matrix, "w", packing.value_or(8), 1), positive(optional_of(group_size), "group_size"), packing, text(mode, "mode"), maybe(global_scale, "global_scale"), stream_of(s, "s")));
  });
}
