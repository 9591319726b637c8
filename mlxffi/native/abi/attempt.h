// A call that schedules arrays, which MLX may break off half way.
//
// It tells that call alone what failed, and in telling so it takes what other tasks of the same streams may have failed of:
// what it has scheduled by then looks computed, or waits for an event that never comes.
#pragma once

#include "late_failures.h"

namespace mlxc {

// To be made, and used, under Scheduling.
class Attempt {
 public:
  // Of arrays that are not scheduled. Throws where a stream belongs to another thread, or a result has more elements than MLX
  // counts. It looks at each node once, and nothing else does on GPUs, which get a token's thousand nodes in two milliseconds.
  explicit Attempt(const Arrays& outputs);
  ~Attempt();
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Of the call that this thread is in, if any: throws what they tell, which MLX would drop for the error that is to come.
  static void ask_streams();

  // Those that compute the arrays, and those that they will wait for.
  const Streams& streams() const {
    return streams_;
  }
  // Whether a task may fail whose graph is not put back, as one that reads a file.
  bool may_fail() const {
    return may_fail_;
  }
  // Whether some of it is for a CPU.
  bool uses_cpu() const {
    return std::any_of(streams_.begin(), streams_.end(), [](auto& stream) { return stream.device == mx::Device::cpu; });
  }
  void succeed();
  void fail(const std::exception& failure);

 private:
  void look_at(const mx::array& input, const mx::array& node, Streams& waited);
  void keep_nodes();

  Attempt* outer_;
  const Arrays& outputs_;
  Streams streams_;
  KeptEvents kept_;
  // Where the streams are several, a node on each: MLX has an event for each stream, of which the outputs need not have all.
  Arrays one_of_each_;
  // And all of them, which stay MLX's to give to what is computed of them.
  std::vector<std::weak_ptr<void>> nodes_;
  bool may_fail_ = false;
};

} // namespace mlxc
