#include "evaluations.h"

#include <algorithm>
#include <array>
#include <map>
#include <typeinfo>
#include <unordered_map>

#include "arange.h"
#include "by_name.h"
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
  if (node.inputs().size() > most_inputs) {
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
  auto& reduce = static_cast<const mx::Reduce&>(node.primitive());
  auto found = Fold::of(reduce, node.inputs()[0].dtype(), node.dtype());
  if (!found) {
    return nullptr;
  }
  return [fold = *found, axes = reduce.state().second](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return mlxffi::fold(fold, axes, inputs[0], outputs[0], s);
  };
}

Evaluation place(const mx::array& node) {
  auto [kind, axis] = static_cast<const mx::ArgReduce&>(node.primitive()).state();
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

bool is_sortable(const mx::array& node) {
  return node.inputs().size() == 1 && can_sort(node.inputs()[0].dtype());
}

template <class Kind, Sorted what>
Evaluation sorting(const mx::array& node) {
  return is_sortable(node) ? in_order(static_cast<const Kind&>(node.primitive()).state(), what) : nullptr;
}

template <class Kind, Sorted what>
Evaluation partitioning(const mx::array& node) {
  // The place is from either end.
  auto [kth, axis] = static_cast<const Kind&>(node.primitive()).state();
  return is_sortable(node) ? in_order(axis, what, kth < 0 ? kth + node.shape(axis) : kth) : nullptr;
}

Evaluation lookup_along(const mx::array& node) {
  return [axis = static_cast<const mx::GatherAxis&>(node.primitive()).state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return gather_along(axis, inputs[0], inputs[1], outputs[0], s);
  };
}

// Lookups along one axis, or the first ones.
Evaluation lookup(const mx::array& node) {
  if (node.inputs().size() < 2) {
    return nullptr;
  }
  return [state = static_cast<const mx::Gather&>(node.primitive()).state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    auto& [axes, slice] = state;
    return axes.size() == 1 ? mlxffi::gather(axes[0], slice, inputs[0], inputs[1], outputs[0], s)
                            : gather_at_points(axes, slice, inputs, outputs[0], s);
  };
}

Evaluation writing_along(const mx::array& node) {
  auto [kind, axis] = static_cast<const mx::ScatterAxis&>(node.primitive()).state();
  return [adds = kind == mx::ScatterAxis::Sum, axis = axis](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return scatter_along(adds, axis, inputs, outputs[0], s);
  };
}

// Slices that are written.
Evaluation writing(const mx::array& node) {
  return [primitive = node.primitive_ptr()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return scatter(static_cast<const mx::Scatter&>(*primitive), inputs, outputs[0], s);
  };
}

Evaluation chosen_products(const mx::array& node) {
  if (!is_half(node.dtype()) || !has_products()) {
    return nullptr;
  }
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    gather_halves(inputs, outputs[0], s);
    return true;
  };
}

Evaluation added_product(const mx::array& node) {
  auto [alpha, beta] = static_cast<const mx::AddMM&>(node.primitive()).state();
  return [alpha = alpha, beta = beta](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return small_product(inputs[0], inputs[1], {&inputs[2], beta, alpha}, outputs[0], s);
  };
}

Evaluation product(const mx::array&) {
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    auto &a = inputs[0], &b = inputs[1];
    return row_dots(a, b, outputs[0], s) || small_product(a, b, {}, outputs[0], s);
  };
}

Evaluation filtering(const mx::array& node) {
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

Evaluation made_contiguous(const mx::array& node) {
  auto& contiguous = static_cast<const mx::Contiguous&>(node.primitive());
  return [columns = may_be_columns(contiguous)](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    make_contiguous(inputs[0], columns, outputs[0], s);
    return true;
  };
}

// Only of many numbers: looking whether something is to be copied would take longer than to copy a few.
Evaluation reshaping(const mx::array& node) {
  constexpr size_t many = 4096;
  if (node.size() < many) {
    return nullptr;
  }
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) { return copy_reshaped(inputs[0], outputs[0], s); };
}

Evaluation padding(const mx::array& node) {
  return [whole = node.primitive_ptr()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    pad(static_cast<const mx::Pad&>(*whole), inputs, outputs[0], s);
    return true;
  };
}

Evaluation putting(const mx::array& node) {
  return [whole = node.primitive_ptr()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return put_slice(static_cast<const mx::SliceUpdate&>(*whole), inputs, outputs[0], s);
  };
}

Evaluation drawing(const mx::array&) {
  return [](const Arrays& inputs, Arrays& outputs, mx::Stream s) { return random_bits(inputs[0], outputs[0], s); };
}

Evaluation joining(const mx::array& node) {
  auto& join = static_cast<const mx::Concatenate&>(node.primitive());
  return [axis = join.state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    concatenate(axis, inputs, outputs[0], s);
    return true;
  };
}

Evaluation counting(const mx::array& node) {
  bool is_real = mx::issubdtype(node.dtype(), mx::integer) || mx::issubdtype(node.dtype(), mx::floating);
  if (!is_real) {
    return nullptr;
  }
  return [primitive = node.primitive_ptr()](const Arrays&, Arrays& outputs, mx::Stream s) {
    arange(static_cast<const mx::Arange&>(*primitive), outputs[0], s);
    return true;
  };
}

Evaluation running(const mx::array& node) {
  return [primitive = node.primitive_ptr()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return scan(static_cast<const mx::Scan&>(*primitive), inputs[0], outputs[0], s);
  };
}

using Finder = Evaluation (*)(const mx::array&);

// What finds the evaluations of kinds of primitives that have one name.
const std::unordered_map<std::string_view, Finder>& named_finders() {
  static const std::unordered_map<std::string_view, Finder> finders{
      {"AddMM", added_product},
      {"Arange", counting},
      {"ArgPartition", partitioning<mx::ArgPartition, Sorted::places>},
      {"ArgReduce", place},
      {"ArgSort", sorting<mx::ArgSort, Sorted::places>},
      {"Concatenate", joining},
      {"Contiguous", made_contiguous},
      {"Convolution", filtering},
      {"Flatten", reshaping},
      {"Gather", lookup},
      {"GatherAxis", lookup_along},
      {"GatherMM", chosen_products},
      {"Matmul", product},
      {"Pad", padding},
      {"Partition", partitioning<mx::Partition, Sorted::numbers>},
      {"RandomBits", drawing},
      {"Reshape", reshaping},
      {"ScatterAxis", writing_along},
      {"ScatterAxis Sum", writing_along},
      {"SliceUpdate", putting},
      {"Sort", sorting<mx::Sort, Sorted::numbers>},
      {"Unflatten", reshaping},
  };
  return finders;
}

// What finds the evaluations of a kind of primitive.
Finder finder_of(const mx::Primitive& primitive) {
  if (typeid(primitive) == typeid(mx::Reduce)) {
    return reduction;
  }
  std::string_view name = primitive.name();
  auto found = named_finders().find(name);
  if (found != named_finders().end()) {
    return found->second;
  }
  // Scans are named after what they accumulate, and Scatter is by what it does with numbers.
  if (name.starts_with("Cum")) {
    return running;
  }
  if (name.starts_with("Scatter")) {
    return writing;
  }
  return Blocks::has(first_operation(primitive)) ? elementwise : nullptr;
}

Finder known_finder_of(const mx::Primitive& primitive) {
  static ByName<Finder> finders;
  return finders.of(primitive, finder_of);
}

} // namespace

Evaluation by_blocks(std::shared_ptr<const Blocks> blocks) {
  return [blocks = std::move(blocks)](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    Blocks::run(blocks, inputs, outputs, s);
    return true;
  };
}

bool is_elementwise(const mx::array& node) {
  return known_finder_of(node.primitive()) == elementwise;
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
  auto find = known_finder_of(node.primitive());
  return find ? find(node) : nullptr;
}

} // namespace mlxffi
