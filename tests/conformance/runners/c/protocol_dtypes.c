/* Elements and numbers of every dtype. */
#include <stdint.h>
#include <string.h>

#include "errors.h"
#include "protocol.h"
#include "mlx/c/mlx.h"

/* The dtypes, and the bytes of 2 in each. */
static const struct {
  mlx_dtype dtype;
  const char *name;
  unsigned char two[8];
} dtypes[] = {
    {MLX_BOOL, "bool", {1}},
    {MLX_UINT8, "uint8", {2}},
    {MLX_UINT16, "uint16", {2}},
    {MLX_UINT32, "uint32", {2}},
    {MLX_UINT64, "uint64", {2}},
    {MLX_INT8, "int8", {2}},
    {MLX_INT16, "int16", {2}},
    {MLX_INT32, "int32", {2}},
    {MLX_INT64, "int64", {2}},
    {MLX_FLOAT16, "float16", {0, 0x40}},
    {MLX_BFLOAT16, "bfloat16", {0, 0x40}},
    {MLX_FLOAT32, "float32", {0, 0, 0, 0x40}},
    {MLX_FLOAT64, "float64", {0, 0, 0, 0, 0, 0, 0, 0x40}},
    {MLX_COMPLEX64, "complex64", {0, 0, 0, 0x40}},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

/* An array of one element, 2 (of bool: true). */
static mlx_array two_of(int which) {
  return mlx_array_new_data(dtypes[which].two, NULL, 0, dtypes[which].dtype);
}

/* The functions of each type; those of halves take and give bits where C has no such type. */
#define TYPES(X)                                                                                          \
  X(bool) X(uint8) X(uint16) X(uint32) X(uint64) X(int8) X(int16) X(int32) X(int64) X(float32) X(float64) \
      X(complex64)

typedef const void *(*data_function)(const mlx_array);

/* An mlx-c has the functions of halves only where its compiler has the types: what is not there is not looked at. */
static void expect_data(int which) {
  static const char *const names[] = {
#define NAME(type) "mlx_array_data_" #type,
      TYPES(NAME)
#undef NAME
          "mlx_array_data_float16",
      "mlx_array_data_bfloat16"};
  mlx_array array = two_of(which);
  expect("it is evaluated", mlx_array_eval(array) == 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    data_function data = (data_function)find_function(names[i]);
    const void *elements = data != NULL ? data(array) : dtypes[which].two;
    expect(names[i], elements != NULL && memcmp(elements, dtypes[which].two, mlx_array_itemsize(array)) == 0);
  }
  mlx_array_free(array);
}

static void dtype_data(void) {
  for (int which = 0; which < DTYPES; which++) {
    expect_data(which);
  }
}

/* What item_<type> gives, as a double. */
#define ITEM(type, c_type)                                             \
  static double item_##type(const mlx_array array) {                   \
    c_type value = 0;                                                  \
    return mlx_array_item_##type(&value, array) == 0 ? (double)value : -1; \
  }
ITEM(bool, bool)
ITEM(uint8, uint8_t)
ITEM(uint16, uint16_t)
ITEM(uint32, uint32_t)
ITEM(uint64, uint64_t)
ITEM(int8, int8_t)
ITEM(int16, int16_t)
ITEM(int32, int32_t)
ITEM(int64, int64_t)
ITEM(float32, float)
ITEM(float64, double)

static double item_complex64(const mlx_array array) {
  float parts[2] = {-1, -1};
  int (*item)(void *, const mlx_array) = (int (*)(void *, const mlx_array))find_function("mlx_array_item_complex64");
  return item != NULL && item(parts, array) == 0 && parts[1] == 0 ? parts[0] : -1;
}

/* Halves, by their bits: 2 is 0x4000 in both, 1 is 0x3c00 or 0x3f80. */
static void expect_half(const char *name, uint16_t one, const mlx_array array, bool is_bool) {
  uint16_t bits = 0;
  int (*item)(void *, const mlx_array) = (int (*)(void *, const mlx_array))find_function(name);
  if (item != NULL) {
    expect_number(name, item(&bits, array), 0);
    expect_number(name, bits, is_bool ? one : 0x4000);
  }
}

static void expect_items(int which) {
  mlx_array array = two_of(which);
  double right = dtypes[which].dtype == MLX_BOOL ? 1 : 2;
  expect_number("item_bool", item_bool(array), 1);
#define CHECK(type)                                       \
  if (strcmp(#type, "bool") != 0) {                       \
    expect_number("item_" #type, item_##type(array), right); \
  }
  TYPES(CHECK)
#undef CHECK
  expect_half("mlx_array_item_float16", 0x3c00, array, right == 1);
  expect_half("mlx_array_item_bfloat16", 0x3f80, array, right == 1);
  mlx_array_free(array);
}

static void dtype_item(void) {
  for (int which = 0; which < DTYPES; which++) {
    expect_items(which);
  }
}

static void dtype_unevaluated(void) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array three = mlx_array_new_float32(3), square = mlx_array_new();
  expect("a square is built", mlx_square(&square, three, stream) == 0);
  expect("elements of what is not evaluated", mlx_array_data_float32(square) == NULL);
  expect("that is an error", last_error()[0] != 0);
  expect("it is evaluated", mlx_array_eval(square) == 0);
  const float *data = mlx_array_data_float32(square);
  expect("elements of what is evaluated", data != NULL && *data == 9);
  mlx_array_free(three);
  mlx_array_free(square);
  mlx_stream_free(stream);
}

/* The dtype of an array of bfloat16 times 2, whose dtype is that of the array or float32. */
static mlx_dtype dtype_of_product(bool same) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array array = mlx_array_new_data(dtypes[10].two, NULL, 0, MLX_BFLOAT16), scalar = mlx_array_new_float32(2);
  mlx_array made = mlx_array_new();
  int status = same && mlx_astype(&scalar, scalar, MLX_BFLOAT16, stream);
  status = status || mlx_multiply(&made, array, scalar, stream);
  mlx_dtype dtype = status == 0 ? mlx_array_dtype(made) : MLX_BOOL;
  mlx_array_free(array);
  mlx_array_free(scalar);
  mlx_array_free(made);
  mlx_stream_free(stream);
  return dtype;
}

static void scalar_dtype(void) {
  expect_number("dtype of bfloat16 times float32", dtype_of_product(false), MLX_FLOAT32);
  expect_number("dtype of bfloat16 times bfloat16", dtype_of_product(true), MLX_BFLOAT16);
}

const protocol_case dtype_cases[] = {
    {"dtype-data", dtype_data},
    {"dtype-item", dtype_item},
    {"dtype-unevaluated", dtype_unevaluated},
    {"scalar-dtype", scalar_dtype},
    {NULL, NULL},
};
