// Runs every kernel of a layer on small arrays, all threads of its blocks, and compares with float64 (see metal.py).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "block.h" // before `thread` becomes a word

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
double unit() {
  return sizeof(T) == 4 ? 2e-5 : 2e-2;
}

std::mt19937 generator(1);

// Numbers in the middle of an array whose start is not aligned where `shift` is odd.
template <typename T>
struct Numbers {
  Numbers(size_t size, int shift) : all(size + shift), from(shift) {
    std::normal_distribution<float> normal;
    for (auto& value : all) {
      value = T(normal(generator));
    }
  }
  T* data() {
    return all.data() + from;
  }
  double operator[](size_t i) const {
    return float(all[from + i]);
  }
  std::vector<T> all;
  int from;
};

// One block after the other.
template <class Kernel>
void launch(int blocks, int parts, int threads, Kernel kernel) {
  for (uint part = 0; part < uint(parts); part++) {
    for (uint block = 0; block < uint(blocks); block++) {
      Block run(threads, [&](uint index) {
        kernel(uint3{index, 0, 0}, uint3{uint(threads), 1, 1}, uint3{block, part, 0}, uint3{uint(blocks), uint(parts), 1});
      });
    }
  }
}

template <typename T, bool WEIGHTED>
void norm(int rows, int length, int shift) {
  constexpr float eps = 1e-3f;
  constexpr int bits = 0x3a83126f;
  int shape[] = {rows, length};
  Numbers<T> x(rows * length, shift), w(length, 0), g(rows * length, 0), y(rows * length, shift), dx(rows * length, 0);
  Numbers<float> scale(rows, 0);
  launch((rows + 1) / 2, 1, 64, [&](auto... at) {
    run_norm<T, bits, WEIGHTED>(x.data(), shape, 2, w.data(), y.data(), scale.data(), at...);
  });
  launch((rows + 1) / 2, 1, 64, [&](auto... at) {
    run_norm_back<T, WEIGHTED>(x.data(), shape, 2, w.data(), g.data(), scale.data(), dx.data(), at...);
  });
  for (int row = 0; row < rows; row++) {
    double squares = 0, along = 0;
    auto weight = [&](int i) { return WEIGHTED ? w[i] : 1; };
    auto at = [&](int i) { return size_t(row) * length + i; };
    for (int i = 0; i < length; i++) {
      squares += x[at(i)] * x[at(i)] / length;
      along += g[at(i)] * weight(i) * x[at(i)] / length;
    }
    double r = 1 / std::sqrt(squares + eps);
    for (int i = 0; i < length; i++) {
      compare("norm", y[at(i)], r * x[at(i)] * weight(i), 4 * unit<T>());
      compare("norm's dx", dx[at(i)], r * (g[at(i)] * weight(i) - x[at(i)] * r * r * along), 4 * unit<T>() * (1 + r));
    }
  }
}

template <typename T, bool GELU>
void gate(int size, int shift) {
  int shape[] = {size};
  Numbers<T> x(size, shift), u(size, shift), g(size, 0), out(size, 0), dx(size, 0), du(size, 1);
  int blocks = (size + 64 * 4 - 1) / (64 * 4);
  launch(blocks, 1, 64, [&](auto... at) { run_gate<T, GELU>(x.data(), shape, 1, u.data(), out.data(), at...); });
  launch(blocks, 1, 64, [&](auto... at) {
    run_gate_back<T, GELU>(x.data(), shape, 1, u.data(), g.data(), dx.data(), du.data(), at...);
  });
  for (int i = 0; i < size; i++) {
    double a = GELU ? std::sqrt(8 / M_PI) : 1, b = GELU ? 0.044715 * a : 0, v = x[i];
    double share = 1 / (1 + std::exp(-v * (a + b * v * v))), slope = share + v * share * (1 - share) * (a + 3 * b * v * v);
    compare("gate", out[i], v * share * u[i], 4 * unit<T>());
    compare("gate's dx", dx[i], g[i] * u[i] * slope, 8 * unit<T>());
    compare("gate's du", du[i], g[i] * v * share, 4 * unit<T>());
  }
}

// One factor, or the second of two that lie one behind the other in `low`.
template <typename T, typename F, int RANK, bool LAST, int ROWS, int COUNT>
void low_rank(int rows, int features) {
  constexpr int half = 0x3f000000, chunk = 16 / sizeof(T), all = COUNT * RANK, parts = 3;
  int shape[] = {rows, features};
  Numbers<T> x(rows * features, 0), y(rows * features, 1), out(rows * features, 0);
  Numbers<F> a(features * RANK, 0), b(features * RANK, 0);
  Numbers<float> low(rows * all, 0), down(rows * all, 0), outer(parts * features * all, 0);
  int blocks = (rows + 2 * ROWS - 1) / (2 * ROWS), tiles = (features + 32 * chunk - 1) / (32 * chunk);
  launch(blocks, 1, 64, [&](auto... at) {
    if constexpr (COUNT == 1) {
      run_low_rank_down_1<T, F, 1, RANK, all, LAST, ROWS, half>(x.data(), shape, 2, a.data(), b.data(), down.data(), at...);
    } else {
      run_low_rank_down_2<T, F, 2, RANK, all, LAST, ROWS, half>(x.data(), shape, 2, a.data(), b.data(), down.data(), at...);
    }
  });
  launch(tiles, 2, 64, [&](auto... at) {
    if constexpr (COUNT == 1) {
      run_low_rank_up_1<T, F, 1, RANK, all, LAST, ROWS>(y.data(), shape, 2, low.data(), a.data(), b.data(), out.data(), at...);
    } else {
      run_low_rank_up_2<T, F, 2, RANK, all, LAST, ROWS>(y.data(), shape, 2, low.data(), a.data(), b.data(), out.data(), at...);
    }
  });
  launch((features + 63) / 64, parts, 96, [&](auto... at) {
    if constexpr (COUNT == 1) {
      run_low_rank_outer_1<T, F, 1, RANK, all, LAST>(x.data(), shape, 2, low.data(), outer.data(), at...);
    } else {
      run_low_rank_outer_2<T, F, 2, RANK, all, LAST>(x.data(), shape, 2, low.data(), outer.data(), at...);
    }
  });
  auto place = [&](int feature, int k) { return LAST ? feature * RANK + k % RANK : k % RANK * features + feature; };
  auto factor = [&](int feature, int k) { return k < RANK ? a[place(feature, k)] : b[place(feature, k)]; };
  for (int k = 0; k < all; k++) {
    for (int row = 0; row < rows; row++) {
      double sum = 0;
      for (int i = 0; i < features; i++) {
        sum += x[row * features + i] * factor(i, k);
      }
      compare("x factor", down[row * all + k], sum / 2, 1e-4 * std::sqrt(features));
    }
    for (int i = 0; i < features; i++) {
      double sum = 0;
      for (int row = 0; row < rows; row++) {
        sum += x[row * features + i] * low[row * all + k];
      }
      double found = 0;
      for (int part = 0; part < parts; part++) {
        found += outer[(part * COUNT + k / RANK) * features * RANK + place(i, k)];
      }
      compare("x^T low", found, sum, 1e-4 * std::sqrt(rows));
    }
  }
  for (int row = 0; row < rows; row++) {
    for (int i = 0; i < features; i++) {
      double sum = y[row * features + i];
      for (int k = 0; k < all; k++) {
        sum += low[row * all + k] * factor(i, k);
      }
      compare("y + low factor", out[row * features + i], sum, 10 * unit<T>());
    }
  }
}

template <typename T>
void every_layer(const char* dtype) {
  worst = 0;
  for (int length : {8, 29, 128, 520}) {
    for (int shift : {0, 1}) {
      norm<T, true>(9, length, shift);
      norm<T, false>(9, length, shift);
    }
  }
  for (int size : {64, 777}) {
    gate<T, false>(size, size % 2);
    gate<T, true>(size, size % 2);
  }
  low_rank<T, float, 8, true, 4, 1>(19, 530);
  low_rank<T, float, 8, false, 2, 2>(19, 530);
  low_rank<T, T, 3, true, 2, 2>(700, 40);
  low_rank<T, float, 24, false, 1, 1>(150, 72);
  printf("%s: the worst error is %.2g of its tolerance\n", dtype, worst);
}

} // namespace

int main() {
  double all = 0;
  every_layer<float>("float32");
  all = std::max(all, worst);
  every_layer<half>("float16");
  all = std::max(all, worst);
  every_layer<bfloat16_t>("bfloat16");
  return std::max(all, worst) < 1 ? 0 : 1;
}
