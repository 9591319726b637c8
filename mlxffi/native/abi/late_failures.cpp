#include "late_failures.h"

#include <mlx/backend/cpu/encoder.h>
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

constexpr size_t most_remembered = 1024;

struct Failure {
  mx::Event event;
  std::string text;
};

struct Scheduled {
  mx::Event event;
  Streams streams;
};
using AllScheduled = std::vector<Scheduled>;

std::atomic<bool> any_failed{false}, any_pending{false};

// Both under Scheduling. Never destroyed: threads may evaluate while the process ends.
std::deque<Failure>& failures() {
  static auto& made = *new std::deque<Failure>;
  return made;
}
AllScheduled& all_pending() {
  static auto& made = *new AllScheduled;
  return made;
}

// Whether two events are the same moment of the same stream.
bool same(const mx::Event& a, const mx::Event& b) {
  return &a.cast<char>() == &b.cast<char>() && a.value() == b.value();
}

Events::iterator find(Events& events, const mx::Event& event) {
  return std::find_if(events.begin(), events.end(), [&](auto& other) { return same(other, event); });
}

AllScheduled::iterator find_pending(const mx::Event& event) {
  return std::find_if(all_pending().begin(), all_pending().end(), [&](auto& other) { return same(other.event, event); });
}

bool is_pending(const mx::Event& event) {
  return find_pending(event) != all_pending().end();
}

template <class Item>
bool has(const std::vector<Item>& items, const Item& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

template <class Item>
void add(std::vector<Item>& items, const Item& item) {
  if (!has(items, item)) {
    items.push_back(item);
  }
}

bool waits(const mx::array& array) {
  return array.status() == mx::array::Status::evaluated && array.event().valid();
}

// Null, where none is known.
const Failure* failure_of(const mx::array& array) {
  auto is_its = [&](const Failure& failure) { return same(failure.event, array.event()); };
  auto found = waits(array) ? std::find_if(failures().begin(), failures().end(), is_its) : failures().end();
  return found == failures().end() ? nullptr : &*found;
}

void remember(const mx::Event& event, const std::string& text) {
  failures().push_back({event, text});
  if (failures().size() > most_remembered) {
    failures().pop_front();
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
  std::for_each(reached.begin(), reached.end(), forget);
}

// An event that waited for other streams stays until these have been asked.
void forget_alone(const mx::Event& event) {
  Scheduling lock;
  if (auto found = find_pending(event); found != all_pending().end() && is_alone(*found)) {
    forget(event);
  }
}

// MLX finds a stream of another thread half way, and leaves open what it has begun.
void require_own(mx::Stream stream) {
  if (stream.device == mx::Device::cpu) {
    mx::cpu::get_command_encoder(stream);
  }
}

// Arrays, and the inputs of those nodes of theirs that are yet to be scheduled.
template <class Look>
void each_input(const Arrays& arrays, Look look) {
  std::for_each(arrays.begin(), arrays.end(), look);
  mlxffi::Walk(arrays).each([&](const mx::array& node) { std::for_each(node.inputs().begin(), node.inputs().end(), look); });
}

} // namespace

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

Streams streams_of(const Arrays& outputs) {
  Streams own, waited;
  each_input(outputs, [&](const mx::array& array) {
    if (array.status() == mx::array::Status::unscheduled && array.has_primitive()) {
      add(own, array.primitive().stream());
    } else if (waits(array) && is_pending(array.event())) {
      add(waited, array.event().stream());
    }
  });
  std::for_each(own.begin(), own.end(), require_own);
  std::for_each(waited.begin(), waited.end(), [&](auto& stream) { add(own, stream); });
  return own;
}

Arrays one_of_each(const Streams& streams, const Arrays& outputs) {
  Arrays found;
  if (streams.size() > 1) {
    Streams met;
    mlxffi::Walk(outputs).each([&](const mx::array& node) {
      auto stream = node.primitive().stream();
      if (!has(met, stream)) {
        met.push_back(stream);
        found.push_back(node);
      }
    });
  }
  return found;
}

// Those of which nobody else knows may be given to what is computed of them: they are not held.
KeptEvents::KeptEvents(const Arrays& outputs) {
  each_input(outputs, [&](const mx::array& array) {
    if (waits(array) && !array.is_donatable()) {
      waiting_.push_back({array, array.event()});
    }
  });
}

KeptEvents::~KeptEvents() {
  for (auto& [array, event] : waiting_) {
    if (!array.event().valid()) {
      array.attach_event(event);
      array.set_status(mx::array::Status::evaluated);
    }
  }
}

void pend(const Events& events, const Streams& streams) {
  for (auto& event : events) {
    if (!is_pending(event)) {
      all_pending().push_back({event, streams});
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

std::optional<std::string> wait_for(const Events& events) {
  std::optional<std::string> first;
  for (auto& event : events) {
    auto text = told(event, [](mx::array waiter) {
      waiter.wait();
      return true;
    }).text;
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

void remember_pending(mx::Stream stream, const std::string& text) {
  Scheduling lock;
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
  each_input(outputs, [&](const mx::array& array) {
    if (array.status() == mx::array::Status::evaluated && !array.event().valid()) {
      array.attach_event(marker.event());
    }
  });
}

void remember_told(const Arrays& outputs, const std::string& text) {
  // Of a thread that asks for another's streams, and has waited for none.
  if (text.find("There is no Stream") != std::string::npos) {
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
  auto all = pending();
  std::for_each(all.begin(), all.end(), doubt);
  each_input(outputs, [&](const mx::array& array) {
    if (waits(array) && !failure_of(array)) {
      doubt(array.event());
    }
  });
}

bool has_failed(const mx::array& array) {
  if (any_pending) {
    look_for_failures();
  }
  return any_failed && failure_of(array);
}

void throw_if_failed(const Arrays& arrays) {
  if (any_pending) {
    look_for_failures();
  }
  if (!any_failed) {
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
