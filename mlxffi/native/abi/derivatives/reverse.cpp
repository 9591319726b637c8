// Gradients: cotangents of outputs pulled back to inputs.
#include "derivatives/captured.h"
#include "derivatives/draws.h"
#include "derivatives/rerun.h"
#include "derivatives/tape.h"
#include "derivatives/tracing.h"
#include "derivatives/transforms.h"

#include <cstring>
#include <set>

namespace mlxc {

namespace {

// What comes together for an array: a sum, and what is added to some of its places at the end, so that it needs no array
// of zeros.
class Sum {
 public:
  void add(const mx::array& cotangent, mx::Stream s) {
    sum_ = sum_ ? mx::add(*sum_, cotangent, s) : cotangent;
  }
  // What has come together so far, but for what is added later.
  const std::optional<mx::array>& so_far() const {
    return sum_;
  }
  // The same with something added to it.
  void become(const mx::array& sum) {
    sum_ = sum;
  }
  void add_later(const mx::array& node, const mx::array& cotangent) {
    later_.emplace_back(&node, cotangent);
  }
  mx::array of(const mx::array& array) const {
    auto sum = sum_ ? *sum_ : mx::zeros_like(array, stream_of_array(array));
    for (auto& [node, cotangent] : later_) {
      sum = accumulate_of(Node(*node))(Node(*node), cotangent, sum);
    }
    return sum;
  }

 private:
  std::optional<mx::array> sum_;
  std::vector<std::pair<const mx::array*, mx::array>> later_;
};

using Cotangents = std::unordered_map<std::uintptr_t, Sum>;

bool is_stopped(const mx::array& output) {
  Scheduling lock;
  return output.has_primitive() && std::strcmp(output.primitive().name(), "StopGradient") == 0;
}

// What came together for an array, which is not needed again.
std::optional<mx::array> take(Cotangents& sums, const mx::array& array) {
  auto found = sums.extract(array.id());
  return found ? std::optional(found.mapped().of(array)) : std::nullopt;
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
    sums[wanted[i].id()].add(mx::astype(cotangents[i], wanted[i].dtype(), s), s);
  }
  return sums;
}

// The checkpointed functions that have been run again, each once, by the id of their first result.
class Reruns {
 public:
  const Rerun& of(const mx::array& result, const Arrays& after) {
    auto id = result.outputs()[0].id();
    auto found = made_.find(id);
    return found != made_.end() ? found->second : made_.emplace(id, rerun(result, after)).first->second;
  }
  // A node's inputs, of which what checkpointed functions made is made again.
  Arrays inputs_of(const mx::array& node, const Arrays& after, const std::vector<int>& argnums) {
    auto inputs = node.inputs();
    for (int argnum : argnums) {
      auto& input = node.inputs()[argnum];
      if (is_checkpoint(input) && reads_inputs(node)) {
        inputs[argnum] = same(of(input, after).outputs, input);
      }
    }
    return inputs;
  }

 private:
  // What passes its inputs on needs none of them for its gradient.
  static bool reads_inputs(const mx::array& node) {
    return std::strcmp(node.primitive().name(), "Paced") != 0;
  }
  static const mx::array& same(const Arrays& made, const mx::array& result) {
    auto results = result.outputs();
    auto is_it = [&](const mx::array& one) { return one.id() == result.id(); };
    return made[std::find_if(results.begin(), results.end(), is_it) - results.begin()];
  }

  std::unordered_map<std::uintptr_t, Rerun> made_;
};

Arrays pulled_back(const Arrays& outputs, const Arrays& inputs, Cotangents sums);

// What a node contributes to the cotangents of its inputs.
Arrays gradients_of(const mx::array& array, const Arrays& cotangents, const std::vector<int>& argnums, Reruns& reruns) {
  if (is_checkpoint(array)) {
    auto& [arguments, outputs] = reruns.of(array, cotangents);
    return pulled_back(outputs, mlxffi::chosen(arguments, argnums), seeds(outputs, cotangents));
  }
  auto inputs = reruns.inputs_of(array, cotangents, argnums);
  return reverse_of(Node(array, inputs), cotangents, argnums);
}

// The same, the first of them added to what has come together for the first input, where the operation's rule does that.
std::optional<Arrays> gradients_onto(
    const mx::array& array, const Arrays& cotangents, const std::vector<int>& argnums, Cotangents& sums, Reruns& reruns) {
  auto* onto = argnums[0] == 0 ? onto_of(Node(array)) : nullptr;
  auto sum = onto ? sums[array.inputs()[0].id()].so_far() : std::nullopt;
  if (!sum) {
    return {};
  }
  auto inputs = reruns.inputs_of(array, cotangents, argnums);
  return onto(Node(array, inputs), cotangents, argnums, *sum);
}

void pull_back(const mx::array& array, const Arrays& cotangents, const std::vector<int>& argnums, Cotangents& sums, Reruns& reruns) {
  Node node(array);
  if (argnums.size() == 1 && argnums[0] == 0 && accumulate_of(node)) {
    sums[node.inputs[0].id()].add_later(array, cotangents[0]);
    return;
  }
  auto added = gradients_onto(array, cotangents, argnums, sums, reruns);
  auto gradients = added ? *added : gradients_of(array, cotangents, argnums, reruns);
  if (added) {
    sums[node.inputs[0].id()].become(gradients[0]);
  }
  for (size_t i = added ? 1 : 0; i < argnums.size(); i++) {
    sums[node.inputs[argnums[i]].id()].add(gradients[i], node.stream());
  }
}

Arrays pulled_back(const Arrays& outputs, const Arrays& inputs, Cotangents sums) {
  auto tape = derivative_tape(outputs, inputs);
  Reruns reruns;
  for (auto place = tape.nodes.rbegin(); place != tape.nodes.rend(); ++place) {
    auto cotangents = cotangents_of(**place, sums);
    if (!cotangents.empty()) {
      pull_back(**place, cotangents, tape.places(**place), sums, reruns);
    }
  }
  Arrays results;
  for (auto& input : inputs) {
    results.push_back(sums[input.id()].of(input));
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
    result.first = run_differentiated(fun, inputs);
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
