// A host that does not run far ahead of a GPU.
//
// MLX frees what a kernel has used once the GPU has come to it: the further the host is ahead, the more memory is held by
// work that waits.
#pragma once

#include "fused.h"

namespace mlxffi {

// The same arrays, in the same memory. When a GPU's host comes to them, it waits for the work before the `ahead`-th last of
// such places on the stream, and for none on a CPU. Their cotangents are paced likewise, together: what one layer's
// parameters get is computed before the next layer's.
Arrays paced(const Arrays& arrays, int ahead, mx::Stream s);

} // namespace mlxffi
