// What the C functions over our own kernels share.
#pragma once

#include "convert.h"

namespace mlxc {

// An array's dtype and shape, for messages.
std::string described(const mx::array& array);

// Floating point of one axis or more.
const mx::array& floating(const mx::array& array, const char* argument);

// A packed weight [out, features] must be one. `fits`: whether the caller found nothing else wrong with it.
void check_packed(
    const mx::array& weight, const mx::array& scales, int features, int group_size, int bits, bool fits, const char* argument);

// The stream of a kernel. Where the environment asks for what cannot be, that is said here and not by a thread that
// computes.
mx::Stream kernel_stream(mlx_stream s);

} // namespace mlxc
