// Which kernels this process uses.
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "tables.h"

namespace mlxffi {

namespace {

// What this CPU can run, the best last.
std::vector<const RowKernels*> runnable() {
  std::vector<const RowKernels*> found{&baseline_kernels};
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx2) {
    found.push_back(&avx2_kernels);
  }
  if (has_avx2 && has_avx512) {
    found.push_back(&avx512_kernels);
    if (__builtin_cpu_supports("avx512bf16")) {
      found.push_back(&avx512bf16_kernels());
    }
  }
#endif
  return found;
}

const RowKernels& selected() {
  auto choices = runnable();
  const char* wanted = std::getenv("MLXFFI_SIMD");
  if (!wanted || !*wanted) {
    return *choices.back();
  }
  std::string names;
  for (auto* kernels : choices) {
    if (kernels->name == std::string(wanted)) {
      return *kernels;
    }
    names += std::string(names.empty() ? "" : ", ") + kernels->name;
  }
  throw std::invalid_argument("MLXFFI_SIMD: expected one of " + names + " on this CPU, got \"" + wanted + "\"");
}

} // namespace

const RowKernels& row_kernels() {
  static const RowKernels& kernels = selected();
  return kernels;
}

} // namespace mlxffi
