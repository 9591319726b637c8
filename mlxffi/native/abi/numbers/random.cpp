// Random numbers within their bounds.
#include "numbers.h"

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

// Whether a range is one that MLX's 32-bit floats can count.
bool is_small(const mx::array& bound) {
  constexpr int64_t most = int64_t(1) << 23;
  if (bound.size() != 1 || bound.status() == mx::array::Status::unscheduled || bound.is_tracer()) {
    return false;
  }
  auto value = mx::astype(bound, mx::int64, mx::Device::cpu);
  value.eval();
  return std::abs(value.item<int64_t>()) < most;
}

} // namespace

mx::array uniform(const mx::array& low, const mx::array& high, const mx::Shape& shape, mx::Dtype dtype, const mx::array& key, mx::StreamOrDevice s) {
  auto drawn = mx::random::uniform(low, high, shape, dtype, key, s);
  if (!mx::issubdtype(dtype, mx::floating)) {
    return drawn;
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
  auto first = mx::astype(low, mx::int64, s);
  auto span = mx::maximum(mx::subtract(mx::astype(high, mx::int64, s), first, s), mx::array(1, mx::int64), s);
  auto [upper, lower] = mx::random::split(key, s);
  auto half = [&](const mx::array& k) { return mx::astype(mx::random::bits(shape, 4, k, s), mx::uint64, s); };
  auto bits = mx::bitwise_or(mx::left_shift(half(upper), mx::array(32, mx::uint64), s), half(lower), s);
  auto offset = mx::remainder(bits, mx::astype(span, mx::uint64, s), s);
  return mx::astype(mx::add(first, mx::astype(offset, mx::int64, s), s), dtype, s);
}

} // namespace mlxc::numbers
