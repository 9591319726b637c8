#include "sorting.h"

#include <bit>
#include <cstring>
#include <limits>
#include <memory>

#include "aligned.h"
#include "partitioning.h"
#include "radix_sort.h"
#include "ranges.h"
#include "recycled.h"
#include "sort_job.h"

namespace mlxffi {

namespace {

// Numbers that are made keys at a time.
constexpr int64_t chunk = 4096;

// Where rows that are sorted side by side begin.
template <class T>
struct Starts {
  T* starts[line_bytes];
  int64_t rows, length, apart;
  // Whether they lie one after the other, each in one piece.
  bool regular;

  Starts(const Lines& lines, int64_t first, int64_t count) : rows(count), length(lines.length), regular(lines.stride == 1) {
    for (int64_t row = 0; row < count; row++) {
      starts[row] = lines.line<T>(first + row);
    }
    apart = count > 1 ? starts[1] - starts[0] : 0;
    for (int64_t row = 1; row < count; row++) {
      regular = regular && starts[row] - starts[row - 1] == apart;
    }
  }

  // Calls body(start, i) for the numbers from i on that are a square with as many rows; returns where these end.
  template <class Body>
  int64_t squares(int64_t columns, Body body) const {
    int64_t i = 0;
    for (; regular && rows == columns && columns == line_bytes / int64_t(sizeof(T)) && i + columns <= length; i += columns) {
      body(starts[0], i);
    }
    return i;
  }
};

// Sorts rows of numbers as wide as a key.
template <class K>
class RowSorter {
 public:
  explicit RowSorter(const Job& job)
      : job_(job), length_(job.in.length), count_(job.in.starts.size()), columns_(job.what == Sorted::numbers ? line<K> : line<uint64_t>) {}

  // Whether the rows are many and short enough for the network.
  bool side_by_side() const {
    // Short keys have few digits, and places take wide lanes.
    constexpr int64_t most_places = sizeof(K) <= 2 ? 1024 : std::numeric_limits<int64_t>::max();
    int64_t most = row_kernels().sorting.most;
    return length_ <= (job_.what == Sorted::places ? std::min(most, most_places) : most) && 4 * count_ > columns_;
  }

  void run(mx::array& scratch) const {
    if (side_by_side()) {
      parallel_rows((count_ + columns_ - 1) / columns_, length_ * columns_, [&](int64_t begin, int64_t end) {
        AlignedFloats keys, places;
        for (int64_t tile = begin; tile < end; tile++) {
          int64_t first = tile * columns_, rows = std::min(columns_, count_ - first);
          job_.what == Sorted::numbers ? sort_tile(first, rows, lines<K>(keys)) : sort_places_of_tile(first, rows, lines<K>(keys), lines<uint64_t>(places));
        }
      });
      return;
    }
    job_.what == Sorted::numbers ? sort_rows<Key<K>>(scratch) : sort_rows<KeyAndPlace<K>>(scratch);
  }

  // How much memory sorting one row after the other on all cores takes; 0 where each core has rows of its own.
  int64_t scratch_bytes() const {
    int64_t item = job_.what == Sorted::numbers ? sizeof(Key<K>) : sizeof(KeyAndPlace<K>);
    return job_.shares_rows() ? 2 * item * length_ : 0;
  }

 private:
  template <class T>
  static constexpr int64_t line = line_bytes / sizeof(T);
  static constexpr int width = std::countr_zero(sizeof(K));

  // --- rows side by side ---

  // The keys of up to `columns` rows, those of a row `columns` apart; whether there are numbers to put back.
  bool load(int64_t first, int64_t rows, int64_t columns, K* tile) const {
    Starts<const K> from(job_.in, first, rows);
    int64_t done = from.squares(columns, [&](const K* start, int64_t i) {
      row_kernels().sorting.transpose[width](start + i, from.apart, tile + i * columns, columns);
    });
    for (int64_t i = done; i < length_; i++) {
      for (int64_t row = 0; row < columns; row++) {
        tile[i * columns + row] = from.starts[std::min(row, rows - 1)][i * job_.in.stride];
      }
    }
    return job_.to_keys(tile, length_ * columns);
  }

  template <class T, class From>
  void store(int64_t first, int64_t rows, int64_t columns, const From* tile) const {
    Starts<T> to(job_.out, first, rows);
    int64_t done = sizeof(T) != sizeof(From) ? 0 : to.squares(columns, [&](T* start, int64_t i) {
      row_kernels().sorting.transpose[width](tile + i * columns, columns, start + i, to.apart);
    });
    for (int64_t i = done; i < length_; i++) {
      for (int64_t row = 0; row < rows; row++) {
        to.starts[row][i * job_.out.stride] = static_cast<T>(tile[i * columns + row]);
      }
    }
  }

  // Room for a cache line for each number of a row.
  template <class T>
  T* lines(AlignedFloats& memory) const {
    return reinterpret_cast<T*>(memory.get(whole_blocks(length_) * line<float>));
  }

  void sort_tile(int64_t first, int64_t rows, K* tile) const {
    bool special = load(first, rows, line<K>, tile);
    row_kernels().sorting.columns[width](tile, length_);
    job_.from_keys(tile, length_ * line<K>);
    store<K>(first, rows, line<K>, tile);
    for (int64_t row = 0; special && row < rows; row++) {
      restore(first + row);
    }
  }

  void sort_places_of_tile(int64_t first, int64_t rows, K* tile, uint64_t* places) const {
    constexpr int64_t columns = line<uint64_t>;
    load(first, rows, columns, tile);
    for (int64_t i = 0; i < length_ * columns; i++) {
      places[i] = sizeof(K) == 8 ? i / columns : uint64_t(tile[i]) << 32 | i / columns;
    }
    if constexpr (sizeof(K) == 8) {
      row_kernels().sorting.pairs(tile, places, length_);
    } else {
      row_kernels().sorting.columns[3](places, length_);
    }
    store<uint32_t>(first, rows, columns, places);
  }

  // --- one row after the other ---

  template <class Item>
  void sort_rows(mx::array& scratch) const {
    if (job_.shares_rows()) {
      auto items = reinterpret_cast<Item*>(scratch.data<char>());
      for (int64_t row = 0; row < count_; row++) {
        sort_row(row, items, 4 * thread_count());
      }
      return;
    }
    parallel_rows(count_, length_, [&](int64_t begin, int64_t end) {
      std::unique_ptr<Item[]> items(new Item[2 * length_]);
      for (int64_t row = begin; row < end; row++) {
        sort_row(row, items.get(), 1);
      }
    });
  }

  template <class Item>
  void sort_row(int64_t row, Item* items, int64_t parts) const {
    std::atomic<bool> special = false;
    int64_t grain = parts == 1 ? length_ : chunk;
    parallel_for(length_, grain, [&](int64_t begin, int64_t end) {
      if (load(row, Range{begin, end}, items)) {
        special = true;
      }
    });
    auto sorted = RadixSort<Item>(length_, parts).run(items, items + length_);
    parallel_for(length_, grain, [&](int64_t begin, int64_t end) { store(row, Range{begin, end}, sorted); });
    if (special && job_.what == Sorted::numbers) {
      restore(row);
    }
  }

  template <class Item>
  bool load(int64_t row, Range range, Item* items) const {
    K keys[chunk];
    bool special = false;
    for (int64_t begin = range.begin; begin < range.end; begin += chunk) {
      int64_t count = std::min(chunk, range.end - begin);
      special |= job_.load(row, begin, count, keys);
      for (int64_t i = 0; i < count; i++) {
        items[begin + i] = Item::of(keys[i], begin + i);
      }
    }
    return special;
  }

  void store(int64_t row, Range range, Key<K>* items) const {
    auto to = job_.out.line<K>(row);
    job_.from_keys(items + range.begin, range.size());
    for (int64_t i = range.begin; i < range.end; i++) {
      to[i * job_.out.stride] = items[i].key;
    }
  }
  void store(int64_t row, Range range, const KeyAndPlace<K>* items) const {
    auto to = job_.out.line<uint32_t>(row);
    for (int64_t i = range.begin; i < range.end; i++) {
      to[i * job_.out.stride] = items[i].place();
    }
  }

  // Zeros of either sign and NaNs of any bits had the same keys: puts them into the sorted row as they come in the other.
  void restore(int64_t row) const {
    constexpr K sign = K(1) << (8 * sizeof(K) - 1);
    auto from = job_.in.line<const K>(row);
    auto to = job_.out.line<K>(row);
    std::vector<K> zeros, nans;
    int64_t below = 0;
    for (int64_t i = 0; i < length_; i++) {
      K bits = from[i * job_.in.stride], size = bits & ~sign;
      if (size == 0) {
        zeros.push_back(bits);
      } else if (size > job_.infinity) {
        nans.push_back(bits);
      } else {
        below += bits >= sign;
      }
    }
    for (size_t i = 0; i < zeros.size(); i++) {
      to[(below + i) * job_.out.stride] = zeros[i];
    }
    for (size_t i = 0; i < nans.size(); i++) {
      to[(length_ - nans.size() + i) * job_.out.stride] = nans[i];
    }
  }

  const Job& job_;
  int64_t length_, count_, columns_;
};

uint64_t infinity_of(mx::Dtype dtype) {
  return dtype == mx::float16 ? 0x7c00 : dtype == mx::bfloat16 ? 0x7f80 : dtype == mx::float32 ? 0x7f800000 : 0x7ff0000000000000;
}

template <class Rows>
void work_on(Job job, mx::Stream s) {
  int64_t bytes = Rows(job).scratch_bytes();
  // In lines, of which an axis can count those of any row.
  mx::array scratch({static_cast<int>((bytes + line_bytes - 1) / line_bytes), line_bytes / 8}, mx::uint64, nullptr, {});
  allocate(scratch);
  on_stream(s, [job = std::move(job), scratch]() mutable { Rows(job).run(scratch); });
}

template <class K>
void sort(Job job, mx::Stream s) {
  // Up to this length the network takes no longer to sort rows than it takes to partition them.
  int64_t most_sorted = job.what == Sorted::numbers ? 4096 / sizeof(K) : 64;
  bool partitions = job.kth && !(job.in.length <= most_sorted && RowSorter<K>(job).side_by_side());
  partitions ? work_on<RowPartitioner<K>>(std::move(job), s) : work_on<RowSorter<K>>(std::move(job), s);
}

// Rows of one number are in order.
void sort_one(const mx::array& a, Sorted what, mx::array& out, mx::Stream s) {
  if (what == Sorted::numbers) {
    return out.copy_shared_buffer(a);
  }
  allocate(out);
  on_stream(s, [data = out.data<char>(), bytes = out.nbytes()] { std::memset(data, 0, bytes); });
}

} // namespace

bool can_sort(mx::Dtype dtype) {
  return row_kernels().sorting.to_keys(dtype.val()) != nullptr;
}

void sort(const mx::array& a, int axis, Sorted what, std::optional<int64_t> kth, mx::array& out, mx::Stream s) {
  if (a.shape(axis) == 1) {
    return sort_one(a, what, out, s);
  }
  allocate(out);
  auto& kernels = row_kernels().sorting;
  auto type = a.dtype().val();
  Job job{{a, axis}, {out, axis}, what, kth, kernels.to_keys(type), kernels.from_keys(type), infinity_of(a.dtype())};
  switch (a.itemsize()) {
    case 1:
      return sort<uint8_t>(std::move(job), s);
    case 2:
      return sort<uint16_t>(std::move(job), s);
    case 4:
      return sort<uint32_t>(std::move(job), s);
    default:
      return sort<uint64_t>(std::move(job), s);
  }
}

} // namespace mlxffi
