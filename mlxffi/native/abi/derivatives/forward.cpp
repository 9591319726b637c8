// Jacobian-vector products: tangents of inputs pushed forward to outputs.
#include "derivatives/captured.h"
#include "derivatives/tape.h"
#include "derivatives/tracing.h"
#include "derivatives/transforms.h"

namespace mlxc {

namespace {

using Tangents = std::unordered_map<std::uintptr_t, mx::array>;

void check(const Arrays& primals, const Arrays& tangents) {
  if (primals.size() != tangents.size()) {
    throw std::invalid_argument("[jvp] Number of inputs does not match number of tangents.");
  }
  for (size_t i = 0; i < primals.size(); i++) {
    if (primals[i].shape() != tangents[i].shape()) {
      throw std::invalid_argument("[jvp] Input shape does not match shape of tangent.");
    }
  }
}

Arrays pushed_forward(const Arrays& outputs, const Arrays& inputs, Tangents known) {
  auto tape = derivative_tape(outputs, inputs);
  for (auto* node : tape.nodes) {
    auto argnums = tape.places(*node);
    Arrays tangents;
    for (int argnum : argnums) {
      tangents.push_back(known.at(node->inputs()[argnum].id()));
    }
    auto results = forward_of(Node(*node), tangents, argnums);
    auto made = node->outputs();
    for (size_t i = 0; i < made.size(); i++) {
      if (tape.has(made[i])) {
        known.emplace(made[i].id(), results[i]);
      }
    }
  }
  Arrays results;
  for (auto& output : outputs) {
    auto found = known.find(output.id());
    results.push_back(found == known.end() ? mx::zeros_like(output, stream_of_array(output)) : found->second);
  }
  return results;
}

} // namespace

std::pair<Arrays, Arrays> jvp(const Function& fun, const Arrays& primals, const Arrays& tangents) {
  check(primals, tangents);
  std::pair<Arrays, Arrays> result;
  tracing([&] {
    auto inputs = tracers(primals);
    Tangents known;
    for (size_t i = 0; i < inputs.size(); i++) {
      known.emplace(inputs[i].id(), tangents[i]);
    }
    result.first = run_differentiated(fun, inputs);
    result.second = pushed_forward(result.first, inputs, std::move(known));
  });
  return result;
}

} // namespace mlxc
