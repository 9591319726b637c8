#include "vectorized.h"

#include <algorithm>
#include <typeinfo>
#include <unordered_map>

#include "evaluations.h"
#include "fallible.h"

namespace mlxffi {

namespace {

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

// All outputs of an operation have the same primitive.
template <class Change>
void each_place(const mx::array& node, Change change) {
  change(node.primitive_ptr());
  for (auto& sibling : node.siblings()) {
    change(sibling.primitive_ptr());
  }
}

Evaluation noticing_failures(const Fallible& fallible, std::shared_ptr<mx::Primitive> plain) {
  if (!fallible.evaluate) {
    return nullptr;
  }
  return [evaluate = fallible.evaluate, plain = std::move(plain)](const Arrays& inputs, Arrays& outputs, mx::Stream) {
    evaluate(*plain, inputs, outputs);
    return true;
  };
}

// Whether the node may fail in the course of its work, which those of GPUs do not.
bool vectorize(const mx::array& node) {
  auto& primitive = node.primitive_ptr();
  if (primitive->device() != mx::Device::cpu) {
    return false;
  }
  auto* fallible = mlxffi::fallible(*primitive);
  if (auto evaluation = fallible ? noticing_failures(*fallible, primitive) : evaluation_of(node)) {
    auto made = std::make_shared<Vectorized>(primitive, std::move(evaluation));
    each_place(node, [&](std::shared_ptr<mx::Primitive>& place) { place = made; });
  }
  return fallible;
}

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

bool is_computed_by_kernels(const mx::Primitive& primitive) {
  return typeid(primitive) == typeid(Vectorized) || dynamic_cast<const Fused*>(&primitive);
}

bool use_kernels(const Walk& graphs) {
  bool may_fail = false;
  for (auto* node : graphs.nodes()) {
    may_fail |= vectorize(*node);
  }
  return may_fail;
}

void use_mlx(const Arrays& outputs) {
  Walk left(outputs);
  for (auto* node : left.nodes()) {
    auto primitive = node->primitive_ptr();
    if (typeid(*primitive) == typeid(Vectorized)) {
      each_place(*node, [&](std::shared_ptr<mx::Primitive>& place) { static_cast<const Vectorized&>(*primitive).leave(place); });
    }
  }
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
