// Class indices as the kernels read them.
#pragma once

#include <limits>
#include <optional>

#include "row_access.h"

namespace mlxffi {

class Targets {
 public:
  Targets(const mx::array& targets, std::optional<int> ignored) : numbers_(targets), ignored_(ignored) {}
  bool ignored(int64_t row) const {
    return ignored_ && numbers_.integer(row) == *ignored_;
  }
  int64_t at(int64_t row) const {
    int64_t target = numbers_.integer(row);
    return target < 0 ? no_class : target;
  }

 private:
  // Behind every row.
  static constexpr int64_t no_class = std::numeric_limits<int64_t>::max();

  NumbersOf numbers_;
  std::optional<int> ignored_;
};

} // namespace mlxffi
