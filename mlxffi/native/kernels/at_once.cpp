#include "at_once.h"

#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string_view>
#include <vector>

#include "chains.h"
#include "copies.h"
#include "evaluations.h"
#include "fallible.h"
#include "references.h"
#include "vectorized.h"

namespace mlxffi {

namespace {

// Nodes and numbers up to which other threads, which may not schedule meanwhile, do not wait long: those of an array of a
// million, and of small ones that it is made of. Views of as few numbers as these count as well.
constexpr size_t most_nodes = 32, few_numbers = size_t(1) << 14, most_numbers = (size_t(1) << 20) + 4 * few_numbers;

thread_local bool active = false;

// Not while memory is given back: a program's destructors may evaluate arrays of their own.
struct Active {
  Active() {
    active = true;
  }
  ~Active() {
    active = false;
  }
};

constexpr std::array<std::string_view, 9> views = {"AsStrided", "Broadcast", "Copy", "ExpandDims", "Slice", "Split", "Squeeze", "StopGradient", "Transpose"};

// Whether MLX has no task for the stream, as for what its input's memory holds already.
bool is_done_at_once(const mx::Primitive& primitive) {
  return is_computed_by_kernels(primitive) || costs_nothing(primitive);
}

bool needs_a_copy(const mx::array& node) {
  return is_reshape(node.primitive()) && !node.inputs()[0].flags().row_contiguous;
}

// Whether a node has but to write into its first input, which nobody else needs.
bool writes_into_input(const mx::array& node) {
  std::string_view name = node.primitive().name();
  return (name.starts_with("Scatter") || name == "SliceUpdate") && references(node.inputs()[0]) == 1;
}

size_t largest(const Arrays& arrays, size_t first) {
  size_t found = 0;
  for (size_t i = first; i < arrays.size(); i++) {
    found = std::max(found, arrays[i].size());
  }
  return found;
}

// What counts of a node. Names are compared only where that may keep numbers from counting.
size_t numbers_of(const mx::array& node) {
  size_t most = std::max(node.size(), largest(node.inputs(), 0));
  if (most <= few_numbers) {
    return most;
  }
  return costs_nothing(node.primitive()) ? 0 : writes_into_input(node) ? largest(node.inputs(), 1) : most;
}

// The nodes of a graph, each after its inputs.
class Plan {
 public:
  explicit Plan(bool (*is_there)(const mx::array&)) : is_there_(is_there) {}

  // Whether an array is there, or can be computed here.
  bool add(const mx::array& array) {
    if (array.status() != mx::array::Status::unscheduled) {
      return is_there_(array);
    }
    return is_planned(array) || (is_small(array) && add_node(array));
  }

  // Whether all were: where numbers lie otherwise than a kernel takes them, that node and what follows are not.
  bool run() const {
    return std::all_of(steps_.begin(), steps_.end(), compute);
  }

 private:
  struct Step {
    const mx::array* node;
    Evaluation evaluation;
  };

  bool is_planned(const mx::array& array) const {
    auto is_array = [&](auto& output) { return output.id() == array.id(); };
    return std::any_of(steps_.begin(), steps_.end(), [&](auto& step) {
      auto& siblings = step.node->siblings();
      return is_array(*step.node) || std::any_of(siblings.begin(), siblings.end(), is_array);
    });
  }

  bool is_small(const mx::array& node) {
    bool has_several = node.has_primitive() && !node.siblings().empty() && !is_view(node.primitive());
    if (!node.has_primitive() || has_several || node.is_tracer() || node.primitive().device() != mx::Device::cpu) {
      return false;
    }
    size_t least = node.size();
    for (auto& input : node.inputs()) {
      least = std::min(least, input.size());
    }
    numbers_ += numbers_of(node);
    return least > 0 && numbers_ <= most_numbers && ++open_ <= most_nodes;
  }

  bool add_node(const mx::array& node) {
    auto& primitive = node.primitive();
    if (fallible(primitive)) {
      return false;
    }
    if (auto chain = chain_of(node, most_nodes - open_)) {
      return add_chain(node, std::move(*chain));
    }
    if (!add_all(node.inputs())) {
      return false;
    }
    steps_.push_back({&node, is_done_at_once(primitive) ? nullptr : evaluation_of(node)});
    return steps_.back().evaluation || is_done_at_once(primitive);
  }

  bool add_all(const Arrays& inputs) {
    return std::all_of(inputs.begin(), inputs.end(), [this](auto& input) { return add(input); });
  }

  bool add_chain(const mx::array& node, Chain chain) {
    // What stays in the cache takes less than what memory is read and written for.
    constexpr size_t cheaper = 16;
    numbers_ += (chain.length - 1) * node.size() / cheaper;
    open_ += chain.length - 1;
    if (numbers_ > most_numbers || !add_all(chain.inputs)) {
      return false;
    }
    steps_.push_back({&node, [chain = std::move(chain)](const Arrays&, Arrays& outputs, mx::Stream s) {
                        Blocks::run(chain.blocks, chain.inputs, outputs, s);
                        return true;
                      }});
    return true;
  }

  static bool compute(const Step& step) {
    auto outputs = step.node->outputs();
    // Throws where the stream is another thread's, as when a task is handed to it.
    mx::cpu::get_command_encoder(outputs[0].primitive().stream());
    bool is_computed = evaluate(step, outputs);
    if (is_computed) {
      // Who finds the array computed, without a lock, finds its numbers.
      std::atomic_thread_fence(std::memory_order_release);
      for (auto& output : outputs) {
        output.set_status(mx::array::Status::available);
      }
      outputs[0].detach();
    }
    return is_computed;
  }

  static bool evaluate(const Step& step, Arrays& outputs) {
    Active scope;
    auto& node = *step.node;
    auto& primitive = outputs[0].primitive();
    if (step.evaluation) {
      return step.evaluation(node.inputs(), outputs, primitive.stream());
    }
    if (needs_a_copy(node)) {
      return copy_reshaped(node.inputs()[0], outputs[0], primitive.stream());
    }
    primitive.eval_cpu(node.inputs(), outputs);
    return true;
  }

  bool (*is_there_)(const mx::array&);
  std::vector<Step> steps_;
  size_t numbers_ = 0, open_ = 0;
};

} // namespace

bool compute_at_once(const Arrays& outputs, bool (*is_there)(const mx::array&)) {
  Plan plan(is_there);
  return std::all_of(outputs.begin(), outputs.end(), [&](auto& output) { return plan.add(output); }) && plan.run();
}

bool at_once() {
  return active;
}

bool is_view(const mx::Primitive& primitive) {
  return std::find(views.begin(), views.end(), primitive.name()) != views.end();
}

bool costs_nothing(const mx::Primitive& primitive) {
  return is_view(primitive) || is_reshape(primitive);
}

} // namespace mlxffi
