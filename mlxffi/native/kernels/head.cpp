#include "head.h"

#include <algorithm>
#include <cmath>

#include "half_products.h"
#include "packed_matmul.h"

namespace mlxffi {

namespace {

// Bytes of a tile of a widened weight: it stays in the cache of the CPU's last level from its making to its product.
constexpr int64_t tile_bytes = 8 << 20;
constexpr int64_t least_tile = 256;
// Classes whose gradients are multiplied at once where the products are those of pairs.
constexpr int64_t pair_tile = 4096;

Packing packing_of(const Head& head) {
  if (auto found = Packing::find(head.mode, head.group_size, head.bits)) {
    return *found;
  }
  throw std::invalid_argument("[head] mode: expected affine, mxfp4, mxfp8 or nvfp4, got " + head.mode);
}

// Rows of float32 as bfloat16, `pitch` numbers apart; behind an odd number of them there is a 0.
HalfMatrix narrowed(Matrix from, int64_t rows, int64_t size, std::vector<uint16_t>& to) {
  int64_t pitch = size + size % 2;
  to.resize(rows * pitch);
  auto narrow = row_kernels().layers.narrow[static_cast<int>(Element::bfloat16)];
  parallel_rows(rows, size, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      narrow(from.data + i * from.stride, &to[i * pitch], size, 1);
      to[(i + 1) * pitch - 1] = size % 2 ? 0 : to[(i + 1) * pitch - 1];
    }
  });
  return {to.data(), pitch};
}

} // namespace

HeadLayout::HeadLayout(const Head& head)
    : packed(head.scales.has_value()),
      shifted(head.biases.has_value()),
      biased(head.bias.has_value()),
      packing(packing_of(head)),
      soft_cap(head.soft_cap) {}

void append(std::vector<mx::array>& inputs, const mx::array& hidden, const Head& head, mx::Stream s) {
  bool bytes = head.scales && head.scales->dtype() == mx::uint8;
  auto dtype = bytes ? hidden.dtype() : mx::promote_types(hidden.dtype(), (head.scales ? *head.scales : head.weight).dtype());
  auto rows = hidden.ndim() == 2 ? hidden : mx::reshape(hidden, {-1, hidden.shape(-1)}, s);
  inputs.push_back(mx::astype(rows, dtype, s));
  inputs.push_back(head.scales ? head.weight : mx::astype(head.weight, dtype, s));
  for (auto& part : {head.scales, head.biases, head.bias}) {
    if (part) {
      inputs.push_back(*part);
    }
  }
}

mx::array logits_of(const std::vector<mx::array>& inputs, int first, const HeadLayout& head, mx::Stream s) {
  auto& hidden = inputs[first];
  int next = first + 2;
  auto product = [&] {
    if (!head.packed) {
      return mlxffi::matmul(hidden, mx::transpose(inputs[first + 1], s), s);
    }
    auto scales = mx::stop_gradient(inputs[next++], s);
    auto biases = head.shifted ? std::optional(mx::stop_gradient(inputs[next++], s)) : std::nullopt;
    return mlxffi::quantized_matmul(hidden, inputs[first + 1], scales, biases, true, head.packing.group_size, head.packing.bits, head.packing.name(), s);
  };
  auto logits = product();
  if (head.biased) {
    logits = mx::add(logits, mx::astype(inputs[next], logits.dtype(), s), s);
  }
  if (head.soft_cap) {
    auto cap = mx::array(head.soft_cap, logits.dtype());
    logits = mx::multiply(cap, mx::tanh(mx::divide(logits, cap, s), s), s);
  }
  return logits;
}

HeadRows::HeadRows(const std::vector<mx::array>& inputs, int first, const HeadLayout& head)
    : hidden_(inputs[first]), element_(element_of(inputs[first].dtype())), soft_cap_(head.soft_cap), weight_(nullptr) {
  auto& weight = inputs[first + 1];
  classes_ = weight.shape(0);
  features_ = inputs[first].shape(1);
  if (head.packed) {
    auto biases = head.shifted ? std::optional(inputs[first + 3]) : std::nullopt;
    packed_.emplace(weight, inputs[first + 2], biases, head.packing);
  } else if (weight.dtype() == mx::float32 && weight.flags().row_contiguous) {
    weight_ = weight.data<float>();
  } else {
    rows_.emplace(weight);
    if (weight.dtype() == mx::bfloat16 && weight.flags().row_contiguous && has_pair_product()) {
      pairs_ = {reinterpret_cast<const uint16_t*>(weight.data<char>()), features_};
    }
  }
  if (head.biased) {
    auto& bias = inputs[first + head.size() - 1];
    bias_.emplace(bias);
    bias_element_ = element_of(bias.dtype());
  }
}

void HeadRows::hidden(const std::vector<int64_t>& rows, float* out) const {
  widen_rows(hidden_, element_, [&](int64_t i) { return rows[i]; }, rows.size(), out);
}

void HeadRows::widen(int64_t begin, int64_t end, float* out) const {
  if (!packed_) {
    return widen_rows(*rows_, element_, [&](int64_t i) { return begin + i; }, end - begin, out);
  }
  parallel_rows(end - begin, features_, [&](int64_t from, int64_t to) {
    packed_->unpack(0, {begin + from, begin + to}, {0, features_}, out + from * features_);
  });
}

void HeadRows::over_tiles(const std::function<void(Matrix, int64_t, int64_t)>& body) const {
  if (weight_) {
    return body({weight_, features_}, 0, classes_);
  }
  int64_t step = std::clamp<int64_t>(tile_bytes / (features_ * int64_t(sizeof(float))), least_tile, std::max(classes_, least_tile));
  std::unique_ptr<float[]> tile(new float[std::min(step, classes_) * features_]);
  for (int64_t begin = 0; begin < classes_; begin += step) {
    int64_t end = std::min(begin + step, classes_);
    widen(begin, end, tile.get());
    body({tile.get(), features_}, begin, end - begin);
  }
}

void HeadRows::logits(const float* hidden, int64_t rows, float* out) const {
  if (pairs_.data) {
    logits_by_pairs(hidden, rows, out);
  } else {
    over_tiles([&](Matrix weight, int64_t begin, int64_t count) {
      product(rows, count, features_, 1, {hidden, features_}, Side::as_is, weight, Side::transposed, 0, out + begin, classes_);
    });
  }
  if (!bias_ && !soft_cap_) {
    return;
  }
  std::vector<float> bias(classes_);
  if (bias_) {
    widen_rows(*bias_, bias_element_, [](int64_t i) { return i; }, 1, bias.data());
  }
  auto cap = static_cast<float>(soft_cap_);
  parallel_rows(rows, classes_, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * classes_; i < end * classes_; i++) {
      out[i] += bias[i % classes_];
      out[i] = cap ? cap * std::tanh(out[i] / cap) : out[i];
    }
  });
}

void HeadRows::logits_by_pairs(const float* hidden, int64_t rows, float* out) const {
  std::vector<uint16_t> halves;
  auto left = narrowed({hidden, features_}, rows, features_, halves);
  pair_product(rows, classes_, features_, left, pairs_, Side::transposed, [&](Range of_rows, Range columns, const float* sums, int64_t stride) {
    for (int64_t row = of_rows.begin; row < of_rows.end; row++, sums += stride) {
      std::copy(sums, sums + columns.size(), out + row * classes_ + columns.begin);
    }
  });
}

void HeadRows::back_by_pairs(const float* gradients, int64_t rows, float* out) const {
  std::fill(out, out + rows * features_, 0.0f);
  std::vector<uint16_t> halves;
  in_parts(classes_, pair_tile, [&](Range classes) {
    auto left = narrowed({gradients + classes.begin, classes_}, rows, classes.size(), halves);
    HalfMatrix right{pairs_.data + classes.begin * features_, features_};
    pair_product(rows, features_, classes.size(), left, right, Side::as_is, [&](Range of_rows, Range columns, const float* sums, int64_t stride) {
      for (int64_t row = of_rows.begin; row < of_rows.end; row++, sums += stride) {
        row_kernels().layers.accumulate(sums, out + row * features_ + columns.begin, columns.size(), 1);
      }
    });
  });
}

void HeadRows::back(const float* gradients, int64_t rows, float* out) const {
  if (pairs_.data) {
    return back_by_pairs(gradients, rows, out);
  }
  over_tiles([&](Matrix weight, int64_t begin, int64_t count) {
    float before = begin ? 1 : 0;
    product(rows, features_, count, 1, {gradients + begin, classes_}, Side::as_is, weight, Side::as_is, before, out, features_);
  });
}

void HeadRows::uncap(const float* gradients, float* logits) const {
  auto cap = static_cast<float>(soft_cap_);
  for (int64_t i = 0; cap && i < classes_; i++) {
    float share = logits[i] / cap;
    logits[i] = gradients[i] * (1 - share * share);
  }
}

} // namespace mlxffi
