// Runs every kernel of metal_text.h on a few rows, a block each, and compares with float64 (see metal.py).
#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "metal_words.h"

#include "metal_text.h"

namespace {

double worst = 0; // error over tolerance, of all that was compared

void compare(const char* what, double found, double expected, double tolerance) {
  double error = std::abs(found - expected) / tolerance;
  if (!(error < 1)) {
    printf("%s: %g, expected %g\n", what, found, expected);
  }
  worst = error < 1e9 ? std::max(worst, error) : 1e9; // NaN too
}

template <typename T>
struct Rows {
  int n, V;
  std::vector<T> x, y, dx, dy;
  std::vector<float> loss, lse_q, lse_p, kl_q, kl_p, cotangent;
  std::vector<int> targets;
  int shape[2];
  int start; // elements before the first row, which the rows' alignment comes from
  float inverse = 0.5f; // a temperature of 2
  float smoothing = 0.1f;

  Rows(int n, int V, int start) : n(n), V(V), shape{n, V}, start(start) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 3);
    size_t size = size_t(n) * V + start;
    x.resize(size), y.resize(size), dx.resize(size), dy.resize(size);
    for (size_t i = 0; i < size; i++) {
      x[i] = T(normal(random)), y[i] = T(normal(random));
    }
    if (V > 20) { // a teacher's probability of 0 alone, and with a student's
      y[start + 9] = T(-INFINITY), y[start + 11] = T(-INFINITY), x[start + 11] = T(-INFINITY);
    }
    for (auto* row : {&loss, &lse_q, &lse_p, &kl_q, &kl_p, &cotangent}) {
      row->resize(n);
    }
    for (int r = 0; r < n; r++) {
      cotangent[r] = r == n - 1 ? 0.0f : normal(random);
      targets.push_back((7 * r + 1) % V);
    }
  }

  double q(int r, int i) const {
    return float(x[start + r * V + i]);
  }
  double p(int r, int i) const {
    return float(y[start + r * V + i]);
  }
  void gradient(const char* what, int r, int i, const std::vector<T>& of, double expected) const {
    double unit = sizeof(T) == 4 ? 1e-5 : 8e-3;
    double size = std::abs(cotangent[r]) + 1e-12;
    compare(what, float(of[start + r * V + i]), cotangent[r] == 0 ? 0 : expected, unit * size);
  }
};

template <typename T>
void cross_entropy(Rows<T>& rows) {
  for (int r = 0; r < rows.n; r++) {
    uint3 block{0, uint(r), 0};
    auto *x = rows.x.data() + rows.start, *dx = rows.dx.data() + rows.start;
    run_cross_entropy_forward<T, 4, true>(
        x, rows.shape, rows.targets.data(), &rows.smoothing, rows.loss.data(), rows.lse_q.data(), block);
    run_cross_entropy_backward<T, 2, false>(
        x, rows.shape, rows.targets.data(), rows.lse_q.data(), rows.cotangent.data(), &rows.smoothing, dx, block);
    double sum = 0, mean = 0;
    for (int i = 0; i < rows.V; i++) {
      sum += exp(rows.q(r, i)), mean += rows.q(r, i) / rows.V;
    }
    double expected = log(sum) - 0.9 * rows.q(r, rows.targets[r]) - 0.1 * mean;
    if (std::isfinite(mean)) {
      compare("cross-entropy", rows.loss[r], expected, 1e-5);
    }
    for (int i = 0; i < rows.V; i++) {
      double slope = exp(rows.q(r, i)) / sum - 0.9 * (i == rows.targets[r]) - 0.1 / rows.V;
      rows.gradient("its gradient", r, i, rows.dx, rows.cotangent[r] * slope);
    }
  }
}

// What both divergences are made of, for one row in float64.
struct Row {
  std::vector<double> log_q, log_p, log_m;
  double kl = 0, kl_q = 0, kl_p = 0;

  template <typename T>
  Row(const Rows<T>& rows, int r) {
    double sum_q = 0, sum_p = 0;
    for (int i = 0; i < rows.V; i++) {
      sum_q += exp(rows.q(r, i) / 2), sum_p += exp(rows.p(r, i) / 2);
    }
    for (int i = 0; i < rows.V; i++) {
      log_q.push_back(rows.q(r, i) / 2 - log(sum_q)), log_p.push_back(rows.p(r, i) / 2 - log(sum_p));
      log_m.push_back(log((exp(log_q[i]) + exp(log_p[i])) / 2));
      kl += times(log_p[i], log_p[i] - log_q[i]);
      kl_q += times(log_q[i], log_q[i] - log_m[i]);
      kl_p += times(log_p[i], log_p[i] - log_m[i]);
    }
  }

  static double times(double log_probability, double x) {
    return exp(log_probability) == 0 ? 0 : exp(log_probability) * x;
  }
};

template <typename T>
void kl(Rows<T>& rows) {
  auto *x = rows.x.data() + rows.start, *y = rows.y.data() + rows.start;
  auto *dx = rows.dx.data() + rows.start, *dy = rows.dy.data() + rows.start;
  auto *loss = rows.loss.data(), *lse_q = rows.lse_q.data(), *lse_p = rows.lse_p.data(), *c = rows.cotangent.data();
  for (int r = 0; r < rows.n; r++) {
    uint3 block{0, uint(r), 0};
    run_kl_forward<T, 2, false>(x, rows.shape, y, &rows.inverse, loss, lse_q, lse_p, block);
    Row row(rows, r);
    compare("KL", loss[r], row.kl, 1e-5);
    for (bool teacher : {false, true}) {
      std::fill(rows.dx.begin(), rows.dx.end(), T(9.0f));
      if (teacher) {
        run_kl_backward_both<T, 1, true>(x, rows.shape, y, loss, lse_q, lse_p, c, &rows.inverse, dx, dy, block);
      } else {
        run_kl_backward<T, 1, false>(x, rows.shape, y, loss, lse_q, lse_p, c, &rows.inverse, dx, block);
      }
      for (int i = 0; i < rows.V; i++) {
        rows.gradient("KL's dq", r, i, rows.dx, c[r] / 2 * (exp(row.log_q[i]) - exp(row.log_p[i])));
        if (teacher) {
          double expected = c[r] / 2 * Row::times(row.log_p[i], row.log_p[i] - row.log_q[i] - row.kl);
          rows.gradient("KL's dp", r, i, rows.dy, expected);
        }
      }
    }
  }
}

template <typename T>
void js(Rows<T>& rows) {
  auto *x = rows.x.data() + rows.start, *y = rows.y.data() + rows.start;
  auto *dx = rows.dx.data() + rows.start, *dy = rows.dy.data() + rows.start;
  auto *loss = rows.loss.data(), *lse_q = rows.lse_q.data(), *lse_p = rows.lse_p.data(), *c = rows.cotangent.data();
  auto *kl_q = rows.kl_q.data(), *kl_p = rows.kl_p.data();
  for (int r = 0; r < rows.n; r++) {
    uint3 block{0, uint(r), 0};
    run_js_forward<T, 2, false>(x, rows.shape, y, &rows.inverse, loss, lse_q, lse_p, kl_q, kl_p, block);
    Row row(rows, r);
    compare("JS", loss[r], (row.kl_q + row.kl_p) / 2, 1e-5);
    run_js_backward_both<T, 1, true>(
        x, rows.shape, y, loss, lse_q, lse_p, kl_q, kl_p, c, &rows.inverse, dx, dy, block);
    for (int i = 0; i < rows.V; i++) {
      double dq = Row::times(row.log_q[i], row.log_q[i] - row.log_m[i] - row.kl_q);
      double dp = Row::times(row.log_p[i], row.log_p[i] - row.log_m[i] - row.kl_p);
      rows.gradient("JS's dq", r, i, rows.dx, c[r] / 4 * dq);
      rows.gradient("JS's dp", r, i, rows.dy, c[r] / 4 * dp);
    }
  }
}

// sigmoid(z), and z with its slope, as the activations have them.
struct Activation {
  double value, slope;

  Activation(double g, bool gelu) {
    double a = gelu ? 2 * std::sqrt(2 / M_PI) : 1, b = gelu ? 0.044715 * a : 0;
    double part = 1 / (1 + exp(-g * (a + b * g * g)));
    value = g * part;
    slope = part + g * part * (1 - part) * (a + 3 * b * g * g);
  }
};

// A row of gates and one of ups, beside what they give as a pair.
template <typename T, bool GELU>
void check_apart(const T* pair, const T* cotangents, const T* units, const T* gradient, int half) {
  const int shape[2] = {1, half};
  std::vector<T> ups(pair + half, pair + 2 * half), found(half), of_gates(half), of_ups(half);
  run_gate_forward<T, 1, GELU>(pair, shape, ups.data(), found.data(), uint3{0, 0, 0});
  run_gate_backward<T, 1, GELU>(pair, shape, ups.data(), cotangents, of_gates.data(), of_ups.data(), uint3{0, 0, 0});
  for (int i = 0; i < half; i++) {
    auto same = [](T one, T other) { return float(one) == float(other) || (one != one && other != other); };
    compare("a gate apart", same(found[i], units[i]) && same(of_gates[i], gradient[i]) && same(of_ups[i], gradient[half + i]), 1, 0.5);
  }
}

// Rows of x are pairs where their length is even; their gradient is by the first numbers of y. What two arrays give is the same.
template <typename T, bool GELU>
void gate(Rows<T>& rows) {
  int half = rows.V / 2;
  auto *x = rows.x.data() + rows.start, *y = rows.y.data() + rows.start;
  auto *dx = rows.dx.data() + rows.start, *units = rows.dy.data() + rows.start;
  double unit = sizeof(T) == 4 ? 1e-5 : 8e-3;
  for (int r = 0; r < rows.n; r++) {
    uint3 block{0, uint(r), 0};
    run_pairs_forward<T, 1, GELU>(x, rows.shape, units, block);
    run_pairs_backward<T, 1, GELU>(x, rows.shape, y, dx, block);
    check_apart<T, GELU>(x + r * 2 * half, y + r * half, units + r * half, dx + r * 2 * half, half);
    for (int i = 0; i < half; i++) {
      double up = rows.q(r, half + i), cotangent = float(y[r * half + i]), size = std::abs(cotangent) * (1 + std::abs(up));
      Activation found(rows.q(r, i), GELU);
      if (!std::isfinite(found.value * up * cotangent)) {
        continue;
      }
      compare("gated unit", float(units[r * half + i]), found.value * up, unit * (1 + std::abs(found.value * up)));
      compare("gate's gradient", float(dx[r * 2 * half + i]), cotangent * up * found.slope, unit * (1 + 2 * size));
      compare("up's gradient", float(dx[r * 2 * half + half + i]), cotangent * found.value, unit * (1 + std::abs(cotangent * found.value)));
    }
  }
}

// Rows of 2 heads of queries and 1 of keys and of values each, at 3 positions again and again, with norms and without.
template <typename T, bool NORM>
struct Heads {
  static constexpr int rows = 6, positions = 3, heads = 2, every = 4;
  int width, shape[2];
  std::vector<T> x, norms[2], queries, keys, of_queries, of_keys, of_values, gradient;
  std::vector<float> cosines, sines, sums;
  static constexpr int blocks = 4;
  float settings[6];

  explicit Heads(int width)
      : width(width), shape{rows, every * width}, sums(blocks * 2 * width), settings{0.01f, heads, 1, float(width), positions, blocks} {
    std::mt19937 random(2);
    std::normal_distribution<float> normal(0, 1);
    auto drawn = [&](std::vector<T>& to, int size) {
      for (int i = 0; i < size; i++) {
        to.push_back(T(normal(random)));
      }
    };
    drawn(x, rows * every * width), drawn(norms[0], width), drawn(norms[1], width);
    drawn(of_queries, rows * heads * width), drawn(of_keys, rows * width), drawn(of_values, rows * width);
    queries.resize(of_queries.size()), keys.resize(of_keys.size()), gradient.resize(x.size());
    for (int p = 0; p < positions; p++) {
      for (int i = 0; i < width; i++) {
        float angle = (p + 1) * 0.3f * (1 + i % (width / 2));
        i < width / 2 ? cosines.push_back(std::cos(angle)) : void();
        sines.push_back(i < width / 2 ? -std::sin(angle) : std::sin(angle));
      }
    }
  }

  void run(int row) {
    uint3 block{0, uint(row), 0};
    auto *q = norms[0].data(), *k = norms[1].data();
    run_heads_forward<T, 1, NORM>(x.data(), shape, 2, cosines.data(), sines.data(), q, k, settings, queries.data(), keys.data(), block);
    auto *gradients = gradient.data(), *c = of_queries.data(), *ck = of_keys.data(), *cv = of_values.data();
    if (!NORM) {
      run_heads_backward_plain<T, 1, NORM>(
          x.data(), shape, 2, cosines.data(), sines.data(), q, k, c, ck, cv, settings, gradients, block);
    } else if (row < blocks) { // which has other rows, too
      run_heads_backward<T, 1, NORM>(
          x.data(), shape, 2, cosines.data(), sines.data(), q, k, c, ck, cv, settings, gradients, sums.data(), block);
    }
  }

  // Queries alone: each head of x as one.
  void check_alone() {
    float alone[6] = {settings[0], every, 0, float(width), positions, blocks};
    std::vector<T> found(x.size());
    for (int row = 0; row < rows; row++) {
      auto* norm = norms[0].data();
      run_heads_forward_alone<T, 1, NORM>(
          x.data(), shape, 2, cosines.data(), sines.data(), norm, norm, alone, found.data(), uint3{0, uint(row), 0});
      for (int i = 0; i < heads * width; i++) {
        compare("a head alone", float(found[row * every * width + i]), float(queries[row * heads * width + i]), 1e-9);
      }
    }
  }

  // The gradients of norms, the blocks' sums added up.
  void check_norms() const {
    int half = width / 2;
    std::vector<double> expected(2 * width), size(2 * width);
    for (int row = 0; row < rows; row++) {
      for (int head = 0; head <= heads; head++) {
        const T* in = &x[(row * every + head) * width];
        const T* cotangent = head < heads ? &of_queries[(row * heads + head) * width] : &of_keys[row * width];
        double squares = 0;
        for (int i = 0; i < width; i++) {
          squares += double(float(in[i])) * float(in[i]);
        }
        for (int i = 0; i < width; i++) {
          int other = (i + half) % width, place = row % positions;
          double back = cosines[place * half + i % half] * float(cotangent[i]) + sines[place * width + other] * float(cotangent[other]);
          double share = back * float(in[i]) / std::sqrt(squares / width + settings[0]);
          expected[(head < heads ? 0 : width) + i] += share;
          size[(head < heads ? 0 : width) + i] += std::abs(share);
        }
      }
    }
    for (int i = 0; i < 2 * width; i++) {
      double found = 0;
      for (int block = 0; block < blocks; block++) {
        found += sums[block * 2 * width + i];
      }
      compare("a norm's gradient", found, expected[i], 1e-5 * (1 + size[i]));
    }
  }

  // Of one head of queries or keys: forward, and the gradient by the slope of sum(cotangent y) along each feature.
  void check(int row, int head) const {
    int half = width / 2, place = row % positions;
    const T *in = &x[(row * every + head) * width], *slopes = &gradient[(row * every + head) * width];
    const T* out = head < heads ? &queries[(row * heads + head) * width] : &keys[row * width];
    const T* cotangent = head < heads ? &of_queries[(row * heads + head) * width] : &of_keys[row * width];
    auto weight = [&](int i) { return NORM ? double(float(norms[head < heads ? 0 : 1][i])) : 1.0; };
    double squares = 0, product = 0;
    std::vector<double> back(width);
    for (int i = 0; i < width; i++) {
      squares += double(float(in[i])) * float(in[i]);
    }
    double scale = NORM ? 1 / std::sqrt(squares / width + settings[0]) : 1;
    double unit = sizeof(T) == 4 ? 1e-5 : 2e-2;
    for (int i = 0; i < width; i++) {
      int other = (i + half) % width, pair = i % half;
      double c = cosines[place * half + pair], own = sines[place * width + i], others = sines[place * width + other];
      double expected = scale * (c * float(in[i]) * weight(i) + own * float(in[other]) * weight(other));
      compare("a head", float(out[i]), expected, unit * (1 + std::abs(expected)));
      back[i] = (c * float(cotangent[i]) + others * float(cotangent[other])) * weight(i);
      product += back[i] * float(in[i]) / width;
    }
    for (int i = 0; i < width; i++) {
      double expected = scale * (back[i] - (NORM ? scale * scale * product * float(in[i]) : 0));
      compare("a head's gradient", float(slopes[i]), expected, unit * (1 + std::abs(expected)));
    }
  }
};

// Rows in two blocks, or where the weight gets no gradient in one each; added to others or not.
template <typename T, bool WEIGHT>
void norm(int rows, int length, bool has_others, int start) {
  const int shape[2] = {rows, length}, size = rows * length + start;
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0, 1);
  std::vector<T> x(size), cotangents(size), others(size), gradient(size), weight(length);
  std::vector<float> sums(2 * length);
  for (int i = 0; i < size; i++) {
    x[i] = T(normal(random)), cotangents[i] = T(normal(random)), others[i] = T(normal(random)), weight[i % length] = T(normal(random));
  }
  const float settings[3] = {0.01f, 2, float(has_others)};
  for (uint block = 0; block < uint(WEIGHT ? 2 : rows); block++) {
    auto *in = &x[start], *w = weight.data(), *c = &cotangents[start], *more = &others[start], *out = &gradient[start];
    if (WEIGHT) {
      run_norm_backward<T, 1, WEIGHT>(in, shape, 2, w, c, more, settings, out, sums.data(), uint3{0, block, 0});
    } else {
      run_norm_backward_plain<T, 1, WEIGHT>(in, shape, 2, w, c, more, settings, out, uint3{0, block, 0});
    }
  }
  double unit = sizeof(T) == 4 ? 1e-5 : 2e-2;
  std::vector<double> of_weight(length);
  for (int r = 0; r < rows; r++) {
    const T *in = &x[start + r * length], *c = &cotangents[start + r * length], *more = &others[start + r * length];
    double squares = 0, product = 0;
    for (int i = 0; i < length; i++) {
      squares += double(float(in[i])) * float(in[i]) / length, product += double(float(in[i])) * float(c[i]) * float(weight[i]) / length;
    }
    double scale = 1 / std::sqrt(squares + settings[0]);
    for (int i = 0; i < length; i++) {
      double expected = scale * (float(c[i]) * float(weight[i]) - scale * scale * product * float(in[i]));
      expected += has_others ? float(more[i]) : 0;
      compare("RMSNorm's gradient", float(gradient[start + r * length + i]), expected, unit * (1 + std::abs(expected)));
      of_weight[i] += scale * float(in[i]) * float(c[i]);
    }
  }
  for (int i = 0; WEIGHT && i < length; i++) {
    compare("its weight's", sums[i] + sums[length + i], of_weight[i], 1e-5 * (1 + rows));
  }
}

template <typename T>
void column_sums(int rows, int columns) {
  const int shape[2] = {rows, columns};
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> parts(rows * columns);
  std::vector<double> expected(columns);
  for (int i = 0; i < rows * columns; i++) {
    parts[i] = normal(random), expected[i % columns] += parts[i];
  }
  std::vector<T> totals(columns);
  for (int block = 0; block * 32 < columns; block++) {
    run_column_sums<T, 1, false>(parts.data(), shape, totals.data(), uint3{0, uint(block), 0});
  }
  for (int i = 0; i < columns; i++) {
    compare("a column's sum", float(totals[i]), expected[i], (sizeof(T) == 4 ? 1e-5 : 8e-3) * (rows + std::abs(expected[i])));
  }
}

template <typename T, bool NORM>
void heads(int width) {
  Heads<T, NORM> found(width);
  for (int row = 0; row < found.rows; row++) {
    found.run(row);
  }
  for (int row = 0; row < found.rows; row++) {
    for (int head = 0; head < found.heads + 1; head++) {
      found.check(row, head);
    }
    for (int i = 0; i < width; i++) {
      compare("a value's gradient", float(found.gradient[(row * 4 + 3) * width + i]), float(found.of_values[row * width + i]), 1e-9);
    }
  }
  found.check_alone();
  if (NORM) {
    found.check_norms();
  }
}

// Two parameters T, gradients G and moments M, with a step that is taken and one that is not.
template <typename T, typename G, typename M>
void adam(int length, int start) {
  const int one[1] = {length}, other[2] = {2, length}, size = 3 * length + start, second = start + length;
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1);
  std::vector<T> w(size), new_w(size);
  std::vector<G> g(size);
  std::vector<M> m(size), v(size), new_m(size), new_v(size);
  for (int i = 0; i < size; i++) {
    w[i] = T(normal(random)), g[i] = G(normal(random)), m[i] = M(normal(random)), v[i] = M(std::abs(normal(random)));
  }
  double unit = sizeof(T) == 4 && sizeof(M) == 4 ? 1e-6 : 8e-3;
  for (bool applied : {true, false}) {
    const float numbers[10] = {float(applied), 0.25f, 0.125f, 0.9375f, 0.75f, 0.25f, 0.875f, 0.125f, 1.5f, 1e-3f};
    for (uint row : {0, 1}) {
      run_adam<T, 1, false, G, M>(
          &w[start], one, 1, &w[second], other, 2, &g[start], &g[second], &m[start], &m[second], &v[start], &v[second], numbers,
          &new_w[start], &new_w[second], &new_m[start], &new_m[second], &new_v[start], &new_v[second], uint3{0, row, 0});
    }
    for (int i = start; i < size; i++) {
      double old = float(w[i]), gradient = 0.25 * float(g[i]), mean = float(m[i]), square = float(v[i]);
      if (applied) {
        mean = 0.75 * mean + 0.25 * gradient;
        square = 0.875 * square + 0.125 * gradient * gradient;
        old = 0.9375 * old - 0.125 * mean / (1.5 * std::sqrt(square) + 1e-3f);
      }
      compare("Adam's parameter", float(new_w[i]), old, unit * (1 + std::abs(old)));
      compare("Adam's m", float(new_m[i]), mean, unit * (1 + std::abs(mean)));
      compare("Adam's v", float(new_v[i]), square, unit * (1 + square));
    }
  }
}

// Of the first row, and of all.
template <typename T>
void squares(const Rows<T>& rows) {
  const int first[1] = {rows.V};
  const T* x = rows.x.data() + rows.start;
  float sums[2];
  for (uint row : {0, 1}) {
    run_squares<T, 4, false>(x, first, 1, x, rows.shape, 2, sums, uint3{0, row, 0});
  }
  double expected = 0;
  for (int r = 0; r < rows.n; r++) {
    for (int i = 0; i < rows.V; i++) {
      expected += rows.q(r, i) * rows.q(r, i);
    }
    if ((r == 0 || r + 1 == rows.n) && std::isfinite(expected)) {
      compare("squares", sums[r == 0 ? 0 : 1], expected, 1e-5 * (1 + expected));
    }
  }
}

template <typename T>
void every_kernel(const char* dtype) {
  worst = 0;
  for (int V : {1, 7, 129, 1000}) {
    for (int start : {0, 1}) {
      Rows<T> rows(4, V, start);
      cross_entropy(rows);
      kl(rows);
      js(rows);
      squares(rows);
      adam<T, T, T>(V, start);
      adam<T, float, T>(V, start);
      adam<T, T, float>(V, start);
    }
  }
  for (int V : {2, 14, 128, 1000}) {
    for (int start : {0, 1}) {
      Rows<T> rows(4, V, start);
      gate<T, false>(rows);
      gate<T, true>(rows);
    }
  }
  for (int width : {8, 10, 64, 130, 512}) {
    heads<T, false>(width);
    heads<T, true>(width);
  }
  for (int length : {8, 264, 512}) {
    for (int start : {0, 1}) {
      for (bool has_others : {false, true}) {
        norm<T, true>(5, length, has_others, start);
        norm<T, false>(3, length, has_others, start);
      }
    }
  }
  column_sums<T>(1, 8);
  column_sums<T>(37, 40);
  column_sums<T>(64, 256);
  printf("%s: the worst error is %.2g of its tolerance\n", dtype, worst);
}

} // namespace

int main() {
  double all = 0;
  every_kernel<float>("float32");
  all = std::max(all, worst);
  every_kernel<half>("float16");
  all = std::max(all, worst);
  every_kernel<bfloat16_t>("bfloat16");
  return std::max(all, worst) < 1 ? 0 : 1;
}
