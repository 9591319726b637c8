/* Python's numbers as elements of arrays, and beside arrays (see scalar_promotion.h). */

#include "dispatch/scalar_promotion.h"

#include <string.h>

/* The C enum has them behind all others. */
bool is_inexact_dtype(int dtype) {
  return dtype >= MLX_FLOAT16;
}

/* --- floating point in 16 bits --- */

static uint16_t bfloat16_of(float number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    return (uint16_t)(bits >> 16 | 0x40);
  }
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Rounded to the nearest, ties to even; infinite from 65520 on. */
static uint16_t half_of(float number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  int exponent = (int)(bits >> 23 & 255) - 127;
  uint32_t digits = (bits & 0x7fffff) | 0x800000;
  if (exponent == 128) {
    return sign | (digits > 0x800000 ? 0x7e00 : 0x7c00);
  }
  if (exponent > 15 || exponent < -25) {
    return sign | (exponent > 15 ? 0x7c00 : 0);
  }
  /* Half has 11 digits, and none below 2**-24. */
  int lost = exponent >= -14 ? 13 : -1 - exponent;
  uint32_t rest = digits & ((1u << lost) - 1), middle = 1u << (lost - 1);
  digits >>= lost;
  digits += rest > middle || (rest == middle && digits & 1);
  return (uint16_t)(sign + (exponent >= -14 ? (uint32_t)(exponent + 14) << 10 : 0) + digits);
}

/* --- elements --- */

/* The low bytes of it, whatever the byte order. */
static void write_integer(void *target, int dtype, int64_t value) {
  switch (dtype) {
    case MLX_BOOL:
    case MLX_UINT8:
    case MLX_INT8:
      *(int8_t *)target = (int8_t)value;
      break;
    case MLX_UINT16:
    case MLX_INT16:
      *(int16_t *)target = (int16_t)value;
      break;
    case MLX_UINT32:
    case MLX_INT32:
      *(int32_t *)target = (int32_t)value;
      break;
    default:
      *(int64_t *)target = value;
  }
}

/* A float as an integer. Where it does not fit, C leaves the answer to the processor, and MLX's is that, too. */
#if defined(__x86_64__)
/* The smallest integer. */
static int64_t truncated(int dtype, double value) {
  if (mlx_dtype_size((mlx_dtype)dtype) <= 2 || dtype == MLX_INT32) {
    return value > -0x1p31 - 1 && value < 0x1p31 ? (int64_t)value : INT32_MIN;
  }
  if (dtype == MLX_UINT64 && value >= 0x1p63) {
    return value < 0x1p64 ? (int64_t)(uint64_t)value : 0;
  }
  return value > -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;
}
#else
/* The nearest integer of 32 or 64 bits, and zero for NaN. */
static int64_t truncated(int dtype, double value) {
  bool natural = dtype <= MLX_UINT64;
  int bits = mlx_dtype_size((mlx_dtype)dtype) <= 4 ? 32 : 64;
  uint64_t largest = UINT64_MAX >> (natural ? 64 - bits : 65 - bits);
  if (value >= (double)largest) {
    return (int64_t)largest;
  }
  if (natural) {
    return value > 0 ? (int64_t)(uint64_t)value : 0;
  }
  double least = -(double)largest - 1;
  return value >= least ? (int64_t)value : value < least ? (int64_t)least : 0;
}
#endif

static void write_real(void *target, int dtype, double value) {
  switch (dtype) {
    case MLX_BOOL:
      *(bool *)target = value != 0;
      break;
    case MLX_FLOAT16:
      *(uint16_t *)target = half_of((float)value);
      break;
    case MLX_BFLOAT16:
      *(uint16_t *)target = bfloat16_of((float)value);
      break;
    case MLX_FLOAT32:
      *(float *)target = (float)value;
      break;
    case MLX_FLOAT64:
      *(double *)target = value;
      break;
    case MLX_COMPLEX64:
      ((float *)target)[0] = (float)value;
      ((float *)target)[1] = 0;
      break;
    default:
      write_integer(target, dtype, truncated(dtype, value));
  }
}

void write_number(void *target, int dtype, Reading reading, PyObject *object) {
  bool plain = PyFloat_CheckExact(object), whole = !plain && PyLong_Check(object);
  if (whole && reading == AS_IT_IS && !is_inexact_dtype(dtype)) {
    int overflow;
    int64_t value = PyLong_AsLongLongAndOverflow(object, &overflow);
    write_integer(target, dtype, dtype == MLX_BOOL ? value != 0 : value);
    return;
  }
  bool both = !plain && !whole && PyComplex_Check(object);
  double real = whole  ? (double)PyLong_AsLongLong(object)
                : both ? PyComplex_RealAsDouble(object)
                       : PyFloat_AsDouble(object);
  write_real(target, dtype, reading == AS_FLOAT32 && dtype != MLX_COMPLEX64 ? (float)real : real);
  if (both && dtype == MLX_COMPLEX64) {
    ((float *)target)[1] = (float)PyComplex_ImagAsDouble(object);
  }
}

/* --- beside arrays --- */

/* Whether a dtype holds an integer as it is. Floating-point dtypes round. */
static bool holds(int dtype, int64_t value) {
  static const int64_t least[] = {[MLX_INT8] = INT8_MIN, [MLX_INT16] = INT16_MIN, [MLX_INT32] = INT32_MIN, [MLX_INT64] = INT64_MIN};
  static const int64_t most[] = {0,        UINT8_MAX, UINT16_MAX, UINT32_MAX, INT64_MAX,
                                 INT8_MAX, INT16_MAX, INT32_MAX,  INT64_MAX};
  return dtype > MLX_INT64 || (value >= least[dtype] && value <= most[dtype]);
}

/* The dtype that a number takes beside an array of another, or, for -1, alone; -1 where Python knows. */
static int dtype_beside(int dtype, PyObject *number) {
  int64_t value;
  if (PyFloat_CheckExact(number)) {
    return dtype < MLX_FLOAT16 || dtype == MLX_COMPLEX64 ? MLX_FLOAT32 : dtype;
  }
  int wanted = dtype <= MLX_BOOL ? MLX_INT32 : dtype;
  return read_int64(&value, number) && holds(wanted, value) ? wanted : -1;
}

bool number_beside(mlx_array *made, int dtype, PyObject *number) {
  char memory[sizeof(double)];
  int own = dtype_beside(dtype, number);
  if (own >= 0) {
    write_number(memory, own, AS_IT_IS, number);
    *made = mlx_array_new_data(memory, NULL, 0, (mlx_dtype)own);
  }
  return own >= 0 && made->ctx;
}

mlx_array converted(mlx_array made, int dtype) {
  mlx_array result = {0};
  mlx_astype(&result, made, (mlx_dtype)dtype, mlxffi_default_stream());
  mlx_array_free(made);
  return result;
}
