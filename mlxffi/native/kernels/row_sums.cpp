#include "row_sums.h"

#include <algorithm>
#include <cmath>

#include "fused.h"
#include "recycled.h"
#include "row_access.h"
#include "rows.h"
#include "wide.h"

namespace mlxffi {

namespace {

// The shape of one number for each row.
mx::Shape shape_of_sums(const mx::array& rows, bool keepdims) {
  auto shape = rows.shape();
  shape.pop_back();
  if (keepdims) {
    shape.push_back(1);
  }
  return shape;
}

// Of a row that has an infinity: less that, a NaN looks like any other element.
double infinity_or_nan(const void* row, Element element, int64_t length) {
  std::vector<float> numbers(length);
  row_kernels().layers.widen[static_cast<int>(element)](row, numbers.data(), length);
  bool has_nan = std::any_of(numbers.begin(), numbers.end(), [](float number) { return std::isnan(number); });
  return has_nan ? NAN : INFINITY;
}

class LogSumExpRows : public Fused {
 public:
  LogSumExpRows(mx::Stream s, bool keepdims) : Fused(s), keepdims_(keepdims) {}

  const char* name() const override {
    return "FusedLogSumExp";
  }
  bool is_equivalent(const Primitive& other) const override {
    return keepdims_ == static_cast<const LogSumExpRows&>(other).keepdims_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {shape_of_sums(inputs[0], keepdims_)};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf rows(inputs[0]);
    NumbersTo sums(outputs[0]);
    auto element = element_of(inputs[0].dtype());
    auto kernel = row_kernels().cross_entropy[static_cast<int>(element)];
    over_rows(stream(), rows.count(), rows.length(), [=](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      for (int64_t i = begin; i < end; i++) {
        auto row = rows.row(i, scratch);
        auto found = kernel(row, rows.following(i, end), rows.length(), 0, 0).normalizer;
        sums.put(i, std::isinf(found.shift) ? infinity_or_nan(row, element, rows.length()) : found.shift + std::log(found.sum));
      }
    });
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>&, const Arrays& outputs) override {
    auto s = where();
    auto part = mx::multiply(softmax(primals[0], column(outputs[0])), column(cotangents[0]), s);
    return {mx::astype(part, primals[0].dtype(), s)};
  }
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>&) override {
    auto s = where();
    return {mx::sum(mx::multiply(softmax(primals[0], log_sum_exp(primals[0], true, s)), tangents[0], s), -1, keepdims_, s)};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {sums_dtype(inputs[0])};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {mx::logsumexp(mx::astype(inputs[0], sums_dtype(inputs[0]), where()), -1, keepdims_, where())};
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<LogSumExpRows>(where(), keepdims_);
  }

 private:
  mx::array column(const mx::array& sums) const {
    return keepdims_ ? sums : mx::expand_dims(sums, -1, where());
  }
  mx::array softmax(const mx::array& x, const mx::array& log_sum) const {
    auto s = where();
    // No number is above all of them: where there is none, nothing is subtracted from none.
    auto shift = mx::where(mx::isinf(log_sum, s), mx::array(0, log_sum.dtype()), log_sum, s);
    auto scaled = mx::subtract(mx::astype(x, log_sum.dtype(), s), shift, s);
    return x.dtype() == mx::float64 ? wide(Wide::exp, scaled, s) : mx::exp(scaled, s);
  }

  bool keepdims_;
};

class SoftmaxRows : public Fused {
 public:
  using Fused::Fused;

  const char* name() const override {
    return "FusedSoftmax";
  }
  bool is_equivalent(const Primitive&) const override {
    return true;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf rows(inputs[0]);
    allocate(outputs[0]);
    auto out = outputs[0].data<char>();
    int64_t length = rows.length(), stride = length * outputs[0].itemsize();
    auto& layers = row_kernels().layers;
    int element = static_cast<int>(element_of(inputs[0].dtype()));
    over_rows(stream(), rows.count(), length, [=, widen = layers.widen[element], narrow = layers.narrow[element], exponentials = layers.softmax](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      std::vector<float> row(length);
      for (int64_t i = begin; i < end; i++) {
        widen(rows.row(i, scratch), row.data(), length);
        float scale = 1 / exponentials(row.data(), length).sum;
        narrow(row.data(), out + i * stride, length, scale);
      }
    });
  }
  // The Jacobian is symmetric: both modes are the same.
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>&, const Arrays& outputs) override {
    return {along(primals[0], outputs[0], cotangents[0])};
  }
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>&) override {
    return {along(primals[0], softmax_rows(primals[0], where()), tangents[0])};
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return {mx::softmax(inputs[0], -1, true, where())};
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<SoftmaxRows>(where());
  }

 private:
  mx::array along(const mx::array& x, const mx::array& result, const mx::array& direction) const {
    auto s = where();
    auto y = mx::astype(result, mx::float32, s);
    auto product = mx::multiply(y, mx::astype(direction, mx::float32, s), s);
    return mx::astype(mx::subtract(product, mx::multiply(y, mx::sum(product, -1, true, s), s), s), x.dtype(), s);
  }
};

} // namespace

// Nodes as they are: to ask them for their outputs takes as long as to make them.

mx::array softmax_rows(const mx::array& rows, mx::Stream s) {
  return {rows.shape(), rows.dtype(), std::make_shared<SoftmaxRows>(s), Arrays(1, rows)};
}

mx::array log_sum_exp(const mx::array& rows, bool keepdims, mx::Stream s) {
  return {shape_of_sums(rows, keepdims), sums_dtype(rows), std::make_shared<LogSumExpRows>(s, keepdims), Arrays(1, rows)};
}

} // namespace mlxffi
