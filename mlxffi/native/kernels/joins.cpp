#include "joins.h"

#include <algorithm>
#include <cstring>

#include "recycled.h"
#include "row_access.h"

namespace mlxffi {

namespace {

// Bytes that are worth a thread.
constexpr int64_t least_bytes = worth_a_thread * int64_t(sizeof(float));

// The numbers of one input as runs, of which some stand side by side in the result, and `step` bytes on the next.
class Piece {
 public:
  Piece(const mx::array& input, int axis, int64_t step, char* to) : step_(step), to_(to) {
    auto [outer, length, inner] = AroundAxes(input.shape(), axis);
    int64_t size = length * inner * static_cast<int64_t>(input.itemsize());
    if (input.flags().row_contiguous) {
      data_ = input.data<char>();
      bytes_ = size;
      count_ = outer;
    } else {
      rows_.emplace(input);
      bytes_ = rows_->length() * static_cast<int64_t>(input.itemsize());
      count_ = rows_->count();
      together_ = size / bytes_;
    }
  }

  void copy() const {
    switch (rows_ ? 0 : bytes_) {
      case 1:
        return copy_numbers<uint8_t>();
      case 2:
        return copy_numbers<uint16_t>();
      case 4:
        return copy_numbers<uint32_t>();
      case 8:
        return copy_numbers<uint64_t>();
      default:
        return copy_runs();
    }
  }

 private:
  // Runs of the length of a number.
  template <class T>
  void copy_numbers() const {
    parallel_for(count_, least_bytes / bytes_, [from = data_, to = to_, step = step_](int64_t begin, int64_t end) {
      for (int64_t run = begin; run < end; run++) {
        std::memcpy(to + run * step, from + run * sizeof(T), sizeof(T));
      }
    });
  }

  // Parts of runs, as long ones of few are shared by threads too.
  void copy_runs() const {
    parallel_for(count_ * bytes_, least_bytes, [this](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      while (begin < end) {
        int64_t run = begin / bytes_, first = begin % bytes_, last = std::min(bytes_, first + end - begin);
        auto from = rows_ ? static_cast<const char*>(rows_->row(run, scratch)) : data_ + run * bytes_;
        std::memcpy(to_ + run / together_ * step_ + run % together_ * bytes_ + first, from + first, last - first);
        begin += last - first;
      }
    });
  }

  int64_t step_;
  char* to_;
  const char* data_ = nullptr;
  std::optional<RowsOf> rows_;
  int64_t bytes_, count_, together_ = 1;
};

} // namespace

void concatenate(int axis, const Arrays& inputs, mx::array& out, mx::Stream s) {
  allocate(out);
  auto around = AroundAxes(out.shape(), axis);
  int64_t item = around.inner * static_cast<int64_t>(out.itemsize());
  auto to = out.data<char>();
  for (auto& input : inputs) {
    // A task for each, as MLX has: by their number it decides how far memory may be taken ahead of the work.
    on_stream(s, [piece = Piece(input, axis, around.length * item, to)] { piece.copy(); });
    to += input.shape(axis) * item;
  }
}

} // namespace mlxffi
