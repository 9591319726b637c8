// Gradients: cotangents of outputs pulled back to inputs.
#include "derivatives/draws.h"
#include "derivatives/tape.h"
#include "derivatives/tracing.h"
#include "derivatives/transforms.h"

#include <cstring>
#include <set>

namespace mlxc {

namespace {

using Cotangents = std::unordered_map<std::uintptr_t, mx::array>;

bool is_stopped(const mx::array& output) {
  Scheduling lock;
  return output.has_primitive() && std::strcmp(output.primitive().name(), "StopGradient") == 0;
}

void add_to(Cotangents& sums, const mx::array& array, const mx::array& cotangent, mx::Stream s) {
  auto [place, fresh] = sums.try_emplace(array.id(), cotangent);
  if (!fresh) {
    place->second = mx::add(place->second, cotangent, s);
  }
}

// What came together for an array, which is not needed again.
std::optional<mx::array> take(Cotangents& sums, const mx::array& array) {
  auto found = sums.extract(array.id());
  return found ? std::optional(std::move(found.mapped())) : std::nullopt;
}

// One cotangent for each output of a node; none where nothing depends on any of them.
Arrays cotangents_of(const mx::array& node, Cotangents& sums) {
  Arrays result;
  bool any = false;
  for (auto& output : node.outputs()) {
    auto sum = take(sums, output);
    any = any || sum;
    result.push_back(sum ? *sum : mx::zeros_like(output, node.primitive().stream()));
  }
  return any ? result : Arrays{};
}

// The cotangent of each output in turn. Outputs that are stopped may have one or not; as in MLX, what is left over is
// ignored.
Arrays wanted_outputs(const Arrays& outputs, const Arrays& cotangents) {
  if (outputs.size() == cotangents.size()) {
    return outputs;
  }
  Arrays wanted;
  std::copy_if(outputs.begin(), outputs.end(), std::back_inserter(wanted), [](auto& output) { return !is_stopped(output); });
  if (wanted.size() > cotangents.size()) {
    throw std::invalid_argument(
        "[vjp] Number of outputs to compute gradients for (" + std::to_string(wanted.size()) +
        ") does not match number of cotangents (" + std::to_string(cotangents.size()) + ").");
  }
  return wanted;
}

Cotangents seeds(const Arrays& outputs, const Arrays& cotangents) {
  Cotangents sums;
  auto wanted = wanted_outputs(outputs, cotangents);
  for (size_t i = 0; i < wanted.size(); i++) {
    if (wanted[i].shape() != cotangents[i].shape()) {
      throw std::invalid_argument(
          "[vjp] Output shape " + printed(wanted[i].shape()) + " does not match cotangent shape " + printed(cotangents[i].shape()) + ".");
    }
    auto s = stream_of_array(wanted[i]);
    add_to(sums, wanted[i], mx::astype(cotangents[i], wanted[i].dtype(), s), s);
  }
  return sums;
}

Arrays pulled_back(const Arrays& outputs, const Arrays& inputs, Cotangents sums) {
  auto tape = derivative_tape(outputs, inputs);
  for (auto place = tape.nodes.rbegin(); place != tape.nodes.rend(); ++place) {
    auto cotangents = cotangents_of(**place, sums);
    if (cotangents.empty()) {
      continue;
    }
    auto argnums = tape.places(**place);
    auto gradients = reverse_of(Node(**place), cotangents, argnums);
    for (size_t i = 0; i < argnums.size(); i++) {
      add_to(sums, (*place)->inputs()[argnums[i]], gradients[i], (*place)->primitive().stream());
    }
  }
  Arrays results;
  for (auto& input : inputs) {
    auto found = sums.find(input.id());
    results.push_back(found == sums.end() ? mx::zeros_like(input, stream_of_array(input)) : found->second);
  }
  return results;
}

std::set<int> checked_argnums(const std::vector<int>& argnums, int count) {
  std::set<int> places;
  for (int argnum : argnums) {
    int place = argnum < 0 ? argnum + count : argnum;
    if (place < 0 || place >= count) {
      throw std::invalid_argument(
          "[grad] Invalid argument number for function with " + std::to_string(count) + " positional arguments.");
    }
    if (!places.insert(place).second) {
      throw std::invalid_argument("[grad] Repeat argument number not allowed in grad.");
    }
  }
  return places;
}

// Values, and gradients of the first of them.
std::pair<Arrays, Arrays> graded(const Function& fun, const std::vector<int>& argnums, const Arrays& inputs) {
  auto places = checked_argnums(argnums, inputs.size());
  Arrays chosen;
  for (int place : places) {
    chosen.push_back(inputs[place]);
  }
  auto first_alone = [&](const Arrays& given) {
    Arrays all = inputs;
    auto next = given.begin();
    for (int place : places) {
      all[place] = *next++;
    }
    auto outputs = fun(all);
    for (size_t i = 1; i < outputs.size(); i++) {
      outputs[i] = mx::stop_gradient(outputs[i], stream_of_array(outputs[i]));
    }
    return outputs;
  };
  return mlxc::vjp(first_alone, chosen, {mx::array(1.0f)});
}

} // namespace

bool is_transforming() {
  return differentiating > 0 || SpreadDraws::active();
}

std::pair<Arrays, Arrays> vjp(const Function& fun, const Arrays& primals, const Arrays& cotangents) {
  std::pair<Arrays, Arrays> result;
  tracing([&] {
    auto inputs = tracers(primals);
    result.first = fun(inputs);
    result.second = pulled_back(result.first, inputs, seeds(result.first, cotangents));
  });
  return result;
}

mx::ValueAndGradFn value_and_grad(Function fun, std::vector<int> argnums) {
  if (argnums.empty()) {
    throw std::invalid_argument("[grad] Must specify at least one argument.");
  }
  return [fun = std::move(fun), argnums = std::move(argnums)](const Arrays& inputs) { return graded(fun, argnums, inputs); };
}

} // namespace mlxc
