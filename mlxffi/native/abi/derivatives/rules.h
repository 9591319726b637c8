// Derivatives and maps of MLX's operations where MLX's own are wrong, missing or undefined.
//
// Every transform of libmlxc asks here first, by the operation's name: so what MLX's own derivatives are made of is
// differentiated rightly too. An operation without a rule has MLX's.
#pragma once

#include <mlx/primitives.h>

#include "convert.h"
#include "fused.h"

namespace mlxc {

// One operation of a graph: its primitive, its inputs and its outputs.
struct Node {
  explicit Node(const mx::array& output) : Node(output, output.inputs()) {}
  // With other inputs, which are equal.
  Node(const mx::array& output, const Arrays& inputs) : output(output), inputs(inputs) {}

  const mx::array& output;
  const Arrays& inputs;

  template <class Primitive>
  auto state() const {
    return static_cast<const Primitive&>(output.primitive()).state();
  }
  mx::Stream stream() const {
    return output.primitive().stream();
  }
};

using Mapped = std::pair<Arrays, std::vector<int>>;

// The gradients of the inputs `argnums`; the tangents of all outputs; the outputs for mapped inputs, and their axes.
using Reverse = Arrays(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums);
using Forward = Arrays(const Node& node, const Arrays& tangents, const std::vector<int>& argnums);
using Map = Mapped(const Node& node, const Arrays& inputs, const std::vector<int>& axes);
// Of an operation that reads some places of its first input: that input's gradient, added to a sum of other ones.
using Accumulate = mx::array(const Node& node, const mx::array& cotangent, const mx::array& sum);
// The gradients of the inputs `argnums`, of which the first is the first, added to a sum of other ones; none where that takes
// as long as to add it afterwards.
using Onto = std::optional<Arrays>(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums, const mx::array& sum);

struct Rule {
  const char* name;
  Reverse* reverse = nullptr;
  Forward* forward = nullptr;
  Map* map = nullptr;
  Accumulate* accumulate = nullptr;
  Onto* onto = nullptr;
};

using RuleList = std::vector<Rule>;

// The families of operations, each in a file of its own.
RuleList rules_of_products();
RuleList rules_of_numbers();
RuleList rules_of_writes();
RuleList rules_of_shapes();
RuleList rules_of_scans();
RuleList rules_of_matrices();
RuleList rules_of_layers();

Arrays reverse_of(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums);
// NULL where the operation has none.
Accumulate* accumulate_of(const Node& node);
Onto* onto_of(const Node& node);
Arrays forward_of(const Node& node, const Arrays& tangents, const std::vector<int>& argnums);
Mapped map_of(const Node& node, const Arrays& inputs, const std::vector<int>& axes);

// --- what rules are made of ---

// The size of the axis that is mapped.
int batch_size(const Arrays& inputs, const std::vector<int>& axes);

// The input with its mapped axis in front; one without is repeated along it, which takes no memory.
mx::array batched(const mx::array& input, int axis, int size, mx::Stream s);
Arrays batched(const Arrays& inputs, const std::vector<int>& axes, mx::Stream s);

// The operation once more, on inputs of the same shapes and dtypes.
Arrays again(const Node& node, const Arrays& inputs);

// The operation on one slice after the other: right whatever the operation is.
Mapped mapped_one_by_one(const Node& node, const Arrays& inputs, const std::vector<int>& axes);

// Tangents of an operation that is linear in all its inputs together, or in each of them; integers choose what it does.
Forward forward_linear, forward_linear_in_each;

// The derivatives of an operation from those of a function that computes the same of the inputs.
using Same = std::function<Arrays(const Arrays&)>;
Arrays reverse_through(const Same& same, const Node& node, const Arrays& cotangents, const std::vector<int>& argnums);
Arrays forward_through(const Same& same, const Node& node, const Arrays& tangents, const std::vector<int>& argnums);

// The same for an operation with one output, of its node: as rules.
template <Arrays (*same)(const Node&, const Arrays&)>
Arrays reverse_by(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  return reverse_through([&](const Arrays& inputs) { return same(node, inputs); }, node, cotangents, argnums);
}
template <Arrays (*same)(const Node&, const Arrays&)>
Arrays forward_by(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  return forward_through([&](const Arrays& inputs) { return same(node, inputs); }, node, tangents, argnums);
}

// The array, which nobody may differentiate: what it is made of gives no right derivative.
mx::array without_derivative(const mx::array& array, const char* message, mx::Stream s);

// Those of the derivatives of all inputs that are asked for.
using mlxffi::chosen;

// For each input its tangent, or zeros.
Arrays every_tangent(const Node& node, const Arrays& tangents, const std::vector<int>& argnums);

bool is_complex(const mx::array& array);
// The complex conjugate; of a real array, itself.
mx::array conjugated(const mx::array& array, mx::Stream s);

} // namespace mlxc
