// MLX's state of differentiating a function, in which arrays that are marked as tracers keep their graphs.
#pragma once

#include "convert.h"

namespace mlxc {

// How many functions are being differentiated on this thread, one inside the other.
inline thread_local int differentiating = 0;

// Makes the call in that state. MLX enters it in vjp() and nowhere else that others can reach.
template <class Call>
void tracing(Call&& call) {
  mx::vjp(
      [&](const Arrays&) -> Arrays {
        struct Level {
          Level() {
            differentiating++;
          }
          ~Level() {
            differentiating--;
          }
        } level;
        call();
        return {};
      },
      Arrays{},
      Arrays{});
}

// The stream of the operation that computes an array, which another thread may be evaluating.
inline mx::Stream stream_of_array(const mx::array& array) {
  Scheduling lock;
  return array.has_primitive() ? array.primitive().stream() : mx::default_stream(mx::default_device());
}

// A copy of each array, marked as a tracer.
inline Arrays tracers(const Arrays& arrays) {
  Arrays result;
  for (auto& array : arrays) {
    result.push_back(mx::copy(array, stream_of_array(array)));
    result.back().set_tracer(true);
  }
  return result;
}

} // namespace mlxc
