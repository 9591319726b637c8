// Places that index arrays say.
#pragma once

#include <cstdint>
#include <type_traits>

namespace mlxffi {

template <class Index>
int64_t from_front(Index given, int64_t length) {
  auto index = static_cast<int64_t>(given);
  if constexpr (std::is_signed_v<Index>) {
    index += index < 0 ? length : 0;
  }
  return index;
}

} // namespace mlxffi
