// Memory for large results.
#pragma once

#include <optional>

#include <mlx/array.h>

namespace mlxffi {

namespace mx = mlx::core;
using mx::allocator::Buffer;

// Gives an array memory for its elements. Of large pieces the last few that arrays gave back are used again: MLX keeps
// none on the CPU, and the first touch of fresh memory costs several times what a kernel takes to fill it.
void allocate(mx::array& array);

// For MLX's allocator, which asks here first, so that arrays own such memory and operations may write into it again: a piece
// for what this thread allocates, if one is kept; a new piece; and a piece given back, of which what comes is to be freed.
std::optional<Buffer> recycled(size_t size);
void to_be_recycled(Buffer buffer);
std::optional<Buffer> recycle(Buffer buffer, size_t size);

} // namespace mlxffi
