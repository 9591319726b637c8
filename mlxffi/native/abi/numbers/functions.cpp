// Functions of single numbers.
#include "numbers.h"

#include <limits>

#include "derivatives/rules.h"
#include "wide.h"
#include "fused.h"

namespace mlxc::numbers {

namespace {

bool is_wide(const mx::array& a, mx::StreamOrDevice s) {
  return a.dtype() == mx::float64 && mlxffi::has_kernels(mx::to_stream(s));
}

mx::array number(double value, const mx::array& like) {
  return mx::array(value, like.dtype());
}

// Of real numbers by one comparison; a complex number's size may be infinite where its parts are not.
bool has_size(const mx::array& a) {
  return mx::issubdtype(a.dtype(), mx::floating);
}

} // namespace

#define MLXC_FUNCTION(name)                                                                       \
  mx::array name(const mx::array& a, mx::StreamOrDevice s) {                                      \
    return is_wide(a, s) ? mlxffi::wide(mlxffi::Wide::name, a, mx::to_stream(s)) : mx::name(a, s); \
  }
MLXC_FUNCTION(exp)
MLXC_FUNCTION(sin)
MLXC_FUNCTION(cos)
MLXC_FUNCTION(erf)
MLXC_FUNCTION(erfinv)
MLXC_FUNCTION(sigmoid)
#undef MLXC_FUNCTION

// MLX takes complex powers by way of the logarithm of the base, which 0 has not.
mx::array power(const mx::array& a, const mx::array& b, mx::StreamOrDevice s) {
  auto result = mx::power(a, b, s);
  if (!is_complex(result)) {
    return result;
  }
  auto base = mx::astype(a, result.dtype(), s), exponent = mx::astype(b, result.dtype(), s);
  auto is_zero = [&](const mx::array& z) { return mx::equal(z, number(0, z), s); };
  auto safe = mx::power(mx::where(is_zero(base), number(1, base), base, s), exponent, s);
  auto positive = mx::greater(mx::real(exponent, s), mx::array(0.0f), s);
  auto of_zero = mx::where(positive, number(0, result), number(NAN, result), s);
  of_zero = mx::where(is_zero(exponent), number(1, result), of_zero, s);
  return mx::where(is_zero(base), of_zero, safe, s);
}

mx::array logaddexp(const mx::array& a, const mx::array& b, mx::StreamOrDevice s) {
  if (mx::promote_types(a.dtype(), b.dtype()) != mx::float64) {
    return mx::logaddexp(a, b, s);
  }
  auto x = mx::astype(a, mx::float64, s), y = mx::astype(b, mx::float64, s);
  auto greater = mx::stop_gradient(mx::maximum(x, y, s), s);
  greater = mx::where(mx::isfinite(greater, s), greater, number(0, greater), s);
  auto sum = mx::add(numbers::exp(mx::subtract(x, greater, s), s), numbers::exp(mx::subtract(y, greater, s), s), s);
  return mx::add(greater, mx::log(sum, s), s);
}

mx::array nan_to_num(const mx::array& a, float nan, std::optional<float> posinf, std::optional<float> neginf, mx::StreamOrDevice s) {
  if (a.dtype() != mx::float64) {
    return mx::nan_to_num(a, nan, posinf, neginf, s);
  }
  constexpr double most = std::numeric_limits<double>::max();
  auto result = mx::where(mx::isnan(a, s), number(nan, a), a, s);
  result = mx::where(mx::isposinf(a, s), number(posinf ? *posinf : most, a), result, s);
  return mx::where(mx::isneginf(a, s), number(neginf ? *neginf : -most, a), result, s);
}

mx::array isfinite(const mx::array& a, mx::StreamOrDevice s) {
  return has_size(a) ? mx::less(mx::abs(a, s), number(INFINITY, a), s) : mx::isfinite(a, s);
}

mx::array isinf(const mx::array& a, mx::StreamOrDevice s) {
  return has_size(a) ? mx::equal(mx::abs(a, s), number(INFINITY, a), s) : mx::isinf(a, s);
}

mx::array widened(const mx::array& a, mx::StreamOrDevice s) {
  return mx::issubdtype(a.dtype(), mx::inexact) ? a : mx::astype(a, mx::float32, s);
}

std::vector<int> every_axis(const mx::array& a) {
  std::vector<int> axes(a.ndim());
  for (size_t i = 0; i < axes.size(); i++) {
    axes[i] = i;
  }
  return axes;
}

} // namespace mlxc::numbers
