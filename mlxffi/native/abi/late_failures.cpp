#include "late_failures.h"

#include <mlx/ops.h>
#include <mlx/transforms.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <unordered_set>
#include <vector>

namespace mlxc {

namespace {

constexpr size_t most_remembered = 64;

struct Failure {
  mx::Event event;
  std::string text;
};

std::mutex mutex;
std::atomic<bool> any{false};

// Never destroyed: threads may evaluate while the process ends.
std::deque<Failure>& failures() {
  static auto& made = *new std::deque<Failure>;
  return made;
}

// Under the mutex; null, where none is known.
const Failure* failure_of(const mx::array& array) {
  auto& event = array.event();
  auto is_its = [&](const Failure& failure) { return same(failure.event, event); };
  auto found = event.valid() ? std::find_if(failures().begin(), failures().end(), is_its) : failures().end();
  return found == failures().end() ? nullptr : &*found;
}

// Arrays that are not computed, and of those that are not scheduled their inputs.
template <class Look>
void look_at_open(const Arrays& arrays, Look&& look) {
  std::vector<const mx::array*> open;
  std::unordered_set<std::uintptr_t> seen;
  auto add = [&](const Arrays& more) {
    for (auto& array : more) {
      if (array.status() != mx::array::Status::available && seen.insert(array.id()).second) {
        open.push_back(&array);
      }
    }
  };
  for (add(arrays); !open.empty();) {
    auto* array = open.back();
    open.pop_back();
    look(*array);
    add(array->inputs());
  }
}

} // namespace

bool same(const mx::Event& a, const mx::Event& b) {
  return &a.cast<char>() == &b.cast<char>() && a.value() == b.value();
}

void remember_failure(const mx::Event& event, const std::string& text) {
  std::lock_guard<std::mutex> lock(mutex);
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
  look_at_open(outputs, [&](const mx::array& array) {
    if (array.status() == mx::array::Status::evaluated && !array.event().valid()) {
      array.attach_event(marker.event());
    }
  });
}

bool has_failed(const mx::array& array) {
  std::lock_guard<std::mutex> lock(mutex);
  return any && failure_of(array);
}

void throw_if_failed(const Arrays& arrays) {
  if (!any) {
    return;
  }
  std::lock_guard<std::mutex> lock(mutex);
  look_at_open(arrays, [](const mx::array& array) {
    if (auto* failure = failure_of(array)) {
      throw std::runtime_error(failure->text);
    }
  });
}

} // namespace mlxc
