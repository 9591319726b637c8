/* The operators of arrays as operations (see dispatch/arguments.h): forward, reflected and in place. */

#include "dispatch/arguments.h"

typedef int Binary(mlx_array *result, const mlx_array a, const mlx_array b, const mlx_stream s);
typedef int Unary(mlx_array *result, const mlx_array a, const mlx_stream s);

static mlx_array binary(Binary *call, mlx_array a, mlx_array b) {
  mlx_array made = {0};
  mlx_stream stream = mlxffi_default_stream();
  call(&made, a, b, stream);
  return made;
}

static mlx_array unary(Unary *call, mlx_array a) {
  mlx_array made = {0};
  mlx_stream stream = mlxffi_default_stream();
  call(&made, a, stream);
  return made;
}

#define FORWARD(name)                                       \
  static PyObject *name##_forward(Value *v) {               \
    return one(binary(mlx_##name, v[0].array, v[1].array)); \
  }

#define IN_PLACE(name)                                                        \
  static PyObject *name##_in_place(Value *v) {                                \
    return replaced(v[0].object, binary(mlx_##name, v[0].array, v[1].array)); \
  }

#define REFLECTED(name)                                     \
  static PyObject *name##_reflected(Value *v) {             \
    return one(binary(mlx_##name, v[1].array, v[0].array)); \
  }

#define ARITHMETIC(name) FORWARD(name) IN_PLACE(name) REFLECTED(name)

static bool integers(Value *v, const char *name) {
  bool both = !is_inexact(v[0].array) && !is_inexact(v[1].array);
  if (!both) {
    refused(MLXFFI_ERROR_INVALID_ARGUMENT, "Floating point types not allowed with %s.", name);
  }
  return both;
}

#define INTEGER(name, words)                                                                                \
  static PyObject *name##_forward(Value *v) {                                                               \
    return integers(v, words) ? one(binary(mlx_##name, v[0].array, v[1].array)) : NULL;                     \
  }                                                                                                         \
  static PyObject *name##_in_place(Value *v) {                                                              \
    return integers(v, words) ? replaced(v[0].object, binary(mlx_##name, v[0].array, v[1].array)) : NULL;   \
  }

ARITHMETIC(add)
ARITHMETIC(subtract)
ARITHMETIC(multiply)
ARITHMETIC(floor_divide)
ARITHMETIC(remainder)
ARITHMETIC(power)
FORWARD(divide)
REFLECTED(divide)
FORWARD(matmul)
IN_PLACE(matmul)
FORWARD(less)
FORWARD(less_equal)
FORWARD(greater)
FORWARD(greater_equal)
FORWARD(equal)
FORWARD(not_equal)
INTEGER(bitwise_and, "bitwise and")
INTEGER(bitwise_or, "bitwise or")
INTEGER(bitwise_xor, "bitwise xor")
INTEGER(left_shift, "left shift")
INTEGER(right_shift, "right shift")

static PyObject *divide_in_place(Value *v) {
  if (!is_inexact(v[0].array)) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "In place division cannot cast to non-floating point type.");
  }
  return replaced(v[0].object, binary(mlx_divide, v[0].array, v[1].array));
}

static PyObject *negative(Value *v) {
  return one(unary(mlx_negative, v[0].array));
}

static PyObject *absolute(Value *v) {
  return one(unary(mlx_abs, v[0].array));
}

static PyObject *same(Value *v) {
  mlx_array made = {0};
  mlx_array_set(&made, v[0].array);
  return one(made);
}

static PyObject *inverted(Value *v) {
  if (is_inexact(v[0].array)) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "Floating point types not allowed with bitwise inversion.");
  }
  return one(unary(mlx_bitwise_invert, v[0].array));
}

static PyObject *transposed(Value *v) {
  return one(unary(mlx_transpose, v[0].array));
}

static PyObject *matrix_transposed(Value *v) {
  return one(unary(mlx_matrix_transpose, v[0].array));
}

static PyObject *real_part(Value *v) {
  return one(unary(mlx_real, v[0].array));
}

static PyObject *imaginary_part(Value *v) {
  return one(unary(mlx_imag, v[0].array));
}

#define ROW_FORWARD(name) {#name " forward", "ll", name##_forward}
#define ROW_IN_PLACE(name) {#name " in place", "=l", name##_in_place}
#define ROWS(name) ROW_FORWARD(name), ROW_IN_PLACE(name), {#name " reflected", "ll", name##_reflected}
#define ROWS_OF_INTEGERS(name) ROW_FORWARD(name), ROW_IN_PLACE(name)

const Row operator_rows[] = {
  ROWS(add),
  ROWS(subtract),
  ROWS(multiply),
  ROWS(divide),
  ROWS(floor_divide),
  ROWS(remainder),
  ROWS(power),
  ROWS_OF_INTEGERS(bitwise_and),
  ROWS_OF_INTEGERS(bitwise_or),
  ROWS_OF_INTEGERS(bitwise_xor),
  ROWS_OF_INTEGERS(left_shift),
  ROWS_OF_INTEGERS(right_shift),
  ROW_FORWARD(less),
  ROW_FORWARD(less_equal),
  ROW_FORWARD(greater),
  ROW_FORWARD(greater_equal),
  ROW_FORWARD(equal),
  ROW_FORWARD(not_equal),
  {"matmul forward", "aa", matmul_forward},
  {"matmul in place", "aa", matmul_in_place},
  {"negative operator", "a", negative},
  {"absolute operator", "a", absolute},
  {"same operator", "a", same},
  {"same at any depth", "ao", same},
  {"inverted operator", "a", inverted},
  {"transposed", "a", transposed},
  {"matrix transposed", "a", matrix_transposed},
  {"real part", "a", real_part},
  {"imaginary part", "a", imaginary_part},
  {NULL, NULL, NULL},
};
