// The table of kernels that a file gets for the instruction set that it is compiled for.
#pragma once

#include "cross_entropy.h"
#include "js.h"
#include "kl.h"

#define MLXFFI_FOR_ELEMENTS(kernel) \
  { kernel<Float32>, kernel<Float16>, kernel<BFloat16>, kernel<Float64> }
#define MLXFFI_ROW_KERNELS(name)                                                                                   \
  {                                                                                                                \
    name, MLXFFI_FOR_ELEMENTS(cross_entropy), MLXFFI_FOR_ELEMENTS(cross_entropy_gradient), MLXFFI_FOR_ELEMENTS(kl), \
        MLXFFI_FOR_ELEMENTS(js), MLXFFI_FOR_ELEMENTS(kl_gradient), MLXFFI_FOR_ELEMENTS(js_gradient)                \
  }
