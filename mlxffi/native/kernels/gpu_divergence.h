// Kernel source of the KL and JS divergences, forward and backward, shared by CUDA and Metal (see gpu_common.h).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* divergence_source = R"gpu(
namespace mlxffi_losses {

// --- KL(p || q), one read of both rows ---
// KL = sum of P (log P - log Q) = mean under P of (p - q) / temperature, plus lse_q - lse_p.

struct KlSums {
  LogSum q;
  LogSum p;
  float cross; // sum of 2^(p's term) (p - q)
  float hole; // the largest teacher logit where the student's is -inf

  FN void start(float log2_scale) {
    q.start(log2_scale);
    p.start(log2_scale);
    cross = 0.0f;
    hole = MINUS_INFINITY;
  }

  template <int N>
  FN void absorb(LOCAL const float (&x)[N], LOCAL const float (&y)[N]) {
    float added_q = 0.0f, added_p = 0.0f, added_cross = 0.0f;
    UNROLLED for (int k = 0; k < N; ++k) {
      float teacher = p.term(y[k]);
      added_q += q.term(x[k]);
      added_p += teacher;
      added_cross = fused(teacher, y[k] - x[k], added_cross);
    }
    // One test finds sums that have outgrown their base and every infinity: 0 * inf is not a number.
    if (!(added_q + added_p + magnitude(added_cross) < ROOM)) {
      absorb_carefully(x, y);
      return;
    }
    q.sum += added_q;
    p.sum += added_p;
    cross += added_cross;
  }

  template <int N>
  FN void absorb_carefully(LOCAL const float (&x)[N], LOCAL const float (&y)[N]) {
    q.raise(LogSum::largest(x));
    cross *= p.raise(LogSum::largest(y));
    UNROLLED for (int k = 0; k < N; ++k) {
      float teacher = p.term(y[k]);
      q.sum += q.term(x[k]);
      p.sum += teacher;
      if (y[k] == MINUS_INFINITY) {
        continue; // a teacher's probability of 0 contributes 0
      }
      if (x[k] == MINUS_INFINITY) {
        hole = larger(hole, y[k]); // infinite, if the teacher's probability is not 0 after all
        continue;
      }
      cross += teacher * (y[k] - x[k]);
    }
  }

  FN void settle(Team team) {
    float tops[3] = {q.top, p.top, hole};
    reduce<true>(tops, team);
    q.raise(tops[0]);
    cross *= p.raise(tops[1]);
    hole = tops[2];
    float totals[3] = {q.sum, p.sum, cross};
    reduce<false>(totals, team);
    q.sum = totals[0];
    p.sum = totals[1];
    cross = totals[2];
  }
};

template <typename T, int UNROLL>
FN void kl_forward(
    const DEVICE T* q, const DEVICE T* p, float inverse_temperature, uint length, Team team, DEVICE float* loss,
    DEVICE float* lse_q, DEVICE float* lse_p) {
  KlSums sums;
  sums.start(LOG2E * inverse_temperature);
  sweep_pair<T, UNROLL, false>(q, p, length, team, sums);
  sums.settle(team);
  if (team.index == 0) {
    float gap_q = LN2 * sums.q.gap(), gap_p = LN2 * sums.p.gap();
    float shift = sums.cross / sums.p.sum + (sums.q.top - sums.p.top);
    float value = shift * inverse_temperature + (gap_q - gap_p);
    *lse_q = sums.q.top * inverse_temperature + gap_q;
    *lse_p = sums.p.top * inverse_temperature + gap_p;
    bool open = exp2_fast((sums.hole * inverse_temperature - *lse_p) * LOG2E) > 0.0f;
    *loss = open ? PLUS_INFINITY : value;
  }
}

// --- JS: the sums first, then the terms ---
// With a = log2 P, b = log2 Q, d = b - a and v = 1 - log2(1 + 2^-|d|):
//   log2(Q / m) = v + min(d, 0)    log2(P / m) = v - max(d, 0)    m = (P + Q) / 2
// v is between 0 and 1, nothing overflows, and equal logits give exactly 0.

struct JsTerm {
  float d;
  float v;
  float big; // the larger of the two probabilities
  float small;

  // CAREFUL keeps d finite: 2^-300 is 0, and -inf - -inf becomes a number (big is 0 there).
  template <bool CAREFUL>
  FN void find(float a, float b) {
    d = CAREFUL ? larger(smaller(b - a, 300.0f), -300.0f) : b - a;
    float w = exp2_fast(-magnitude(d));
    v = 1.0f - log2_fast(1.0f + w);
    big = exp2_fast(larger(a, b));
    small = big * w;
  }

  FN float student() const {
    return d > 0.0f ? big : small;
  }

  FN float teacher() const {
    return d > 0.0f ? small : big;
  }

  FN float ratio_q() const { // log2(Q / m)
    return v + smaller(d, 0.0f);
  }

  FN float ratio_p() const {
    return v - larger(d, 0.0f);
  }
};

struct PairSums {
  LogSum q;
  LogSum p;

  template <int N>
  FN void absorb(LOCAL const float (&x)[N], LOCAL const float (&y)[N]) {
    q.absorb(x);
    p.absorb(y);
  }

  FN void settle(Team team) {
    float tops[2] = {q.top, p.top};
    reduce<true>(tops, team);
    q.raise(tops[0]);
    p.raise(tops[1]);
    float totals[2] = {q.sum, p.sum};
    reduce<false>(totals, team);
    q.sum = totals[0];
    p.sum = totals[1];
  }
};

struct JsSums {
  float scale; // log2(e) / temperature
  float top_q;
  float gap_q; // log2
  float top_p;
  float gap_p;
  float kl_q; // sum of Q log2(Q / m)
  float both; // kl_q + kl_p

  FN void start(LOCAL const PairSums& sums) {
    scale = sums.q.scale;
    top_q = sums.q.top;
    gap_q = sums.q.gap();
    top_p = sums.p.top;
    gap_p = sums.p.gap();
    kl_q = 0.0f;
    both = 0.0f;
  }

  template <bool CAREFUL, int N>
  FN void add(
      LOCAL const float (&x)[N], LOCAL const float (&y)[N], LOCAL float& added_q, LOCAL float& added_both) const {
    added_q = 0.0f;
    added_both = 0.0f;
    UNROLLED for (int k = 0; k < N; ++k) {
      JsTerm term;
      term.template find<CAREFUL>(fused(y[k] - top_p, scale, -gap_p), fused(x[k] - top_q, scale, -gap_q));
      added_q = fused(term.student(), term.ratio_q(), added_q);
      // the smaller probability has the |d|: P log2(P / m) + Q log2(Q / m) = (P + Q) v - |d| min(P, Q)
      added_both = fused(term.big + term.small, term.v, added_both);
      added_both = fused(-magnitude(term.d), term.small, added_both);
    }
  }

  template <int N>
  FN void absorb(LOCAL const float (&x)[N], LOCAL const float (&y)[N]) {
    float added_q, added_both;
    add<false>(x, y, added_q, added_both);
    if (!(magnitude(added_q) + magnitude(added_both) < ROOM)) { // an infinity met a 0
      add<true>(x, y, added_q, added_both);
    }
    kl_q += added_q;
    both += added_both;
  }
};

template <typename T, int UNROLL>
FN void js_forward(
    const DEVICE T* q, const DEVICE T* p, float inverse_temperature, uint length, Team team, DEVICE float* loss,
    DEVICE float* lse_q, DEVICE float* lse_p, DEVICE float* kl_q, DEVICE float* kl_p) {
  PairSums sums;
  sums.q.start(LOG2E * inverse_temperature);
  sums.p.start(LOG2E * inverse_temperature);
  sweep_pair<T, UNROLL, false>(q, p, length, team, sums);
  sums.settle(team);
  JsSums terms;
  terms.start(sums);
  sweep_pair<T, UNROLL, true>(q, p, length, team, terms);
  float totals[2] = {terms.kl_q, terms.both};
  reduce<false>(totals, team);
  if (team.index == 0) {
    *lse_q = terms.top_q * inverse_temperature + LN2 * terms.gap_q;
    *lse_p = terms.top_p * inverse_temperature + LN2 * terms.gap_p;
    // a row without a distribution (NaN, +inf, all -inf) has no divergence, though its terms were made finite
    float invalid = (*lse_q - *lse_q) + (*lse_p - *lse_p);
    *kl_q = LN2 * totals[0] + invalid;
    *kl_p = LN2 * (totals[1] - totals[0]) + invalid;
    *loss = (0.5f * LN2) * totals[1] + invalid;
  }
}

// --- gradients: one read of both rows, one write of each gradient ---
// An element's log-probability is x / temperature - lse, subtracted before it is scaled to base 2, which keeps large
// logits exact.

struct KlSlope {
  float inverse_temperature;
  float lse_q;
  float lse_p;
  float factor; // cotangent / temperature
  float kl;

  template <int N, bool TEACHER>
  FN void map(
      LOCAL const float (&x)[N], LOCAL const float (&y)[N], LOCAL float (&dq)[N], LOCAL float (&dp)[N]) const {
    UNROLLED for (int k = 0; k < N; ++k) {
      float log_q = fused(x[k], inverse_temperature, -lse_q);
      float log_p = fused(y[k], inverse_temperature, -lse_p);
      float teacher = exp2_fast(log_p * LOG2E);
      dq[k] = factor * (exp2_fast(log_q * LOG2E) - teacher);
      if (TEACHER) {
        dp[k] = teacher > 0.0f ? factor * teacher * (log_p - log_q - kl) : factor * teacher;
      }
    }
  }
};

struct JsSlope {
  float inverse_temperature;
  float lse_q;
  float lse_p;
  float factor; // cotangent / (2 temperature), in base 2
  float kl_q; // base 2
  float kl_p;

  template <int N, bool TEACHER>
  FN void map(
      LOCAL const float (&x)[N], LOCAL const float (&y)[N], LOCAL float (&dq)[N], LOCAL float (&dp)[N]) const {
    UNROLLED for (int k = 0; k < N; ++k) {
      float log_q = fused(x[k], inverse_temperature, -lse_q) * LOG2E;
      float log_p = fused(y[k], inverse_temperature, -lse_p) * LOG2E;
      JsTerm term;
      term.template find<true>(log_p, log_q);
      dq[k] = factor * term.student() * (term.ratio_q() - kl_q);
      if (TEACHER) {
        dp[k] = factor * term.teacher() * (term.ratio_p() - kl_p);
      }
    }
  }
};

template <typename T, bool TEACHER, typename Slope>
FN void map_pair(
    const DEVICE T* q, const DEVICE T* p, DEVICE T* dq, DEVICE T* dp, uint length, Team team,
    LOCAL const Slope& slope) {
  enum { N = Format<T>::N };
  uint head = lead<T>(q, p, length);
  if (lead<T>(q, dq, length) != head || (TEACHER && lead<T>(dp, dq, length) != head)) {
    head = length;
  }
  uint vectors = (length - head) / N;
  for (uint e = team.index; e < length - vectors * N; e += team.width) {
    uint j = e < head ? e : e + vectors * N; // before and after the aligned middle
    float x[1] = {float(q[j])}, y[1] = {float(p[j])}, a[1], b[1];
    slope.template map<1, TEACHER>(x, y, a, b);
    dq[j] = T(a[0]);
    if (TEACHER) {
      dp[j] = T(b[0]);
    }
  }
  for (uint i = team.index; i < vectors; i += team.width) {
    uint j = head + i * N;
    float x[N], y[N], a[N], b[N];
    Format<T>::unpack(load16(q + j), x);
    Format<T>::unpack(load16(p + j), y);
    slope.template map<N, TEACHER>(x, y, a, b);
    store16(dq + j, Format<T>::pack(a));
    if (TEACHER) {
      store16(dp + j, Format<T>::pack(b));
    }
  }
}

} // namespace mlxffi_losses
)gpu";

// Bodies; settings holds 1 / temperature, OPTION says whether the teacher's gradient is wanted.
inline constexpr const char* kl_forward_body = R"gpu(
  const uint length = q_shape[1];
  if (row < uint(q_shape[0])) {
    const size_t start = size_t(row) * length;
    kl_forward<T, UNROLL>(q + start, p + start, settings[0], length, team, loss + row, lse_q + row, lse_p + row);
  }
)gpu";

inline constexpr const char* js_forward_body = R"gpu(
  const uint length = q_shape[1];
  if (row < uint(q_shape[0])) {
    const size_t start = size_t(row) * length;
    js_forward<T, UNROLL>(
        q + start, p + start, settings[0], length, team, loss + row, lse_q + row, lse_p + row, kl_q + row, kl_p + row);
  }
)gpu";

// Opens the backward bodies; without a teacher's gradient there is no output of that name.
inline constexpr const char* no_teacher_head = R"gpu(
  DEVICE T* const dp = dq;
)gpu";

inline constexpr const char* divergence_backward_head = R"gpu(
  const uint length = q_shape[1];
  if (row >= uint(q_shape[0])) {
    return;
  }
  const size_t start = size_t(row) * length;
  if (cotangent[row] == 0.0f) { // a row that does not count is not read
    fill_zero(dq + start, length, team);
    if (OPTION) {
      fill_zero(dp + start, length, team);
    }
    return;
  }
)gpu";

inline constexpr const char* kl_backward_body = R"gpu(
  KlSlope slope;
  slope.inverse_temperature = settings[0];
  slope.lse_q = lse_q[row];
  slope.lse_p = lse_p[row];
  slope.kl = loss[row];
  slope.factor = cotangent[row] * settings[0];
  map_pair<T, OPTION>(q + start, p + start, dq + start, dp + start, length, team, slope);
)gpu";

inline constexpr const char* js_backward_body = R"gpu(
  JsSlope slope;
  slope.inverse_temperature = settings[0];
  slope.lse_q = lse_q[row];
  slope.lse_p = lse_p[row];
  slope.kl_q = kl_q[row] * LOG2E;
  slope.kl_p = kl_p[row] * LOG2E;
  slope.factor = cotangent[row] * settings[0] * (0.5f * LN2);
  map_pair<T, OPTION>(q + start, p + start, dq + start, dp + start, length, team, slope);
)gpu";

} // namespace mlxffi::gpu
