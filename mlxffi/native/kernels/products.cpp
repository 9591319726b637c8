#include "products.h"

#include <dlfcn.h>

namespace mlxffi {

namespace {

using Sgemm = void (*)(
    int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb, float beta,
    float* c, int ldc);

// Where libmlx's own calls end: in the BLAS bridge, if that was loaded first. Not by the linker, which does not see
// the BLAS behind libmlx.
Sgemm sgemm() {
  static const auto function = reinterpret_cast<Sgemm>(dlsym(RTLD_DEFAULT, "cblas_sgemm"));
  return function;
}

constexpr int row_major = 101, no_transpose = 111, transpose = 112;

int flag(Side side) {
  return side == Side::transposed ? transpose : no_transpose;
}

} // namespace

bool has_products() {
  return sgemm() != nullptr;
}

void product(
    int64_t m, int64_t n, int64_t k, float alpha, Matrix a, Side a_side, Matrix b, Side b_side, float beta, float* c, int64_t c_stride) {
  auto size = [](int64_t value) { return static_cast<int>(value); };
  sgemm()(
      row_major, flag(a_side), flag(b_side), size(m), size(n), size(k), alpha, a.data, size(a.stride), b.data, size(b.stride), beta, c,
      size(c_stride));
}

} // namespace mlxffi
