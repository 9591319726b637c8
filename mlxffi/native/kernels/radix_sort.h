// Sorting one row by its digits, the lowest first: each pass keeps the order of equal digits, so the whole is stable.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "pool.h"

namespace mlxffi {

// A key by itself, one with its place in the word's lower half, and a long one with its place.
template <class K>
struct Key {
  K key;

  static constexpr int bits = 8 * sizeof(K);
  static Key of(K key, int64_t) {
    return {key};
  }
  uint32_t from(int bit) const {
    return static_cast<uint32_t>(key >> bit);
  }
};

template <class K>
struct KeyAndPlace {
  uint64_t word;

  static constexpr int bits = 8 * sizeof(K);
  static KeyAndPlace of(K key, int64_t place) {
    return {uint64_t(key) << 32 | static_cast<uint32_t>(place)};
  }
  uint32_t from(int bit) const {
    return static_cast<uint32_t>(word >> (32 + bit));
  }
  uint32_t place() const {
    return static_cast<uint32_t>(word);
  }
};

template <>
struct KeyAndPlace<uint64_t> {
  uint64_t key;
  uint64_t where;

  static constexpr int bits = 64;
  static KeyAndPlace of(uint64_t key, int64_t place) {
    return {key, static_cast<uint64_t>(place)};
  }
  uint32_t from(int bit) const {
    return static_cast<uint32_t>(key >> bit);
  }
  uint32_t place() const {
    return static_cast<uint32_t>(where);
  }
};

// A row in parts, which threads work on side by side.
template <class Item>
class RadixSort {
 public:
  // Digits of more values take fewer passes, and wait less for one another, where there are enough numbers.
  RadixSort(int64_t length, int64_t parts) : length_(length), parts_(parts), bits_(length < long_row || Item::bits < 32 ? 8 : most_bits), values_(1 << bits_), starts_(parts * values_) {}

  // Sorts `items` with the help of as much memory; returns which of the two has the result.
  Item* run(Item* items, Item* others) {
    for (int bit = 0; bit < Item::bits; bit += bits_) {
      count(items, bit);
      if (find_starts()) {
        move(items, others, bit);
        std::swap(items, others);
      }
    }
    return items;
  }

 private:
  static constexpr int most_bits = 11;
  static constexpr int64_t long_row = 8192;

  template <class Body>
  void each_part(Body body) {
    parallel_for(parts_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; part++) {
        body(starts_.data() + part * values_, length_ * part / parts_, length_ * (part + 1) / parts_);
      }
    });
  }

  void count(const Item* items, int bit) {
    each_part([=, values = values_](int64_t* counts, int64_t begin, int64_t end) {
      // Equal digits in a row would wait for one another's count.
      constexpr int64_t side_by_side = 2;
      uint32_t apart[side_by_side][1 << most_bits];
      for (auto& some : apart) {
        std::fill_n(some, values, 0);
      }
      for (int64_t i = begin; i < end; i++) {
        apart[i % side_by_side][items[i].from(bit) & (values - 1)]++;
      }
      for (int64_t value = 0; value < values; value++) {
        counts[value] = int64_t(apart[0][value]) + apart[1][value];
      }
    });
  }

  // Where each part's items of each digit go; false where all have the same digit.
  bool find_starts() {
    int64_t start = 0;
    for (int64_t value = 0; value < values_; value++) {
      int64_t before = start;
      for (int64_t part = 0; part < parts_; part++) {
        start += std::exchange(starts_[part * values_ + value], start);
      }
      if (start - before == length_) {
        return false;
      }
    }
    return true;
  }

  void move(const Item* items, Item* others, int bit) {
    each_part([=, last = values_ - 1](int64_t* starts, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        others[starts[items[i].from(bit) & last]++] = items[i];
      }
    });
  }

  int64_t length_, parts_;
  int bits_;
  int64_t values_;
  std::vector<int64_t> starts_;
};

} // namespace mlxffi
