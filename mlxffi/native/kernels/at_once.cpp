#include "at_once.h"

#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "evaluations.h"
#include "fallible.h"
#include "vectorized.h"

namespace mlxffi {

namespace {

// Nodes and numbers up to which other threads, which may not schedule meanwhile, do not wait long.
constexpr size_t most_nodes = 16, most_numbers = size_t(1) << 19;

thread_local bool active = false;

struct Active {
  Active() {
    active = true;
  }
  ~Active() {
    active = false;
  }
};

// What MLX computes without a task for the stream, if the memory of the result can be that of the input.
bool is_view(std::string_view operation) {
  static constexpr std::array<std::string_view, 11> views = {
      "AsStrided", "Broadcast", "Copy", "ExpandDims", "Flatten", "Reshape", "Slice", "Squeeze", "StopGradient", "Transpose", "Unflatten"};
  return std::find(views.begin(), views.end(), operation) != views.end();
}

void compute_by_mlx(mx::Primitive& primitive, const Arrays& inputs, Arrays& outputs) {
  primitive.eval_cpu(inputs, outputs);
  bool is_view = inputs.size() == 1 && inputs[0].buffer().ptr() == outputs[0].buffer().ptr();
  if (!is_view) {
    mx::synchronize(primitive.stream());
  }
}

// The nodes of a graph, each after its inputs.
class Plan {
 public:
  // Whether an array is there, or can be computed here.
  bool add(const mx::array& array) {
    if (array.status() != mx::array::Status::unscheduled) {
      return array.is_available();
    }
    return is_planned(array) || (is_small(array) && add_node(array));
  }

  void run() const {
    Active scope;
    for (auto& step : steps_) {
      compute(step);
    }
  }

 private:
  struct Step {
    const mx::array* node;
    Evaluation evaluation;
  };

  bool is_planned(const mx::array& array) const {
    return std::any_of(steps_.begin(), steps_.end(), [&](auto& step) { return step.node->id() == array.id(); });
  }

  bool is_small(const mx::array& node) {
    if (!node.has_primitive() || !node.siblings().empty() || node.is_tracer() || node.primitive().device() != mx::Device::cpu) {
      return false;
    }
    size_t least = node.size(), most = node.size();
    for (auto& input : node.inputs()) {
      least = std::min(least, input.size());
      most = std::max(most, input.size());
    }
    numbers_ += most;
    return least > 0 && numbers_ <= most_numbers && ++open_ <= most_nodes;
  }

  bool add_node(const mx::array& node) {
    auto& primitive = node.primitive();
    if (fallible(primitive)) {
      return false;
    }
    bool plain = is_view(primitive.name()) || is_computed_by_kernels(primitive);
    auto evaluation = plain ? nullptr : evaluation_of(node);
    if (!plain && !evaluation) {
      return false;
    }
    for (auto& input : node.inputs()) {
      if (!add(input)) {
        return false;
      }
    }
    steps_.push_back({&node, std::move(evaluation)});
    return true;
  }

  static void compute(const Step& step) {
    auto outputs = step.node->outputs();
    auto& node = outputs[0];
    auto& primitive = node.primitive();
    // Throws where the stream is another thread's, as when a task is handed to it.
    mx::cpu::get_command_encoder(primitive.stream());
    if (is_computed_by_kernels(primitive)) {
      primitive.eval_cpu(node.inputs(), outputs);
    } else if (!step.evaluation || !step.evaluation(node.inputs(), outputs, primitive.stream())) {
      compute_by_mlx(primitive, node.inputs(), outputs);
    }
    node.set_status(mx::array::Status::available);
    node.detach();
  }

  std::vector<Step> steps_;
  size_t numbers_ = 0, open_ = 0;
};

} // namespace

bool compute_at_once(const Arrays& outputs) {
  Plan plan;
  bool can = std::all_of(outputs.begin(), outputs.end(), [&](auto& output) { return plan.add(output); });
  if (can) {
    plan.run();
  }
  return can;
}

bool at_once() {
  return active;
}

} // namespace mlxffi
