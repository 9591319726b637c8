// The arithmetic of the losses on one row of logits: compiled once for each instruction set, chosen at run time.
//
// A row is `size` elements that lie side by side. Sums and logarithms of a row are double; what is done for each element
// is float, or double for float64 logits. The mathematics stands in docs/losses.md.
#pragma once

#include <cstdint>

#include "elementwise_rows.h"
#include "fold_rows.h"
#include "layer_rows.h"
#include "product_rows.h"
#include "random_words.h"
#include "sort_rows.h"

namespace mlxffi {

// What logits may be, in the order of the kernels' tables.
enum class Element { float32, float16, bfloat16, float64 };
inline constexpr int element_count = 4;

// sum(exp((x - shift) / temperature)) of a row, where shift is the largest logit (0 where all are -inf).
struct Normalizer {
  double shift, sum;
};

struct CrossEntropyRow {
  double loss;
  Normalizer normalizer;
};

// The loss is KL(p || q) or JS; to_q and to_p are KL(q || m) and KL(p || m), for JS only.
struct DivergenceRow {
  double loss;
  Normalizer q, p;
  double to_q, to_p;
};

// The same row of both sets of logits.
struct RowPair {
  const void *q, *p;
};

// Where gradients go, which may be where the logits are; `p` is NULL where the teacher gets none.
struct GradientPair {
  void *q, *p;
};

// `next`: the rows that are asked for next, which are fetched into the cache meanwhile; NULL for none.
using CrossEntropyForward = CrossEntropyRow (*)(const void* x, const void* next, int64_t size, int64_t target, double smoothing);
using CrossEntropyBackward = void (*)(const void* x, void* out, int64_t size, int64_t target, double smoothing, Normalizer, double cotangent);
using DivergenceForward = DivergenceRow (*)(RowPair rows, RowPair next, int64_t size, double temperature);
using DivergenceBackward = void (*)(RowPair rows, GradientPair out, int64_t size, double temperature, const DivergenceRow&, double cotangent);

// The kernels of one instruction set, each for every Element.
struct RowKernels {
  const char* name;
  CrossEntropyForward cross_entropy[element_count];
  CrossEntropyBackward cross_entropy_gradient[element_count];
  DivergenceForward kl[element_count], js[element_count];
  DivergenceBackward kl_gradient[element_count], js_gradient[element_count];
  LayerKernels layers;
  ProductKernels products;
  NumberKernels numbers;
  FoldKernels folds;
  SortKernels sorting;
  RandomWords random_words;
};

// The best that this CPU runs. MLXFFI_SIMD=baseline|avx2|avx512|avx512bf16|neonbf16 asks for another, to test and to measure it;
// throws std::invalid_argument where that is not a name or the CPU cannot run it.
const RowKernels& row_kernels();

} // namespace mlxffi
