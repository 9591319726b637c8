#include "evaluations.h"

#include <algorithm>
#include <array>
#include <map>
#include <typeinfo>

#include "arange.h"
#include "copies.h"
#include "elementwise_blocks.h"
#include "extremes.h"
#include "filters.h"
#include "folds.h"
#include "gathers.h"
#include "half_gather.h"
#include "joins.h"
#include "products.h"
#include "random_bits.h"
#include "row_access.h"
#include "row_dots.h"
#include "scans.h"
#include "scatters.h"
#include "small_products.h"
#include "sorting.h"

namespace mlxffi {

namespace {

// What a primitive computes, an operation for each of its outputs: two, or one.
std::string_view first_operation(const mx::Primitive& primitive) {
  std::string_view name = primitive.name();
  return name == "DivMod" ? "FloorDivide" : name;
}

// Operations on several numbers at the same place; NULL where there is no kernel for one.
std::shared_ptr<const Blocks> blocks_of(const mx::array& node) {
  auto blocks = std::make_shared<Blocks>();
  std::vector<Blocks::Value> from;
  for (auto& input : node.inputs()) {
    from.push_back(blocks->input(input.dtype()));
  }
  std::array operations{first_operation(node.primitive()), std::string_view("Remainder")};
  for (size_t i = 0; i <= node.siblings().size(); i++) {
    auto result = blocks->apply(operations[i], from, node.dtype());
    if (!result) {
      return nullptr;
    }
    blocks->output(*result);
  }
  return blocks;
}

// By name and types, which are few.
Evaluation elementwise(const mx::array& node) {
  constexpr size_t most_inputs = 3;
  if (node.inputs().size() > most_inputs || !Blocks::has(first_operation(node.primitive()))) {
    return nullptr;
  }
  std::array<mx::Dtype::Val, most_inputs + 1> types{node.dtype().val()};
  std::transform(node.inputs().begin(), node.inputs().end(), types.begin() + 1, [](auto& input) { return input.dtype().val(); });
  // Names of operations that there are kernels for are MLX's constants.
  static thread_local std::map<std::pair<std::string_view, decltype(types)>, std::shared_ptr<const Blocks>> known;
  std::pair key{std::string_view(node.primitive().name()), types};
  auto found = known.find(key);
  if (found == known.end()) {
    auto blocks = blocks_of(node);
    if (!blocks) {
      return nullptr;
    }
    found = known.emplace(key, std::move(blocks)).first;
  }
  return by_blocks(found->second);
}

Evaluation reduction(const mx::array& node) {
  auto& primitive = node.primitive();
  if (typeid(primitive) != typeid(mx::Reduce)) {
    return nullptr;
  }
  auto& reduce = static_cast<const mx::Reduce&>(primitive);
  auto found = Fold::of(reduce, node.inputs()[0].dtype(), node.dtype());
  if (!found) {
    return nullptr;
  }
  return [fold = *found, axes = reduce.state().second](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return mlxffi::fold(fold, axes, inputs[0], outputs[0], s);
  };
}

Evaluation place(const mx::array& node) {
  auto& primitive = node.primitive();
  if (typeid(primitive) != typeid(mx::ArgReduce)) {
    return nullptr;
  }
  auto [kind, axis] = static_cast<const mx::ArgReduce&>(primitive).state();
  return [largest = kind == mx::ArgReduce::ArgMax, axis = axis](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return place_extremes(largest, axis, inputs[0], outputs[0], s);
  };
}

Evaluation in_order(int axis, Sorted what, std::optional<int64_t> kth = std::nullopt) {
  return [=](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    sort(inputs[0], axis, what, kth, outputs[0], s);
    return true;
  };
}

// `state` has the place, from either end, and the axis.
Evaluation partitioned(const mx::array& a, std::pair<int, int> state, Sorted what) {
  auto [kth, axis] = state;
  return in_order(axis, what, kth < 0 ? kth + a.shape(axis) : kth);
}

// Whether MLX's primitive is of this kind; libmlx keeps the descriptions of most types to itself.
template <class Kind>
const Kind* as(const mx::Primitive& primitive, std::string_view name) {
  return primitive.name() == name ? static_cast<const Kind*>(&primitive) : nullptr;
}

Evaluation sorting(const mx::array& node) {
  auto& primitive = node.primitive();
  if (node.inputs().size() != 1 || !can_sort(node.inputs()[0].dtype())) {
    return nullptr;
  }
  if (auto sort = as<mx::Sort>(primitive, "Sort")) {
    return in_order(sort->state(), Sorted::numbers);
  }
  if (auto sort = as<mx::ArgSort>(primitive, "ArgSort")) {
    return in_order(sort->state(), Sorted::places);
  }
  if (auto partition = as<mx::Partition>(primitive, "Partition")) {
    return partitioned(node, partition->state(), Sorted::numbers);
  }
  if (auto partition = as<mx::ArgPartition>(primitive, "ArgPartition")) {
    return partitioned(node, partition->state(), Sorted::places);
  }
  return nullptr;
}

// Lookups along one axis, or the first ones.
Evaluation lookup(const mx::array& node) {
  if (auto along = as<mx::GatherAxis>(node.primitive(), "GatherAxis")) {
    return [axis = along->state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
      return gather_along(axis, inputs[0], inputs[1], outputs[0], s);
    };
  }
  auto gather = as<mx::Gather>(node.primitive(), "Gather");
  if (!gather || node.inputs().size() < 2) {
    return nullptr;
  }
  return [state = gather->state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    auto& [axes, slice] = state;
    return axes.size() == 1 ? mlxffi::gather(axes[0], slice, inputs[0], inputs[1], outputs[0], s)
                            : gather_at_points(axes, slice, inputs, outputs[0], s);
  };
}

// Slices, or numbers along an axis, that are written.
Evaluation writing(const mx::array& node) {
  std::string_view name = node.primitive().name();
  if (name.starts_with("ScatterAxis")) {
    auto [kind, axis] = static_cast<const mx::ScatterAxis&>(node.primitive()).state();
    return [adds = kind == mx::ScatterAxis::Sum, axis = axis](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
      return scatter_along(adds, axis, inputs, outputs[0], s);
    };
  }
  if (!name.starts_with("Scatter")) {
    return nullptr;
  }
  return [primitive = node.primitive_ptr()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return scatter(static_cast<const mx::Scatter&>(*primitive), inputs, outputs[0], s);
  };
}

Evaluation chosen_products(const mx::array& node) {
  if (node.primitive().name() != std::string_view("GatherMM") || !is_half(node.dtype()) || !has_products()) {
    return nullptr;
  }
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    gather_halves(inputs, outputs[0], s);
    return true;
  };
}

Evaluation product(const mx::array& node) {
  if (auto sum = as<mx::AddMM>(node.primitive(), "AddMM")) {
    auto [alpha, beta] = sum->state();
    return [alpha = alpha, beta = beta](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
      return small_product(inputs[0], inputs[1], {&inputs[2], beta, alpha}, outputs[0], s);
    };
  }
  if (node.primitive().name() != std::string_view("Matmul")) {
    return nullptr;
  }
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    auto &a = inputs[0], &b = inputs[1];
    return row_dots(a, b, outputs[0], s) || small_product(a, b, {}, outputs[0], s);
  };
}

Evaluation filtering(const mx::array& node) {
  if (!as<mx::Convolution>(node.primitive(), "Convolution")) {
    return nullptr;
  }
  return [primitive = node.primitive_ptr()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return filter(static_cast<const mx::Convolution&>(*primitive), inputs[0], inputs[1], outputs[0], s);
  };
}

// MLX keeps whether columns may lie side by side instead to itself; an explicit instantiation may name what is private.
template <bool mx::Contiguous::*member>
struct Opened {
  friend bool may_be_columns(const mx::Contiguous& contiguous) {
    return contiguous.*member;
  }
};
bool may_be_columns(const mx::Contiguous& contiguous);
template struct Opened<&mx::Contiguous::allow_col_major_>;

Evaluation made_contiguous(const mx::Contiguous& contiguous) {
  return [columns = may_be_columns(contiguous)](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    make_contiguous(inputs[0], columns, outputs[0], s);
    return true;
  };
}

// Only of many numbers: looking whether something is to be copied would take longer than to copy a few.
Evaluation reshaping(const mx::array& node) {
  constexpr size_t many = 4096;
  if (node.size() < many || !is_reshape(node.primitive())) {
    return nullptr;
  }
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) { return copy_reshaped(inputs[0], outputs[0], s); };
}

Evaluation copying(const mx::array& node) {
  if (auto contiguous = as<mx::Contiguous>(node.primitive(), "Contiguous")) {
    return made_contiguous(*contiguous);
  }
  auto whole = node.primitive_ptr();
  if (as<mx::Pad>(*whole, "Pad")) {
    return [whole](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
      pad(static_cast<const mx::Pad&>(*whole), inputs, outputs[0], s);
      return true;
    };
  }
  if (as<mx::SliceUpdate>(*whole, "SliceUpdate")) {
    return [whole](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
      return put_slice(static_cast<const mx::SliceUpdate&>(*whole), inputs, outputs[0], s);
    };
  }
  return reshaping(node);
}

Evaluation drawing(const mx::array& node) {
  if (node.primitive().name() != std::string_view("RandomBits")) {
    return nullptr;
  }
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) { return random_bits(inputs[0], outputs[0], s); };
}

Evaluation joining(const mx::array& node) {
  auto join = as<mx::Concatenate>(node.primitive(), "Concatenate");
  if (!join) {
    return nullptr;
  }
  return [axis = join->state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    concatenate(axis, inputs, outputs[0], s);
    return true;
  };
}

Evaluation counting(const mx::array& node) {
  bool is_real = mx::issubdtype(node.dtype(), mx::integer) || mx::issubdtype(node.dtype(), mx::floating);
  if (!is_real || !as<mx::Arange>(node.primitive(), "Arange")) {
    return nullptr;
  }
  return [primitive = node.primitive_ptr()](const Arrays&, Arrays& outputs, mx::Stream s) {
    arange(static_cast<const mx::Arange&>(*primitive), outputs[0], s);
    return true;
  };
}

Evaluation running(const mx::array& node) {
  // Scans are named after what they accumulate.
  if (!std::string_view(node.primitive().name()).starts_with("Cum")) {
    return nullptr;
  }
  return [primitive = node.primitive_ptr()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return scan(static_cast<const mx::Scan&>(*primitive), inputs[0], outputs[0], s);
  };
}

} // namespace

Evaluation by_blocks(std::shared_ptr<const Blocks> blocks) {
  return [blocks = std::move(blocks)](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    Blocks::run(blocks, inputs, outputs, s);
    return true;
  };
}

bool divides_integers(const mx::array& node) {
  if (!mx::issubdtype(node.dtype(), mx::integer)) {
    return false;
  }
  std::string_view name = node.primitive().name();
  return name == "FloorDivide" || name == "Remainder" || name == "DivMod";
}

Evaluation evaluation_of(const mx::array& node) {
  auto is_empty = [](auto& array) { return array.size() == 0; };
  if (is_empty(node) || std::any_of(node.inputs().begin(), node.inputs().end(), is_empty)) {
    return nullptr;
  }
  for (auto* find : {reduction, place, sorting, lookup, writing, running, counting, joining, drawing, copying, chosen_products, product, filtering}) {
    if (auto found = find(node)) {
      return found;
    }
  }
  return elementwise(node);
}

} // namespace mlxffi
