#include "axis_sums.h"

#include <numeric>

#include "folds.h"
#include "fused.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Elements that are made float32 at once, and those of a row that one thread adds up.
constexpr int64_t block_size = 4096, part_of_row = 1 << 18;

// Numbers of one type as float32: those that are it already where they are.
class Widened {
 public:
  explicit Widened(const mx::array& a)
      : item_(a.itemsize()), narrow_(a.dtype() != mx::float32), widen_(row_kernels().layers.widen[static_cast<int>(element_of(a.dtype()))]) {}

  const float* operator()(const char* from, int64_t count, std::vector<float>& block) const {
    if (!narrow_) {
      return reinterpret_cast<const float*>(from);
    }
    block.resize(std::max<size_t>(block.size(), count));
    widen_(from, block.data(), count);
    return block.data();
  }
  double sum(const char* numbers, int64_t count) const {
    std::vector<float> block;
    double sum = 0;
    for (int64_t first = 0; first < count; first += block_size) {
      int64_t some = std::min(block_size, count - first);
      sum += row_kernels().layers.sum((*this)(numbers + first * item_, some, block), some);
    }
    return sum;
  }
  int64_t item() const {
    return item_;
  }

 private:
  int64_t item_;
  bool narrow_;
  Widen widen_;
};

// Adds rows, each `stride` elements after the one before, to sums of their columns.
void add_rows(const Widened& widened, const char* data, int64_t rows, int64_t stride, std::vector<double>& sums, std::vector<float>& block) {
  int64_t width = sums.size();
  for (int64_t row = 0; row < rows; row++) {
    const float* numbers = widened(data + row * stride * widened.item(), width, block);
    row_kernels().layers.add_to_sums(numbers, sums.data(), width);
  }
}

// Columns that are worth a task of their own, and about how many numbers are added up side by side.
constexpr int64_t many_columns = 1024, columns_at_once = 512;

// How the sums of the columns of `outer` matrices are spread over tasks: by columns, or by rows where these are narrow.
struct Columns {
  int64_t outer, rows, columns;

  bool by_columns() const {
    return columns >= many_columns;
  }
  int64_t parts() const {
    return by_columns() ? (columns + columns_at_once - 1) / columns_at_once : std::max<int64_t>(1, 8 / outer);
  }

  // The sums of part of a matrix: for each column of the part.
  std::vector<double> sums(const Widened& widened, const char* matrix, int64_t part) const {
    std::vector<float> block;
    if (by_columns()) {
      int64_t first = part * columns_at_once;
      std::vector<double> sums(std::min(columns_at_once, columns - first));
      add_rows(widened, matrix + first * widened.item(), rows, columns, sums, block);
      return sums;
    }
    int64_t begin = rows * part / parts(), end = rows * (part + 1) / parts();
    // Several rows as one, whose sums are added up afterwards.
    int64_t together = std::max<int64_t>(1, columns_at_once / columns), whole = (end - begin) / together;
    std::vector<double> wide(together * columns), rest(columns);
    auto data = matrix + begin * columns * widened.item();
    add_rows(widened, data, whole, together * columns, wide, block);
    add_rows(widened, data + whole * together * columns * widened.item(), end - begin - whole * together, columns, rest, block);
    for (size_t i = 0; i < wide.size(); i++) {
      rest[i % columns] += wide[i];
    }
    return rest;
  }
};

// The sum along one axis, which is counted from the end: 1 is the last.
class SumAxis : public Fused {
 public:
  SumAxis(mx::Stream s, int from_end) : Fused(s), from_end_(from_end) {}

  const char* name() const override {
    return "FusedSum";
  }
  bool is_equivalent(const Primitive& other) const override {
    return from_end_ == static_cast<const SumAxis&>(other).from_end_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.erase(shape.end() - from_end_);
    return {shape};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& a = inputs[0];
    int axis = static_cast<int>(a.ndim()) - from_end_;
    bool in_float32 = a.dtype() != mx::float32 && a.shape(axis) <= most_in_a_row;
    if (!in_float32 || !fold(Fold::wide_sums(a.dtype()), {axis}, a, outputs[0], stream())) {
      from_end_ == 1 ? eval_rows(a, outputs[0]) : eval_columns(a, outputs[0]);
    }
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>&, const Arrays&) override {
    auto s = where();
    auto each = mx::astype(mx::expand_dims(cotangents[0], -from_end_, s), primals[0].dtype(), s);
    return {mx::broadcast_to(each, primals[0].shape(), s)};
  }
  Arrays jvp(const Arrays&, const Arrays& tangents, const std::vector<int>&) override {
    return apply(again(), tangents);
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {mx::sum(mx::astype(inputs[0], mx::float32, where()), -from_end_, false, where())};
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<SumAxis>(where(), from_end_);
  }

 private:
  void eval_rows(const mx::array& a, mx::array& out);
  void eval_columns(const mx::array& a, mx::array& out);

  int from_end_;
};

void SumAxis::eval_rows(const mx::array& a, mx::array& out) {
  RowsOf rows(a);
  NumbersTo to(out);
  on_stream(stream(), [=, widened = Widened(a), length = rows.length()] {
    // A row that is copied first is summed as a whole.
    int64_t part = rows.dense() ? part_of_row : length, parts = (length + part - 1) / part;
    std::vector<double> sums(rows.count() * parts);
    parallel_rows(sums.size(), std::min(length, part), [&](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      for (int64_t i = begin; i < end; i++) {
        int64_t first = i % parts * part;
        auto row = static_cast<const char*>(rows.row(i / parts, scratch));
        sums[i] = widened.sum(row + first * widened.item(), std::min(part, length - first));
      }
    });
    for (int64_t i = 0; i < rows.count(); i++) {
      to.put(i, std::accumulate(sums.begin() + i * parts, sums.begin() + (i + 1) * parts, 0.0));
    }
  });
}

void SumAxis::eval_columns(const mx::array& a, mx::array& out) {
  auto [outer, length, inner] = AroundAxes(a.shape(), static_cast<int>(a.ndim()) - from_end_);
  Columns columns{outer, length, inner};
  NumbersTo to(out);
  on_stream(stream(), [=, widened = Widened(a), data = a.data<char>()] {
    int64_t parts = columns.parts(), matrix = columns.rows * columns.columns * widened.item();
    std::vector<std::vector<double>> sums(columns.outer * parts);
    parallel_for(sums.size(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        sums[i] = columns.sums(widened, data + i / parts * matrix, i % parts);
      }
    });
    for (int64_t i = 0; i < columns.outer * columns.columns; i++) {
      int64_t first = i / columns.columns * parts, column = i % columns.columns;
      double sum = columns.by_columns() ? sums[first + column / columns_at_once][column % columns_at_once] : 0;
      for (int64_t part = 0; part < parts && !columns.by_columns(); part++) {
        sum += sums[first + part][column];
      }
      to.put(i, sum);
    }
  });
}

} // namespace

mx::array sum_axis(const mx::array& a, int axis, mx::Stream s) {
  int from_end = static_cast<int>(a.ndim()) - axis;
  auto dense = from_end == 1 ? a : mx::contiguous(a, false, s);
  return Fused::apply(std::make_shared<SumAxis>(s, from_end), {dense})[0];
}

} // namespace mlxffi
