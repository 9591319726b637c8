// Events: MLX's own class of them is not exported by its libraries.
#include <atomic>
#include <exception>
#include <mutex>

#include "convert.h"
#include "evaluation.h"
#include "guards.h"
#include "late_failures.h"

namespace mlxc {

// Two arrays of one element, computed on the stream after all that it was given before: MLX can wait for an array. That
// changes the array, so the host and streams have one each.
class Event {
 public:
  explicit Event(mx::Stream stream);

  void wait();
  bool is_done();
  void hold_back(mx::Stream stream);

 private:
  template <class Reached>
  void settle(Reached reached);

  mx::array for_host_;
  std::mutex host_;
  std::atomic<bool> done_{false};
  std::exception_ptr failure_;

  mx::array for_streams_;
  std::mutex streams_;
};

namespace {

mx::array computed_on(mx::Stream stream) {
  return mx::full({1}, mx::array(true), stream);
}

} // namespace

Event::Event(mx::Stream stream) : for_host_(computed_on(stream)), for_streams_(computed_on(stream)) {
  evaluating([&] { evaluate_soon({for_host_, for_streams_}); });
}

// MLX tells of a failure once.
template <class Reached>
void Event::settle(Reached reached) {
  if (done_) {
    return;
  }
  try {
    if (!evaluating(reached)) {
      return;
    }
  } catch (...) {
    failure_ = std::current_exception();
  }
  done_ = true;
}

void Event::wait() {
  if (!done_) {
    std::lock_guard<std::mutex> lock(host_);
    settle([&] {
      mlxc::wait(for_host_);
      return true;
    });
  }
  if (failure_) {
    std::rethrow_exception(failure_);
  }
}

// While a thread waits, others hear that the event is not done.
bool Event::is_done() {
  std::unique_lock<std::mutex> lock(host_, std::defer_lock);
  if (!done_ && lock.try_lock()) {
    settle([&] {
      throw_if_failed({for_host_});
      return is_available(for_host_);
    });
  }
  return done_;
}

void Event::hold_back(mx::Stream stream) {
  std::lock_guard<std::mutex> lock(streams_);
  evaluating([&] { evaluate_soon({mx::logical_not(for_streams_, stream)}); });
}

} // namespace mlxc

using namespace mlxc;

extern "C" mlxffi_event mlxffi_event_new(void) {
  return {nullptr};
}

extern "C" int mlxffi_event_record(mlxffi_event* event, mlx_stream stream) {
  return guarded(__func__, [&] {
    require(event);
    put(event, std::make_shared<Event>(resolved(stream, "stream")));
  });
}

extern "C" int mlxffi_event_wait(mlxffi_event event) {
  return guarded(__func__, [&] { kept(get(event, "event"))->wait(); });
}

extern "C" int mlxffi_event_is_done(bool* res, mlxffi_event event) {
  return guarded(__func__, [&] { put(res, get(event, "event")->is_done()); });
}

extern "C" int mlxffi_event_stream_wait(mlxffi_event event, mlx_stream stream) {
  return guarded(__func__, [&] { get(event, "event")->hold_back(resolved(stream, "stream")); });
}

extern "C" int mlxffi_event_free(mlxffi_event event) {
  return release(event);
}
