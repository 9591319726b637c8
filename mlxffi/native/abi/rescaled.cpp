// Operations that count the last axis in other units: MLX does so in an int, past whose end it begins again.
#include <limits>

#include "support.h"

namespace mlxc {

namespace {

// The array, where its last axis is an int in units of which `from` are `to` of its own.
const mx::array& rescalable(const mx::array& a, const char* argument, int from, int to) {
  int64_t size = a.ndim() ? a.shape(-1) : 1, most = std::numeric_limits<int>::max();
  if (size * from / to > most) {
    throw BadArgument(argument, "expected a last axis of at most " + std::to_string(most * to / from) + " elements, got " + std::to_string(size));
  }
  return a;
}

} // namespace

} // namespace mlxc

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
    put(res, mx::quantize(rescalable(matrix, "w", packing.value_or(8), 1), positive(optional_of(group_size), "group_size"), packing, text(mode, "mode"), maybe(global_scale), stream_of(s, "s")));
  });
}
