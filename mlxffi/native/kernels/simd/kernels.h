// The table of kernels that a file gets for the instruction set that it is compiled for.
#pragma once

#include "combine.h"
#include "complex.h"
#include "cross_entropy.h"
#include "dots.h"
#include "elementwise.h"
#include "folds.h"
#include "gate.h"
#include "js.h"
#include "kl.h"
#include "norm.h"
#include "packed_dots.h"
#include "packed_words.h"
#include "random_words.h"
#include "rotation.h"
#include "softmax.h"
#include "sorting.h"
#include "sums.h"

// SSE2 has no products of bytes.
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 16
#define MLXFFI_INT8_KERNELS {}
#else
#include "int8_dots.h"
#define MLXFFI_INT8_KERNELS int8_kernels
#endif

#define MLXFFI_FOR_ELEMENTS(kernel) \
  { kernel<Float32>, kernel<Float16>, kernel<BFloat16>, kernel<Float64> }
#define MLXFFI_LAYER_KERNELS                                                                                        \
  {                                                                                                                 \
    MLXFFI_FOR_ELEMENTS(norm), MLXFFI_FOR_ELEMENTS(norm_gradient), MLXFFI_FOR_ELEMENTS(norm_weight),                \
        MLXFFI_FOR_ELEMENTS(rotate), MLXFFI_FOR_ELEMENTS(swiglu), MLXFFI_FOR_ELEMENTS(geglu),                       \
        MLXFFI_FOR_ELEMENTS(swiglu_gradient), MLXFFI_FOR_ELEMENTS(geglu_gradient), softmax, softmax_gradient,       \
        MLXFFI_FOR_ELEMENTS(widen), MLXFFI_FOR_ELEMENTS(narrow), dot, add_scaled, sum, add_to_sums                  \
  }
#define MLXFFI_FOR_CODES(kernel)                                                                                        \
  {                                                                                                                     \
    kernel<Whole<1>>, kernel<Whole<2>>, kernel<Whole<3>>, kernel<Whole4>, kernel<Whole<5>>, kernel<Whole<6>>,           \
        kernel<Whole<7>>, kernel<Whole<8>>, kernel<Float4>, kernel<Float8>                                              \
  }
#define MLXFFI_PRODUCT_KERNELS                                                                                          \
  {                                                                                                                     \
    MLXFFI_FOR_CODES(unpack), MLXFFI_FOR_CODES(packed_dots), word_kernels, MLXFFI_INT8_KERNELS,                            \
        {dots<Float32>, dots<Float16>, dots<BFloat16>}, {combine<Float32>, combine<Float16>, combine<BFloat16>}, {}     \
  }
#define MLXFFI_ROW_KERNELS(name)                                                                                   \
  {                                                                                                                \
    name, MLXFFI_FOR_ELEMENTS(cross_entropy), MLXFFI_FOR_ELEMENTS(cross_entropy_gradient), MLXFFI_FOR_ELEMENTS(kl), \
        MLXFFI_FOR_ELEMENTS(js), MLXFFI_FOR_ELEMENTS(kl_gradient), MLXFFI_FOR_ELEMENTS(js_gradient),               \
        MLXFFI_LAYER_KERNELS, MLXFFI_PRODUCT_KERNELS, {number_kernel_of, number_conversion_of},                    \
        MLXFFI_FOLD_KERNELS, MLXFFI_SORT_KERNELS, random_words                                                     \
  }
