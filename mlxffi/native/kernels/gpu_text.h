// Kernels' text, compiled by MLX in the language of the GPU at hand.
#pragma once

#include <string>
#include <vector>

#include <mlx/fast.h>

namespace mlxffi::gpu {

namespace mx = mlx::core;
using Names = std::vector<std::string>;

enum class Language { cuda, metal };

Language language();

// What opens a body in each language.
struct Prologue {
  const char* cuda;
  const char* metal;
};

// A function that builds nodes of a kernel; `shared` is the text before it, in the words of the preludes.
mx::fast::CustomKernelFunction compiled(
    const std::string& name, const Names& inputs, const Names& outputs, const std::string& shared, Prologue prologue,
    const std::string& body);

} // namespace mlxffi::gpu
