#include "late_failures.h"

#include <mlx/ops.h>
#include <mlx/transforms.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <stdexcept>

#include "scheduling.h"
#include "walk.h"

namespace mlxc {

namespace {

constexpr size_t most_remembered = 64;

struct Failure {
  mx::Event event;
  std::string text;
};

std::atomic<bool> any{false};

// Under Scheduling. Never destroyed: threads may evaluate while the process ends.
std::deque<Failure>& failures() {
  static auto& made = *new std::deque<Failure>;
  return made;
}

// Null, where none is known.
const Failure* failure_of(const mx::array& array) {
  auto& event = array.event();
  auto is_its = [&](const Failure& failure) { return same(failure.event, event); };
  bool waits = array.status() == mx::array::Status::evaluated && event.valid();
  auto found = waits ? std::find_if(failures().begin(), failures().end(), is_its) : failures().end();
  return found == failures().end() ? nullptr : &*found;
}

// Arrays, and the inputs of those nodes of theirs that are yet to be scheduled.
template <class Look>
void each_input(const Arrays& arrays, Look look) {
  std::for_each(arrays.begin(), arrays.end(), look);
  mlxffi::Walk(arrays).each([&](const mx::array& node) { std::for_each(node.inputs().begin(), node.inputs().end(), look); });
}

} // namespace

bool same(const mx::Event& a, const mx::Event& b) {
  return &a.cast<char>() == &b.cast<char>() && a.value() == b.value();
}

void remember_failure(const mx::Event& event, const std::string& text) {
  Scheduling lock;
  failures().push_back({event, text});
  if (failures().size() > most_remembered) {
    failures().pop_front();
  }
  any = true;
}

void remember_failure(const Arrays& outputs, mx::Stream stream, const std::string& text) {
  // libmlx keeps the making of events to itself.
  auto marker = mx::logical_not(mx::array(false), stream);
  mx::async_eval(marker);
  remember_failure(marker.event(), text);
  // The first are known to be of that call, of their inputs those without an event.
  for (auto& output : outputs) {
    if (output.status() != mx::array::Status::unscheduled) {
      output.set_status(mx::array::Status::evaluated);
      output.attach_event(marker.event());
    }
  }
  each_input(outputs, [&](const mx::array& array) {
    if (array.status() == mx::array::Status::evaluated && !array.event().valid()) {
      array.attach_event(marker.event());
    }
  });
}

bool has_failed(const mx::array& array) {
  return any && failure_of(array);
}

void throw_if_failed(const Arrays& arrays) {
  if (!any) {
    return;
  }
  Scheduling lock;
  each_input(arrays, [](const mx::array& array) {
    if (auto* failure = failure_of(array)) {
      throw std::runtime_error(failure->text);
    }
  });
}

} // namespace mlxc
