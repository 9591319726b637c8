#include "vectorized.h"

#include <algorithm>
#include <array>
#include <typeinfo>
#include <unordered_map>
#include <utility>

#include "elementwise_blocks.h"
#include "extremes.h"
#include "fallible.h"
#include "folds.h"
#include "gathers.h"
#include "scans.h"
#include "sorting.h"

namespace mlxffi {

namespace {

// Numbers from which on our kernels may be worth their preparation, and reductions and sorting are.
constexpr size_t least_size = 4096, least_to_reduce = 16384, least_to_sort = 512;

// Computes outputs on a stream; false where it cannot with inputs that lie as these do.
using Evaluation = std::function<bool(const Arrays& inputs, Arrays& outputs, mx::Stream s)>;

// What MLX's primitive is in all but its evaluation.
class Vectorized : public mx::Primitive {
 public:
  Vectorized(std::shared_ptr<mx::Primitive> plain, Evaluation evaluation)
      : Primitive(plain->stream()), plain_(std::move(plain)), evaluation_(std::move(evaluation)) {}

  const char* name() const override {
    return "Vectorized";
  }
  bool is_equivalent(const Primitive& other) const override {
    return this == &other;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    // A graph may be kept, as inside a transform.
    auto itself = outputs[0].primitive_ptr();
    for (auto& output : outputs) {
      leave(output.primitive_ptr());
    }
    if (!evaluation_(inputs, outputs, stream())) {
      plain_->eval_cpu(inputs, outputs);
    }
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override {
    plain_->eval_gpu(inputs, outputs);
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    return plain_->vjp(primals, cotangents, argnums, outputs);
  }
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override {
    return plain_->jvp(primals, tangents, argnums);
  }
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    return plain_->vmap(inputs, axes);
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return plain_->output_shapes(inputs);
  }

  // MLX's primitive again, for which there are rules of derivatives. None are asked for those that MLX fuses, which it calls
  // a compiler to evaluate.
  void leave(std::shared_ptr<mx::Primitive>& place) const {
    if (typeid(*plain_) != typeid(mx::Compiled)) {
      place = plain_;
    }
  }

 private:
  std::shared_ptr<mx::Primitive> plain_;
  Evaluation evaluation_;
};

Evaluation by_blocks(std::shared_ptr<const Blocks> blocks) {
  return [blocks = std::move(blocks)](const Arrays& inputs, Arrays& outputs, mx::Stream s) {
    Blocks::run(blocks, inputs, outputs, s);
    return true;
  };
}

// Some quotients of integers end the process in MLX's code: of these ours computes even few.
bool divides_integers(const mx::array& node) {
  if (!mx::issubdtype(node.dtype(), mx::integer)) {
    return false;
  }
  std::string_view name = node.primitive().name();
  return name == "FloorDivide" || name == "Remainder" || name == "DivMod";
}

// What a primitive computes, one operation for each of its outputs.
std::vector<std::string_view> operations_of(const mx::Primitive& primitive) {
  std::string_view name = primitive.name();
  return name == "DivMod" ? std::vector<std::string_view>{"FloorDivide", "Remainder"} : std::vector{name};
}

// That of operations on several numbers at the same place; none where there is no kernel for one.
Evaluation elementwise(const mx::array& node) {
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
  return blocks->is_worth_it(node.size()) || divides_integers(node) ? by_blocks(blocks) : nullptr;
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

Evaluation evaluation_of(const mx::array& node) {
  auto& primitive = node.primitive();
  if (typeid(primitive) == typeid(mx::Reduce)) {
    return node.inputs()[0].size() >= least_to_reduce ? reduction(node) : nullptr;
  }
  if (typeid(primitive) == typeid(mx::ArgReduce)) {
    return node.inputs()[0].size() >= least_to_reduce ? place(node) : nullptr;
  }
  if (auto found = node.size() >= least_to_sort ? sorting(node) : nullptr) {
    return found;
  }
  for (auto* find : {lookup, running}) {
    if (auto found = node.size() >= least_size ? find(node) : nullptr) {
      return found;
    }
  }
  return node.size() >= least_size || divides_integers(node) ? elementwise(node) : nullptr;
}

// All outputs of an operation have the same primitive.
template <class Change>
void each_place(const mx::array& node, Change change) {
  change(node.primitive_ptr());
  for (auto& sibling : node.siblings()) {
    change(sibling.primitive_ptr());
  }
}

Evaluation evaluation_of(const Fallible& fallible, std::shared_ptr<mx::Primitive> plain) {
  if (!fallible.evaluate) {
    return nullptr;
  }
  return [evaluate = fallible.evaluate, plain = std::move(plain)](const Arrays& inputs, Arrays& outputs, mx::Stream) {
    evaluate(*plain, inputs, outputs);
    return true;
  };
}

// Whether the node may fail in the course of its work.
bool vectorize(const mx::array& node) {
  auto& primitive = node.primitive_ptr();
  if (primitive->device() != mx::Device::cpu) {
    return false;
  }
  auto* fallible = mlxffi::fallible(*primitive);
  if (auto evaluation = fallible ? evaluation_of(*fallible, primitive) : evaluation_of(node)) {
    auto made = std::make_shared<Vectorized>(primitive, std::move(evaluation));
    each_place(node, [&](std::shared_ptr<mx::Primitive>& place) { place = made; });
  }
  return fallible;
}

// Addresses, in a table with open addressing: a decoder's token is a thousand nodes, of which each std::unordered_set would
// allocate one.
class IdSet {
 public:
  // Whether it was not there yet.
  bool insert(std::uintptr_t id) {
    if (2 * (count_ + 1) > slots_.size()) {
      grow();
    }
    auto& slot = slot_of(id);
    bool is_new = !slot;
    slot = id;
    count_ += is_new;
    return is_new;
  }

 private:
  std::uintptr_t& slot_of(std::uintptr_t id) {
    size_t mask = slots_.size() - 1, place = (id * 0x9E3779B97F4A7C15) >> 32 & mask;
    while (slots_[place] && slots_[place] != id) {
      place = (place + 1) & mask;
    }
    return slots_[place];
  }
  void grow() {
    auto old = std::exchange(slots_, std::vector<std::uintptr_t>(std::max<size_t>(64, 2 * slots_.size())));
    for (auto id : old) {
      if (id) {
        slot_of(id) = id;
      }
    }
  }

  size_t count_ = 0;
  std::vector<std::uintptr_t> slots_;
};

// The nodes that are yet to be computed for arrays, as they are met: most graphs are small, and take no memory.
class Walk {
 public:
  explicit Walk(const Arrays& outputs) {
    meet(outputs);
  }

  template <class Visit>
  void each(Visit visit) {
    for (size_t i = 0; i < count_; i++) {
      auto& node = i < few_.size() ? *few_[i] : *many_[i - few_.size()];
      visit(node);
      meet(node.inputs());
    }
  }

 private:
  void meet(const Arrays& arrays) {
    for (auto& array : arrays) {
      if (array.status() == mx::array::Status::unscheduled && array.has_primitive() && is_new(array)) {
        count_ < few_.size() ? void(few_[count_] = &array) : many_.push_back(&array);
        count_++;
      }
    }
  }
  bool is_new(const mx::array& array) {
    if (count_ > few_.size()) {
      return ids_.insert(array.id());
    }
    if (count_ == few_.size()) {
      std::for_each(few_.begin(), few_.end(), [&](auto* other) { ids_.insert(other->id()); });
      return ids_.insert(array.id());
    }
    return std::none_of(few_.begin(), few_.begin() + count_, [&](auto* other) { return other->id() == array.id(); });
  }

  std::array<const mx::array*, 16> few_;
  size_t count_ = 0;
  std::vector<const mx::array*> many_;
  IdSet ids_;
};

// --- the tape of fused operations ---

// MLX keeps it to itself; an explicit instantiation may name what is private.
template <class Part, const Arrays mx::Compiled::*member>
struct Opened {
  friend const Arrays& part_of(Part, const mx::Compiled& compiled) {
    return compiled.*member;
  }
};
struct Inputs {
  friend const Arrays& part_of(Inputs, const mx::Compiled& compiled);
};
struct Outputs {
  friend const Arrays& part_of(Outputs, const mx::Compiled& compiled);
};
struct Tape {
  friend const Arrays& part_of(Tape, const mx::Compiled& compiled);
};
template struct Opened<Inputs, &mx::Compiled::inputs_>;
template struct Opened<Outputs, &mx::Compiled::outputs_>;
template struct Opened<Tape, &mx::Compiled::tape_>;

// The same computation in blocks; NULL where there is no kernel for one of its steps.
std::shared_ptr<const Blocks> blocks_of(const mx::Compiled& compiled) {
  auto blocks = std::make_shared<Blocks>();
  std::unordered_map<std::uintptr_t, Blocks::Value> values;
  for (auto& input : part_of(Inputs(), compiled)) {
    values.emplace(input.id(), blocks->input(input.dtype()));
  }
  for (auto& node : part_of(Tape(), compiled)) {
    std::vector<Blocks::Value> from;
    for (auto& input : node.inputs()) {
      from.push_back(values.at(input.id()));
    }
    std::string_view name = node.primitive().name();
    // Inputs of a block stand for the whole shape of the output already.
    auto value = name == "Broadcast" ? from[0] : blocks->apply(name, from, node.dtype());
    if (!value || !node.siblings().empty()) {
      return nullptr;
    }
    values.emplace(node.id(), *value);
  }
  for (auto& output : part_of(Outputs(), compiled)) {
    blocks->output(values.at(output.id()));
  }
  return blocks;
}

} // namespace

bool use_kernels(const Arrays& outputs) {
  bool may_fail = false;
  Walk(outputs).each([&](const mx::array& node) { may_fail |= vectorize(node); });
  return may_fail;
}

void use_mlx(const Arrays& outputs) {
  Walk(outputs).each([](const mx::array& node) {
    auto primitive = node.primitive_ptr();
    if (typeid(*primitive) == typeid(Vectorized)) {
      each_place(node, [&](std::shared_ptr<mx::Primitive>& place) { static_cast<const Vectorized&>(*primitive).leave(place); });
    }
  });
}

std::shared_ptr<mx::Primitive> vectorized(std::shared_ptr<mx::Primitive> primitive) {
  if (typeid(*primitive) != typeid(mx::Compiled) || primitive->device() != mx::Device::cpu) {
    return primitive;
  }
  auto blocks = blocks_of(static_cast<const mx::Compiled&>(*primitive));
  return blocks ? std::make_shared<Vectorized>(primitive, by_blocks(blocks)) : primitive;
}

std::optional<Fusion> dividing_fusion(mx::Primitive& primitive) {
  if (typeid(primitive) != typeid(mx::Compiled) || primitive.device() != mx::Device::cpu) {
    return std::nullopt;
  }
  auto& compiled = static_cast<const mx::Compiled&>(primitive);
  auto& tape = part_of(Tape(), compiled);
  if (std::none_of(tape.begin(), tape.end(), divides_integers)) {
    return std::nullopt;
  }
  return Fusion{part_of(Inputs(), compiled), tape, part_of(Outputs(), compiled)};
}

} // namespace mlxffi
