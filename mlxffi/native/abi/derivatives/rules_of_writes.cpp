// Writes into slices and at indices.
#include "derivatives/rules.h"

namespace mlxc {

namespace {

// --- slices ---

using Update = mx::array(const mx::array&, const mx::array&, mx::Shape, mx::Shape, mx::Shape, mx::StreamOrDevice);

Update* update_by(mx::SliceUpdate::ReduceType reduce) {
  switch (reduce) {
    case mx::SliceUpdate::Sum:
      return mx::slice_update_add;
    case mx::SliceUpdate::Prod:
      return mx::slice_update_prod;
    case mx::SliceUpdate::Max:
      return mx::slice_update_max;
    case mx::SliceUpdate::Min:
      return mx::slice_update_min;
    default:
      return mx::slice_update;
  }
}

Mapped map_slice_update(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto s = node.stream();
  auto [reduce, start, stop, strides] = node.state<mx::SliceUpdate>();
  auto all = batched(inputs, axes, s);
  start.insert(start.begin(), 0);
  stop.insert(stop.begin(), all[0].shape(0));
  strides.insert(strides.begin(), 1);
  return {{update_by(reduce)(all[0], all[1], start, stop, strides, s)}, {0}};
}

// The block that an update meets, and what became of it.
mx::array met(const mx::array& a, const Node& node) {
  auto [reduce, start, stop, strides] = node.state<mx::SliceUpdate>();
  return mx::slice(a, start, stop, strides, node.stream());
}

// A slice update as a write of what the operation makes of the block and the update.
template <mx::array (*combine)(const mx::array&, const mx::array&, mx::StreamOrDevice)>
Arrays written(const Node& node, const Arrays& inputs) {
  auto [reduce, start, stop, strides] = node.state<mx::SliceUpdate>();
  auto block = combine(met(inputs[0], node), inputs[1], node.stream());
  return {mx::slice_update(inputs[0], block, start, stop, strides, node.stream())};
}

// --- indices ---

// Index arrays of a scatter, between the array and the updates.
Arrays indices_of(const Arrays& inputs) {
  return {inputs.begin() + 1, inputs.end() - 1};
}

std::vector<int> axes_of_scatter(const Node& node) {
  return node.state<mx::Scatter>().second;
}

// What lies in `a` where the blocks of updates are written.
mx::array gathered(const mx::array& a, const Node& node) {
  auto& shape = node.inputs.back().shape();
  mx::Shape sizes(shape.end() - a.ndim(), shape.end());
  return mx::gather(a, indices_of(node.inputs), axes_of_scatter(node), sizes, node.stream());
}

mx::array scattered(const mx::array& a, const mx::array& updates, const Node& node) {
  return mx::scatter(a, indices_of(node.inputs), updates, axes_of_scatter(node), node.stream());
}

mx::array added(const mx::array& a, const mx::array& updates, const Node& node) {
  return mx::scatter_add(a, indices_of(node.inputs), updates, axes_of_scatter(node), node.stream());
}

// One where the condition holds, in the array's dtype.
mx::array ones_where(const mx::array& condition, const mx::array& like, mx::Stream s) {
  return mx::astype(condition, like.dtype(), s);
}

// The gradients of the array and of the updates, of which those asked for are returned.
Arrays of_scatter(const Node& node, const std::vector<int>& argnums, const mx::array& array, const mx::array& updates) {
  Arrays results;
  for (int argnum : argnums) {
    results.push_back(argnum == 0 ? array : updates);
  }
  return results;
}

// Whether one array of indices is there to be seen, and has no two alike.
bool are_distinct(const Node& node) {
  auto& indices = node.inputs[1];
  bool known = node.inputs.size() == 3 && indices.itemsize() == 4 && indices.status() == mx::array::Status::available && indices.flags().row_contiguous;
  if (!known || node.stream().device != mx::Device::cpu) {
    return false;
  }
  std::vector<int32_t> places(indices.data<int32_t>(), indices.data<int32_t>() + indices.size());
  int size = node.inputs[0].shape(axes_of_scatter(node)[0]);
  for (auto& place : places) {
    place = place < 0 ? place + size : place;
  }
  std::sort(places.begin(), places.end());
  return std::adjacent_find(places.begin(), places.end()) == places.end();
}

// Where several updates meet, the one that was written last is what is left: it alone gets the cotangent.
Arrays reverse_scatter(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  if (are_distinct(node)) {
    return node.output.primitive().vjp(node.inputs, cotangents, argnums, {node.output});
  }
  auto& updates = node.inputs.back();
  auto numbers = mx::reshape(mx::arange(0, static_cast<double>(updates.size()), 1, mx::int32, s), updates.shape(), s);
  auto owners = scattered(mx::full(node.inputs[0].shape(), -1, mx::int32, s), numbers, node);
  auto left = mx::equal(owners, mx::array(-1), s), won = mx::equal(gathered(owners, node), numbers, s);
  auto zero = mx::array(0, cotangents[0].dtype());
  return of_scatter(node, argnums, mx::where(left, cotangents[0], zero, s), mx::where(won, gathered(cotangents[0], node), zero, s));
}

// Which of the array and the updates equal what came out, and how many share a place.
struct Ties {
  explicit Ties(const Node& node)
      : array(ones_where(mx::equal(node.inputs[0], node.output, node.stream()), node.output, node.stream())),
        updates(ones_where(mx::equal(node.inputs.back(), gathered(node.output, node), node.stream()), node.output, node.stream())),
        count(mx::maximum(added(array, updates, node), mx::array(1, node.output.dtype()), node.stream())) {}

  mx::array array, updates, count;
};

Arrays reverse_extreme(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  Ties ties(node);
  auto share = mx::divide(cotangents[0], ties.count, s);
  return of_scatter(node, argnums, mx::multiply(ties.array, share, s), mx::multiply(ties.updates, gathered(share, node), s));
}

Arrays forward_extreme(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  auto all = every_tangent(node, tangents, argnums);
  Ties ties(node);
  auto sum = added(mx::multiply(ties.array, all[0], s), mx::multiply(ties.updates, all.back(), s), node);
  return {mx::divide(sum, ties.count, s)};
}

// --- products of updates ---

constexpr const char* no_second = "[scatter_prod] has first derivatives alone: compute the products by other operations to differentiate twice";

// At each place the product of all factors but one, which is given: from the product of those that are not 0, and how
// many are.
struct Factors {
  explicit Factors(const Node& node) : node(node) {
    auto s = node.stream();
    auto &a = node.inputs[0], &updates = node.inputs.back();
    auto one = mx::array(1, a.dtype()), zero = mx::array(0, a.dtype());
    auto zero_here = mx::equal(a, zero, s), zero_there = mx::equal(updates, zero, s);
    auto nonzero = mx::where(zero_there, one, updates, s);
    product = mx::scatter_prod(mx::where(zero_here, one, a, s), indices_of(node.inputs), nonzero, axes_of_scatter(node), s);
    zeros = added(mx::astype(zero_here, mx::int32, s), mx::astype(zero_there, mx::int32, s), node);
  }

  mx::array others(const mx::array& factor, const mx::array& products, const mx::array& counts) const {
    auto s = node.stream();
    auto one = mx::array(1, factor.dtype()), zero = mx::array(0, factor.dtype());
    auto is_zero = mx::equal(factor, zero, s);
    auto rest = mx::divide(products, mx::where(is_zero, one, factor, s), s);
    auto alone = mx::equal(counts, mx::astype(is_zero, mx::int32, s), s);
    return without_derivative(mx::where(alone, rest, zero, s), no_second, s);
  }
  mx::array beside_array() const {
    return others(node.inputs[0], *product, *zeros);
  }
  mx::array beside_updates() const {
    return others(node.inputs.back(), gathered(*product, node), gathered(*zeros, node));
  }

  const Node& node;
  std::optional<mx::array> product, zeros;
};

Arrays reverse_product(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  Factors factors(node);
  return of_scatter(
      node, argnums,
      mx::multiply(cotangents[0], conjugated(factors.beside_array(), s), s),
      mx::multiply(gathered(cotangents[0], node), conjugated(factors.beside_updates(), s), s));
}

Arrays forward_product(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  auto all = every_tangent(node, tangents, argnums);
  Factors factors(node);
  return {added(mx::multiply(all[0], factors.beside_array(), s), mx::multiply(all.back(), factors.beside_updates(), s), node)};
}

// --- maps ---

using ScatterCall = mx::array(const mx::array&, const Arrays&, const mx::array&, const std::vector<int>&, mx::StreamOrDevice);

ScatterCall* scatter_by(mx::Scatter::ReduceType reduce) {
  switch (reduce) {
    case mx::Scatter::Sum:
      return mx::scatter_add;
    case mx::Scatter::Prod:
      return mx::scatter_prod;
    case mx::Scatter::Max:
      return mx::scatter_max;
    case mx::Scatter::Min:
      return mx::scatter_min;
    default:
      return mx::scatter;
  }
}

// Each slice writes into its own part of the whole: the batch is one more indexed axis.
Mapped map_scatter(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto s = node.stream();
  auto [reduce, old_axes] = node.state<mx::Scatter>();
  auto all = batched(inputs, axes, s);
  size_t index_ndim = inputs.back().ndim() - (axes.back() >= 0) - node.output.ndim();
  mx::Shape along(index_ndim + 1, 1);
  along[0] = all[0].shape(0);
  Arrays indices{mx::reshape(mx::arange(all[0].shape(0), mx::int32, s), along, s)};
  for (size_t i = 1; i + 1 < all.size(); i++) {
    auto shape = all[i].shape();
    shape.insert(shape.begin() + 1, index_ndim + 1 - shape.size(), 1);
    indices.push_back(mx::reshape(all[i], shape, s));
  }
  std::vector<int> new_axes{0};
  for (int axis : old_axes) {
    new_axes.push_back(axis + 1);
  }
  auto updates = mx::expand_dims(all.back(), static_cast<int>(index_ndim) + 1, s);
  return {{scatter_by(reduce)(all[0], indices, updates, new_axes, s)}, {0}};
}

} // namespace

RuleList rules_of_writes() {
  return {
      {"SliceUpdate", nullptr, nullptr, map_slice_update},
      {"SliceUpdate Sum", nullptr, nullptr, map_slice_update},
      {"SliceUpdate Prod", reverse_by<written<mx::multiply>>, forward_by<written<mx::multiply>>, map_slice_update},
      {"SliceUpdate Max", reverse_by<written<mx::maximum>>, forward_by<written<mx::maximum>>, map_slice_update},
      {"SliceUpdate Min", reverse_by<written<mx::minimum>>, forward_by<written<mx::minimum>>, map_slice_update},
      {"DynamicSliceUpdate", nullptr, nullptr, mapped_one_by_one},
      {"Scatter", reverse_scatter, forward_linear, map_scatter},
      {"Scatter Sum", nullptr, forward_linear, map_scatter},
      {"Scatter Max", reverse_extreme, forward_extreme, map_scatter},
      {"Scatter Min", reverse_extreme, forward_extreme, map_scatter},
      {"Scatter Prod", reverse_product, forward_product, map_scatter},
      {"ScatterAxis", nullptr, forward_linear, mapped_one_by_one},
      {"ScatterAxis Sum", nullptr, forward_linear, nullptr},
      {"MaskedScatter", nullptr, forward_linear, mapped_one_by_one},
  };
}

} // namespace mlxc
