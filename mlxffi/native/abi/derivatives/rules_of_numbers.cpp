// Functions of single numbers.
#include "derivatives/rules.h"
#include "numbers.h"

#include <cmath>

namespace mlxc {

namespace {

mx::array number(double value, const mx::array& like) {
  return mx::array(value, like.dtype());
}

mx::array is_zero(const mx::array& x, mx::Stream s) {
  return mx::equal(x, number(0, x), s);
}

// --- powers ---

// d x^y / dx = y x^(y-1), which is 0 where y is.
mx::array power_by_base(const Node& node) {
  auto s = node.stream();
  auto &x = node.inputs[0], &y = node.inputs[1];
  auto exponent = mx::where(is_zero(y, s), number(1, y), mx::subtract(y, number(1, y), s), s);
  return mx::multiply(y, mx::power(x, exponent, s), s);
}

// d x^y / dy = x^y log x, which is 0 where x is.
mx::array power_by_exponent(const Node& node) {
  auto s = node.stream();
  auto& x = node.inputs[0];
  auto base = mx::where(is_zero(x, s), number(1, x), x, s);
  return mx::multiply(node.output, mx::log(base, s), s);
}

mx::array power_by(const Node& node, int argnum) {
  return argnum == 0 ? power_by_base(node) : power_by_exponent(node);
}

Arrays reverse_power(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  Arrays results;
  for (int argnum : argnums) {
    results.push_back(mx::multiply(cotangents[0], conjugated(power_by(node, argnum), node.stream()), node.stream()));
  }
  return results;
}

Arrays forward_power(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  auto sum = mx::multiply(tangents[0], power_by(node, argnums[0]), s);
  if (argnums.size() > 1) {
    sum = mx::add(sum, mx::multiply(tangents[1], power_by(node, argnums[1]), s), s);
  }
  return {sum};
}

// --- division with remainder ---

// a = q b + r, where q stays as it is.
Arrays reverse_divmod(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  Arrays results;
  for (int argnum : argnums) {
    auto quotient = node.output.outputs()[0];
    results.push_back(argnum == 0 ? cotangents[1] : mx::negative(mx::multiply(cotangents[1], quotient, s), s));
  }
  return results;
}

Arrays forward_divmod(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  auto all = every_tangent(node, tangents, argnums);
  auto quotient = node.output.outputs()[0];
  return {mx::zeros_like(quotient, s), mx::subtract(all[0], mx::multiply(quotient, all[1], s), s)};
}

Mapped map_divmod(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto all = batched(inputs, axes, node.stream());
  return {mx::divmod(all[0], all[1], node.stream()), {0, 0}};
}

// --- comparisons and bits ---

// MLX forgets which axis is mapped where the first of two inputs is not.
template <mx::array (*same)(const mx::array&, const mx::array&, mx::StreamOrDevice)>
Mapped map_pair(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto all = batched(inputs, axes, node.stream());
  return {{same(all[0], all[1], node.stream())}, {0}};
}

template <mx::array (*same)(const mx::array&, const mx::array&, mx::StreamOrDevice)>
Rule map_rule(const char* name) {
  return {name, nullptr, nullptr, map_pair<same>};
}

// --- codes of 8 bits ---

Mapped map_to_fp8(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  return {{mx::to_fp8(inputs[0], node.stream())}, {axes[0]}};
}

Mapped map_from_fp8(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  return {{mx::from_fp8(inputs[0], node.output.dtype(), node.stream())}, {axes[0]}};
}

// --- the sign of complex numbers ---

// z / |z|, and 0 where z is.
Arrays direction(const Node& node, const Arrays& inputs) {
  auto s = node.stream();
  auto& z = inputs[0];
  auto zero = is_zero(z, s);
  auto nonzero = mx::where(zero, number(1, z), z, s);
  return {mx::where(zero, number(0, z), mx::divide(nonzero, mx::abs(nonzero, s), s), s)};
}

Arrays reverse_sign(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  return is_complex(node.output) ? reverse_by<direction>(node, cotangents, argnums)
                                 : Arrays{mx::zeros_like(node.inputs[0], node.stream())};
}

Arrays forward_sign(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  return is_complex(node.output) ? forward_by<direction>(node, tangents, argnums)
                                 : Arrays{mx::zeros_like(node.output, node.stream())};
}

// --- functions whose slopes MLX computes in float32 ---

template <mx::array (*slope)(const mx::array&, const mx::array&, mx::Stream)>
Arrays reverse_slope(const Node& node, const Arrays& cotangents, const std::vector<int>&) {
  auto s = node.stream();
  return {mx::multiply(cotangents[0], conjugated(slope(node.inputs[0], node.output, s), s), s)};
}

template <mx::array (*slope)(const mx::array&, const mx::array&, mx::Stream)>
Arrays forward_slope(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  auto s = node.stream();
  return {mx::multiply(tangents[0], slope(node.inputs[0], node.output, s), s)};
}

template <mx::array (*slope)(const mx::array&, const mx::array&, mx::Stream)>
Rule slope_rule(const char* name) {
  return {name, reverse_slope<slope>, forward_slope<slope>};
}

mx::array slope_of_sin(const mx::array& x, const mx::array&, mx::Stream s) {
  return numbers::cos(x, s);
}

mx::array slope_of_cos(const mx::array& x, const mx::array&, mx::Stream s) {
  return mx::negative(numbers::sin(x, s), s);
}

mx::array slope_of_tan(const mx::array&, const mx::array& y, mx::Stream s) {
  return mx::add(mx::square(y, s), number(1, y), s);
}

mx::array slope_of_expm1(const mx::array&, const mx::array& y, mx::Stream s) {
  return mx::add(y, number(1, y), s);
}

template <int base>
mx::array slope_of_log(const mx::array& x, const mx::array&, mx::Stream s) {
  return mx::divide(number(1 / std::log(double(base)), x), x, s);
}

mx::array slope_of_erf(const mx::array& x, const mx::array&, mx::Stream s) {
  return mx::multiply(number(M_2_SQRTPI, x), numbers::exp(mx::negative(mx::square(x, s), s), s), s);
}

mx::array slope_of_erfinv(const mx::array&, const mx::array& y, mx::Stream s) {
  return mx::multiply(number(1 / M_2_SQRTPI, y), numbers::exp(mx::square(y, s), s), s);
}

} // namespace

RuleList rules_of_numbers() {
  return {
      {"Power", reverse_power, forward_power},
      {"DivMod", reverse_divmod, forward_divmod, map_divmod},
      {"ToFP8", nullptr, nullptr, map_to_fp8},
      {"FromFP8", nullptr, nullptr, map_from_fp8},
      map_rule<mx::not_equal>("NotEqual"),
      map_rule<mx::bitwise_and>("BitwiseAnd"),
      map_rule<mx::bitwise_or>("BitwiseOr"),
      map_rule<mx::bitwise_xor>("BitwiseXor"),
      map_rule<mx::left_shift>("LeftShift"),
      map_rule<mx::right_shift>("RightShift"),
      {"Sign", reverse_sign, forward_sign},
      slope_rule<slope_of_sin>("Sin"),
      slope_rule<slope_of_cos>("Cos"),
      slope_rule<slope_of_tan>("Tan"),
      slope_rule<slope_of_expm1>("Expm1"),
      slope_rule<slope_of_log<2>>("Log2"),
      slope_rule<slope_of_log<10>>("Log10"),
      slope_rule<slope_of_erf>("Erf"),
      slope_rule<slope_of_erfinv>("ErfInv"),
  };
}

} // namespace mlxc
