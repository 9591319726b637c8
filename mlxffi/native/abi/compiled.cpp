// Compiled functions. MLX traces and optimises; the traces are kept here.
//
// MLX keeps them per thread, where no other thread can free them: a function that dies elsewhere would leave its
// traces, with every array that they hold, until the thread ends. Here they are kept for the whole process under the
// number of the function, and what a thread made goes when the function dies or the thread ends, whichever is first.
#include <mlx/compile_impl.h>

#include <algorithm>
#include <mutex>

#include "derivatives/transforms.h"
#include "graph_depth.h"
#include "shapeless.h"
#include "trace.h"
#include "transforms.h"

namespace mlxc {

namespace {

// Numbers of functions: neither an address nor a number that callers of mlx_detail_compile() count up to.
std::atomic<std::uintptr_t> next_number{~(~std::uintptr_t(0) >> 1)};

// What functions that share a number may differ in.
struct Variant {
  bool shapeless;
  std::vector<uint64_t> constants;

  bool operator==(const Variant&) const = default;
};

// A trace and what it was made for. A stream belongs to a thread, so what was traced on it does too.
struct Entry {
  size_t thread;
  mx::Stream stream;
  Variant variant;
  std::vector<mx::Dtype> dtypes;
  std::vector<mx::Shape> shapes;
  std::shared_ptr<const Trace> trace;

  bool takes(const Arrays& inputs) const {
    if (inputs.size() != dtypes.size()) {
      return false;
    }
    for (size_t i = 0; i < inputs.size(); i++) {
      bool same = variant.shapeless ? inputs[i].ndim() == shapes[i].size() : inputs[i].shape() == shapes[i];
      if (!same || inputs[i].dtype() != dtypes[i]) {
        return false;
      }
    }
    return true;
  }
};

using Entries = std::vector<Entry>;

size_t this_thread();

// The traces of all compiled functions. What is dropped is destroyed after the lock is released: it may hold a
// program's own objects, whose destructors may call anything.
class Traces {
 public:
  std::shared_ptr<const Trace> find(std::uintptr_t number, const Variant& variant, const Arrays& inputs) {
    auto thread = this_thread();
    auto stream = mx::default_stream(mx::default_device());
    std::lock_guard<std::mutex> lock(mutex_);
    auto known = entries_.find(number);
    if (known != entries_.end()) {
      for (auto& entry : known->second) {
        if (entry.thread == thread && entry.stream == stream && entry.variant == variant && entry.takes(inputs)) {
          return entry.trace;
        }
      }
    }
    return nullptr;
  }

  void add(std::uintptr_t number, const Variant& variant, const Arrays& inputs, std::shared_ptr<const Trace> trace) {
    Entry entry{this_thread(), mx::default_stream(mx::default_device()), variant, {}, {}, std::move(trace)};
    for (auto& input : inputs) {
      entry.dtypes.push_back(input.dtype());
      entry.shapes.push_back(input.shape());
    }
    std::lock_guard<std::mutex> lock(mutex_);
    entries_[number].push_back(std::move(entry));
  }

  void erase(std::uintptr_t number) {
    std::unique_lock<std::mutex> lock(mutex_);
    auto dropped = entries_.extract(number);
    lock.unlock();
  }

  void clear() {
    std::unique_lock<std::mutex> lock(mutex_);
    auto dropped = std::move(entries_);
    entries_.clear();
    lock.unlock();
  }

  void forget_thread(size_t thread) {
    Entries dropped;
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto known = entries_.begin(); known != entries_.end();) {
      auto& entries = known->second;
      auto kept = std::partition(entries.begin(), entries.end(), [&](auto& entry) { return entry.thread != thread; });
      dropped.insert(dropped.end(), std::make_move_iterator(kept), std::make_move_iterator(entries.end()));
      entries.erase(kept, entries.end());
      known = entries.empty() ? entries_.erase(known) : std::next(known);
    }
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::uintptr_t, Entries> entries_;
};

// Leaked: functions may die in static destructors of other libraries.
Traces& traces() {
  static auto* traces = new Traces;
  return *traces;
}

// A number for this thread, never used again; what was traced on it goes when it ends.
size_t this_thread() {
  static std::atomic<size_t> next{0};
  struct Thread {
    const size_t number = next++;
    ~Thread() {
      traces().forget_thread(number);
    }
  };
  thread_local Thread thread;
  return thread.number;
}

// Arrays without values, which differ from one another also where the inputs are the same array.
Arrays placeholders(const Arrays& inputs) {
  Arrays made;
  for (auto& input : inputs) {
    made.emplace_back(input.shape(), input.dtype(), nullptr, Arrays{});
  }
  return made;
}

// A function while this thread traces it, and the inputs that it is traced for.
class Tracing {
 public:
  Tracing(std::uintptr_t number, const Arrays& inputs) : number_(number), inputs_(ids_of(inputs)), outer_(innermost_) {
    innermost_ = this;
  }
  ~Tracing() {
    innermost_ = outer_;
    forget();
  }
  Tracing(const Tracing&) = delete;
  Tracing& operator=(const Tracing&) = delete;

  // Called with what the function gave: whether it is wanted as it is.
  static bool is_wanted_plain() {
    innermost_->is_traced_ = true;
    return innermost_->wants_plain_;
  }
  bool is_traced() const {
    return is_traced_;
  }
  void want_plain() {
    forget();
    wants_plain_ = true;
  }

  static bool active(std::uintptr_t number) {
    auto* tracing = innermost_;
    while (tracing && tracing->number_ != number) {
      tracing = tracing->outer_;
    }
    return tracing;
  }

  // An array that is an input and captured too would be a constant in one place and none in the other.
  static void check_captured(const Arrays& tracers, const Arrays& outputs) {
    for (auto& node : below(outputs, ids_of(tracers))) {
      if (innermost_->inputs_.count(node.id())) {
        throw std::invalid_argument("[compile] the function has captured an array that is also one of its inputs: use the input in its place");
      }
    }
  }

 private:
  const std::uintptr_t number_;
  const Ids inputs_;
  Tracing* const outer_;
  bool is_traced_ = false, wants_plain_ = false;
  static inline thread_local Tracing* innermost_ = nullptr;

  void forget() const {
    mx::detail::compile_erase(mx::detail::compile_cache(), number_);
  }
};

// The function as MLX traces it; where compilation is off, MLX gives it back as it is.
struct Traced {
  std::shared_ptr<const Function> fun;

  Arrays operator()(const Arrays& tracers) const {
    auto outputs = (*fun)(tracers);
    Tracing::check_captured(tracers, outputs);
    return Tracing::is_wanted_plain() || Graph::is_deep(outputs) ? throw Graph(tracers, outputs) : outputs;
  }
};

class Compiled {
 public:
  Compiled(Function fun, Variant variant, std::optional<std::uintptr_t> id)
      : number_(next_number++),
        kept_under_(id.value_or(number_)),
        variant_(std::move(variant)),
        fun_(shared(std::move(fun))),
        optimised_(mx::detail::compile(Function(Traced{fun_}), number_, variant_.shapeless)) {}

  ~Compiled() {
    traces().erase(number_);
  }

  Arrays operator()(const Arrays& inputs) const {
    // A trace takes what the function captures for constants, which inside a transform it may not be.
    bool differentiated =
        is_transforming() || std::any_of(inputs.begin(), inputs.end(), [](auto& input) { return input.is_tracer(); });
    if (differentiated || optimised_.target<Traced>() || Tracing::active(number_)) {
      return (*fun_)(inputs);
    }
    auto trace = traces().find(kept_under_, variant_, inputs);
    if (!trace) {
      trace = traced(inputs);
      traces().add(kept_under_, variant_, inputs, trace);
    }
    return (*trace)(inputs);
  }

 private:
  std::shared_ptr<const Trace> traced(const Arrays& inputs) const {
    Tracing tracing(number_, inputs);
    ShapelessTrace any_shape(variant_.shapeless);
    auto given = placeholders(inputs);
    Arrays outputs;
    try {
      outputs = optimised_(given);
    } catch (const Graph& graph) {
      graph.walk([&] { outputs = mx::detail::compile(Function(graph), number_, variant_.shapeless)(given); });
    } catch (const std::out_of_range&) {
      // MLX's own: it looks for an output that it has dropped, of an operation with several that is there twice.
      if (!tracing.is_traced()) {
        throw;
      }
      outputs = plain(tracing, given);
    }
    return std::make_shared<const Trace>(given, outputs, variant_.shapeless);
  }

  // What the function gives, traced again, without MLX's optimisation.
  Arrays plain(Tracing& tracing, const Arrays& given) const {
    tracing.want_plain();
    try {
      return optimised_(given);
    } catch (const Graph& graph) {
      return graph(given);
    }
  }

  const std::uintptr_t number_;
  const std::uintptr_t kept_under_;
  const Variant variant_;
  const std::shared_ptr<const Function> fun_;
  const Function optimised_;
};

Function function(Function fun, Variant variant, std::optional<std::uintptr_t> id) {
  auto made = std::make_shared<const Compiled>(std::move(fun), std::move(variant), id);
  return [made = std::move(made)](const Arrays& inputs) { return (*made)(inputs); };
}

} // namespace

Function compiled(Function fun, bool shapeless) {
  return function(std::move(fun), {shapeless, {}}, std::nullopt);
}

Function compiled(Function fun, std::uintptr_t id, bool shapeless, std::vector<uint64_t> constants) {
  return function(std::move(fun), {shapeless, std::move(constants)}, id);
}

void erase_traces(std::uintptr_t id) {
  traces().erase(id);
}

void clear_traces() {
  traces().clear();
  mx::detail::compile_clear_cache(mx::detail::compile_cache());
}

} // namespace mlxc
