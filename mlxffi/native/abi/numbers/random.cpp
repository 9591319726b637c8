// Random numbers within their bounds.
#include "numbers.h"

#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>

#include "arrays.h"
#include "axes.h"
#include "fused.h"
#include "wide.h"

namespace mlxc::numbers {

namespace {

// The number before one of a floating-point type, by its bits.
mx::array before(const mx::array& a, mx::StreamOrDevice s) {
  auto bits_type = a.itemsize() == 2 ? mx::uint16 : mx::uint32;
  auto bits = mx::view(a, bits_type, s);
  auto one = mx::array(1, bits_type), smallest = mx::array(a.itemsize() == 2 ? 0x8001u : 0x80000001u, bits_type);
  auto zero = mx::array(0, a.dtype());
  auto moved = mx::where(mx::greater(a, zero, s), mx::subtract(bits, one, s), mx::add(bits, one, s), s);
  return mx::view(mx::where(mx::equal(a, zero, s), smallest, moved, s), a.dtype(), s);
}

// Bounds below this MLX's 32-bit floats can count.
constexpr int64_t most = int64_t(1) << 23;

// A bound whose value is there already.
std::optional<double> known(mx::array bound) {
  if (bound.size() != 1 || bound.status() == mx::array::Status::unscheduled || bound.is_tracer()) {
    return std::nullopt;
  }
  return item<double>(bound);
}

bool is_small(const mx::array& bound) {
  auto value = known(bound);
  return value && std::abs(*value) < most;
}

template <class Bits>
void step_down(Bits& bits) {
  constexpr auto sign = static_cast<Bits>(Bits(1) << (8 * sizeof(Bits) - 1));
  bool zero = !(bits & ~sign), negative = bits & sign;
  bits = zero ? sign | 1 : negative ? bits + 1 : bits - 1;
}

// With bounds that are known, the last number before the end is a constant.
mx::array before_end(const mx::array& drawn, double low, double high, mx::StreamOrDevice s) {
  auto dtype = drawn.dtype();
  mx::array first(low, dtype), end(high, dtype);
  // Between 0 and 1 nothing is rounded after float32's numbers are drawn.
  bool whole = dtype == mx::float32 && low == 0 && high == 1;
  if (whole || !(item<double>(end) > item<double>(first))) {
    return drawn;
  }
  dtype.size() == 2 ? step_down(*end.data<uint16_t>()) : step_down(*end.data<uint32_t>());
  return mx::minimum(drawn, end, s);
}

} // namespace

mx::array uniform(const mx::array& low, const mx::array& high, const mx::Shape& shape, mx::Dtype dtype, const mx::array& key, mx::StreamOrDevice s) {
  auto drawn = mx::random::uniform(low, high, shape, dtype, key, s);
  if (!mx::issubdtype(dtype, mx::floating)) {
    return drawn;
  }
  auto known_low = known(low), known_high = known(high);
  if (known_low && known_high) {
    return before_end(drawn, *known_low, *known_high, s);
  }
  auto first = mx::astype(low, dtype, s), end = mx::astype(high, dtype, s);
  auto beyond = mx::logical_and(mx::greater_equal(drawn, end, s), mx::greater(end, first, s), s);
  return mx::where(beyond, before(end, s), drawn, s);
}

mx::array randint(const mx::array& low, const mx::array& high, const mx::Shape& shape, mx::Dtype dtype, const mx::array& key, mx::StreamOrDevice s) {
  auto drawn = mx::random::randint(low, high, shape, dtype, key, s);
  if ((is_small(low) && is_small(high)) || mx::size_of(dtype) < 4) {
    return drawn;
  }
  auto widest = dtype == mx::uint64 ? mx::uint64 : mx::int64;
  auto first = mx::astype(low, widest, s), end = mx::astype(high, widest, s);
  // Modulo 2**64: the span of most of int64's numbers is none of them.
  auto modular = [&](const mx::array& a) { return mx::astype(a, mx::uint64, s); };
  auto number = [](uint64_t value) { return mx::array(value, mx::uint64); };
  auto span = mx::where(mx::greater(end, first, s), mx::subtract(modular(end), modular(first), s), number(1), s);
  auto [upper, lower] = mx::random::split(key, s);
  auto half = [&](const mx::array& k) { return modular(mx::random::bits(shape, 4, k, s)); };
  auto bits = mx::bitwise_or(mx::left_shift(half(upper), number(32), s), half(lower), s);
  auto far = mx::astype(mx::add(modular(first), mx::remainder(bits, span, s), s), dtype, s);
  auto is_near = [&](const mx::array& bound) { return mx::less(modular(mx::abs(bound, s)), number(most), s); };
  return mx::where(mx::logical_and(is_near(first), is_near(end), s), drawn, far, s);
}

mx::array permutation(const mx::array& x, int axis, const mx::array& key, mx::StreamOrDevice s) {
  if (!are_axes(x, {axis})) {
    throw std::out_of_range("[permutation] axis: expected an axis of an array with " + std::to_string(x.ndim()) + " axes, got " + std::to_string(axis));
  }
  return mx::random::permutation(x, axis, key, s);
}

// Beyond this bound a float32 has too few digits for what is left of the distribution.
constexpr double far_bound = 3;

bool is_near(const mx::array& lower, const mx::array& upper) {
  auto low = known(lower), high = known(upper);
  return low && high && (*high < 0 ? -*high : *low) <= far_bound;
}

// In the tail, numbers by what lies beyond them, which is small and has all its digits; in float64, on a CPU.
mx::array truncated_normal(const mx::array& lower, const mx::array& upper, const mx::Shape& shape, mx::Dtype dtype, const mx::array& key, mx::StreamOrDevice s) {
  auto near = mx::random::truncated_normal(lower, upper, shape, dtype, key, s);
  auto stream = mx::to_stream(s);
  if (is_near(lower, upper) || !mlxffi::has_kernels(stream)) {
    return near;
  }
  auto wide = [&](const mx::array& a) { return mx::astype(a, mx::float64, s); };
  auto number = [](double value) { return mx::array(value, mx::float64); };
  auto low = wide(lower), high = wide(upper);
  auto below = mx::less(high, number(0), s);
  auto first = mx::where(below, mx::negative(high, s), low, s), last = mx::where(below, mx::negative(low, s), high, s);
  auto beyond = [&](const mx::array& x) { return mlxffi::wide(mlxffi::Wide::erfc, mx::multiply(x, number(M_SQRT1_2), s), stream); };
  auto most = beyond(first), least = beyond(last);
  auto part = wide(mx::random::uniform(mx::array(0.0f), mx::array(1.0f), shape, mx::float32, key, s));
  auto drawn = mlxffi::wide(mlxffi::Wide::erfcinv, mx::subtract(most, mx::multiply(part, mx::subtract(most, least, s), s), s), stream);
  drawn = mx::minimum(mx::maximum(mx::multiply(drawn, number(M_SQRT2), s), first, s), last, s);
  auto tail = mx::astype(mx::where(below, mx::negative(drawn, s), drawn, s), dtype, s);
  return mx::where(mx::greater(first, number(far_bound), s), tail, near, s);
}

} // namespace mlxc::numbers
