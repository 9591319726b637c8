// Matrix products use this library's threads, where the BLAS bridge is loaded.
#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "../blas/sgemm.h"
#include "pool.h"

namespace mlxffi {

namespace {

void spread(long count, void (*part)(long, void*), void* payload) {
  parallel_for(count, 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      part(i, payload);
    }
  });
}

// How many threads a product is cut for: as many as there are processors, however many work, since the parts of a product
// are rounded otherwise than the whole. A product within a parallel body is one of several already.
int threads_to_cut_for() {
  static const int processors = std::max(1u, std::thread::hardware_concurrency());
  return within_parallel() ? 1 : processors;
}

// The bridge comes first: it has to be there before libmlx, which this library needs.
[[maybe_unused]] const bool told = [] {
  auto use_threads = reinterpret_cast<decltype(&mlxffi_blas_use_threads)>(dlsym(RTLD_DEFAULT, "mlxffi_blas_use_threads"));
  try {
    thread_count();
    if (use_threads) {
      use_threads(spread, threads_to_cut_for);
    }
  } catch (const std::invalid_argument&) {
    // What MLXFFI_NUM_THREADS should be is said where a kernel is asked for.
  }
  return use_threads != nullptr;
}();

} // namespace

} // namespace mlxffi
