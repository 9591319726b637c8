#include "attempt.h"

#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <type_traits>

#include "vectorized.h"
#include "walk.h"

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
constexpr std::array<std::string_view, 6> outside = {"AllGather", "AllReduce", "Load", "Recv", "ReduceScatter", "Send"};

bool depends_on_outside(const mx::Primitive& primitive) {
  std::string_view name = primitive.name();
  return std::any_of(outside.begin(), outside.end(), [&](auto& one) { return one[0] == name[0] && one == name; });
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

Attempt::Attempt(const Arrays& outputs) : outer_(innermost), outputs_(outputs) {
  Streams waited;
  mlxffi::Walk(outputs).each([&](const mx::array& node) {
    mlxffi::require_countable(node);
    add(streams_, node.primitive().stream());
    may_fail_ = may_fail_ || depends_on_outside(node.primitive());
    std::for_each(node.inputs().begin(), node.inputs().end(), [&](auto& input) { look_at(input, node, waited); });
  });
  std::for_each(streams_.begin(), streams_.end(), require_own);
  std::for_each(waited.begin(), waited.end(), [&](auto& stream) { add(streams_, stream); });
  if (streams_.size() > 1) {
    keep_nodes();
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

void Attempt::look_at(const mx::array& input, const mx::array& node, Streams& waited) {
  if (waits(input)) {
    kept_.keep(input, node);
    if (is_pending(input.event())) {
      add(waited, input.event().stream());
    }
  }
}

void Attempt::keep_nodes() {
  Streams met;
  mlxffi::Walk(outputs_).each([&](const mx::array& node) {
    auto stream = node.primitive().stream();
    if (!has(met, stream)) {
      met.push_back(stream);
      one_of_each_.push_back(node);
    }
    nodes_.push_back(weak(Node(), node));
    for (auto& sibling : node.siblings()) {
      nodes_.push_back(weak(Node(), sibling));
    }
  });
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
