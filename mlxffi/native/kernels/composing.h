// Where kernels of our own are not wanted: in traces that others are to read.
#pragma once

namespace mlxffi {

// While one lives, this thread's graphs get the composed forms of the operations of mlxffi/fused.h.
class Composing {
 public:
  Composing() {
    depth_++;
  }
  ~Composing() {
    depth_--;
  }
  Composing(const Composing&) = delete;
  Composing& operator=(const Composing&) = delete;

  static bool active() {
    return depth_ > 0;
  }

 private:
  static inline thread_local int depth_ = 0;
};

} // namespace mlxffi
