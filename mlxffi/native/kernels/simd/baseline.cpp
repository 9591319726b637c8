// The kernels for every CPU of the architecture: SSE2 on x86-64, NEON on AArch64.
#include "tables.h"

#define MLXFFI_VECTOR_BYTES 16
#include "kernels.h"

namespace mlxffi {

const RowKernels baseline_kernels = MLXFFI_ROW_KERNELS("baseline");

} // namespace mlxffi
