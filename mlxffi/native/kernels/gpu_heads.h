// Kernel source that prepares heads for attention: their norms and rotations, forward and backward, shared by CUDA and
// Metal (see gpu_common.h). The pairs of a head are (i, i + half); a group of lanes has a head, and each lane eight pairs.
#pragma once

namespace mlxffi::gpu {

// How many features a head may have at most: what 32 lanes have.
inline constexpr int most_features = 512;

inline constexpr const char* heads_source = R"gpu(
#define MOST_FEATURES 512
#define MOST_WARPS 8 // of a block

namespace mlxffi_losses {

// What all heads of a kernel share.
struct HeadLayout {
  uint heads;
  uint key_heads;
  uint half_width; // of a head
  uint lanes; // of a head
  float eps;
};

FN HeadLayout head_layout(uint heads, uint key_heads, uint width, float eps) {
  HeadLayout layout;
  layout.heads = heads;
  layout.key_heads = key_heads;
  layout.half_width = width / 2;
  layout.lanes = 1;
  while (8 * layout.lanes < layout.half_width) {
    layout.lanes *= 2;
  }
  layout.eps = eps;
  return layout;
}

// The pairs that a lane has of a head, from `first` on. Lanes without a head have none, and go along for the sums.
struct Span {
  uint first;
  uint count;
  uint half_width;

  FN Span of(bool there) const {
    Span span = *this;
    span.count = there ? count : 0;
    return span;
  }
};

FN Span span_of(HeadLayout layout, Team team) {
  Span span;
  const uint first = team.lane % layout.lanes * 8, left = first < layout.half_width ? layout.half_width - first : 0;
  span.first = first;
  span.count = left < 8 ? left : 8;
  span.half_width = layout.half_width;
  return span;
}

// Eight pairs.
struct Pairs {
  Eight one;
  Eight other;

  FN void clear() {
    one.clear();
    other.clear();
  }
  template <typename A>
  FN void store(DEVICE A* head, Span span) const {
    one.store<A>(head + span.first, span.count);
    other.store<A>(head + span.half_width + span.first, span.count);
  }
  FN void scale(float factor) {
    UNROLLED for (int k = 0; k < 8; ++k) {
      one.x[k] *= factor;
      other.x[k] *= factor;
    }
  }
  FN void multiply(Pairs by) {
    UNROLLED for (int k = 0; k < 8; ++k) {
      one.x[k] *= by.one.x[k];
      other.x[k] *= by.other.x[k];
    }
  }
  // Adds factor times the product, where that is wanted.
  FN void add(bool wanted, float factor, LOCAL const Pairs& a, LOCAL const Pairs& b) {
    UNROLLED for (int k = 0; k < 8; ++k) {
      one.x[k] += wanted ? factor * a.one.x[k] * b.one.x[k] : 0.0f;
      other.x[k] += wanted ? factor * a.other.x[k] * b.other.x[k] : 0.0f;
    }
  }
  // The sum over a head of the product.
  FN float dot(LOCAL const Pairs& with, HeadLayout layout) const {
    float sum = 0.0f;
    UNROLLED for (int k = 0; k < 8; ++k) {
      sum = fused(one.x[k], with.one.x[k], fused(other.x[k], with.other.x[k], sum));
    }
    return lanes_sum(sum, 1, layout.lanes);
  }
  // 1 / the root of the mean square of a head.
  FN float inverse_root(HeadLayout layout) const {
    return 1.0f / square_root(dot(*this, layout) / float(2 * layout.half_width) + layout.eps);
  }
};

// The same as they lie in memory.
template <typename A>
struct PackedPairs {
  Packed<A> one;
  Packed<A> other;

  FN void load(const DEVICE A* head, Span span) {
    one.load(head + span.first, span.count);
    other.load(head + span.half_width + span.first, span.count);
  }
  FN Pairs numbers() const {
    Pairs pairs;
    one.unpack(pairs.one.x);
    other.unpack(pairs.other.x);
    return pairs;
  }
};

// Cosines of a row's angles, and behind each other their sines for the first and for the second of each pair.
struct Angles {
  const DEVICE float* cosines;
  const DEVICE float* sines;
};

FN Angles angles_of(const DEVICE float* cosines, const DEVICE float* sines, uint place, HeadLayout layout) {
  Angles angles;
  angles.cosines = cosines + size_t(place) * layout.half_width;
  angles.sines = sines + size_t(place) * 2 * layout.half_width;
  return angles;
}

// Those of eight pairs.
struct Turns {
  Eight cosines;
  Eight sines;
  Eight other_sines;

  FN void load(Angles angles, Span span) {
    cosines.load<float>(angles.cosines + span.first, span.count);
    sines.load<float>(angles.sines + span.first, span.count);
    other_sines.load<float>(angles.sines + span.half_width + span.first, span.count);
  }
  FN void turn(LOCAL Pairs& head) const {
    UNROLLED for (int k = 0; k < 8; ++k) {
      const float a = head.one.x[k], b = head.other.x[k];
      head.one.x[k] = fused(a, cosines.x[k], b * sines.x[k]);
      head.other.x[k] = fused(b, cosines.x[k], a * other_sines.x[k]);
    }
  }
  FN void turn_back(LOCAL Pairs& head) const {
    UNROLLED for (int k = 0; k < 8; ++k) {
      const float a = head.one.x[k], b = head.other.x[k];
      head.one.x[k] = fused(a, cosines.x[k], b * other_sines.x[k]);
      head.other.x[k] = fused(b, cosines.x[k], a * sines.x[k]);
    }
  }
};

template <typename T, bool NORM>
FN void turn_head(const DEVICE T* x, const DEVICE T* weight, Angles angles, HeadLayout layout, Span span, DEVICE T* out) {
  PackedPairs<T> in, weights;
  Turns turns;
  in.load(x, span);
  if (NORM) {
    weights.load(weight, span);
  }
  turns.load(angles, span);
  Pairs head = in.numbers();
  if (NORM) {
    head.scale(head.inverse_root(layout));
    head.multiply(weights.numbers());
  }
  turns.turn(head);
  head.store<T>(out, span);
}

// With r the scale of x, s the cotangent turned back and h that times the weight, the gradient of x is
// r (h - r^2 x mean(h x)), and r x s is the head's share in the gradient of the weight.
template <typename T, bool NORM>
FN void turn_head_back(
    const DEVICE T* x, const DEVICE T* cotangent, const DEVICE T* weight, Angles angles, HeadLayout layout, Span span,
    DEVICE T* out, bool is_query, LOCAL Pairs& of_query_norm, LOCAL Pairs& of_key_norm) {
  PackedPairs<T> in, given, weights;
  Turns turns;
  given.load(cotangent, span);
  if (NORM) {
    in.load(x, span);
    weights.load(weight, span);
  }
  turns.load(angles, span);
  Pairs back = given.numbers();
  turns.turn_back(back);
  if (NORM) {
    const Pairs head = in.numbers();
    const float scale = head.inverse_root(layout);
    of_query_norm.add(is_query, scale, head, back);
    of_key_norm.add(!is_query, scale, head, back);
    back.multiply(weights.numbers());
    const float part = back.dot(head, layout) / float(2 * layout.half_width) * scale * scale;
    UNROLLED for (int k = 0; k < 8; ++k) {
      back.one.x[k] = scale * fused(-part, head.one.x[k], back.one.x[k]);
      back.other.x[k] = scale * fused(-part, head.other.x[k], back.other.x[k]);
    }
  }
  back.store<T>(out, span);
}

template <typename T>
FN void copy_head(const DEVICE T* x, Span span, DEVICE T* out) {
  PackedPairs<T> head;
  head.load(x, span);
  const Pairs numbers = head.numbers();
  numbers.store<T>(out, span);
}

// The sum over a block's groups of what each has added up.
FN void write_shares(LOCAL Pairs& shares, HeadLayout layout, Span span, Team team, SHARED float* lines, DEVICE float* out) {
  const uint features = 2 * layout.half_width;
  UNROLLED for (int k = 0; k < 8; ++k) {
    shares.one.x[k] = lanes_sum(shares.one.x[k], layout.lanes, team.lanes);
    shares.other.x[k] = lanes_sum(shares.other.x[k], layout.lanes, team.lanes);
    if (team.lane < layout.lanes && uint(k) < span.count) {
      lines[team.warp * features + span.first + k] = shares.one.x[k];
      lines[team.warp * features + layout.half_width + span.first + k] = shares.other.x[k];
    }
  }
  block_barrier();
  for (uint i = team.warp * team.lanes + team.lane; i < features; i += team.warps * team.lanes) {
    float sum = 0.0f;
    for (uint warp = 0; warp < team.warps; ++warp) {
      sum += lines[warp * features + i];
    }
    out[i] = sum;
  }
  block_barrier(); // lines are free again
}

} // namespace mlxffi_losses
)gpu";

// Opens all bodies: settings are eps, the numbers of heads, of their keys and of features of each, and of rows of cosines,
// which rows of x follow again and again. OPTION says whether there are norms.
inline constexpr const char* heads_head = R"gpu(
  const HeadLayout layout = head_layout(uint(settings[1]), uint(settings[2]), uint(settings[3]), settings[0]);
  const uint features = 2 * layout.half_width, turned = layout.heads + layout.key_heads;
  const uint every = turned + layout.key_heads;
  const uint rows = size_of(x_shape, x_ndim - 1), positions = uint(settings[4]);
  const uint group = team.index / layout.lanes, groups = team.width / layout.lanes;
  const Span span = span_of(layout, team);
)gpu";

inline constexpr const char* no_keys_head = R"gpu(
  DEVICE T* const keys = queries;
)gpu";

inline constexpr const char* heads_forward_body = R"gpu(
  for (uint first = 0; row < rows && first < turned; first += groups) {
    const bool there = first + group < turned;
    const uint head = there ? first + group : 0;
    const bool is_query = head < layout.heads;
    const size_t to = is_query ? size_t(row) * layout.heads + head : size_t(row) * layout.key_heads + head - layout.heads;
    const DEVICE T* in = x + (size_t(row) * every + head) * features;
    DEVICE T* out = (is_query ? queries : keys) + to * features;
    const Angles angles = angles_of(cosines, sines, row % positions, layout);
    turn_head<T, OPTION>(in, is_query ? query_norm : key_norm, angles, layout, span.of(there), out);
  }
)gpu";

// A block has a row. Where there are norms it has every so many-th one, of as many blocks as settings say there are, and a row
// of sums: the shares in the gradient of the norm of queries, and behind them of keys if there are any.
inline constexpr const char* heads_backward_body = R"gpu(
  BLOCK_ARRAY float lines[MOST_WARPS * MOST_FEATURES];
  const uint blocks = OPTION ? uint(settings[5]) : rows;
  Pairs of_query_norm, of_key_norm;
  of_query_norm.clear();
  of_key_norm.clear();
  for (uint r = row; r < rows && row < blocks; r += blocks) {
    for (uint first = 0; first < turned; first += groups) {
      const bool there = first + group < turned;
      const uint head = there ? first + group : 0;
      const bool is_query = head < layout.heads;
      const size_t from = is_query ? size_t(r) * layout.heads + head : size_t(r) * layout.key_heads + head - layout.heads;
      const DEVICE T* cotangent = (is_query ? of_queries : of_keys) + from * features;
      const size_t place = (size_t(r) * every + head) * features;
      const Angles angles = angles_of(cosines, sines, r % positions, layout);
      turn_head_back<T, OPTION>(
          x + place, cotangent, is_query ? query_norm : key_norm, angles, layout, span.of(there), gradient + place, is_query,
          of_query_norm, of_key_norm);
    }
    // Groups that had no head to turn at last begin.
    for (uint head = (group + groups - turned % groups) % groups; head < layout.key_heads; head += groups) {
      const DEVICE T* of_value = of_values + (size_t(r) * layout.key_heads + head) * features;
      copy_head<T>(of_value, span, gradient + (size_t(r) * every + turned + head) * features);
    }
  }
  if (OPTION && row < blocks) {
    const uint kinds = layout.key_heads > 0 ? 2 : 1;
    DEVICE float* out = sums + size_t(row) * kinds * features;
    write_shares(of_query_norm, layout, span, team, lines, out);
    if (kinds == 2) {
      write_shares(of_key_norm, layout, span, team, lines, out + features);
    }
  }
)gpu";

} // namespace mlxffi::gpu
