// Products of many numbers, and scans: composed of operations on pairs, so that derivatives of every order are right
// also where a factor is 0.
#include "derivatives/rules.h"
#include "numbers.h"

namespace mlxc {

namespace {

using Pair = mx::array(const mx::array&, const mx::array&, mx::StreamOrDevice);

// Elements `begin` to `end` of the last axis.
mx::array part(const mx::array& a, int begin, int end, mx::Stream s) {
  mx::Shape start(a.ndim(), 0), stop = a.shape();
  start.back() = begin;
  stop.back() = end;
  return mx::slice(a, start, stop, s);
}

// --- products ---

// The product over the last axis, by halves.
mx::array halved(mx::array a, mx::Stream s) {
  while (a.shape(-1) > 1) {
    int size = a.shape(-1), half = size / 2;
    auto product = mx::multiply(part(a, 0, half, s), part(a, half, 2 * half, s), s);
    a = size % 2 ? mx::concatenate({product, part(a, 2 * half, size, s)}, -1, s) : product;
  }
  return a;
}

Arrays product(const Node& node, const Arrays& inputs) {
  auto s = node.stream();
  auto axes = node.state<mx::Reduce>().second;
  auto a = inputs[0];
  if (!a.size()) {
    return {mx::ones(node.output.shape(), node.output.dtype(), s)};
  }
  std::vector<int> order;
  for (int axis = 0; axis < static_cast<int>(a.ndim()); axis++) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) {
      order.push_back(axis);
    }
  }
  mx::Shape rows;
  for (int axis : order) {
    rows.push_back(a.shape(axis));
  }
  order.insert(order.end(), axes.begin(), axes.end());
  rows.push_back(-1);
  auto flat = mx::reshape(mx::transpose(a, order, s), rows, s);
  return {mx::astype(mx::reshape(halved(flat, s), node.output.shape(), s), node.output.dtype(), s)};
}

// --- extremes ---

// For each element its share of what its row's extreme gets: those that are equal share it.
mx::array shares(const Node& node) {
  auto s = node.stream();
  auto axes = node.state<mx::Reduce>().second;
  auto& a = node.inputs[0];
  auto extreme = mx::reshape(node.output, mx::max(a, axes, true, s).shape(), s);
  auto equal = mx::astype(mx::equal(a, extreme, s), a.dtype(), s);
  return mx::divide(equal, mx::sum(equal, axes, true, s), s);
}

Arrays forward_extreme(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  auto s = node.stream();
  auto sums = mx::sum(mx::multiply(shares(node), tangents[0], s), node.state<mx::Reduce>().second, true, s);
  return {mx::reshape(sums, node.output.shape(), s)};
}

// --- scans ---

// What the operation makes of all elements up to each, by steps of 1, 2, 4, ... elements.
mx::array scanned(mx::array a, Pair* pair, mx::Stream s) {
  int size = a.shape(-1);
  for (int step = 1; step < size; step *= 2) {
    auto later = pair(part(a, 0, size - step, s), part(a, step, size, s), s);
    a = mx::concatenate({part(a, 0, step, s), later}, -1, s);
  }
  return a;
}

// The elements in reverse order.
mx::array turned(const mx::array& a, mx::Stream s) {
  mx::Shape start(a.ndim(), 0), stop = a.shape(), strides(a.ndim(), 1);
  start.back() = a.shape(-1) - 1;
  stop.back() = -a.shape(-1) - 1;
  strides.back() = -1;
  return mx::slice(a, start, stop, strides, s);
}

// One element later: what comes before the first is what changes nothing, which is in the result.
mx::array exclusive(const mx::array& a, const mx::array& result, bool reverse, mx::Stream s) {
  auto first = mx::stop_gradient(part(reverse ? turned(result, s) : result, 0, 1, s), s);
  return mx::concatenate({first, part(a, 0, a.shape(-1) - 1, s)}, -1, s);
}

template <Pair* pair>
Arrays scan(const Node& node, const Arrays& inputs) {
  auto s = node.stream();
  auto [reduce, axis, reverse, inclusive] = node.state<mx::Scan>();
  if (!inputs[0].size()) {
    return {mx::astype(inputs[0], node.output.dtype(), s)};
  }
  auto a = mx::moveaxis(inputs[0], axis, -1, s);
  a = scanned(reverse ? turned(a, s) : a, pair, s);
  a = inclusive ? a : exclusive(a, mx::moveaxis(node.output, axis, -1, s), reverse, s);
  return {mx::moveaxis(reverse ? turned(a, s) : a, -1, axis, s)};
}

// MLX's gradients, where they are right: not of complex numbers, and of float64 in float32.
template <Pair* pair>
Arrays reverse_scan(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  bool right = !is_complex(node.output) && node.output.dtype() != mx::float64;
  return right ? node.output.primitive().vjp(node.inputs, cotangents, argnums, {node.output})
               : reverse_by<scan<pair>>(node, cotangents, argnums);
}

template <Pair* pair>
Rule scan_rule(const char* name) {
  return {name, reverse_scan<pair>, forward_by<scan<pair>>, nullptr};
}

} // namespace

RuleList rules_of_scans() {
  return {
      {"Prod", reverse_by<product>, forward_by<product>},
      {"Max", nullptr, forward_extreme},
      {"Min", nullptr, forward_extreme},
      scan_rule<mx::multiply>("CumProd"),
      scan_rule<mx::maximum>("CumMax"),
      scan_rule<mx::minimum>("CumMin"),
      scan_rule<numbers::logaddexp>("CumLogAddExp"),
  };
}

namespace numbers {

mx::array scanned_logaddexp(const mx::array& a, mx::StreamOrDevice s) {
  return scanned(a, numbers::logaddexp, mx::to_stream(s));
}

} // namespace numbers

} // namespace mlxc
