#include "late_failures.h"

#include <mlx/ops.h>
#include <mlx/scheduler.h>
#include <mlx/transforms.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <thread>
#include <typeinfo>
#include <unordered_map>

#include "askers.h"
#include "scheduling.h"

namespace mlxc {

namespace {

constexpr size_t few_remembered = 1024;

struct Failure {
  mx::Event event;
  std::string text;
};
using Failures = std::unordered_map<const char*, Failure>;

// How many know of an event, which MLX keeps to itself: an explicit instantiation may name what is private.
template <class Part, auto member>
struct Opened {
  friend size_t references(Part, const mx::Event& event) {
    return (event.*member).use_count();
  }
};
struct Moment {
  friend size_t references(Moment, const mx::Event& event);
};
template struct Opened<Moment, &mx::Event::event_>;

struct Scheduled {
  mx::Event event;
  Streams streams;
  bool may_fail;
};
using AllScheduled = std::vector<Scheduled>;

std::atomic<bool> any_failed{false}, any_pending{false};

// Both under Scheduling. Never destroyed: threads may evaluate while the process ends.
Failures& failures() {
  static auto& made = *new Failures;
  return made;
}
AllScheduled& all_pending() {
  static auto& made = *new AllScheduled;
  return made;
}

// MLX makes one for each moment of a stream.
const char* moment(const mx::Event& event) {
  return &event.cast<char>();
}
bool same(const mx::Event& a, const mx::Event& b) {
  return moment(a) == moment(b);
}

Events::iterator find(Events& events, const mx::Event& event) {
  return std::find_if(events.begin(), events.end(), [&](auto& other) { return same(other, event); });
}

AllScheduled::iterator find_pending(const mx::Event& event) {
  return std::find_if(all_pending().begin(), all_pending().end(), [&](auto& other) { return same(other.event, event); });
}

// Null, where none is known.
const Failure* failure_of(const mx::array& array) {
  auto found = waits(array) ? failures().find(moment(array.event())) : failures().end();
  return found == failures().end() ? nullptr : &found->second;
}

// Nobody can ask again for those of which nobody knows.
void forget_unknown_failures() {
  for (auto failure = failures().begin(); failure != failures().end();) {
    failure = references(Moment(), failure->second.event) == 1 ? failures().erase(failure) : std::next(failure);
  }
}

void remember(const mx::Event& event, const std::string& text) {
  static size_t most = few_remembered;
  failures().insert_or_assign(moment(event), Failure{event, text});
  if (failures().size() > most) {
    forget_unknown_failures();
    most = std::max(few_remembered, 2 * failures().size());
  }
  any_failed = true;
}

bool needs_any(const Scheduled& scheduled, const Streams& streams) {
  return std::any_of(scheduled.streams.begin(), scheduled.streams.end(), [&](auto& stream) { return has(streams, stream); });
}

// With all that was scheduled afterwards on its stream and on those that wait for it: that may depend on what failed, or fail
// by itself without being told. A stream that comes to an event whose failure was told already goes on with what is there.
void fail(const mx::Event& event, const std::string& text) {
  Scheduling lock;
  auto& all = all_pending();
  auto found = find_pending(event);
  auto stream = event.stream();
  Streams struck;
  if (found == all.end()) {
    remember(event, text);
    struck.push_back(stream);
  }
  for (auto other = all.begin(); other != all.end(); other++) {
    bool waits_for_it = other->event.stream() != stream && has(other->streams, stream);
    if (other == found || waits_for_it || needs_any(*other, struck)) {
      add(struck, other->event.stream());
      remember(other->event, text);
    }
  }
}

void forget(const mx::Event& event) {
  Scheduling lock;
  if (auto found = find_pending(event); found != all_pending().end()) {
    all_pending().erase(found);
  }
  any_pending = !all_pending().empty();
}

// An array that no other thread knows.
mx::array waiter(const mx::Event& event) {
  mx::array made(mx::Shape{}, mx::bool_, nullptr, Arrays{});
  made.attach_event(event);
  made.set_status(mx::array::Status::evaluated);
  return made;
}

struct Told {
  bool reached;
  std::optional<std::string> text;
};

// What was told, if anything; whether an event is reached, `ask` says, of an array that waits for it.
template <class Ask>
Told told(const mx::Event& event, Ask ask) {
  try {
    return {ask(waiter(event)), {}};
  } catch (const std::runtime_error& failure) {
    fail(event, failure.what());
    return {true, failure.what()};
  }
}

bool is_reached(const mx::array& waiter) {
  return waiter.is_available();
}

// Where a thread was told, whoever comes first.
void remember(Asked& asked) {
  Scheduling lock;
  if (!std::exchange(asked.is_remembered, true)) {
    fail(asked.event, *asked.told);
  }
}

// Whether the thread may have been told, without having said so yet.
bool may_be_told(Asked& asked) {
  if (has_told(asked)) {
    remember(asked);
    return false;
  }
  Scheduling lock;
  return told(asked.event, is_reached).reached;
}

// What looks computed is so, unless a thread is just being told otherwise. It takes no lock until it has said so, so whoever
// calls may hold one.
void hear_askers() {
  auto all = all_asked();
  while (std::any_of(all.begin(), all.end(), [](auto& asked) { return may_be_told(*asked); })) {
    std::this_thread::yield();
    all = all_asked();
  }
}

template <class Which>
Events pending_where(Which which) {
  Events found;
  for (auto& scheduled : all_pending()) {
    if (which(scheduled.event)) {
      found.push_back(scheduled.event);
    }
  }
  return found;
}

// Of each stream in its order: of what is not reached yet, no later event can tell.
Events ask_all() {
  Streams busy;
  Events reached;
  for (auto& event : pending()) {
    if (has(busy, event.stream())) {
      continue;
    }
    told(event, is_reached).reached ? reached.push_back(event) : busy.push_back(event.stream());
  }
  return reached;
}

bool is_alone(const Scheduled& scheduled) {
  auto& streams = scheduled.streams;
  return std::all_of(streams.begin(), streams.end(), [&](auto& stream) { return stream == scheduled.event.stream(); });
}

void look_for_failures() {
  Scheduling lock;
  auto reached = ask_all();
  if (!std::all_of(all_pending().begin(), all_pending().end(), is_alone)) {
    // By now all is reached that those waited for, and strikes them where it failed.
    ask_all();
  }
  hear_askers();
  std::for_each(reached.begin(), reached.end(), forget);
}

// An event that waited for other streams stays until these have been asked.
void forget_alone(const mx::Event& event) {
  Scheduling lock;
  if (auto found = find_pending(event); found != all_pending().end() && is_alone(*found)) {
    forget(event);
  }
}

// Of a thread that asks for another's streams, and has waited for none.
bool is_of_another_thread(const std::string& text) {
  return text.find("There is no Stream") != std::string::npos;
}

// What a stream tells of its tasks, remembered before another thread may ask.
template <class Ask>
std::optional<std::string> ask(mx::Stream stream, Ask ask) {
  Scheduling lock;
  try {
    ask();
    return {};
  } catch (const std::runtime_error& failure) {
    remember_pending(stream, failure.what());
    return failure.what();
  }
}

std::optional<std::string> wait_for(const mx::Event& event) {
  Asker asker(event);
  try {
    waiter(event).wait();
    return {};
  } catch (const std::runtime_error& failure) {
    asker.tell(failure.what());
    remember(asker.asked());
    return failure.what();
  }
}

} // namespace

bool waits(const mx::array& array) {
  return array.status() == mx::array::Status::evaluated && array.event().valid();
}

bool is_pending(const mx::Event& event) {
  return find_pending(event) != all_pending().end();
}

Events events_of(const Arrays& arrays) {
  Events events;
  for (auto& array : arrays) {
    bool is_new = array.status() != mx::array::Status::available && array.event().valid() && find(events, array.event()) == events.end();
    if (is_new) {
      events.push_back(array.event());
    }
  }
  return events;
}

void KeptEvents::keep(const mx::array& array, size_t own) {
  if (waits(array) && mlxffi::references(array) > own) {
    waiting_.push_back({array, array.event()});
  }
}

void KeptEvents::give_back() {
  for (auto& [array, event] : std::exchange(waiting_, {})) {
    if (!array.event().valid()) {
      array.attach_event(event);
      array.set_status(mx::array::Status::evaluated);
    }
  }
}

void pend(const Events& events, const Streams& streams, bool may_fail) {
  for (auto& event : events) {
    if (!is_pending(event)) {
      all_pending().push_back({event, streams, may_fail});
    }
  }
  any_pending = !all_pending().empty();
}

Events pending() {
  Scheduling lock;
  return pending_where([](auto&) { return true; });
}

Events pending_on(mx::Stream stream) {
  Scheduling lock;
  return pending_where([&](auto& event) { return event.stream() == stream; });
}

Events pending_until(const Events& events) {
  Events open, alone;
  std::partition_copy(events.begin(), events.end(), std::back_inserter(open), std::back_inserter(alone), is_pending);
  auto found = pending_where([&](auto& event) {
    bool is_before = std::any_of(open.begin(), open.end(), [&](auto& other) { return other.stream() == event.stream(); });
    if (auto found = find(open, event); found != open.end()) {
      open.erase(found);
    }
    return is_before;
  });
  found.insert(found.end(), alone.begin(), alone.end());
  return found;
}

bool hides_failures(const std::exception& failure, bool may_fail) {
  // Streams are asked before memory is refused; where an index is wrong, the graph is kept.
  if (dynamic_cast<const std::bad_alloc*>(&failure) || dynamic_cast<const std::out_of_range*>(&failure)) {
    return false;
  }
  auto& all = all_pending();
  bool others_may = std::any_of(all.begin(), all.end(), [](auto& scheduled) { return scheduled.may_fail; });
  return may_fail || others_may || typeid(failure) == typeid(std::runtime_error);
}

std::optional<std::string> wait_for(const Events& events) {
  std::optional<std::string> first;
  for (auto& event : events) {
    auto text = wait_for(event);
    hear_askers();
    text ? forget(event) : forget_alone(event);
    first = first ? first : text;
  }
  return first;
}

void finish_pending(const Arrays& arrays) {
  Events open;
  {
    Scheduling lock;
    auto events = events_of(arrays);
    std::copy_if(events.begin(), events.end(), std::back_inserter(open), is_pending);
    open = pending_until(open);
  }
  wait_for(open);
}

// mx::synchronize would tell this thread before others can know.
std::optional<std::string> run_out(mx::Stream stream) {
  if (stream.device != mx::Device::cpu) {
    mx::synchronize(stream);
    return {};
  }
  auto done = std::make_shared<std::promise<void>>();
  auto failure = ask(stream, [&] { mx::scheduler::enqueue(stream, [done] { done->set_value(); }); });
  if (failure) {
    return failure;
  }
  done->get_future().wait();
  return ask(stream, [&] { mx::scheduler::check_error(stream); });
}

void remember_pending(mx::Stream stream, const std::string& text) {
  Scheduling lock;
  if (is_of_another_thread(text)) {
    return;
  }
  if (auto open = pending_on(stream); !open.empty()) {
    fail(open.front(), text);
  }
}

void remember_failure(const Arrays& outputs, mx::Stream stream, const std::string& text) {
  // libmlx keeps the making of events to itself.
  auto marker = mx::logical_not(mx::array(false), stream);
  mx::async_eval(marker);
  remember(marker.event(), text);
  // The first are known to be of that call, of their inputs those without an event.
  for (auto& output : outputs) {
    if (output.status() != mx::array::Status::unscheduled) {
      output.set_status(mx::array::Status::evaluated);
      output.attach_event(marker.event());
    }
  }
  mlxffi::Walk graphs(outputs);
  for (auto& [array, own] : graphs.scheduled()) {
    if (!array->event().valid()) {
      array->attach_event(marker.event());
    }
  }
}

void remember_told(const Arrays& outputs, const Streams& streams, const std::string& text) {
  if (is_of_another_thread(text)) {
    return;
  }
  auto doubt = [&](const mx::Event& event) {
    auto [reached, known] = told(event, is_reached);
    // What is neither reached nor pending belongs to the call that threw, and is never reached.
    if (!known && (reached || !is_pending(event))) {
      fail(event, text);
    }
    if (reached) {
      forget(event);
    }
  };
  auto open = pending_where([&](auto& event) { return has(streams, event.stream()); });
  std::for_each(open.begin(), open.end(), doubt);
  mlxffi::Walk graphs(outputs);
  for (auto& [array, own] : graphs.scheduled()) {
    if (waits(*array) && !failure_of(*array)) {
      doubt(array->event());
    }
  }
}

bool has_come(const mx::array& array) {
  if (any_pending) {
    look_for_failures();
  }
  if (!waits(array)) {
    return array.is_available();
  }
  auto event = array.event();
  auto is_open = [&] { return is_pending(event) || failure_of(array) || told(event, is_reached).text; };
  return !is_open() && array.is_available();
}

void throw_if_failed(const Arrays& arrays) {
  if (any_pending) {
    look_for_failures();
  }
  if (!any_failed) {
    return;
  }
  Scheduling lock;
  mlxffi::Walk graphs(arrays);
  for (auto& [array, own] : graphs.scheduled()) {
    if (auto* failure = failure_of(*array)) {
      throw std::runtime_error(failure->text);
    }
  }
}

} // namespace mlxc
