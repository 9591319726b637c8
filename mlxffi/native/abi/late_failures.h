// Tasks that failed in a stream's thread, after the call that handed them over had returned.
#pragma once

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "convert.h"
#include "walk.h"

namespace mlxc {

using Events = std::vector<mx::Event>;
using Streams = std::vector<mx::Stream>;

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

// Whether an array has been scheduled and not been asked since.
bool waits(const mx::array& array);

// Of arrays, without those that are computed. To be called under Scheduling.
Events events_of(const Arrays& arrays);

// While a call schedules arrays: inputs that wait for an event, and are known to others, too, keep it. MLX lets go of an event
// that it comes to, and tells that call alone that it failed. Under Scheduling.
class KeptEvents {
 public:
  KeptEvents() = default;
  ~KeptEvents() {
    give_back();
  }
  KeptEvents(const KeptEvents&) = delete;
  KeptEvents& operator=(const KeptEvents&) = delete;

  // Of an input, so many of whose references are its node's own. What nobody else knows may be given to what is computed of it:
  // it is not held.
  void keep(const mx::array& array, size_t own);
  void give_back();

 private:
  struct Waiting {
    mx::array array;
    mx::Event event;
  };
  std::vector<Waiting> waiting_;
};

// Adds what was just scheduled to what is pending, with its streams: MLX tells of a failure only once, to whoever asks first,
// so that what is pending is always asked in the order in which it was scheduled. `may_fail`: see Attempt. Under
// Scheduling.
void pend(const Events& events, const Streams& streams, bool may_fail);
bool is_pending(const mx::Event& event);

// What is pending on the streams of some events up to these, with them; of what is no longer pending, itself alone, for what
// was scheduled after it may be waiting for who asks. Under Scheduling.
Events pending_until(const Events& events);
Events pending_on(mx::Stream stream);
Events pending();

// Whether MLX may have told of a task's failure by this, or in place of it. `may_fail` is said of what was
// being scheduled. Under Scheduling.
bool hides_failures(const std::exception& failure, bool may_fail);

// Waits, and remembers who failed. The first failure of which MLX told, if any.
std::optional<std::string> wait_for(const Events& events);

// Waits for all tasks of a stream. The failure of which MLX told in the end, if any.
std::optional<std::string> run_out(mx::Stream stream);

// Of a call that was told of a failure on a stream: what is pending there may have failed.
void remember_pending(mx::Stream stream, const std::string& text);

// Waits for what is pending of some arrays and, on their streams, before them.
void finish_pending(const Arrays& arrays);

// What a call scheduled on a stream before it threw: outputs and what they are to be computed from.
void remember_failure(const Arrays& outputs, mx::Stream stream, const std::string& text);

// The same for what a call that threw may have told of: what it used, or was pending on its streams and is reached now. Under
// Scheduling.
void remember_told(const Arrays& outputs, const Streams& streams, const std::string& text);

// Whether an array that was scheduled is computed, and not of what failed, which MLX would count as computed. Under Scheduling.
bool has_come(const mx::array& array);

// Throws the failure again where one of the arrays, or of those that they are to be computed from, waits for such an event.
void throw_if_failed(const Arrays& arrays);

} // namespace mlxc
