// The nodes of graphs that are about to be evaluated.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "fused.h"

namespace mlxffi {

// Numbers other than 0 that were met: a table of which at most half is taken.
class Met {
 public:
  bool is_new(std::uintptr_t id) {
    if (2 * (count_ + 1) > places_.size()) {
      grow();
    }
    bool fresh = put(id);
    count_ += fresh;
    return fresh;
  }

 private:
  bool put(std::uintptr_t id) {
    // Addresses differ in their middle; the multiplier is 2^64 over the golden ratio.
    size_t place = (id * 0x9e3779b97f4a7c15) >> shift_;
    while (places_[place] && places_[place] != id) {
      place = (place + 1) & (places_.size() - 1);
    }
    return std::exchange(places_[place], id) != id;
  }
  void grow() {
    shift_ = places_.empty() ? 57 : shift_ - 2;
    auto before = std::exchange(places_, std::vector<std::uintptr_t>(size_t(1) << (64 - shift_)));
    for (auto id : before) {
      id && put(id);
    }
  }

  std::vector<std::uintptr_t> places_;
  size_t count_ = 0;
  int shift_ = 64;
};

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
    if (count_ < few_.size()) {
      return std::none_of(few_.begin(), few_.begin() + count_, [&](auto* other) { return other->id() == array.id(); });
    }
    if (many_.empty()) {
      std::for_each(few_.begin(), few_.end(), [&](auto* other) { met_.is_new(other->id()); });
    }
    return met_.is_new(array.id());
  }

  std::array<const mx::array*, 16> few_;
  size_t count_ = 0;
  std::vector<const mx::array*> many_;
  Met met_;
};

} // namespace mlxffi
