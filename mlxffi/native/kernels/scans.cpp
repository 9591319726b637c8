#include "scans.h"

#include <algorithm>
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

// Numbers of few columns, which leave most of a vector empty, that are done before a stream's thread has begun.
constexpr size_t most_in_few_columns = 16384;

struct Scanning {
  // One for columns, and one for rows.
  NumbersKernel kernel;
  ScanRows rows_kernel;
  int64_t item, outer, length, inner;
  bool reverse;
  const char* from;
  char* to;

  void run() const {
    inner > 1 ? over_columns() : over_rows();
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
  auto [outer, length, inner] = AroundAxes(a.shape(), axis);
  auto kernel = kernel_of(kind, a.dtype());
  auto rows_kernel = scan_rows_of(kind, a.dtype());
  bool has_kernel = inner > 1 ? kernel != nullptr : rows_kernel != nullptr;
  if (!has_kernel || a.dtype() != out.dtype() || !inclusive || !a.flags().row_contiguous) {
    return false;
  }
  int64_t item = a.itemsize();
  bool few = kind != mx::Scan::LogAddExp && a.size() < least_in_columns;
  bool narrow = inner < line_bytes / item && a.size() > most_in_few_columns;
  if (inner > 1 && ((few && !at_once()) || narrow)) {
    return false;
  }
  allocate(out);
  on_stream(s, [=, task = Scanning{kernel, rows_kernel, item, outer, length, inner, reverse, a.data<char>(), out.data<char>()}] { task.run(); });
  return true;
}

namespace {

// Running sums of float32 numbers along the last axis in double, and of halves along another, counted from the end, in
// float32: each is rounded once.
class WideCumSum : public Fused {
 public:
  WideCumSum(mx::Stream s, int from_end, bool reverse) : Fused(s), from_end_(from_end), reverse_(reverse) {}

  const char* name() const override {
    return "FusedCumSum";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& scan = static_cast<const WideCumSum&>(other);
    return from_end_ == scan.from_end_ && reverse_ == scan.reverse_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  Arrays composed(const Arrays& inputs) const override {
    auto wide = mx::astype(inputs[0], inputs[0].dtype() == mx::float32 ? mx::float64 : mx::float32, where());
    return {mx::astype(mx::cumsum(wide, -from_end_, reverse_, true, std::nullopt, where()), inputs[0].dtype(), where())};
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<WideCumSum>(where(), from_end_, reverse_);
  }

 private:
  void of_rows(const mx::array& a, mx::array& out) const;
  void of_columns(const mx::array& a, mx::array& out) const;

  int from_end_;
  bool reverse_;
};

// Four at a time: what comes next waits for one sum of these.
void sum_up(const float* from, float* to, int64_t length, bool reverse) {
  int64_t step = reverse ? -1 : 1, place = reverse ? length - 1 : 0, left = length;
  double sum = 0;
  for (; left >= 4; left -= 4, place += 4 * step) {
    double one = from[place], two = one + from[place + step], three = two + from[place + 2 * step], four = three + from[place + 3 * step];
    to[place] = static_cast<float>(sum + one);
    to[place + step] = static_cast<float>(sum + two);
    to[place + 2 * step] = static_cast<float>(sum + three);
    to[place + 3 * step] = static_cast<float>(sum + four);
    sum += four;
  }
  for (; left > 0; left--, place += step) {
    to[place] = static_cast<float>(sum += from[place]);
  }
}

void WideCumSum::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  allocate(outputs[0]);
  inputs[0].dtype() == mx::float32 ? of_rows(inputs[0], outputs[0]) : of_columns(inputs[0], outputs[0]);
}

void WideCumSum::of_rows(const mx::array& a, mx::array& out) const {
  int64_t length = a.shape(-1);
  over_rows(where(), a.size() / length, length, [=, reverse = reverse_, from = a.data<float>(), to = out.data<float>()](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      sum_up(from + row * length, to + row * length, length, reverse);
    }
  });
}

void WideCumSum::of_columns(const mx::array& a, mx::array& out) const {
  auto [outer, length, inner] = AroundAxes(a.shape(), static_cast<int>(a.ndim()) - from_end_);
  int64_t item = a.itemsize();
  auto add = row_kernels().folds.into(Operation::Add, a.dtype().val());
  auto narrow = row_kernels().numbers.conversion(TypeOfNumbers::float32, a.dtype().val());
  int64_t pieces = (inner + columns_at_once - 1) / columns_at_once;
  auto columns = [=, reverse = reverse_, from = a.data<char>(), to = out.data<char>()](int64_t begin, int64_t end) {
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
  over_rows(where(), outer * pieces, length * std::min(inner, columns_at_once), columns);
}

} // namespace

mx::array wide_cumsum(const mx::array& a, int axis, bool reverse, mx::Stream s) {
  int from_end = static_cast<int>(a.ndim()) - axis;
  return Fused::apply(std::make_shared<WideCumSum>(s, from_end, reverse), {mx::contiguous(a, false, s)})[0];
}

} // namespace mlxffi
