// The nodes of graphs that are about to be evaluated.
#pragma once

#include <algorithm>
#include <array>
#include <memory_resource>
#include <unordered_set>

#include "fused.h"

namespace mlxffi {

// The nodes that are yet to be computed for arrays, as they are met: most graphs are small, and take no memory.
class Walk {
 public:
  explicit Walk(const Arrays& outputs) {
    meet(outputs);
  }

  template <class Visit>
  void each(Visit visit) {
    for (size_t i = 0; i < count_; i++) {
      auto& node = i < few_.size() ? *few_[i] : *many_[i - few_.size()];
      visit(node);
      meet(node.inputs());
    }
  }

 private:
  void meet(const Arrays& arrays) {
    for (auto& array : arrays) {
      if (array.status() == mx::array::Status::unscheduled && array.has_primitive() && is_new(array)) {
        count_ < few_.size() ? void(few_[count_] = &array) : many_.push_back(&array);
        count_++;
      }
    }
  }
  bool is_new(const mx::array& array) {
    auto end = few_.begin() + std::min(count_, few_.size());
    auto same = [&](auto* other) { return other->id() == array.id(); };
    return std::none_of(few_.begin(), end, same) && (count_ < few_.size() || ids_.insert(array.id()).second);
  }

  std::array<const mx::array*, 16> few_;
  size_t count_ = 0;
  std::vector<const mx::array*> many_;
  // Given back as a whole.
  std::pmr::monotonic_buffer_resource memory_;
  std::pmr::unordered_set<std::uintptr_t> ids_{&memory_};
};

} // namespace mlxffi
