// Compiled functions under numbers that are never used again.
//
// MLX keeps the traces of a function per thread, under a number that by default is an address. A function that dies on
// another thread than the one that called it would leave its traces there, for the next function at that address.
#include <mlx/compile_impl.h>

#include <algorithm>
#include <mutex>

#include "derivatives/transforms.h"
#include "fused.h"
#include "take.h"
#include "transforms.h"

namespace mlxc {

namespace {

using Cache = mx::detail::CompileCacheWeakPtr;

bool is_same(const Cache& a, const Cache& b) {
  return !a.owner_before(b) && !b.owner_before(a);
}

// The number of a compiled function, and the caches of the threads that called it.
class Traces {
 public:
  ~Traces() {
    for (auto& cache : caches_) {
      mx::detail::compile_erase(cache, number);
    }
  }

  void add(Cache cache) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::none_of(caches_.begin(), caches_.end(), [&](auto& known) { return is_same(known, cache); })) {
      caches_.push_back(std::move(cache));
    }
  }

  const std::uintptr_t number = next_++;

 private:
  // Neither an address nor a number that callers of mlx_detail_compile() count up to.
  static inline std::atomic<std::uintptr_t> next_{~(~std::uintptr_t(0) >> 1)};
  std::mutex mutex_;
  std::vector<Cache> caches_;
};

} // namespace

namespace {

thread_local int shapeless_traces = 0;

struct ShapelessTrace {
  ShapelessTrace() {
    shapeless_traces++;
  }
  ~ShapelessTrace() {
    shapeless_traces--;
  }
};

} // namespace

Function traced_for(bool shapeless, Function fun) {
  if (!shapeless) {
    return fun;
  }
  return [fun = shared(std::move(fun))](const Arrays& inputs) {
    ShapelessTrace trace;
    return (*fun)(inputs);
  };
}

mx::array take(const mx::array& a, const mx::array& indices, int axis, mx::StreamOrDevice s) {
  auto plain = mx::take(a, indices, axis, s);
  auto stream = mx::to_stream(s);
  bool whole = shapeless_traces && a.ndim() && mlxffi::has_kernels(stream) && indices.size();
  return whole ? mlxffi::take_slices(a, indices, axis < 0 ? axis + static_cast<int>(a.ndim()) : axis, stream) : plain;
}

Function inlined(Function fun, Function compiled) {
  return [fun = shared(std::move(fun)), compiled = shared(std::move(compiled))](const Arrays& inputs) {
    return is_transforming() ? (*fun)(inputs) : (*compiled)(inputs);
  };
}

Function compiled(Function fun, bool shapeless) {
  auto traces = std::make_shared<Traces>();
  auto fast = [traces, fun = mx::detail::compile(traced_for(shapeless, fun), traces->number, shapeless)](const Arrays& inputs) {
    traces->add(mx::detail::compile_cache());
    return fun(inputs);
  };
  return inlined(std::move(fun), fast);
}

} // namespace mlxc
