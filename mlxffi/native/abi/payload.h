// A user's payload with its destructor, which runs exactly once: when the last copy dies, or at once when
// taking it over fails.
#pragma once

#include "handles.h"

namespace mlxc {

inline std::shared_ptr<void> adopt(void* payload, void (*destroy)(void*)) {
  counter(Kind::payload).fetch_add(1, std::memory_order_relaxed);
  return std::shared_ptr<void>(payload, [destroy](void* held) {
    if (destroy) {
      destroy(held);
    }
    counter(Kind::payload).fetch_sub(1, std::memory_order_relaxed);
  });
}

} // namespace mlxc
