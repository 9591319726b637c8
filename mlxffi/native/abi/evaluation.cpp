#include "evaluation.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <new>
#include <unordered_set>

#include <mlx/backend/cpu/encoder.h>
#include <mlx/primitives.h>

#include "composing.h"
#include "derivatives/tracing.h"
#include "guards.h"
#include "vectorized.h"

namespace mlxc {

namespace {

std::recursive_mutex scheduling;

// In a forked child nobody is there to let it go.
[[maybe_unused]] const int forked = pthread_atfork(nullptr, nullptr, [] { new (&scheduling) std::recursive_mutex; });

std::atomic<int> waiting{0};

// The same arrays. While one of these is in a graph, the graph has operations that may fail.
class Fallible : public mx::Primitive {
 public:
  explicit Fallible(mx::Stream s) : Primitive(s) {
    waiting++;
  }
  ~Fallible() override {
    waiting--;
  }

  const char* name() const override {
    return "Fallible";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    for (size_t i = 0; i < outputs.size(); i++) {
      outputs[i].copy_shared_buffer(inputs[i]);
    }
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override {
    Fallible::eval_cpu(inputs, outputs);
  }
  Arrays vjp(const Arrays&, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(cotangents[argnum]);
    }
    return results;
  }
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override {
    Arrays results;
    for (auto& primal : primals) {
      results.push_back(mx::zeros_like(primal, stream()));
    }
    for (size_t i = 0; i < argnums.size(); i++) {
      results[argnums[i]] = tangents[i];
    }
    return results;
  }
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    return {apply(again(), inputs), axes};
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (auto& input : inputs) {
      shapes.push_back(input.shape());
    }
    return shapes;
  }

  static Arrays apply(const std::shared_ptr<Fallible>& operation, const Arrays& inputs) {
    std::vector<mx::Dtype> dtypes;
    for (auto& input : inputs) {
      dtypes.push_back(input.dtype());
    }
    return mx::array::make_arrays(operation->output_shapes(inputs), dtypes, operation, inputs);
  }

 protected:
  virtual std::shared_ptr<Fallible> again() {
    return std::make_shared<Fallible>(stream());
  }
};

// Whether a matrix's diagonal is positive, or NaN as the matrix then was.
template <class Value>
bool has_positive_diagonal(const Value* matrix, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (matrix[i * size + i] <= 0) {
      return false;
    }
  }
  return true;
}

template <class Value>
void check_diagonals(const Value* data, size_t count, size_t size) {
  for (size_t i = 0; i < count; i++) {
    if (!has_positive_diagonal(data + i * size * size, size)) {
      throw std::runtime_error("[cholesky] matrix " + std::to_string(i) + " of " + std::to_string(count) + " is not positive definite");
    }
  }
}

void check_factors(const mx::array& factors) {
  size_t size = factors.shape(-1), count = size ? factors.size() / (size * size) : 0;
  factors.dtype() == mx::float64 ? check_diagonals(factors.data<double>(), count, size) : check_diagonals(factors.data<float>(), count, size);
}

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

class Checked : public Fallible {
 public:
  Checked(mx::Stream s, Check check) : Fallible(s), check_(std::move(check)) {}

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Fallible::eval_cpu(inputs, outputs);
    auto held = mx::array::unsafe_weak_copy(inputs[0]);
    auto& encoder = mx::cpu::get_command_encoder(stream());
    encoder.set_input_array(inputs[0]);
    encoder.dispatch([held, check = check_] {
      try {
        check(held);
      } catch (const std::out_of_range& error) {
        Misplaced::found(error.what());
        throw;
      }
    });
  }

 protected:
  std::shared_ptr<Fallible> again() override {
    return std::make_shared<Checked>(stream(), check_);
  }

 private:
  Check check_;
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

bool may_fail() {
  return waiting.load(std::memory_order_relaxed) > 0;
}

bool is_computed(const mx::array& array) {
  return array.status() == mx::array::Status::available;
}

bool same(const mx::Event& a, const mx::Event& b) {
  return &a.cast<char>() == &b.cast<char>() && a.value() == b.value();
}

// Arrays that no other thread knows, with the events that these wait for.
Arrays waiters(const Arrays& arrays) {
  Arrays made;
  for (auto& array : arrays) {
    auto& event = array.event();
    bool waits = !is_computed(array) && event.valid();
    if (waits && (made.empty() || !same(made.back().event(), event))) {
      made.emplace_back(mx::Shape{}, mx::bool_, nullptr, Arrays{});
      made.back().attach_event(event);
      made.back().set_status(mx::array::Status::evaluated);
    }
  }
  return made;
}

// By kernels of our own; to be called under Scheduling.
template <class Schedule>
void schedule_kernels(const Arrays& outputs, Schedule&& schedule) {
  try {
    mlxffi::use_kernels(outputs);
    schedule();
  } catch (...) {
    mlxffi::use_mlx(outputs);
    throw;
  }
}

// What the call schedules is then waited for, while other threads may schedule.
template <class Schedule>
void schedule_and_wait(const Arrays& arrays, Schedule&& schedule) {
  Arrays made;
  {
    Scheduling lock;
    schedule();
    made = waiters(arrays);
  }
  for (auto& waiter : made) {
    waiter.wait();
  }
  Scheduling lock;
  for (auto& array : arrays) {
    array.is_available();
  }
}

// At once, where the graph stays, as that of a function being differentiated, or is to be put back after a failure.
void schedule_or_compute(const Arrays& outputs) {
  bool traced = std::any_of(outputs.begin(), outputs.end(), [](auto& output) { return output.is_tracer(); });
  may_fail() ? evaluate_or_undo(outputs) : traced ? mx::eval(outputs) : mx::async_eval(outputs);
}

} // namespace

Arrays fallible(Arrays results) {
  return mlxffi::Composing::active() ? results : Fallible::apply(std::make_shared<Fallible>(results[0].primitive().stream()), results);
}

mx::array fallible(const mx::array& result) {
  return result.has_primitive() ? fallible(Arrays{result})[0] : result;
}

mx::array checked(const mx::array& a, Check check, mx::Stream s) {
  return Fallible::apply(std::make_shared<Checked>(s, std::move(check)), {a})[0];
}

mx::array positive_factors(const mx::array& factors) {
  return mlxffi::Composing::active() ? factors : checked(factors, check_factors, factors.primitive().stream());
}

void evaluate(const Arrays& outputs) {
  if (std::all_of(outputs.begin(), outputs.end(), is_computed)) {
    return;
  }
  schedule_and_wait(outputs, [&] { schedule_kernels(outputs, [&] { schedule_or_compute(outputs); }); });
}

void evaluate_soon(const Arrays& outputs) {
  Scheduling lock;
  schedule_kernels(outputs, [&] { may_fail() ? evaluate_or_undo(outputs) : mx::async_eval(outputs); });
}

const mx::array& computed(const mx::array& array) {
  if (!is_computed(array)) {
    evaluate({array});
  }
  return array;
}

void wait(const mx::array& array) {
  if (!is_computed(array)) {
    schedule_and_wait({array}, [] {});
  }
}

bool is_available(const mx::array& array) {
  if (array.status() != mx::array::Status::evaluated) {
    return is_computed(array);
  }
  Scheduling lock;
  return array.is_available();
}

Scheduling::Scheduling() : lock_(scheduling) {}

} // namespace mlxc
