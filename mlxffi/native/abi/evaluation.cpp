#include "evaluation.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <new>
#include <thread>
#include <unordered_set>

#include "at_once.h"
#include "attempt.h"
#include "checked.h"
#include "derivatives/tracing.h"
#include "guards.h"
#include "late_failures.h"
#include "process.h"
#include "small_nodes.h"
#include "vectorized.h"

namespace mlxc {

namespace {

std::recursive_mutex scheduling;
constexpr int turns_before_sleep = 16;

// In a forked child nobody is there to let it go.
[[maybe_unused]] const int forked = pthread_atfork(nullptr, nullptr, [] { new (&scheduling) std::recursive_mutex; });

// What checks last said of indices: from a worker thread MLX hands on an error's text alone.
class Misplaced {
 public:
  static void found(std::string text) {
    std::lock_guard<std::mutex> lock(mutex_);
    texts_[next_++ % texts_.size()] = std::move(text);
  }
  static bool is(const std::string& text) {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::any_of(texts_.begin(), texts_.end(), [&](auto& told) { return !told.empty() && text.find(told) != std::string::npos; });
  }

 private:
  static inline std::mutex mutex_;
  static inline std::array<std::string, 64> texts_;
  static inline size_t next_ = 0;
};

// --- evaluation with a way back ---

// The arrays that an evaluation computes.
class Pending {
 public:
  explicit Pending(Arrays open) {
    std::unordered_set<std::uintptr_t> seen;
    while (!open.empty()) {
      auto array = std::move(open.back());
      open.pop_back();
      if (array.status() == mx::array::Status::unscheduled && array.has_primitive() && seen.insert(array.id()).second) {
        open.insert(open.end(), array.inputs().begin(), array.inputs().end());
        open.insert(open.end(), array.siblings().begin(), array.siblings().end());
        arrays_.push_back(std::move(array));
      }
    }
  }

  // As tracers, whose graphs are kept.
  void keep() {
    for (auto& array : arrays_) {
      tracers_.push_back(array.is_tracer());
      array.set_tracer(true);
    }
  }
  void forget_graphs() {
    for (size_t i = 0; i < arrays_.size(); i++) {
      arrays_[i].set_tracer(tracers_[i]);
      if (!arrays_[i].is_tracer()) {
        arrays_[i].detach();
      }
    }
  }
  void undo() {
    for (size_t i = 0; i < arrays_.size(); i++) {
      arrays_[i].set_tracer(tracers_[i]);
      arrays_[i].set_status(mx::array::Status::unscheduled);
    }
  }

 private:
  Arrays arrays_;
  std::vector<bool> tracers_;
};

// The failure, as the class of error that it was where it happened.
[[noreturn]] void raise(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::runtime_error& error) {
    if (Misplaced::is(error.what())) {
      forget_lost_tasks();
      throw std::out_of_range(error.what());
    }
    throw;
  }
}

void evaluate_or_undo(const Arrays& outputs) {
  Pending pending(outputs);
  std::exception_ptr failure;
  tracing([&] {
    pending.keep();
    try {
      mx::eval(outputs);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  if (failure) {
    pending.undo();
    raise(failure);
  }
  pending.forget_graphs();
}

// As MLX does it, without a lock: other threads may be setting it.
bool is_computed(const mx::array& array) {
  bool found = array.status() == mx::array::Status::available;
  std::atomic_thread_fence(std::memory_order_acquire);
  return found;
}

// What a call is about to schedule: the rest has its place among what is pending.
Arrays unscheduled(const Arrays& arrays) {
  Arrays found;
  std::copy_if(arrays.begin(), arrays.end(), std::back_inserter(found), [](auto& array) { return array.status() == mx::array::Status::unscheduled; });
  return found;
}

// By kernels of our own; to be called under Scheduling. What is scheduled already MLX would take for computed, failed or not.
template <class Schedule>
void schedule_kernels(const Arrays& outputs, Schedule&& schedule) {
  auto fresh = unscheduled(outputs);
  if (fresh.empty()) {
    return;
  }
  mlxffi::Walk graphs(fresh);
  Attempt attempt(fresh, graphs);
  try {
    schedule(fresh, attempt, attempt.uses_cpu() && mlxffi::use_kernels(graphs));
  } catch (const std::exception& failure) {
    attempt.fail(failure);
    mlxffi::use_mlx(fresh);
    throw;
  }
  attempt.succeed();
}

// What the call schedules is then waited for, while other threads may schedule.
template <class Schedule>
void schedule_and_wait(const Arrays& arrays, Schedule&& schedule) {
  Events events;
  {
    Scheduling lock;
    throw_if_failed(arrays);
    schedule();
    events = pending_until(events_of(arrays));
  }
  wait_for(events);
  throw_if_failed(arrays);
  Scheduling lock;
  std::atomic_thread_fence(std::memory_order_release);
  for (auto& array : arrays) {
    // To ask it again might take what is told of something that was scheduled after it.
    array.attach_event({});
    array.set_status(mx::array::Status::available);
  }
}

// By this thread; no other one that schedules has to wait.
bool computed_at_once(const Arrays& outputs) {
  std::unique_lock lock(scheduling, std::try_to_lock);
  return lock && mlxffi::compute_at_once(outputs, is_available);
}

// For what waits by itself, and would be told of their failures.
void finish_before(const Arrays& outputs, const Streams& streams) {
  for (auto& stream : streams) {
    wait_for(pending_on(stream));
  }
  throw_if_failed(outputs);
}

// Waiting, where the graph is to be put back after a failure.
void schedule_or_undo(const Arrays& outputs, const Attempt& attempt, bool may_fail) {
  if (may_fail) {
    finish_before(outputs, attempt.streams());
  }
  may_fail ? evaluate_or_undo(outputs) : schedule(outputs, attempt.may_fail());
}

// Waiting as well where the graph stays, as that of a function being differentiated.
void schedule_or_compute(const Arrays& outputs, const Attempt& attempt, bool may_fail) {
  bool traced = std::any_of(outputs.begin(), outputs.end(), [](auto& output) { return output.is_tracer(); });
  if (may_fail || !traced) {
    schedule_or_undo(outputs, attempt, may_fail);
    return;
  }
  finish_before(outputs, attempt.streams());
  mx::eval(outputs);
}

// Whether something is left to compute; throws where that cannot be done.
bool are_open(const Arrays& outputs) {
  bool found = !std::all_of(outputs.begin(), outputs.end(), is_computed);
  if (found) {
    require_streams();
  }
  return found;
}

// A failure is told once the arrays' streams have come to them: what these tell until then is no later call's.
template <class Work>
void telling_last(const Arrays& arrays, Work&& work) {
  try {
    work();
  } catch (const std::runtime_error&) {
    finish_pending(arrays);
    throw;
  }
}

} // namespace

mx::array checked(const mx::array& indices, std::function<void(const mx::array&)> check, mx::Stream s) {
  auto telling = [check = std::move(check)](const mx::array& computed) {
    try {
      check(computed);
    } catch (const std::out_of_range& error) {
      Misplaced::found(error.what());
      throw;
    }
  };
  return mlxffi::Checked::apply(indices, telling, s);
}

void evaluate(const Arrays& outputs) {
  telling_last(outputs, [&] {
    if (are_open(outputs) && !computed_at_once(outputs)) {
      schedule_and_wait(outputs, [&] { schedule_kernels(outputs, schedule_or_compute); });
    }
  });
}

void evaluate_soon(const Arrays& outputs) {
  if (are_open(outputs)) {
    Scheduling lock;
    throw_if_failed(outputs);
    schedule_kernels(outputs, schedule_or_undo);
  }
}

const mx::array& computed(const mx::array& array) {
  if (!is_computed(array)) {
    evaluate({array});
  }
  return array;
}

void wait(const mx::array& array) {
  if (!is_computed(array)) {
    require_streams();
    telling_last({array}, [&] { schedule_and_wait({array}, [] {}); });
  }
}

bool is_available(const mx::array& array) {
  if (array.status() != mx::array::Status::evaluated) {
    return is_computed(array);
  }
  Scheduling lock;
  return has_come(array);
}

void finish(mx::Stream stream) {
  require_streams();
  auto failure = wait_for(pending_on(stream));
  auto later = run_out(stream);
  if (failure || later) {
    throw std::runtime_error(failure ? *failure : *later);
  }
}

void finish_streams() {
  require_streams();
  wait_for(pending());
}

// Most hold it while they walk through a few arrays: to sleep would take longer.
Scheduling::Scheduling() : lock_(scheduling, std::try_to_lock) {
  for (int turn = 0; turn < turns_before_sleep && !lock_; turn++) {
    std::this_thread::yield();
    lock_.try_lock();
  }
  if (!lock_) {
    lock_.lock();
  }
}

} // namespace mlxc
