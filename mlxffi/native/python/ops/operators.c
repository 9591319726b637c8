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

#define IN_PLACE(name)                                                           \
  static PyObject *name##_in_place(Value *v) {                                   \
    return replaced(v[0].object, binary(mlx_##name, v[0].array, v[1].array)); \
  }

#define ARITHMETIC(name)                                    \
  FORWARD(name)                                             \
  IN_PLACE(name)                                            \
  static PyObject *name##_reflected(Value *v) {             \
    return one(binary(mlx_##name, v[1].array, v[0].array)); \
  }

/* Python has the words for operands that are not integers. */
#define INTEGER(name)                                                                                \
  static PyObject *name##_forward(Value *v) {                                                        \
    bool integers = !is_inexact(v[0].array) && !is_inexact(v[1].array);                              \
    return integers ? one(binary(mlx_##name, v[0].array, v[1].array)) : left_to_python;              \
  }                                                                                                  \
  static PyObject *name##_in_place(Value *v) {                                                       \
    bool integers = !is_inexact(v[0].array) && !is_inexact(v[1].array);                              \
    return integers ? replaced(v[0].object, binary(mlx_##name, v[0].array, v[1].array)) : left_to_python; \
  }

ARITHMETIC(add)
ARITHMETIC(subtract)
ARITHMETIC(multiply)
ARITHMETIC(floor_divide)
ARITHMETIC(remainder)
ARITHMETIC(power)
FORWARD(less)
FORWARD(less_equal)
FORWARD(greater)
FORWARD(greater_equal)
FORWARD(equal)
FORWARD(not_equal)
FORWARD(matmul)
IN_PLACE(matmul)
INTEGER(bitwise_and)
INTEGER(bitwise_or)
INTEGER(bitwise_xor)
INTEGER(left_shift)
INTEGER(right_shift)
FORWARD(divide)

static PyObject *divide_reflected(Value *v) {
  return one(binary(mlx_divide, v[1].array, v[0].array));
}

static PyObject *divide_in_place(Value *v) {
  bool inexact = is_inexact(v[0].array);
  return inexact ? replaced(v[0].object, binary(mlx_divide, v[0].array, v[1].array)) : left_to_python;
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
  return is_inexact(v[0].array) ? left_to_python : one(unary(mlx_bitwise_invert, v[0].array));
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

#define ROWS_FORWARD(name) {#name " forward", "ll", name##_forward}
#define ROWS_BOTH(name) ROWS_FORWARD(name), {#name " in place", "=l", name##_in_place}
#define ROWS_ALL(name) ROWS_BOTH(name), {#name " reflected", "ll", name##_reflected}

const Row operator_rows[] = {
  ROWS_ALL(add),
  ROWS_ALL(subtract),
  ROWS_ALL(multiply),
  ROWS_ALL(divide),
  ROWS_ALL(floor_divide),
  ROWS_ALL(remainder),
  ROWS_ALL(power),
  ROWS_BOTH(bitwise_and),
  ROWS_BOTH(bitwise_or),
  ROWS_BOTH(bitwise_xor),
  ROWS_BOTH(left_shift),
  ROWS_BOTH(right_shift),
  ROWS_FORWARD(less),
  ROWS_FORWARD(less_equal),
  ROWS_FORWARD(greater),
  ROWS_FORWARD(greater_equal),
  ROWS_FORWARD(equal),
  ROWS_FORWARD(not_equal),
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
