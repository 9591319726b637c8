#include "attempt.h"

#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include "by_name.h"

namespace mlxc {

namespace {

// What MLX keeps to itself: an explicit instantiation may name what is private.
template <class Part, auto member>
struct Opened {
  using Description = typename std::remove_cvref_t<decltype(std::declval<mx::array&>().*member)>::element_type;
  friend std::weak_ptr<void> weak(Part, const mx::array& array) {
    return array.*member;
  }
  friend mx::array locked(Part, std::shared_ptr<void> description) {
    mx::array made(mx::Shape{}, mx::bool_, nullptr, Arrays{});
    made.*member = std::static_pointer_cast<Description>(std::move(description));
    return made;
  }
};
struct Node {
  friend std::weak_ptr<void> weak(Node, const mx::array& array);
  friend mx::array locked(Node, std::shared_ptr<void> description);
};
template struct Opened<Node, &mx::array::array_desc_>;

// Those whose work ends otherwise when a file or another process does; of what else may fail the graph is kept (fallible.h).
// MLX puts the kind of a reduction before its name.
constexpr std::array<std::string_view, 6> outside = {"AllGather", "AllReduce", "Load", "Recv", "ReduceScatter", "Send"};

bool is_outside(const mx::Primitive& primitive) {
  std::string_view name = primitive.name();
  return std::any_of(outside.begin(), outside.end(), [&](auto& one) { return name.ends_with(one); });
}

// Under Scheduling.
bool depends_on_outside(const mx::Primitive& primitive) {
  static mlxffi::ByName<bool> known;
  return known.of(primitive, is_outside);
}

[[noreturn]] void refuse(const mx::array& node) {
  std::ostringstream text;
  text << "[" << node.primitive().name() << "] expected a result of fewer than 2^59 elements, got shape " << node.shape();
  throw std::invalid_argument(text.str());
}

// MLX counts elements in 64 bits, past whose end it begins again at 0.
void require_countable(const mx::array& node) {
  constexpr double most = int64_t(1) << 59;
  double count = 1;
  for (int size : node.shape()) {
    count *= size;
  }
  if (count >= most) {
    refuse(node);
  }
}

// MLX finds a stream of another thread half way, and leaves open what it has begun.
void require_own(mx::Stream stream) {
  if (stream.device == mx::Device::cpu) {
    mx::cpu::get_command_encoder(stream);
  }
}

// A program's destructors may schedule arrays of their own meanwhile.
thread_local Attempt* innermost = nullptr;

} // namespace

Attempt::Attempt(const Arrays& outputs, const mlxffi::Walk& graphs) : outer_(innermost), outputs_(outputs) {
  for (auto* node : graphs.nodes()) {
    look_at(*node);
  }
  std::for_each(streams_.begin(), streams_.end(), require_own);
  keep_events(graphs);
  if (streams_.size() > 1) {
    keep_nodes(graphs);
  }
  innermost = this;
}

Attempt::~Attempt() {
  innermost = outer_;
}

void Attempt::ask_streams() {
  if (!innermost) {
    return;
  }
  for (auto& stream : innermost->streams_) {
    if (auto failure = run_out(stream)) {
      throw std::runtime_error(*failure);
    }
  }
}

void Attempt::look_at(const mx::array& node) {
  auto& primitive = node.primitive();
  require_countable(node);
  if (streams_.empty() || streams_.back() != primitive.stream()) {
    add(streams_, primitive.stream());
  }
  may_fail_ = may_fail_ || depends_on_outside(primitive);
}

void Attempt::keep_events(const mlxffi::Walk& graphs) {
  for (auto& [input, own] : graphs.scheduled()) {
    if (waits(*input)) {
      kept_.keep(*input, own);
      if (is_pending(input->event())) {
        add(streams_, input->event().stream());
      }
    }
  }
}

void Attempt::keep_nodes(const mlxffi::Walk& graphs) {
  Streams met;
  for (auto* node : graphs.nodes()) {
    auto stream = node->primitive().stream();
    if (!has(met, stream)) {
      met.push_back(stream);
      one_of_each_.push_back(*node);
    }
    nodes_.push_back(weak(Node(), *node));
    for (auto& sibling : node->siblings()) {
      nodes_.push_back(weak(Node(), sibling));
    }
  }
}

void Attempt::succeed() {
  kept_.give_back();
  one_of_each_.insert(one_of_each_.end(), outputs_.begin(), outputs_.end());
  pend(events_of(one_of_each_), streams_, may_fail_);
}

// Of several streams, what is computed on one is not known to what was left on the others.
void Attempt::fail(const std::exception& failure) {
  kept_.give_back();
  if (!hides_failures(failure, may_fail_)) {
    return;
  }
  Arrays met = outputs_;
  for (auto& node : nodes_) {
    if (auto description = node.lock()) {
      met.push_back(locked(Node(), std::move(description)));
    }
  }
  remember_told(met, streams_, failure.what());
}

} // namespace mlxc
