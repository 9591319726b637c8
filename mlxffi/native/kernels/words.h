// Numbers that are moved but not looked at: words of their size.
#pragma once

#include <cstdint>

namespace mlxffi {

// Calls `work` with a zero of a word of so many bytes.
template <class Work>
void with_word(int64_t item, Work work) {
  switch (item) {
    case 1:
      return work(uint8_t());
    case 2:
      return work(uint16_t());
    case 4:
      return work(uint32_t());
    default:
      return work(uint64_t());
  }
}

} // namespace mlxffi
