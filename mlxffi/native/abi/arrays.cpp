#include "arrays.h"

#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>

#include "payload.h"
#include "references.h"

namespace mlxc {

namespace {

// The bytes of an array that data is for.
size_t checked_bytes(const void* data, const mx::Shape& shape, mx::Dtype dtype) {
  size_t bytes = mx::size_of(dtype);
  for (int size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(size), &bytes)) {
      throw BadArgument("shape", "expected sizes of 0 or more whose product fits in memory, got " + printed(shape));
    }
  }
  if (bytes && !data) {
    throw BadArgument("data", "expected the elements of an array of shape " + printed(shape) + ", got NULL");
  }
  return bytes;
}

// How MLX prints is the process's: one of ours changes it at a time, and puts it back.
class Printing {
 public:
  explicit Printing(int precision) {
    mx::get_global_formatter() = {true, {precision}};
  }
  ~Printing() {
    mx::get_global_formatter() = before_;
  }

 private:
  static std::mutex& turn() {
    static auto* mutex = new std::mutex;
    return *mutex;
  }
  std::lock_guard<std::mutex> lock_{turn()};
  mx::PrintFormatter before_ = mx::get_global_formatter();
};

// `held` dies with the buffer, or before this returns if MLX copies the data.
mx::array managed(void* data, const int* shape, int dim, const mlx_dtype& dtype, std::shared_ptr<void> held) {
  auto type = dtype_of(dtype, "dtype");
  mx::Shape sizes = List(shape, dim, "shape");
  checked_bytes(data, sizes, type);
  if (!data) {
    return mx::zeros(sizes, type);
  }
  return mx::array(data, sizes, type, [held = std::move(held)](void*) mutable { held.reset(); });
}

} // namespace

// MLX looks through the siblings of an array that dies, which scheduling one of them takes apart. What was moved from has
// none. It also makes a table of the inputs, for those that die as well: where nobody else knows of the array, its inputs go
// after it instead, one by one.
void destroy(mlx_array handle) {
  auto& array = cell(handle).object;
  auto lock = array.id() && array.siblings().size() ? std::make_optional<Scheduling>() : std::nullopt;
  Arrays inputs;
  if (array.id() && mlxffi::references(array) == 1) {
    std::atomic_thread_fence(std::memory_order_acquire); // others may have read them before they let go of the array
    inputs.swap(array.inputs());
  }
  PoolOf<mlx_array>::destroy(&cell(handle));
}

mx::array copied(const void* data, const int* shape, int dim, mx::Dtype dtype) {
  mx::Shape sizes = List(shape, dim, "shape");
  auto bytes = checked_bytes(data, sizes, dtype);
  mx::array array(mx::allocator::malloc(bytes), std::move(sizes), dtype);
  if (bytes) {
    std::memcpy(array.data<char>(), data, bytes);
  }
  return array;
}

// MLX reads wherever shape and strides lead; here every element must lie inside `a`.
mx::array as_strided(const mx::array& a, const mx::Shape& shape, const mx::Strides& strides, size_t offset, mx::StreamOrDevice s) {
  if (shape.size() != strides.size()) {
    throw BadArgument("strides", "expected one stride for each of the " + std::to_string(shape.size()) + " sizes in `shape`, got " + std::to_string(strides.size()));
  }
  __int128 first = offset, last = offset, count = 1;
  for (size_t i = 0; i < shape.size(); i++) {
    __int128 reach = static_cast<__int128>(shape[i] - 1) * strides[i];
    (reach < 0 ? first : last) += reach;
    count *= shape[i] < 0 ? throw BadArgument("shape", "expected sizes of 0 or more, got " + printed(shape)) : shape[i] != 0;
  }
  if (count && (first < 0 || last >= static_cast<__int128>(a.size()))) {
    throw BadArgument("strides", "expected elements inside the " + std::to_string(a.size()) + " of `a`, got shape " + printed(shape) + " with strides " + printed(strides) + " from offset " + std::to_string(offset));
  }
  return mx::as_strided(a, shape, strides, offset, s);
}

int dim_of(const mx::array& array, int dim) {
  int ndim = static_cast<int>(array.ndim());
  if (dim < -ndim || dim >= ndim) {
    throw BadIndex("dim", "expected -" + std::to_string(ndim) + " to " + std::to_string(ndim - 1) + ", got " + std::to_string(dim));
  }
  return array.shape(dim);
}

const mx::array& evaluated(const mx::array& array) {
  if (array.status() == mx::array::Status::unscheduled) {
    throw BadArgument("arr", "expected an evaluated array: call mlx_array_eval() first");
  }
  return array;
}

const Arrays& evaluated(const Arrays& arrays) {
  for (auto& array : arrays) {
    evaluated(array);
  }
  return arrays;
}

std::string text_of(const mx::array& array) {
  return printed(computed(array));
}

} // namespace mlxc

using namespace mlxc;

extern "C" mlx_array mlx_array_new_data_managed(void* data, const int* shape, int dim, mlx_dtype dtype, void (*dtor)(void*)) {
  return mlx_array_new_data_managed_payload(data, shape, dim, dtype, data, dtor);
}

extern "C" mlx_array mlx_array_new_data_managed_payload(void* data, const int* shape, int dim, mlx_dtype dtype, void* payload, void (*dtor)(void*)) {
  return made<mlx_array>("mlx_array_new_data_managed_payload", [&] { return managed(data, shape, dim, dtype, adopt(payload, dtor)); });
}

extern "C" int mlxffi_array_detach(const mlx_array arr) {
  return guarded(__func__, [&] {
    auto array = get(arr, "arr");
    wait(evaluated(array));
    Scheduling lock;
    array.detach();
  });
}

extern "C" int mlxffi_array_data(const void** data, const mlx_array arr) {
  return guarded(__func__, [&] {
    auto array = get(arr, "arr");
    wait(evaluated(array));
    put(data, array.size() ? static_cast<const void*>(array.data<char>()) : nullptr);
  });
}

extern "C" int mlxffi_array_text(mlx_string* str, const mlx_array arr, int precision) {
  // C++ writes the digits of a number onto the stack.
  constexpr int most = 4096;
  return guarded(__func__, [&] {
    if (precision > most) {
      throw BadArgument("precision", "expected at most " + std::to_string(most) + ", got " + std::to_string(precision));
    }
    auto array = computed(get(arr, "arr"));
    Printing scope(precision);
    put(str, printed(array));
  });
}

extern "C" int mlxffi_array_is_tracer(bool* res, const mlx_array arr) {
  return guarded(__func__, [&] { put(res, get(arr, "arr").is_tracer()); });
}

extern "C" int mlxffi_array_is_same(bool* res, const mlx_array a, const mlx_array b) {
  return guarded(__func__, [&] { put(res, get(a, "a").id() == get(b, "b").id()); });
}
