#include "evaluations.h"

#include <typeinfo>

#include "elementwise_blocks.h"
#include "extremes.h"
#include "folds.h"
#include "gathers.h"
#include "scans.h"
#include "sorting.h"

namespace mlxffi {

namespace {

// Numbers from which on our kernels may be worth their preparation, and reductions and sorting are.
constexpr size_t least_size = 4096, least_to_reduce = 16384, least_to_sort = 512;

// What a primitive computes, one operation for each of its outputs.
std::vector<std::string_view> operations_of(const mx::Primitive& primitive) {
  std::string_view name = primitive.name();
  return name == "DivMod" ? std::vector<std::string_view>{"FloorDivide", "Remainder"} : std::vector{name};
}

// That of operations on several numbers at the same place; none where there is no kernel for one.
Evaluation elementwise(const mx::array& node, Sizes sizes) {
  auto blocks = std::make_shared<Blocks>();
  std::vector<Blocks::Value> from;
  for (auto& input : node.inputs()) {
    from.push_back(blocks->input(input.dtype()));
  }
  for (auto operation : operations_of(node.primitive())) {
    auto result = blocks->apply(operation, from, node.dtype());
    if (!result) {
      return nullptr;
    }
    blocks->output(*result);
  }
  return sizes == Sizes::any || blocks->is_worth_it(node.size()) || divides_integers(node) ? by_blocks(blocks) : nullptr;
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

Evaluation sorting(int axis, Sorted what) {
  return [=](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    sort(inputs[0], axis, what, outputs[0], s);
    return true;
  };
}

// Whether MLX's primitive is of this kind; libmlx keeps the descriptions of most types to itself.
template <class Kind>
const Kind* as(const mx::Primitive& primitive, std::string_view name) {
  return primitive.name() == name ? static_cast<const Kind*>(&primitive) : nullptr;
}

// A row in order is one that is partitioned anywhere.
Evaluation sorting(const mx::array& node) {
  auto& primitive = node.primitive();
  if (node.inputs().size() != 1 || !can_sort(node.inputs()[0].dtype())) {
    return nullptr;
  }
  if (auto sort = as<mx::Sort>(primitive, "Sort")) {
    return sorting(sort->state(), Sorted::numbers);
  }
  if (auto sort = as<mx::ArgSort>(primitive, "ArgSort")) {
    return sorting(sort->state(), Sorted::places);
  }
  if (auto partition = as<mx::Partition>(primitive, "Partition")) {
    return sorting(partition->state().second, Sorted::numbers);
  }
  if (auto partition = as<mx::ArgPartition>(primitive, "ArgPartition")) {
    return sorting(partition->state().second, Sorted::places);
  }
  return nullptr;
}

// Lookups along one axis.
Evaluation lookup(const mx::array& node) {
  if (auto along = as<mx::GatherAxis>(node.primitive(), "GatherAxis")) {
    return [axis = along->state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
      return gather_along(axis, inputs[0], inputs[1], outputs[0], s);
    };
  }
  auto gather = as<mx::Gather>(node.primitive(), "Gather");
  if (!gather || node.inputs().size() != 2) {
    return nullptr;
  }
  return [state = gather->state()](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    return mlxffi::gather(state.first[0], state.second, inputs[0], inputs[1], outputs[0], s);
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

Evaluation evaluation_of(const mx::array& node, Sizes sizes) {
  auto& primitive = node.primitive();
  auto is_enough = [sizes](size_t numbers, size_t least) { return sizes == Sizes::any || numbers >= least; };
  if (typeid(primitive) == typeid(mx::Reduce)) {
    return is_enough(node.inputs()[0].size(), least_to_reduce) ? reduction(node) : nullptr;
  }
  if (typeid(primitive) == typeid(mx::ArgReduce)) {
    return is_enough(node.inputs()[0].size(), least_to_reduce) ? place(node) : nullptr;
  }
  if (auto found = is_enough(node.size(), least_to_sort) ? sorting(node) : nullptr) {
    return found;
  }
  for (auto* find : {lookup, running}) {
    if (auto found = is_enough(node.size(), least_size) ? find(node) : nullptr) {
      return found;
    }
  }
  return is_enough(node.size(), least_size) || divides_integers(node) ? elementwise(node, sizes) : nullptr;
}

} // namespace mlxffi
