// The nodes of graphs that are about to be evaluated.
#pragma once

#include <algorithm>
#include <bit>
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
  // As small as at first, lest a large graph make clearing dear for all small ones after it. The memory stays.
  void clear() {
    if (std::exchange(count_, 0)) {
      resize(few);
    }
  }
  size_t capacity() const {
    return std::max(places_.capacity(), before_.capacity());
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
    places_.swap(before_);
    resize(before_.empty() ? few : 4 * before_.size());
    for (auto id : before_) {
      id && put(id);
    }
  }
  void resize(size_t size) {
    places_.assign(size, 0);
    shift_ = 64 - std::countr_zero(size);
  }

  static constexpr size_t few = 128;
  std::vector<std::uintptr_t> places_, before_;
  size_t count_ = 0;
  int shift_ = 64;
};

// What is yet to be computed for arrays, and what that waits for. It stays as it is until something of it is scheduled, which
// no other thread may be about to do.
class Walk {
 public:
  // What has been scheduled, and how many of its references are those of the node that needs it and of that one's siblings.
  struct Scheduled {
    const mx::array* array;
    size_t own;
  };

  explicit Walk(const Arrays& outputs) : memory_(std::exchange(kept, nullptr)) {
    if (!memory_) {
      memory_ = std::make_unique<Memory>();
    }
    meet(outputs, 1);
    for (size_t i = 0; i < nodes().size(); i++) {
      auto& node = *nodes()[i];
      meet(node.inputs(), 1 + node.siblings().size());
    }
  }
  ~Walk() {
    if (memory_->capacity() <= most_kept) {
      memory_->clear();
      delete std::exchange(kept, memory_.release());
    }
  }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  // The nodes, each once.
  const std::vector<const mx::array*>& nodes() const {
    return memory_->nodes;
  }
  // The outputs and inputs that have been scheduled, once for each place where they are met.
  const std::vector<Scheduled>& scheduled() const {
    return memory_->scheduled;
  }

 private:
  struct Memory {
    void clear() {
      nodes.clear();
      scheduled.clear();
      met.clear();
    }
    size_t capacity() const {
      return std::max({nodes.capacity(), scheduled.capacity(), met.capacity()});
    }

    std::vector<const mx::array*> nodes;
    std::vector<Scheduled> scheduled;
    Met met;
  };

  // Of one of its tables: some 300 KB of all.
  static constexpr size_t most_kept = 1 << 13;
  // That of the last walk: where so much is given back, malloc looks for neighbours of all that is free, which takes longer
  // than the walk. A walk within a walk, as of what a destructor evaluates, makes its own. The process's, under Scheduling; a
  // forked child of one that had streams walks nowhere (process.h). Never destroyed: threads may evaluate while the process ends.
  static inline Memory* kept = nullptr;

  void meet(const Arrays& arrays, size_t own) {
    for (auto& array : arrays) {
      if (array.status() == mx::array::Status::evaluated) {
        memory_->scheduled.push_back({&array, own});
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
