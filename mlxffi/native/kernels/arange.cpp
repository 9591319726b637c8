#include "arange.h"

#include <type_traits>

#include <mlx/dtype_utils.h>

#include "recycled.h"
#include "row_access.h"

namespace mlxffi {

namespace {

// Integers wrap around.
template <class T>
void fill(T* to, double start, double step, int64_t begin, int64_t end) {
  if constexpr (std::is_integral_v<T>) {
    using Wrapping = std::make_unsigned_t<T>;
    Wrapping first = static_cast<T>(start), apart = static_cast<Wrapping>(static_cast<T>(start + step)) - first;
    for (int64_t i = begin; i < end; i++) {
      to[i] = static_cast<T>(static_cast<Wrapping>(first + static_cast<Wrapping>(i) * apart));
    }
  } else {
    // From a counter of 32 bits vectors make doubles at once.
    double first = start + step * static_cast<double>(begin);
    for (int32_t i = 0; i < end - begin; i++) {
      to[begin + i] = static_cast<T>(first + step * i);
    }
  }
}

} // namespace

void arange(const mx::Arange& arange, mx::array& out, mx::Stream s) {
  allocate(out);
  auto [start, stop, step] = arange.state();
  mx::dispatch_int_float_types(out.dtype(), "arange", [&, start = start, step = step](auto type) {
    using T = MLX_GET_TYPE(type);
    on_stream(s, [=, to = out.data<T>(), size = static_cast<int64_t>(out.size())] {
      parallel_for(size, worth_a_thread, [=](int64_t begin, int64_t end) { fill(to, start, step, begin, end); });
    });
  });
}

} // namespace mlxffi
