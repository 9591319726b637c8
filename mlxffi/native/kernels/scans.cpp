#include "scans.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "at_once.h"
#include "fused.h"
#include "recycled.h"
#include "row_access.h"
#include "rows.h"
#include "scan_rows.h"

namespace mlxffi {

namespace {

constexpr int64_t columns_at_once = 512;
// MLX adds and multiplies columns as fast on one core, and has done fewer than these before another core is awake.
constexpr size_t least_in_columns = 1 << 20;

// Numbers of few rows or columns, which leave most of a vector empty, that are done before a stream's thread has begun.
constexpr size_t most_in_few_lines = 16384;

struct Scanning {
  NumbersKernel kernel;
  // NULL where rows are worked on as columns of transposed squares.
  ScanRows rows_kernel;
  Transpose transpose;
  int64_t item, outer, length, inner;
  bool reverse;
  const char* from;
  char* to;

  // How many rows go side by side.
  int64_t rows() const {
    return line_bytes / item;
  }

  void run() const {
    inner > 1 ? over_columns() : rows_kernel ? over_rows() : over_tiles();
  }

 private:
  void over_rows() const {
    parallel_rows((outer + rows_at_once - 1) / rows_at_once, length * rows_at_once, [this](int64_t begin, int64_t end) {
      for (int64_t row = begin * rows_at_once; row < std::min(end * rows_at_once, outer); row += rows_at_once) {
        int64_t start = row * length * item;
        rows_kernel(from + start, to + start, std::min(rows_at_once, outer - row), length, reverse);
      }
    });
  }

  void over_tiles() const {
    parallel_rows((outer + rows() - 1) / rows(), length * rows(), [this](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; tile++) {
        scan_tile(tile * rows(), std::min(rows(), outer - tile * rows()));
      }
    });
  }

  // In squares of as many numbers of each row as there are rows.
  void scan_tile(int64_t first, int64_t count) const {
    char square[line_bytes * line_bytes], before[line_bytes];
    for (int64_t done = 0; done < length; done += rows()) {
      int64_t columns = std::min(rows(), length - done), column = reverse ? length - done - columns : done;
      int64_t start = (first * length + column) * item;
      bool whole = count == rows() && columns == rows();
      whole ? transpose(from + start, length, square, rows()) : take(from + start, count, columns, square);
      for (int64_t i = 0; i < columns; i++) {
        char* numbers = square + (reverse ? columns - 1 - i : i) * line_bytes;
        const void* in[] = {before, numbers};
        if (done + i > 0) {
          kernel(in, numbers, count);
        }
        std::memcpy(before, numbers, line_bytes);
      }
      whole ? transpose(square, rows(), to + start, length) : give(square, count, columns, to + start);
    }
  }

  void take(const char* numbers, int64_t count, int64_t columns, char* square) const {
    std::memset(square, 0, columns * line_bytes);
    for (int64_t row = 0; row < count; row++) {
      for (int64_t column = 0; column < columns; column++) {
        std::memcpy(square + column * line_bytes + row * item, numbers + (row * length + column) * item, item);
      }
    }
  }
  void give(const char* square, int64_t count, int64_t columns, char* numbers) const {
    for (int64_t row = 0; row < count; row++) {
      for (int64_t column = 0; column < columns; column++) {
        std::memcpy(numbers + (row * length + column) * item, square + column * line_bytes + row * item, item);
      }
    }
  }

  void over_columns() const {
    int64_t pieces = (inner + columns_at_once - 1) / columns_at_once;
    parallel_rows(outer * pieces, length * std::min(inner, columns_at_once), [=, this](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        int64_t column = i % pieces * columns_at_once;
        scan_columns(i / pieces * length * inner + column, std::min(columns_at_once, inner - column));
      }
    });
  }

  void scan_columns(int64_t start, int64_t count) const {
    for (int64_t done = 0; done < length; done++) {
      int64_t here = (start + (reverse ? length - 1 - done : done) * inner) * item, step = (reverse ? inner : -inner) * item;
      const void* in[] = {to + here + step, from + here};
      if (done == 0) {
        std::memcpy(to + here, from + here, count * item);
      } else {
        kernel(in, to + here, count);
      }
    }
  }
};

NumbersKernel kernel_of(mx::Scan::ReduceType kind, mx::Dtype dtype) {
  auto& numbers = row_kernels().numbers;
  switch (kind) {
    case mx::Scan::Sum:
      return numbers.of(Operation::Add, dtype.val());
    case mx::Scan::Prod:
      return numbers.of(Operation::Multiply, dtype.val());
    case mx::Scan::Max:
      return numbers.of(Operation::Maximum, dtype.val());
    case mx::Scan::Min:
      return numbers.of(Operation::Minimum, dtype.val());
    default:
      return numbers.of(Operation::LogAddExp, dtype.val());
  }
}

} // namespace

bool scan(const mx::Scan& scan, const mx::array& a, mx::array& out, mx::Stream s) {
  auto [kind, axis, reverse, inclusive] = scan.state();
  auto kernel = kernel_of(kind, a.dtype());
  if (!kernel || a.dtype() != out.dtype() || !inclusive || !a.flags().row_contiguous) {
    return false;
  }
  auto [outer, length, inner] = AroundAxes(a.shape(), axis);
  int64_t item = a.itemsize();
  auto rows_kernel = scan_rows_of(kind, a.dtype());
  bool few = inner > 1 && rows_kernel && a.size() < least_in_columns;
  bool narrow = (inner > 1 || !rows_kernel) && (inner == 1 ? outer : inner) < line_bytes / item && a.size() > most_in_few_lines;
  if ((few && !at_once()) || narrow) {
    return false;
  }
  allocate(out);
  auto transpose = row_kernels().sorting.transpose[std::countr_zero(a.itemsize())];
  on_stream(s, [=, task = Scanning{kernel, rows_kernel, transpose, item, outer, length, inner, reverse, a.data<char>(), out.data<char>()}] { task.run(); });
  return true;
}

namespace {

// Running sums of halves along an axis that is not the last, counted from the end: in float32, each rounded once.
class ScanHalves : public Fused {
 public:
  ScanHalves(mx::Stream s, int from_end, bool reverse) : Fused(s), from_end_(from_end), reverse_(reverse) {}

  const char* name() const override {
    return "FusedCumSum";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& scan = static_cast<const ScanHalves&>(other);
    return from_end_ == scan.from_end_ && reverse_ == scan.reverse_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  Arrays composed(const Arrays& inputs) const override {
    auto wide = mx::astype(inputs[0], mx::float32, where());
    return {mx::astype(mx::cumsum(wide, -from_end_, reverse_, true, std::nullopt, where()), inputs[0].dtype(), where())};
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<ScanHalves>(where(), from_end_, reverse_);
  }

 private:
  int from_end_;
  bool reverse_;
};

void ScanHalves::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  auto& a = inputs[0];
  auto [outer, length, inner] = AroundAxes(a.shape(), static_cast<int>(a.ndim()) - from_end_);
  int64_t item = a.itemsize();
  allocate(outputs[0]);
  auto add = row_kernels().folds.into(Operation::Add, a.dtype().val());
  auto narrow = row_kernels().numbers.conversion(TypeOfNumbers::float32, a.dtype().val());
  int64_t pieces = (inner + columns_at_once - 1) / columns_at_once;
  auto columns = [=, reverse = reverse_, from = a.data<char>(), to = outputs[0].data<char>()](int64_t begin, int64_t end) {
    float sums[columns_at_once];
    for (int64_t i = begin; i < end; i++) {
      int64_t column = i % pieces * columns_at_once, count = std::min(columns_at_once, inner - column);
      std::fill_n(sums, count, 0.0f);
      for (int64_t done = 0; done < length; done++) {
        int64_t here = ((i / pieces * length + (reverse ? length - 1 - done : done)) * inner + column) * item;
        const void* in[] = {sums, from + here};
        add(in, sums, count);
        narrow(in, to + here, count);
      }
    }
  };
  over_rows(stream(), outer * pieces, length * std::min(inner, columns_at_once), columns);
}

} // namespace

mx::array cumsum_of_halves(const mx::array& a, int axis, bool reverse, mx::Stream s) {
  int from_end = static_cast<int>(a.ndim()) - axis;
  return Fused::apply(std::make_shared<ScanHalves>(s, from_end, reverse), {mx::contiguous(a, false, s)})[0];
}

} // namespace mlxffi
