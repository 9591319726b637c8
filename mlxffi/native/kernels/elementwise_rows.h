// Kernels that go over numbers that lie side by side, one array of them for each input of an operation.
#pragma once

#include <cstdint>

#include <mlx/dtype.h>

namespace mlxffi {

using TypeOfNumbers = mlx::core::Dtype::Val;

// The operations that there are kernels for, by the names of MLX's primitives.
#define MLXFFI_FOR_FUNCTIONS(row)                                                                                     \
  row(Exp, exp) row(Expm1, expm1) row(Sigmoid, sigmoid) row(Sinh, sinh) row(Cosh, cosh) row(Tanh, tanh) row(Log, log) \
      row(Log2, log2) row(Log10, log10) row(Log1p, log1p) row(ArcSinh, asinh) row(ArcCosh, acosh)                     \
          row(ArcTanh, atanh) row(Sin, sin) row(Cos, cos) row(Tan, tan) row(ArcTan, atan) row(ArcSin, asin)           \
              row(ArcCos, acos) row(Erf, erf) row(ErfInv, erfinv)
#define MLXFFI_FOR_FUNCTIONS_OF_TWO(row) row(Power, pow) row(ArcTan2, angle) row(LogAddExp, logaddexp)
#define MLXFFI_FOR_ARITHMETIC(row)                                                                                  \
  row(Add) row(Subtract) row(Multiply) row(Negative) row(Conjugate) row(Square) row(Divide) row(Maximum) row(Minimum) row(Abs)     \
      row(Sign) row(FloorDivide) row(Remainder) row(Sqrt) row(Rsqrt) row(Floor) row(Ceil) row(Round) row(BitwiseAnd) \
          row(BitwiseOr) row(BitwiseXor) row(LeftShift) row(RightShift) row(BitwiseInvert) row(LogicalAnd) row(LogicalOr) row(LogicalNot)
#define MLXFFI_FOR_COMPARISONS(row) row(Equal) row(NaNEqual) row(NotEqual) row(Greater) row(GreaterEqual) row(Less) row(LessEqual)

enum class Operation {
#define MLXFFI_NAME(name, ...) name,
  MLXFFI_FOR_FUNCTIONS(MLXFFI_NAME) MLXFFI_FOR_FUNCTIONS_OF_TWO(MLXFFI_NAME) MLXFFI_FOR_ARITHMETIC(MLXFFI_NAME)
      MLXFFI_FOR_COMPARISONS(MLXFFI_NAME) Select
#undef MLXFFI_NAME
};

using NumbersKernel = void (*)(const void* const* in, void* out, int64_t size);

struct NumberKernels {
  // The operation on numbers of one type, for Select that of what is chosen. Functions, and what is rounded, are of
  // float32; NULL where there is no kernel.
  NumbersKernel (*of)(Operation operation, TypeOfNumbers type);
  // From one type to another; NULL where there is none, as between halves and what is not float32.
  NumbersKernel (*conversion)(TypeOfNumbers from, TypeOfNumbers to);
};

} // namespace mlxffi
