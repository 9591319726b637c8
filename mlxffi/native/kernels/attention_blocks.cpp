#include "attention_blocks.h"

#include <mlx/backend/common/utils.h>
#include <mlx/fast.h>

namespace mlxffi {

Heads::Heads(const mx::array& array)
    : rows_(array),
      widen_(row_kernels().layers.widen[static_cast<int>(element_of(array.dtype()))]),
      positions_(array.shape(2)),
      stride_(array.strides()[2]),
      item_(array.itemsize()),
      even_(rows_.dense() && (positions_ == 1 || (stride_ >= rows_.length() && stride_ < (1 << 30)))),
      direct_(array.dtype() == mx::float32 && even_),
      in_pairs_(array.dtype() == mx::bfloat16 && even_ && rows_.length() % 2 == 0 && has_pair_product()) {}

RowBlock Heads::block(int64_t head) const {
  std::vector<char> bytes;
  return {rows_.row(head * positions_, bytes), std::max(stride_, rows_.length()), positions_};
}

RowBlock Heads::block(Positions positions) const {
  auto whole = block(positions.head);
  auto data = static_cast<const char*>(whole.data) + positions.first * whole.stride * item_;
  return {data, whole.stride, positions.count};
}

Matrix Heads::matrix(int64_t head, int64_t first, int64_t count, std::vector<float>& scratch) const {
  std::vector<char> bytes;
  int64_t length = rows_.length();
  if (direct_) {
    return {static_cast<const float*>(rows_.row(head * positions_ + first, bytes)), std::max(stride_, length)};
  }
  scratch.resize(count * length);
  for (int64_t i = 0; i < count; i++) {
    widen_(rows_.row(head * positions_ + first + i, bytes), &scratch[i * length], length);
  }
  return {scratch.data(), length};
}

HeadsTo::HeadsTo(mx::array& array)
    : narrow_(row_kernels().layers.narrow[static_cast<int>(element_of(array.dtype()))]),
      heads_(array.shape(1)),
      positions_(array.shape(2)),
      features_(array.shape(3)),
      item_(array.itemsize()) {
  mx::Strides strides{heads_ * positions_ * features_, features_, heads_ * features_, 1};
  auto [size, by_rows, by_columns] = mx::check_contiguity(array.shape(), strides);
  array.set_data(mx::allocator::malloc(array.nbytes()), size, strides, {true, by_rows, by_columns});
  data_ = array.data<char>();
}

void HeadsTo::put(int64_t head, int64_t position, const float* row, float factor) const {
  int64_t batch = head / heads_, within = head % heads_;
  narrow_(row, data_ + ((batch * positions_ + position) * heads_ + within) * features_ * item_, features_, factor);
}

Mask::Mask(const Arrays& inputs, const AttentionOptions& options)
    : causal_(options.masking == Masking::causal), queries_(inputs[0].shape(2)), keys_(inputs[1].shape(2)), widen_(nullptr) {
  if (options.masking == Masking::array) {
    boolean_ = inputs[3].dtype() == mx::bool_;
    rows_.emplace(inputs[3]);
    widen_ = boolean_ ? nullptr : row_kernels().layers.widen[static_cast<int>(element_of(inputs[3].dtype()))];
  }
}

void Mask::apply(int64_t head, int64_t query, float* scores, int64_t count, std::vector<char>& bytes, std::vector<float>& numbers) const {
  if (!rows_) {
    return;
  }
  auto row = rows_->row(head * queries_ + query, bytes);
  if (boolean_) {
    auto seen = static_cast<const bool*>(row);
    for (int64_t i = 0; i < count; i++) {
      scores[i] = seen[i] ? scores[i] : hidden;
    }
  } else {
    numbers.resize(count);
    widen_(row, numbers.data(), count);
    row_kernels().layers.accumulate(numbers.data(), scores, count, 1);
  }
}

RightHead::RightHead(const Heads& left, const Heads& right, int64_t head, int64_t count, HeadPanels& panels, std::vector<float>& floats)
    : left_(left) {
  if (left.in_pairs() && right.in_pairs()) {
    panels.prepare(head, right.block(head), right.features(), count);
    panels_ = &panels;
  } else {
    floats_ = right.matrix(head, 0, count, floats);
  }
}

void RightHead::multiply(Positions rows, int64_t seen, float scale, std::vector<float>& out, std::vector<float>& scratch) const {
  int64_t pitch = HeadPanels::pitch(seen);
  out.resize(rows.count * pitch);
  if (!panels_) {
    auto left = left_.matrix(rows.head, rows.first, rows.count, scratch);
    return product(rows.count, seen, left_.features(), scale, left, Side::as_is, floats_, Side::transposed, 0, out.data(), pitch);
  }
  panels_->multiply(left_.block(rows), seen, out.data(), pitch);
  auto scaled = row_kernels().layers.narrow[static_cast<int>(Element::float32)];
  for (int64_t i = 0; scale != 1 && i < rows.count; i++) {
    scaled(&out[i * pitch], &out[i * pitch], seen, scale);
  }
}

void scores_of(Positions queries, const RightHead& keys, const Mask& mask, float scale, int64_t seen, AttentionScratch& scratch) {
  keys.multiply(queries, seen, scale, scratch.scores, scratch.q);
  for (int64_t i = 0; i < queries.count; i++) {
    float* row = &scratch.scores[i * HeadPanels::pitch(seen)];
    mask.apply(queries.head, queries.first + i, row, seen, scratch.bytes, scratch.mask);
  }
}

mx::array composed_attention(const Arrays& inputs, const AttentionOptions& options, mx::Stream s) {
  bool has_mask = options.masking == Masking::array;
  auto mask = has_mask ? std::optional(inputs[3]) : std::nullopt;
  std::string mode = options.masking == Masking::causal ? "causal" : "";
  return mx::fast::scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], options.scale, mode, mask, {}, false, s);
}

} // namespace mlxffi
