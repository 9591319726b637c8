#include "gpu_text.h"

#include <stdexcept>

#include <mlx/backend/cuda/cuda.h>
#include <mlx/backend/metal/metal.h>

#include "cuda_prelude.h"
#include "metal_prelude.h"

namespace mlxffi::gpu {

Language language() {
  static const Language found = [] {
    if (mx::cu::is_available()) {
      return Language::cuda;
    }
    if (mx::metal::is_available()) {
      return Language::metal;
    }
    throw std::runtime_error("[mlxffi] the stream is a GPU's, but this MLX has neither a CUDA nor a Metal device");
  }();
  return found;
}

mx::fast::CustomKernelFunction compiled(
    const std::string& name, const Names& inputs, const Names& outputs, const std::string& shared, Prologue prologue,
    const std::string& body) {
  const std::string named = "mlxffi_" + name;
  if (language() == Language::cuda) {
    return mx::fast::cuda_kernel(named, inputs, outputs, prologue.cuda + body, cuda_prelude + shared);
  }
  return mx::fast::metal_kernel(named, inputs, outputs, prologue.metal + body, metal_prelude + shared);
}

} // namespace mlxffi::gpu
