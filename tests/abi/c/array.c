/* Arrays: constructors of every dtype, items, data, shape, printing, set. */
#include "check.h"

typedef struct dtype_row_ {
  mlx_dtype dtype;
  size_t size;
  const char *name;
} dtype_row;

static const dtype_row dtypes[] = {
    {MLX_BOOL, 1, "bool"},       {MLX_UINT8, 1, "uint8"},        {MLX_UINT16, 2, "uint16"},
    {MLX_UINT32, 4, "uint32"},   {MLX_UINT64, 8, "uint64"},      {MLX_INT8, 1, "int8"},
    {MLX_INT16, 2, "int16"},     {MLX_INT32, 4, "int32"},        {MLX_INT64, 8, "int64"},
    {MLX_FLOAT16, 2, "float16"}, {MLX_FLOAT32, 4, "float32"},    {MLX_FLOAT64, 8, "float64"},
    {MLX_BFLOAT16, 2, "bfloat16"}, {MLX_COMPLEX64, 8, "complex64"},
};

enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

static void test_dtype_sizes(void) {
  for (int i = 0; i < DTYPES; i++) {
    check_what = dtypes[i].name;
    CHECK_INT(dtypes[i].size, mlx_dtype_size(dtypes[i].dtype));
    mlx_array a = typed("1 0 1", dtypes[i].dtype);
    CHECK_INT(dtypes[i].dtype, mlx_array_dtype(a));
    CHECK_INT(dtypes[i].size, mlx_array_itemsize(a));
    CHECK_INT(3 * dtypes[i].size, mlx_array_nbytes(a));
    mlx_string text = mlx_string_new();
    OK(mlx_array_tostring(&text, a));
    CHECK_HAS("array([", mlx_string_data(text));
    CHECK_HAS(dtypes[i].name, mlx_string_data(text));
    OK(mlx_string_free(text));
    drop(a);
  }
}

static void check_scalar(mlx_array a, mlx_dtype dtype, const char *value) {
  CHECK(a.ctx != NULL);
  CHECK_INT(dtype, mlx_array_dtype(a));
  CHECK_INT(0, mlx_array_ndim(a));
  CHECK_INT(1, mlx_array_size(a));
  IS(a, value);
  drop(a);
}

static void test_scalars(void) {
  check_scalar(mlx_array_new_bool(true), MLX_BOOL, ": 1");
  check_scalar(mlx_array_new_int(-7), MLX_INT32, ": -7");
  check_scalar(mlx_array_new_float(1.5f), MLX_FLOAT32, ": 1.5");
  check_scalar(mlx_array_new_float32(2.5f), MLX_FLOAT32, ": 2.5");
  check_scalar(mlx_array_new_float64(1e300), MLX_FLOAT64, ": 1e300");
  check_scalar(mlx_array_new_double(-0.125), MLX_FLOAT64, ": -0.125");
  check_scalar(mlx_array_new_complex(3, -4), MLX_COMPLEX64, "3 -4");
}

/* One pass over item_* and data_*: raw data in, the same value out. */
#define ITEM_AND_DATA(suffix, type, tag, first, second)                   \
  static void test_##suffix(void) {                                       \
    const int shape[1] = {2};                                             \
    const type raw[2] = {first, second};                                  \
    type got = first;                                                     \
    mlx_array a = mlx_array_new_data(raw, shape, 1, tag);                 \
    mlx_array one = mlx_array_new_data(raw + 1, NULL, 0, tag);            \
    check_what = #suffix;                                                 \
    CHECK_INT(tag, mlx_array_dtype(a));                                   \
    CHECK(memcmp(raw, mlx_array_data_##suffix(a), sizeof raw) == 0);      \
    OK(mlx_array_item_##suffix(&got, one));                               \
    CHECK(memcmp(&raw[1], &got, sizeof got) == 0);                        \
    FAILS(mlx_array_item_##suffix(&got, a));                              \
    REJECTS(mlx_array_data_##suffix(mlx_array_new()) == NULL);            \
    FAILS(mlx_array_item_##suffix(&got, mlx_array_new()));                \
    FAILS(mlx_array_item_##suffix(NULL, one));                            \
    drop(a);                                                              \
    drop(one);                                                            \
  }

ITEM_AND_DATA(bool, bool, MLX_BOOL, true, false)
ITEM_AND_DATA(uint8, uint8_t, MLX_UINT8, 1, 255)
ITEM_AND_DATA(uint16, uint16_t, MLX_UINT16, 1, 65535)
ITEM_AND_DATA(uint32, uint32_t, MLX_UINT32, 1, 4294967295u)
ITEM_AND_DATA(uint64, uint64_t, MLX_UINT64, 1, 18446744073709551615ull)
ITEM_AND_DATA(int8, int8_t, MLX_INT8, 1, -128)
ITEM_AND_DATA(int16, int16_t, MLX_INT16, 1, -32768)
ITEM_AND_DATA(int32, int32_t, MLX_INT32, 1, -2147483647)
ITEM_AND_DATA(int64, int64_t, MLX_INT64, 1, -9007199254740993ll)
ITEM_AND_DATA(float32, float, MLX_FLOAT32, 1, -0.1f)
ITEM_AND_DATA(float64, double, MLX_FLOAT64, 1, -0.1)

static void test_complex64(void) {
  const int shape[1] = {2};
  const float raw[4] = {1, 2, -3, 4};
  float got[2] = {0, 0};
  mlx_complex64_t item;
  mlx_array a = mlx_array_new_data(raw, shape, 1, MLX_COMPLEX64);
  mlx_array one = mlx_array_new_complex(-3, 4);
  CHECK(memcmp(raw, mlx_array_data_complex64(a), sizeof raw) == 0);
  OK(mlx_array_item_complex64(&item, one));
  memcpy(got, &item, sizeof got);
  CHECK_CLOSE(-3, got[0], 0);
  CHECK_CLOSE(4, got[1], 0);
  FAILS(mlx_array_item_complex64(&item, a));
  REJECTS(mlx_array_data_complex64(mlx_array_new()) == NULL);
  drop(a, one);
}

/* item_* converts an element of another dtype. */
static void check_item(const char *text, mlx_dtype dtype, double as_float, long long as_int, unsigned as_byte, bool as_bool) {
  float f = 0;
  int64_t i = 0;
  uint8_t byte = 0;
  bool truth = false;
  mlx_complex64_t c;
  float parts[2];
  mlx_array a = typed(text, dtype);
  check_what = text;
  OK(mlx_array_item_float32(&f, a));
  OK(mlx_array_item_int64(&i, a));
  OK(mlx_array_item_uint8(&byte, a));
  OK(mlx_array_item_bool(&truth, a));
  OK(mlx_array_item_complex64(&c, a));
  memcpy(parts, &c, sizeof parts);
  CHECK_CLOSE(as_float, f, 0);
  CHECK_INT(as_int, i);
  CHECK_INT(as_byte, byte);
  CHECK_INT(as_bool, truth);
  CHECK_CLOSE(as_float, parts[0], 0);
  CHECK_CLOSE(0, parts[1], 0);
  check_what = "";
  drop(a);
}

static void test_items_of_other_dtypes(void) {
  check_item(": 7", MLX_INT32, 7, 7, 7, true);
  check_item(": 0", MLX_BOOL, 0, 0, 0, false);
  check_item(": -1", MLX_INT16, -1, -1, 255, true);
  check_item(": 2.75", MLX_FLOAT32, 2.75, 2, 2, true);
  check_item(": -2.75", MLX_FLOAT16, -2.75, -2, 0, true);
  check_item(": 1.5", MLX_BFLOAT16, 1.5, 1, 1, true);
  check_item(": 300.5", MLX_FLOAT64, 300.5, 300, 255, true);
  check_item(": 1e30", MLX_FLOAT32, 1e30f, INT64_MAX, 255, true);
  check_item(": 2.5", MLX_COMPLEX64, 2.5, 2, 2, true);
}

static void test_item_of_nan(void) {
  int32_t i = 1;
  bool truth = false;
  mlx_array nan = mlx_array_new_float(NAN);
  OK(mlx_array_item_int32(&i, nan));
  CHECK_INT(0, i);
  OK(mlx_array_item_bool(&truth, nan));
  CHECK(truth);
  drop(nan);
}

/* data_* gives the bytes, whatever the dtype. */
static void test_data_of_other_dtypes(void) {
  const float raw[2] = {1, -2.5f};
  const int shape[1] = {2};
  mlx_array a = mlx_array_new_data(raw, shape, 1, MLX_FLOAT32), whole = mlx_array_new_int(-1);
  CHECK(memcmp(raw, mlx_array_data_uint8(a), sizeof raw) == 0);
  CHECK((const void *)mlx_array_data_uint8(a) == (const void *)mlx_array_data_float64(a));
  CHECK((const void *)mlx_array_data_bool(a) == (const void *)mlx_array_data_complex64(a));
  CHECK_INT(0xffffffff, mlx_array_data_uint32(whole)[0]);
  drop(a, whole);
}

static void test_items(void) {
  test_bool();
  test_uint8();
  test_uint16();
  test_uint32();
  test_uint64();
  test_int8();
  test_int16();
  test_int32();
  test_int64();
  test_float32();
  test_float64();
  test_complex64();
  test_items_of_other_dtypes();
  test_item_of_nan();
  test_data_of_other_dtypes();
}

static void test_item_evaluates(void) {
  float f = 0;
  mlx_array a = mlx_array_new_float(3), b = mlx_array_new();
  OK(mlx_square(&b, a, cpu));
  OK(mlx_array_item_float32(&f, b));
  CHECK_CLOSE(9, f, 0);
  drop(a, b);
}

static void test_shape(void) {
  mlx_array a = floats("2 3 4: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24");
  const int *shape = mlx_array_shape(a);
  const size_t *strides = mlx_array_strides(a);
  CHECK_INT(3, mlx_array_ndim(a));
  CHECK_INT(24, mlx_array_size(a));
  CHECK_INT(2, shape[0]);
  CHECK_INT(3, shape[1]);
  CHECK_INT(4, shape[2]);
  CHECK_INT(12, strides[0]);
  CHECK_INT(4, strides[1]);
  CHECK_INT(1, strides[2]);
  CHECK_INT(2, mlx_array_dim(a, 0));
  CHECK_INT(4, mlx_array_dim(a, -1));
  REJECTS(mlx_array_dim(a, 3) == 0);
  REJECTS(mlx_array_dim(a, -4) == 0);
  drop(a);
}

static void test_empty_array(void) {
  const int shape[2] = {0, 3};
  const float unused = 0;
  mlx_array a = mlx_array_new_data(&unused, shape, 2, MLX_FLOAT32);
  mlx_array sum = mlx_array_new();
  CHECK_INT(0, mlx_array_size(a));
  CHECK_INT(0, mlx_array_nbytes(a));
  CHECK_INT(2, mlx_array_ndim(a));
  RESULT(mlx_sum(&sum, a, false, cpu), sum, ": 0");
  drop(a, sum);
}

static void check_text_of(mlx_array a, const char *expected) {
  mlx_string text = mlx_string_new();
  OK(mlx_array_tostring(&text, a));
  CHECK_STR(expected, mlx_string_data(text));
  OK(mlx_string_free(text));
  drop(a);
}

static void test_tostring(void) {
  check_text_of(mlx_array_new_float(1.5f), "array(1.5, dtype=float32)");
  check_text_of(ints("1 2 3"), "array([1, 2, 3], dtype=int32)");
  check_text_of(floats("1 2; 3 4.5"), "array([[1, 2],\n       [3, 4.5]], dtype=float32)");
  mlx_string text = mlx_string_new_data("before");
  mlx_array a = mlx_array_new_int(4);
  OK(mlx_array_tostring(&text, a));
  CHECK_STR("array(4, dtype=int32)", mlx_string_data(text));
  FAILS(mlx_array_tostring(&text, mlx_array_new()));
  drop(a);
  OK(mlx_string_free(text));
}

/* Each set_* is tried on an empty slot and on a handle in use. */
#define SET(call, expected)         \
  do {                              \
    mlx_array fresh = mlx_array_new(); \
    mlx_array *slot = &fresh;       \
    OK(call);                       \
    IS(fresh, expected);            \
    OK(call);                       \
    IS(fresh, expected);            \
    slot = &used;                   \
    OK(call);                       \
    IS(used, expected);             \
    drop(fresh);                    \
  } while (0)

static void test_set(void) {
  const int shape[2] = {1, 2};
  const int32_t raw[2] = {5, 6};
  mlx_array used = mlx_array_new_int(0);
  mlx_array source = floats("1 2 3");
  SET(mlx_array_set_bool(slot, true), ": 1");
  SET(mlx_array_set_int(slot, 3), ": 3");
  SET(mlx_array_set_float(slot, 0.5f), ": 0.5");
  SET(mlx_array_set_float32(slot, 0.25f), ": 0.25");
  SET(mlx_array_set_float64(slot, 1e200), ": 1e200");
  SET(mlx_array_set_double(slot, -2), ": -2");
  SET(mlx_array_set_complex(slot, 1, 2), "1 2");
  SET(mlx_array_set_data(slot, raw, shape, 2, MLX_INT32), "5 6");
  SET(mlx_array_set(slot, source), "1 2 3");
  OK(mlx_array_set(&used, used));
  IS(used, "1 2 3");
  drop(source);
  IS(used, "1 2 3");
  drop(used);
}

static void test_set_keeps_other_handles(void) {
  mlx_array a = mlx_array_new_int(1), b = mlx_array_new();
  OK(mlx_array_set(&b, a));
  OK(mlx_array_set_int(&a, 2));
  IS(a, ": 2");
  IS(b, ": 1");
  drop(a, b);
}

static void test_set_empty_source(void) {
  mlx_array a = mlx_array_new_int(1);
  FAILS(mlx_array_set(&a, mlx_array_new()));
  IS(a, ": 1");
  FAILS(mlx_array_set(NULL, a));
  FAILS(mlx_array_set_int(NULL, 1));
  drop(a);
}

static void test_eval(void) {
  mlx_array a = floats("1 2 3"), sum = mlx_array_new();
  OK(mlx_add(&sum, a, a, cpu));
  OK(mlx_array_eval(sum));
  CHECK_CLOSE(6, mlx_array_data_float32(sum)[2], 0);
  OK(mlx_array_eval(sum));
  drop(a, sum);
}

/* The data of an array that was not computed yet cannot be read. */
static void test_data_before_eval(void) {
  mlx_array a = floats("1 2 3"), sum = mlx_array_new();
  OK(mlx_add(&sum, a, a, cpu));
  REJECTS(mlx_array_data_float32(sum) == NULL);
  OK(mlx_array_eval(sum));
  CHECK_CLOSE(2, mlx_array_data_float32(sum)[0], 0);
  drop(a, sum);
}

static void test_null_handles(void) {
  mlx_array none = mlx_array_new();
  CHECK(none.ctx == NULL);
  OK(mlx_array_free(none));
  FAILS(mlx_array_eval(none));
  REJECTS(mlx_array_size(none) == 0);
  REJECTS(mlx_array_nbytes(none) == 0);
  REJECTS(mlx_array_itemsize(none) == 0);
  REJECTS(mlx_array_ndim(none) == 0);
  REJECTS(mlx_array_shape(none) == NULL);
  REJECTS(mlx_array_strides(none) == NULL);
  REJECTS(mlx_array_dim(none, 0) == 0);
  REJECTS(mlx_array_dtype(none) == (mlx_dtype)0);
}

static void test_bad_arguments(void) {
  const int shape[1] = {2}, negative[1] = {-1};
  const float raw[2] = {1, 2};
  mlx_array kept = mlx_array_new_int(1);
  REJECTS(mlx_array_new_data(raw, shape, 1, (mlx_dtype)99).ctx == NULL);
  REJECTS(mlx_array_new_data(raw, NULL, 1, MLX_FLOAT32).ctx == NULL);
  REJECTS(mlx_array_new_data(NULL, shape, 1, MLX_FLOAT32).ctx == NULL);
  REJECTS(mlx_array_new_data(raw, negative, 1, MLX_FLOAT32).ctx == NULL);
  REJECTS(mlx_array_new_data(raw, shape, -1, MLX_FLOAT32).ctx == NULL);
  REJECTS(mlx_dtype_size((mlx_dtype)99) == 0);
  FAILS(mlx_array_set_data(&kept, raw, shape, 1, (mlx_dtype)99));
  IS(kept, ": 1");
  drop(kept);
}

int main(void) {
  begin();
  GROUP("dtypes", test_dtype_sizes, test_scalars);
  GROUP("item and data", test_items, test_item_evaluates);
  GROUP("shape and text", test_shape, test_empty_array, test_tostring);
  GROUP("set", test_set, test_set_keeps_other_handles, test_set_empty_source);
  GROUP("eval and bad arguments", test_eval, test_data_before_eval, test_null_handles, test_bad_arguments);
  return end();
}
