#include "late_failures.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <unordered_set>

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

bool has_failed(const mx::array& array) {
  std::lock_guard<std::mutex> lock(mutex);
  return any && failure_of(array);
}

void throw_if_failed(const Arrays& arrays) {
  if (!any) {
    return;
  }
  std::lock_guard<std::mutex> lock(mutex);
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
    if (auto* failure = failure_of(*array)) {
      throw std::runtime_error(failure->text);
    }
    add(array->inputs());
  }
}

} // namespace mlxc
