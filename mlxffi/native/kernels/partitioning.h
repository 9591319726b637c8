// Rows partitioned around the number that sorting would put at a place: its key is found by counting, and the row is split.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "sort_job.h"

namespace mlxffi {

// Keys of a row in parts, which threads work on side by side: the parts are the same for any number of threads.
template <class K>
class KeysInParts {
 public:
  KeysInParts(const K* keys, int64_t length) : keys_(keys), length_(length) {}

  int64_t count() const {
    return (length_ + part_size - 1) / part_size;
  }

  // Calls body(part, begin, end).
  template <class Body>
  void each(Body body) const {
    parallel_for(count(), 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; part++) {
        body(part, part * part_size, std::min((part + 1) * part_size, length_));
      }
    });
  }

  // How many keys from `begin` on are less.
  int64_t below(K limit, int64_t begin, int64_t end) const {
    return row_kernels().sorting.below[std::countr_zero(sizeof(K))](keys_ + begin, end - begin, limit);
  }
  int64_t below(K limit) const {
    std::atomic<int64_t> sum = 0;
    each([&](int64_t, int64_t begin, int64_t end) { sum += below(limit, begin, end); });
    return sum;
  }

  std::pair<K, K> bounds() const {
    auto type = mx::Dtype(mx::TypeToDtype<K>()).val();
    auto& folds = row_kernels().folds;
    auto least = folds.row(Operation::Minimum, type), largest = folds.row(Operation::Maximum, type);
    std::vector<K> low(count()), high(count());
    each([&](int64_t part, int64_t begin, int64_t end) {
      least(keys_ + begin, end - begin, &low[part]);
      largest(keys_ + begin, end - begin, &high[part]);
    });
    return {*std::min_element(low.begin(), low.end()), *std::max_element(high.begin(), high.end())};
  }

 private:
  static constexpr int64_t part_size = 65536;

  const K* keys_;
  int64_t length_;
};

// Finds the k-th of keys: halves the range of its value by counting, and goes on with those keys that are in it.
template <class K>
class Selection {
 public:
  K kth(const K* keys, int64_t count, int64_t k) {
    auto [low, high] = KeysInParts(keys, count).bounds();
    // Keys below `low`, and those up to `high`.
    int64_t less = 0, most = count;
    while (low < high && count > few) {
      K middle = low + (high - low) / 2 + 1;
      int64_t below = KeysInParts(keys, count).below(middle);
      if (below > k) {
        high = middle - 1;
        most = below;
      } else {
        low = middle;
        less = below;
      }
      if (4 * (most - less) <= count) {
        keys = keep(keys, count, low, high, most - less);
        k -= less;
        count = most - less;
        less = 0;
        most = count;
      }
    }
    return low == high ? low : kth_of_few(keys, count, k);
  }

 private:
  // Keys that are sorted by themselves.
  static constexpr int64_t few = 32;

  const K* keep(const K* keys, int64_t count, K low, K high, int64_t kept) {
    // Each key is written first, also one behind the last that is kept.
    if (size_ < kept + 1) {
      size_ = kept + 1;
      kept_.reset(new K[size_]);
    }
    K *to = kept_.get(), range = high - low;
    for (int64_t i = 0; i < count; i++) {
      K key = keys[i];
      *to = key;
      to += static_cast<K>(key - low) <= range;
    }
    return kept_.get();
  }

  static K kth_of_few(const K* keys, int64_t count, int64_t k) {
    K some[few];
    std::copy_n(keys, count, some);
    std::nth_element(some, some + k, some + count);
    return some[k];
  }

  std::unique_ptr<K[]> kept_;
  int64_t size_ = 0;
};

// Partitions rows of numbers as wide as a key: those before the k-th keep their order, and those behind it.
template <class K>
class RowPartitioner {
 public:
  explicit RowPartitioner(const Job& job) : job_(job), length_(job.in.length), count_(job.in.starts.size()), k_(*job.kth) {}

  void run(mx::array& scratch) const {
    if (job_.shares_rows()) {
      rows(0, count_, reinterpret_cast<K*>(scratch.data<char>()));
      return;
    }
    parallel_rows(count_, length_, [&](int64_t begin, int64_t end) {
      std::unique_ptr<K[]> keys(new K[length_]);
      rows(begin, end, keys.get());
    });
  }

  int64_t scratch_bytes() const {
    return job_.shares_rows() ? sizeof(K) * length_ : 0;
  }

 private:
  // What becomes of a part of a row: where its keys before and behind the k-th go, and how many of those equal to that go
  // before it, with itself where it is in the part.
  struct Split {
    int64_t begin, end, before, behind, equal;
    bool has_kth;
  };

  void rows(int64_t begin, int64_t end, K* keys) const {
    Selection<K> selection;
    KeysInParts<K> parts(keys, length_);
    for (int64_t row = begin; row < end; row++) {
      parts.each([&](int64_t, int64_t first, int64_t last) { job_.load(row, first, last - first, keys + first); });
      K kth = selection.kth(keys, length_, k_);
      auto splits = counted(parts, kth);
      place(splits);
      parts.each([&](int64_t part, int64_t, int64_t) { put(row, keys, kth, splits[part]); });
    }
  }

  // With the numbers of keys for the places.
  std::vector<Split> counted(const KeysInParts<K>& parts, K kth) const {
    std::vector<Split> splits(parts.count());
    parts.each([&](int64_t part, int64_t begin, int64_t end) {
      int64_t less = parts.below(kth, begin, end), largest = kth == std::numeric_limits<K>::max();
      splits[part] = {begin, end, less, 0, (largest ? end - begin : parts.below(kth + 1, begin, end)) - less, false};
    });
    return splits;
  }

  // The first of the equal keys go before the k-th, which is the next.
  void place(std::vector<Split>& splits) const {
    int64_t wanted = k_ + 1, before = 0, behind = k_ + 1;
    for (auto& split : splits) {
      wanted -= split.before;
    }
    for (auto& split : splits) {
      split.equal = std::min(split.equal, wanted);
      wanted -= split.equal;
      split.has_kth = split.equal > 0 && wanted == 0;
      int64_t size = split.end - split.begin - split.has_kth, first = split.before + split.equal - split.has_kth;
      split.before = std::exchange(before, before + first);
      split.behind = std::exchange(behind, behind + size - first);
    }
  }

  void put(int64_t row, const K* keys, K kth, const Split& split) const {
    if (job_.what == Sorted::places) {
      put(job_.out.line<uint32_t>(row), keys, kth, split, [](int64_t i) { return static_cast<uint32_t>(i); });
    } else {
      put(job_.out.line<K>(row), keys, kth, split, [from = job_.in.line<const K>(row), stride = job_.in.stride](int64_t i) { return from[i * stride]; });
    }
  }

  template <class T, class Item>
  void put(T* to, const K* keys, K kth, Split split, Item item) const {
    int64_t end_of_equal = split.begin;
    for (int64_t left = split.equal; left > 0; end_of_equal++) {
      left -= keys[end_of_equal] == kth;
    }
    divide(to, split, split.begin, end_of_equal - split.has_kth, item, [=](int64_t i) { return keys[i] <= kth; });
    if (split.has_kth) {
      to[k_ * job_.out.stride] = item(end_of_equal - 1);
    }
    divide(to, split, end_of_equal, split.end, item, [=](int64_t i) { return keys[i] < kth; });
  }

  template <class T, class Item, class Before>
  void divide(T* to, Split& split, int64_t begin, int64_t end, Item item, Before before) const {
    int64_t stride = job_.out.stride, front = split.before, back = split.behind;
    for (int64_t i = begin; i < end; i++) {
      // A jump would be guessed wrong every other time.
      int64_t first = before(i);
      to[(back + (first ? front - back : 0)) * stride] = item(i);
      front += first;
      back += 1 - first;
    }
    split.before = front;
    split.behind = back;
  }

  const Job& job_;
  int64_t length_, count_, k_;
};

} // namespace mlxffi
