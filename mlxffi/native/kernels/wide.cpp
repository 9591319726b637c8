#include "wide.h"

#include <cmath>

#include "fused.h"
#include "pool.h"
#include "row_access.h"

namespace mlxffi {

namespace {

// Elements that are worth a thread of their own.
constexpr int64_t grain = 4096;

double sigmoid(double x) {
  double e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

// The x >= 0 at which erfc is p <= 1: from Winitzki's approximation (2008) by Halley's steps, on whichever of erf and erfc
// keeps its digits there.
double tail(double p) {
  constexpr double a = 0.147;
  double logarithm = std::log(p * (2 - p)), part = 2 / (M_PI * a) + logarithm / 2;
  double x = std::sqrt(std::sqrt(part * part - logarithm / a) - part);
  for (int step = 0; step < 3; step++) {
    double error = p < 0.5 ? p - std::erfc(x) : std::erf(x) - (1 - p);
    double shift = error / (M_2_SQRTPI * std::exp(-x * x));
    x -= shift / (1 + x * shift);
  }
  return x;
}

double erfinv(double y) {
  double size = std::abs(y);
  if (!(size < 1)) {
    return size == 1 ? std::copysign(INFINITY, y) : NAN;
  }
  // Near 0 the approximation has no digits left, and the first two terms of the series have all.
  return size < 1e-4 ? y / M_2_SQRTPI * (1 + y * y * M_PI / 12) : std::copysign(tail(1 - size), y);
}

double erfcinv(double p) {
  if (!(p > 0 && p < 2)) {
    return p == 0 ? INFINITY : p == 2 ? -INFINITY : NAN;
  }
  return p > 0.5 && p < 1.5 ? erfinv(1 - p) : p < 1 ? tail(p) : -tail(2 - p);
}

using Function = double (*)(double);

Function function_of(Wide function) {
  switch (function) {
    case Wide::exp:
      return [](double x) { return std::exp(x); };
    case Wide::sin:
      return [](double x) { return std::sin(x); };
    case Wide::cos:
      return [](double x) { return std::cos(x); };
    case Wide::erf:
      return [](double x) { return std::erf(x); };
    case Wide::erfinv:
      return erfinv;
    case Wide::erfc:
      return [](double x) { return std::erfc(x); };
    case Wide::erfcinv:
      return erfcinv;
    default:
      return sigmoid;
  }
}

class WideFunction : public Fused {
 public:
  WideFunction(mx::Stream s, Wide function) : Fused(s), function_(function) {}

  const char* name() const override {
    return "FusedWideFunction";
  }
  bool is_equivalent(const Primitive& other) const override {
    return function_ == static_cast<const WideFunction&>(other).function_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Places places(inputs[0], 0);
    bool dense = inputs[0].flags().row_contiguous;
    outputs[0].set_data(mx::allocator::malloc(outputs[0].nbytes()));
    auto from = inputs[0].data<double>();
    auto to = outputs[0].data<double>();
    on_stream(stream(), [=, size = static_cast<int64_t>(outputs[0].size()), call = function_of(function_)] {
      parallel_for(size, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          to[i] = call(from[dense ? i : places[i]]);
        }
      });
    });
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>&, const Arrays& outputs) override {
    return {mx::multiply(cotangents[0], slope(primals[0], outputs[0]), where())};
  }
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>&) override {
    return {mx::multiply(tangents[0], slope(primals[0], wide(function_, primals[0], where())), where())};
  }
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    return {{wide(function_, inputs[0], where())}, axes};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {mx::float64};
  }
  Arrays composed(const Arrays&) const override {
    throw std::runtime_error("float64 has no composed form");
  }

 private:
  mx::array slope(const mx::array& x, const mx::array& y) const {
    auto s = where();
    auto number = [](double value) { return mx::array(value, mx::float64); };
    switch (function_) {
      case Wide::exp:
        return y;
      case Wide::sin:
        return wide(Wide::cos, x, s);
      case Wide::cos:
        return mx::negative(wide(Wide::sin, x, s), s);
      case Wide::erf:
        return mx::multiply(number(M_2_SQRTPI), wide(Wide::exp, mx::negative(mx::square(x, s), s), s), s);
      case Wide::erfc:
        return mx::multiply(number(-M_2_SQRTPI), wide(Wide::exp, mx::negative(mx::square(x, s), s), s), s);
      case Wide::erfcinv:
        return mx::multiply(number(-1 / M_2_SQRTPI), wide(Wide::exp, mx::square(y, s), s), s);
      case Wide::erfinv:
        return mx::multiply(number(1 / M_2_SQRTPI), wide(Wide::exp, mx::square(y, s), s), s);
      default:
        return mx::multiply(y, mx::subtract(number(1), y, s), s);
    }
  }

  Wide function_;
};

} // namespace

mx::array wide(Wide function, const mx::array& a, mx::Stream s) {
  return Fused::apply(std::make_shared<WideFunction>(s, function), {a})[0];
}

mx::array wide_rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s) {
  auto rows = mx::astype(x, mx::float64, s);
  auto scale = mx::rsqrt(mx::add(mx::mean(mx::square(rows, s), -1, true, s), mx::array(eps, mx::float64), s), s);
  auto scaled = mx::multiply(rows, scale, s);
  return weight ? mx::multiply(scaled, *weight, s) : scaled;
}

} // namespace mlxffi
