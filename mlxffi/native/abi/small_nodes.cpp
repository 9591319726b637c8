// For each node MLX hands the stream's thread a task more that holds its inputs, and every hundred nodes it waits for that
// thread, so that memory is given back before more is asked for. A decoder's step for one token has a thousand nodes of a few
// microseconds each: here all of them but the outputs are scheduled before MLX is asked to, without that.
#include "small_nodes.h"

#include <mlx/backend/cpu/encoder.h>
#include <mlx/primitives.h>

#include <algorithm>
#include <future>
#include <iterator>
#include <memory_resource>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "at_once.h"
#include "evaluation.h"
#include "late_failures.h"

namespace mlxc {

namespace {

constexpr size_t least_nodes = 8, most_bytes = 128 << 20;
// Nodes are taken output by output, so what one output needs stays until the last one is computed: MLX takes many gradients
// in an order that keeps less.
constexpr size_t most_outputs = 8;
// Nodes whose inputs are held by one task.
constexpr size_t held_together = 16;
// New memory after which the stream is waited for, so that what it is done with can be taken again.
constexpr size_t most_ahead = 2 << 20;

// The nodes that outputs depend on and that are yet to be scheduled, each after its inputs.
class Nodes {
 public:
  explicit Nodes(const Arrays& outputs) : stream_(stream_of(outputs)) {
    auto is_seen = [&](auto& output) { return is_scheduled(output) || visit(output); };
    are_small_ = outputs.size() <= most_outputs && std::all_of(outputs.begin(), outputs.end(), is_seen);
    auto is_final = [&](auto* node) { return !is_used(*node); };
    order_.erase(std::remove_if(order_.begin(), order_.end(), is_final), order_.end());
    are_small_ = are_small_ && order_.size() >= least_nodes;
  }

  // Whether they are many, on one CPU stream, and small enough to be in memory all at once.
  bool are_small() const {
    return are_small_;
  }
  // Those that others of them need.
  const std::vector<const mx::array*>& order() const {
    return order_;
  }
  mx::Stream stream() const {
    return stream_;
  }
  bool is_used(const mx::array& array) const {
    auto is_needed = [&](const mx::array& one) { return uses_.at(one.id()) > 0; };
    return is_needed(array) || std::any_of(array.siblings().begin(), array.siblings().end(), is_needed);
  }
  // Whether an array, whose users are yet to be scheduled, is known to more than these.
  bool is_known_outside(const mx::array& array) const {
    return references(array) > uses_.at(array.id()) + array.siblings().size();
  }

 private:
  using Open = std::vector<std::pair<const mx::array*, size_t>>;

  static bool is_scheduled(const mx::array& array) {
    return array.status() != mx::array::Status::unscheduled;
  }
  static mx::Stream stream_of(const Arrays& outputs) {
    auto made = std::find_if(outputs.begin(), outputs.end(), [](auto& output) { return output.has_primitive(); });
    return made == outputs.end() ? mx::default_stream(mx::Device::cpu) : made->primitive().stream();
  }
  // Together with those before, less the arrays that lie in their inputs' memory.
  bool has_room(const mx::array& node) {
    bytes_ += node.has_primitive() && mlxffi::is_view(node.primitive()) ? 0 : node.nbytes();
    return bytes_ <= most_bytes;
  }
  bool is_on_stream(const mx::array& array) const {
    return array.is_available() || (array.event().valid() && array.event().stream() == stream_);
  }

  // False where it meets what MLX has to care for, or much memory.
  bool visit(const mx::array& output) {
    Open open;
    if (!enter(output, 0, open)) {
      return false;
    }
    while (!open.empty()) {
      auto [node, next] = open.back();
      if (next == node->inputs().size()) {
        order_.push_back(node);
        open.pop_back();
        continue;
      }
      open.back().second++;
      auto& input = node->inputs()[next];
      // Each sibling has the inputs once more.
      if (!(is_scheduled(input) ? is_on_stream(input) : enter(input, 1 + node->siblings().size(), open))) {
        return false;
      }
    }
    return true;
  }

  bool enter(const mx::array& node, size_t uses, Open& open) {
    auto [place, is_new] = uses_.try_emplace(node.id(), 0);
    place->second += uses;
    if (!is_new) {
      return true;
    }
    for (auto& sibling : node.siblings()) {
      uses_.try_emplace(sibling.id(), 0);
    }
    open.emplace_back(&node, 0);
    return has_room(node) && node.has_primitive() && !node.is_tracer() && stream_.device == mx::Device::cpu && node.primitive().stream() == stream_;
  }

  mx::Stream stream_;
  bool are_small_;
  size_t bytes_ = 0;
  std::vector<const mx::array*> order_;
  // Given back as a whole: an allocation for each node takes longer than the rest.
  std::pmr::monotonic_buffer_resource memory_;
  std::pmr::unordered_map<std::uintptr_t, size_t> uses_{&memory_};
};

// Holds what tasks of a stream read, until they have run.
class Held {
 public:
  explicit Held(mx::Stream stream) : stream_(stream) {}

  // A result may have taken the memory of an input: held, it could not be taken again.
  void add(const Arrays& inputs, const Arrays& outputs) {
    for (auto& input : inputs) {
      if (!shares_memory(input, outputs)) {
        data_.push_back(input.data_shared_ptr());
      }
    }
    // Nobody may want these.
    for (auto output = outputs.begin(); output != outputs.end() && outputs.size() > 1; output++) {
      data_.push_back(output->data_shared_ptr());
    }
    for (auto& output : outputs) {
      ahead_ += shares_memory(output, inputs) ? 0 : output.nbytes();
    }
    count_ = (count_ + 1) % held_together;
    if (count_ == 0 || ahead_ > most_ahead) {
      hand_over();
    }
    if (ahead_ > most_ahead) {
      wait();
      ahead_ = 0;
    }
  }

  void hand_over() {
    auto& temporaries = mx::cpu::get_command_encoder(stream_).temporaries();
    mx::scheduler::enqueue(stream_, [data = std::exchange(data_, {}), temporaries = std::exchange(temporaries, {})] {});
  }

 private:
  // Failures are left to whoever waits for the outputs, unlike by mx::synchronize.
  void wait() const {
    std::promise<void> done;
    mx::scheduler::enqueue(stream_, [&] { done.set_value(); });
    done.get_future().wait();
  }

  static bool shares_memory(const mx::array& array, const Arrays& others) {
    return std::any_of(others.begin(), others.end(), [&](auto& other) { return other.data_shared_ptr() == array.data_shared_ptr(); });
  }

  mx::Stream stream_;
  size_t count_ = 0, ahead_ = 0;
  std::vector<std::shared_ptr<mx::array::Data>> data_;
};

void schedule(mx::array node, Held& held) {
  auto outputs = node.outputs();
  node.primitive().eval_cpu(node.inputs(), outputs);
  held.add(node.inputs(), outputs);
  for (auto& output : outputs) {
    output.set_status(mx::array::Status::evaluated);
  }
  node.detach();
}

// Adds to `known` what is scheduled and known to more than the nodes.
void schedule(const Nodes& nodes, Arrays& known) {
  Held held(nodes.stream());
  auto add_if_known = [&](const mx::array& array) {
    if (nodes.is_known_outside(array)) {
      known.push_back(array);
    }
  };
  for (auto* node : nodes.order()) {
    add_if_known(*node);
    std::for_each(node->siblings().begin(), node->siblings().end(), add_if_known);
    schedule(*node, held);
  }
  held.hand_over();
}

// What was scheduled counts as computed, unless a task has failed, or may have while MLX told of something else.
void settle(Arrays& scheduled, mx::Stream stream, const std::exception& failure, bool may_fail) {
  std::optional<std::string> told;
  if (hides_failures(failure, may_fail)) {
    told = failure.what();
    remember_pending(stream, *told);
  }
  try {
    finish(stream);
  } catch (const std::runtime_error& other) {
    told = told.value_or(other.what());
  }
  if (told) {
    remember_failure(scheduled, stream, *told);
  }
}

} // namespace

void schedule(const Arrays& outputs, bool may_fail) {
  Nodes nodes(outputs);
  if (!nodes.are_small()) {
    return mx::async_eval(outputs);
  }
  Arrays known, scheduled;
  auto is_new = [](auto& output) { return output.status() == mx::array::Status::unscheduled; };
  std::copy_if(outputs.begin(), outputs.end(), std::back_inserter(scheduled), is_new);
  // An output that is scheduled last, with the event of all.
  auto last = *std::find_if(scheduled.begin(), scheduled.end(), [&](auto& output) { return !nodes.is_used(output); });
  try {
    schedule(nodes, known);
    mx::async_eval(outputs);
    for (auto& array : known) {
      array.attach_event(last.event());
    }
  } catch (const std::exception& failure) {
    scheduled.insert(scheduled.end(), known.begin(), known.end());
    settle(scheduled, nodes.stream(), failure, may_fail);
    throw;
  }
}

} // namespace mlxc
