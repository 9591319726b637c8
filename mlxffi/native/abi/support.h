// What the expressions of the generated functions speak about.
#pragma once

#include <mlx/compile_impl.h>
#include <mlx/version.h>

#include "previous_mlx.h"
#include "arrays.h"
#include "bounds.h"
#include "containers.h"
#include "derivatives/draws.h"
#include "derivatives/transforms.h"
#include "exported_file.h"
#include "exporter.h"
#include "gather_qqmm.h"
#include "gguf/gguf.h"
#include "guards.h"
#include "half_products.h"
#include "packed_matmul.h"
#include "rms_norm.h"
#include "rope.h"
#include "dequantize.h"
#include "io_streams.h"
#include "custom_kernels.h"
#include "linear.h"
#include "metal_capture.h"
#include "nodes.h"
#include "npy.h"
#include "numbers.h"
#include "safetensors/safetensors.h"
#include "shapeless.h"
#include "transforms.h"
