// The nodes of graphs that are about to be evaluated.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "references.h"

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
  void clear() {
    std::fill_n(places_.begin(), std::exchange(count_, 0) ? places_.size() : 0, 0);
  }
  size_t size() const {
    return places_.size();
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

// What is yet to be computed for arrays, and what that waits for. It stays as it is until something of it is scheduled, which
// no other thread may be about to do.
class Walk {
 public:
  using Places = std::vector<const mx::array*>;

  explicit Walk(const Arrays& outputs) : memory_(std::exchange(kept(), nullptr)) {
    memory_ = memory_ ? std::move(memory_) : std::make_unique<Memory>();
    meet(outputs);
    for (size_t i = 0; i < nodes().size(); i++) {
      meet(nodes()[i]->inputs());
    }
  }
  ~Walk() {
    memory_->clear();
    if (memory_->met.size() <= most_kept && nodes().capacity() <= most_kept) {
      kept() = std::move(memory_);
    }
  }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  // The nodes, each once.
  const Places& nodes() const {
    return memory_->nodes;
  }
  // The outputs and inputs that have been scheduled, once for each place where they are met.
  const Places& scheduled() const {
    return memory_->scheduled;
  }

 private:
  struct Memory {
    void clear() {
      nodes.clear();
      scheduled.clear();
      met.clear();
    }

    Places nodes, scheduled;
    Met met;
  };
  static constexpr size_t most_kept = 1 << 13;

  // That of the last walk: where so much is given back, malloc looks for neighbours of all that is free, which takes longer
  // than the walk. Never destroyed: threads may evaluate while the process ends.
  static std::unique_ptr<Memory>& kept() {
    static auto& made = *new std::unique_ptr<Memory>;
    return made;
  }

  void meet(const Arrays& arrays) {
    for (auto& array : arrays) {
      if (array.status() == mx::array::Status::evaluated) {
        memory_->scheduled.push_back(&array);
      } else if (array.status() == mx::array::Status::unscheduled && array.has_primitive() && is_new(array)) {
        memory_->nodes.push_back(&array);
      }
    }
  }
  // What is known here alone is met once.
  bool is_new(const mx::array& array) {
    return references(array) == 1 || memory_->met.is_new(array.id());
  }

  std::unique_ptr<Memory> memory_;
};

} // namespace mlxffi
