// Which kernels this process uses.
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "tables.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace mlxffi {

namespace {

#if defined(__aarch64__)
bool has_bfloat16() {
#if defined(__linux__)
  constexpr unsigned long bfloat16 = 1 << 14;  // HWCAP2_BF16, which older headers lack
  return getauxval(AT_HWCAP2) & bfloat16;
#elif defined(__APPLE__)
  int found = 0;
  size_t size = sizeof(found);
  return !sysctlbyname("hw.optional.arm.FEAT_BF16", &found, &size, nullptr, 0) && found;
#else
  return false;
#endif
}
#endif

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
#elif defined(__aarch64__)
  if (has_bfloat16()) {
    found.push_back(&neonbf16_kernels());
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
