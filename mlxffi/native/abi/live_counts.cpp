// The live-object counters of mlxffi/memory.h.
#include "handles.h"

namespace {

size_t living(size_t kind) {
  size_t total = 0;
  for (auto& counts : mlxc::alive) {
    total += counts.of[kind].load(std::memory_order_relaxed);
  }
  return total;
}

} // namespace

extern "C" size_t mlxffi_live_kinds(void) {
  return static_cast<size_t>(mlxc::Kind::count);
}

extern "C" const char* mlxffi_live_kind(size_t kind) {
  static constexpr const char* names[] = {
#define MLXC_ROW(handle, object) #handle,
      MLXC_HANDLES(MLXC_ROW)
#undef MLXC_ROW
          "payload"};
  return kind < std::size(names) ? names[kind] : nullptr;
}

extern "C" size_t mlxffi_live_objects(size_t kind) {
  return kind < mlxffi_live_kinds() ? living(kind) : 0;
}

extern "C" size_t mlxffi_live_total(void) {
  size_t total = 0;
  for (size_t kind = 0; kind < mlxffi_live_kinds(); kind++) {
    total += living(kind);
  }
  return total;
}
