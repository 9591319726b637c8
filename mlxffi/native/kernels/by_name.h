// What is known of kinds of primitives, which MLX tells apart by names.
#pragma once

#include <array>
#include <cstdint>
#include <typeinfo>

#include "fused.h"

namespace mlxffi {

// Asks once for each kind, for to compare names takes longer than all else that is done for a node. A name is known by its
// place: of types whose names are made up, as those of fused operations, and whose places others may take, the same must be
// known whatever the name. Of one thread at a time.
template <class Known>
class ByName {
 public:
  template <class Find>
  Known of(const mx::Primitive& primitive, Find find) {
    Kind kind{&typeid(primitive), primitive.name()};
    auto& [known, found] = places_[place(kind)];
    if (known != kind) {
      found = find(primitive);
      known = kind;
    }
    return found;
  }

 private:
  struct Kind {
    bool operator==(const Kind&) const = default;
    const std::type_info* type = nullptr;
    const char* name = nullptr;
  };

  static size_t place(const Kind& kind) {
    auto type = reinterpret_cast<std::uintptr_t>(kind.type) / alignof(std::type_info);
    return (type + reinterpret_cast<std::uintptr_t>(kind.name)) % count;
  }

  static constexpr size_t count = 512;
  std::array<std::pair<Kind, Known>, count> places_{};
};

} // namespace mlxffi
