// Before a loop of a few rounds over vectors that are to stay in registers.
#pragma once

#if defined(__clang__)
#define MLXFFI_UNROLLED _Pragma("unroll")
#else
#define MLXFFI_UNROLLED _Pragma("GCC unroll 16")
#endif
