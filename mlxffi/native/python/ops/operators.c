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

#define ROW_FORWARD(name) {#name " forward", "ll", name##_forward},
#define ROW_IN_PLACE(name) {#name " in place", "=l", name##_in_place},
#define ROW_REFLECTED(name) {#name " reflected", "ll", name##_reflected},

/* Each list is of the functions, and of the rows. */
#define ARITHMETIC(OF) OF(add) OF(subtract) OF(multiply) OF(floor_divide) OF(remainder) OF(power)
#define COMPARISONS(OF) OF(less) OF(less_equal) OF(greater) OF(greater_equal) OF(equal) OF(not_equal)

ARITHMETIC(FORWARD)
ARITHMETIC(IN_PLACE)
ARITHMETIC(REFLECTED)
COMPARISONS(FORWARD)
FORWARD(divide)
REFLECTED(divide)
FORWARD(matmul)
IN_PLACE(matmul)

/* --- of integers alone --- */

static bool integers(Value *v, const char *name) {
  return (!is_inexact(v[0].array) && !is_inexact(v[1].array)) ||
         refused(MLXFFI_ERROR_INVALID_ARGUMENT, "Floating point types not allowed with %s.", name);
}

#define INTEGER(name, words)                                                                                \
  static PyObject *name##_forward(Value *v) {                                                               \
    return integers(v, words) ? one(binary(mlx_##name, v[0].array, v[1].array)) : NULL;                     \
  }                                                                                                         \
  static PyObject *name##_in_place(Value *v) {                                                              \
    return integers(v, words) ? replaced(v[0].object, binary(mlx_##name, v[0].array, v[1].array)) : NULL;   \
  }
#define ROWS_OF_INTEGERS(name, words) ROW_FORWARD(name) ROW_IN_PLACE(name)

#define INTEGERS(OF)                                                                                        \
  OF(bitwise_and, "bitwise and")                                                                            \
  OF(bitwise_or, "bitwise or")                                                                              \
  OF(bitwise_xor, "bitwise xor")                                                                            \
  OF(left_shift, "left shift")                                                                              \
  OF(right_shift, "right shift")

INTEGERS(INTEGER)

static PyObject *divide_in_place(Value *v) {
  if (!is_inexact(v[0].array)) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "In place division cannot cast to non-floating point type.");
  }
  return replaced(v[0].object, binary(mlx_divide, v[0].array, v[1].array));
}

/* --- of one array --- */

#define UNARY(name, function)                     \
  static PyObject *name(Value *v) {               \
    return one(unary(mlx_##function, v[0].array)); \
  }

UNARY(negative, negative)
UNARY(absolute, abs)
UNARY(transposed, transpose)
UNARY(matrix_transposed, matrix_transpose)
UNARY(real_part, real)
UNARY(imaginary_part, imag)

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

const Row operator_rows[] = {
  ARITHMETIC(ROW_FORWARD)
  ARITHMETIC(ROW_IN_PLACE)
  ARITHMETIC(ROW_REFLECTED)
  COMPARISONS(ROW_FORWARD)
  INTEGERS(ROWS_OF_INTEGERS)
  ROW_FORWARD(divide)
  ROW_IN_PLACE(divide)
  ROW_REFLECTED(divide)
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
