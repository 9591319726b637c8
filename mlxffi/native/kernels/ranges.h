// Parts of a length.
#pragma once

#include <cstdint>

namespace mlxffi {

struct Range {
  int64_t begin, end;
  int64_t size() const {
    return end - begin;
  }
};

// Calls body(range) for parts of at most `step` of a length; a last part of less than half a step joins the one before.
template <class Body>
void in_parts(int64_t length, int64_t step, Body body) {
  for (int64_t begin = 0, end; begin < length; begin = end) {
    end = length - begin < step + step / 2 ? length : begin + step;
    body(Range{begin, end});
  }
}

} // namespace mlxffi
