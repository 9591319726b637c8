#include "strided_copy.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "row_access.h"
#include "rows.h"
#include "simd/unrolled.h"
#include "words.h"

namespace mlxffi {

namespace {

// Numbers of a row that are copied at a time.
constexpr int64_t most_of_row = 1 << 16;
constexpr int64_t few = 16;

template <class T>
void fill(char* to, int64_t count, T value) {
  constexpr int64_t width = line_bytes / sizeof(T);
  T line[width];
  std::fill_n(line, width, value);
  int64_t i = 0;
  for (; i + width <= count; i += width) {
    std::memcpy(to + i * sizeof(T), line, sizeof(line));
  }
  std::memcpy(to + i * sizeof(T), line, (count - i) * sizeof(T));
}

template <class T>
void copy_row(const char* from, int64_t from_step, char* to, int64_t to_step, int64_t count) {
  constexpr int64_t item = sizeof(T);
  if (from_step == item && to_step == item) {
    std::memcpy(to, from, count * item);
  } else if (from_step == 0 && to_step == item) {
    T value;
    std::memcpy(&value, from, item);
    fill(to, count, value);
  } else {
    for (int64_t i = 0; i < count; i++) {
      std::memcpy(to + i * to_step, from + i * from_step, item);
    }
  }
}

template <class T, int64_t count>
void put_repeated(const char* from, char* to) {
  T number, all[std::max<int64_t>(count, 1)];
  std::memcpy(&number, from, sizeof(T));
  std::fill_n(all, count, number);
  std::memcpy(to, all, count * sizeof(T));
}

// Rows of a few numbers: of `known`, where that is not 0.
template <class T, int64_t known = 0>
void copy_short_rows(const char* from, RowSteps from_steps, char* to, RowSteps to_steps, int64_t rows, int64_t count = known) {
  bool dense = known && to_steps.number == sizeof(T), is_repeated = dense && from_steps.number == 0;
  dense = dense && from_steps.number == sizeof(T);
  for (int64_t row = 0; row < rows; row++, from += from_steps.row, to += to_steps.row) {
    if (dense) {
      std::memcpy(to, from, known * sizeof(T));
      continue;
    }
    if (is_repeated) {
      put_repeated<T, known>(from, to);
      continue;
    }
    MLXFFI_UNROLLED
    for (int64_t i = 0; i < (known ? known : count); i++) {
      std::memcpy(to + i * to_steps.number, from + i * from_steps.number, sizeof(T));
    }
  }
}

// The same short row again and again, side by side: what is there already is copied behind itself.
template <class T>
bool repeat_row(const char* from, RowSteps from_steps, char* to, RowSteps to_steps, int64_t rows, int64_t count) {
  constexpr int64_t most_bytes = 2048;
  int64_t bytes = count * sizeof(T), most = most_bytes / std::max<int64_t>(bytes, 1) * bytes;
  bool fits = from_steps.row == 0 && from_steps.number == sizeof(T) && to_steps.number == sizeof(T) && to_steps.row == bytes && most > 0;
  if (!fits || rows == 1) {
    return false;
  }
  std::memcpy(to, from, bytes);
  for (int64_t done = bytes, some; done < rows * bytes; done += some) {
    some = std::min({done, most, rows * bytes - done});
    std::memcpy(to + done, to, some);
  }
  return true;
}

template <class T>
void copy_rows_of(const char* from, RowSteps from_steps, char* to, RowSteps to_steps, int64_t rows, int64_t count) {
  if (repeat_row<T>(from, from_steps, to, to_steps, rows, count)) {
    return;
  }
  switch (count) {
    case 1:
      return copy_short_rows<T, 1>(from, from_steps, to, to_steps, rows);
    case 2:
      return copy_short_rows<T, 2>(from, from_steps, to, to_steps, rows);
    case 3:
      return copy_short_rows<T, 3>(from, from_steps, to, to_steps, rows);
    case 4:
      return copy_short_rows<T, 4>(from, from_steps, to, to_steps, rows);
  }
  if (count <= few) {
    return copy_short_rows<T>(from, from_steps, to, to_steps, rows, count);
  }
  for (int64_t row = 0; row < rows; row++, from += from_steps.row, to += to_steps.row) {
    copy_row<T>(from, from_steps.number, to, to_steps.number, count);
  }
}

} // namespace

void copy_rows(const char* from, RowSteps from_steps, char* to, RowSteps to_steps, int64_t rows, int64_t count, int64_t item) {
  with_word(item, [=](auto zero) { copy_rows_of<decltype(zero)>(from, from_steps, to, to_steps, rows, count); });
}

StridedCopy::StridedCopy(const mx::Shape& shape, const mx::Strides& from_strides, const char* from, const mx::Strides& to_strides, char* to, int64_t item)
    : from_(from), to_(to), item_(item) {
  for (size_t i = 0; i < shape.size(); i++) {
    Axis axis{shape[i], from_strides[i] * item, to_strides[i] * item};
    if (axis.size == 1) {
      continue;
    }
    // Axes that lie as one on both sides become one.
    if (!axes_.empty() && axes_.back().from == axis.from * axis.size && axes_.back().to == axis.to * axis.size) {
      axes_.back() = {axes_.back().size * axis.size, axis.from, axis.to};
    } else {
      axes_.push_back(axis);
    }
  }
  if (axes_.empty()) {
    axes_.push_back({1, item, item});
  }
}

int64_t StridedCopy::rows() const {
  int64_t count = 1;
  for (size_t i = 0; i + 1 < axes_.size(); i++) {
    count *= axes_[i].size;
  }
  return count;
}

StridedCopy::Offsets StridedCopy::offsets(int64_t row) const {
  Offsets offsets{0, 0};
  for (size_t i = axes_.size() - 1; i-- > 0;) {
    int64_t place = row % axes_[i].size;
    offsets.from += place * axes_[i].from;
    offsets.to += place * axes_[i].to;
    row /= axes_[i].size;
  }
  return offsets;
}

template <class T>
void StridedCopy::copy_rows() const {
  auto last = axes_.back();
  if (last.size > most_of_row) {
    return copy_long_rows<T>();
  }
  auto beside = axes_.size() > 1 ? axes_.end()[-2] : Axis{1, 0, 0};
  parallel_for(rows(), std::max<int64_t>(1, worth_a_thread / last.size), [&](int64_t begin, int64_t end) {
    // Rows that are as far from one another: only the first of them is looked up.
    for (int64_t row = begin; row < end;) {
      auto [from, to] = offsets(row);
      int64_t next = std::min(end, row - row % beside.size + beside.size);
      copy_rows_of<T>(from_ + from, {beside.from, last.from}, to_ + to, {beside.to, last.to}, next - row, last.size);
      row = next;
    }
  });
}

template <class T>
void StridedCopy::copy_long_rows() const {
  auto last = axes_.back();
  int64_t parts = (last.size + most_of_row - 1) / most_of_row;
  parallel_for(rows() * parts, worth_a_thread / most_of_row, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      auto [from, to] = offsets(i / parts);
      int64_t first = i % parts * most_of_row;
      copy_row<T>(from_ + from + first * last.from, last.from, to_ + to + first * last.to, last.to, std::min(most_of_row, last.size - first));
    }
  });
}

// Numbers side by side along the axis `across`, which are to lie so along the last: by squares as wide as a cache line.
template <class T>
void StridedCopy::copy_turned(Axis across) const {
  constexpr int64_t width = line_bytes / sizeof(T);
  auto transpose = row_kernels().sorting.transpose[std::countr_zero(sizeof(T))];
  auto last = axes_.back();
  int64_t bands = (across.size + width - 1) / width, others = rows() / across.size;
  parallel_for(others * bands, std::max<int64_t>(1, worth_a_thread / (width * last.size)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      int64_t first = i % bands * width, high = std::min(width, across.size - first), done = 0;
      auto [from_offset, to_offset] = offsets(i / bands * across.size + first);
      auto from = from_ + from_offset;
      auto to = to_ + to_offset;
      for (; high == width && done + width <= last.size; done += width) {
        transpose(from + done * last.from, last.from / sizeof(T), to + done * sizeof(T), across.to / static_cast<int64_t>(sizeof(T)));
      }
      for (int64_t j = 0; j < high; j++) {
        copy_row<T>(from + j * across.from + done * last.from, last.from, to + j * across.to + done * last.to, last.to, last.size - done);
      }
    }
  });
}

void StridedCopy::run() const {
  with_word(item_, [&](auto zero) {
    using T = decltype(zero);
    auto last = axes_.back();
    bool is_wide = last.size >= line_bytes / item_ && last.from != 0;
    bool is_turned = is_wide && axes_.size() > 1 && axes_[axes_.size() - 2].from == item_ && last.to == item_ && last.from != item_;
    is_turned ? copy_turned<T>(axes_[axes_.size() - 2]) : copy_rows<T>();
  });
}

} // namespace mlxffi
