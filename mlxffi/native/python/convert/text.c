/* Arrays as text, as operations (see operation.h): in MLX's own words, and floating point with the digits asked for. */

#include "dispatch/operation.h"

#include <math.h>
#include <string.h>

/* Of an axis with more elements than twice EDGE the first and last EDGE are shown. */
#define EDGE 3
#define DEFAULT_PRECISION -1
#define USUAL_DIGITS 6
#define MOST_DIGITS 100

static const char prefix[] = "array(";

/* --- text that grows --- */

typedef struct {
  char *memory;
  size_t size, capacity;
} Text;

static bool append(Text *text, const char *more, size_t size) {
  if (text->size + size > text->capacity) {
    size_t capacity = 2 * (text->size + size) + 64;
    char *grown = PyMem_Realloc(text->memory, capacity);
    if (!grown) {
      PyErr_NoMemory();
      return false;
    }
    text->memory = grown;
    text->capacity = capacity;
  }
  memcpy(text->memory + text->size, more, size);
  text->size += size;
  return true;
}

static bool append_words(Text *text, const char *words) {
  return append(text, words, strlen(words));
}

/* --- numbers --- */

static bool append_real(Text *text, double value, int digits) {
  if (isnan(value) && signbit(value)) {
    return append_words(text, "-nan");
  }
  char *made = PyOS_double_to_string(value, 'f', digits, 0, NULL);
  bool appended = made && append_words(text, made);
  PyMem_Free(made);
  return appended;
}

static bool append_element(Text *text, const char *at, int dtype, int digits) {
  PyObject *element = element_at(at, dtype);
  if (!element) {
    return false;
  }
  double imaginary = PyComplex_ImagAsDouble(element);
  bool appended = append_real(text, PyComplex_RealAsDouble(element), digits);
  if (dtype == MLX_COMPLEX64) {
    /* As MLX does: the sign of what is not less than zero comes behind a plus. */
    appended = appended && (imaginary < 0 || append_words(text, "+"));
    appended = appended && append_real(text, imaginary, digits) && append_words(text, "j");
  }
  Py_DECREF(element);
  return appended;
}

/* --- nested rows --- */

typedef struct {
  mlx_array array;
  int ndim, dtype, digits;
  Py_ssize_t itemsize;
} Printed;

/* What stands between the elements or rows of an axis: rows begin a line below the first one. */
static bool append_gap(Text *text, const Printed *printed, int axis) {
  bool appended = append_words(text, axis == printed->ndim - 1 ? ", " : ",\n");
  for (int i = 0; axis < printed->ndim - 1 && appended && i < (int)strlen(prefix) + axis + 1; i++) {
    appended = append_words(text, " ");
  }
  return appended;
}

static bool append_axis(Text *text, const Printed *printed, const char *at, int axis) {
  if (axis == printed->ndim) {
    return append_element(text, at, printed->dtype, printed->digits);
  }
  Py_ssize_t step = (Py_ssize_t)mlx_array_strides(printed->array)[axis] * printed->itemsize;
  int size = mlx_array_shape(printed->array)[axis];
  bool appended = append_words(text, "[");
  for (int i = 0; i < size && appended; i++) {
    appended = !i || append_gap(text, printed, axis);
    if (i == EDGE && size > 2 * EDGE) {
      appended = appended && append_words(text, "...") && append_gap(text, printed, axis);
      i = size - EDGE;
    }
    appended = appended && append_axis(text, printed, at + i * step, axis + 1);
  }
  return appended && append_words(text, "]");
}

static const char *name_of(int dtype) {
  switch (dtype) {
    case MLX_FLOAT16:
      return "float16";
    case MLX_FLOAT32:
      return "float32";
    case MLX_FLOAT64:
      return "float64";
    case MLX_BFLOAT16:
      return "bfloat16";
    default:
      return "complex64";
  }
}

/* The text of a computed array of floating point. */
static PyObject *with_digits(mlx_array array, int digits) {
  Printed printed = {array, (int)mlx_array_ndim(array), mlx_array_dtype(array), digits,
                     (Py_ssize_t)mlx_array_itemsize(array)};
  Text text = {0};
  PyObject *made = NULL;
  const char *start = mlx_array_size(array) ? elements_of(array) : NULL;
  if (append_words(&text, prefix) && append_axis(&text, &printed, start, 0) && append_words(&text, ", dtype=") &&
      append_words(&text, name_of(printed.dtype)) && append_words(&text, ")")) {
    made = PyUnicode_FromStringAndSize(text.memory, (Py_ssize_t)text.size);
  }
  PyMem_Free(text.memory);
  return made;
}

/* --- in MLX's words --- */

/* C++ writes Python's bools where mlx.core was loaded, which tells it to, and else its own. */
static void capitalize(char *text, const char *word) {
  for (char *found = strstr(text, word); found; found = strstr(found, word)) {
    *found -= 'a' - 'A';
  }
}

static PyObject *with_bools(const char *words) {
  Text text = {0};
  PyObject *made = NULL;
  if (append(&text, words, strlen(words) + 1)) {
    capitalize(text.memory, "true");
    capitalize(text.memory, "false");
    made = PyUnicode_FromString(text.memory);
  }
  PyMem_Free(text.memory);
  return made;
}

static PyObject *in_words_of_mlx(mlx_array array) {
  mlx_string string = {0};
  if (mlx_array_tostring(&string, array)) {
    raise_last_error();
    return NULL;
  }
  const char *words = mlx_string_data(string);
  PyObject *text = mlx_array_dtype(array) == MLX_BOOL ? with_bools(words) : PyUnicode_FromString(words);
  mlx_string_free(string);
  return text;
}

/* array, precision. Python waits for an array that is not computed yet. */
static PyObject *described(Value *v) {
  bool available = false;
  mlx_array array = v[0].array, kept = {0};
  int64_t precision = v[1].integer;
  if (_mlx_array_is_available(&available, array) || !available || precision > MOST_DIGITS) {
    return left_to_python;
  }
  /* Making text may run any code: the memory is held until it is made. */
  if (mlx_array_set(&kept, array)) {
    raise_last_error();
    return NULL;
  }
  bool words = precision == DEFAULT_PRECISION || !is_inexact(kept);
  PyObject *text = words ? in_words_of_mlx(kept) : with_digits(kept, precision < 0 ? USUAL_DIGITS : (int)precision);
  mlx_array_free(kept);
  return text;
}

const Row text_rows[] = {
  {"described", "ai", described},
  {NULL, NULL, NULL},
};
