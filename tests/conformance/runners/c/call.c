/* A step: its arguments read from JSON, and the function called through the type of its class. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "lists.h"
#include "program.h"

enum { MAX_PARAMETERS = 24, MAX_NUMBERS = 64 };

/* One parameter, as its letter says. */
typedef struct {
  mlx_array array;
  mlx_vector_array vector;
  mlx_stream stream;
  int ints_of[MAX_NUMBERS];
  int64_t longs[MAX_NUMBERS];
  const int *ints;
  size_t size;
  int64_t integer;
  double number;
  const char *text;
  mlx_dtype dtype;
  mlx_optional_int some_int;
  mlx_optional_float some_float;
  mlx_optional_bool some_bool;
  mlx_optional_dtype some_dtype;
} parameter;

static mlx_dtype dtype_named(const char *name) {
  static const struct {
    const char *name;
    mlx_dtype dtype;
  } dtypes[] = {
      {"bool", MLX_BOOL},       {"uint8", MLX_UINT8},       {"uint16", MLX_UINT16},   {"uint32", MLX_UINT32},
      {"uint64", MLX_UINT64},   {"int8", MLX_INT8},         {"int16", MLX_INT16},     {"int32", MLX_INT32},
      {"int64", MLX_INT64},     {"float16", MLX_FLOAT16},   {"float32", MLX_FLOAT32}, {"float64", MLX_FLOAT64},
      {"bfloat16", MLX_BFLOAT16}, {"complex64", MLX_COMPLEX64},
  };
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
    if (strcmp(dtypes[i].name, name) == 0) {
      return dtypes[i].dtype;
    }
  }
  return MLX_BOOL;
}

/* "inf", "-inf" and "nan" are texts, which strtod knows. */
static double number_of(const json *arg) {
  return arg->kind == JSON_TEXT ? strtod(arg->text, NULL) : arg->number;
}

static void read_numbers(parameter *x, const json *list) {
  for (const json *each = list->first; each != NULL && x->size < MAX_NUMBERS; each = each->next) {
    x->ints_of[x->size] = (int)each->number;
    x->longs[x->size++] = (int64_t)each->number;
  }
  x->ints = list->kind == JSON_NULL ? NULL : x->ints_of;
}

static void read_optional(parameter *x, const json *arg) {
  bool given = arg->kind != JSON_NULL;
  x->some_int = (mlx_optional_int){(int)arg->number, given};
  x->some_float = (mlx_optional_float){(float)number_of(arg), given};
  x->some_bool = (mlx_optional_bool){arg->number != 0, given};
  x->some_dtype = (mlx_optional_dtype){dtype_named(given && arg->text ? arg->text : "bool"), given};
}

static int read_argument(parameter *x, char letter, const json *arg, const mlx_vector_array values) {
  if (arg == NULL) {
    return 1;
  }
  switch (letter) {
    case 'a': return arg->kind == JSON_NULL ? 0 : mlx_vector_array_get(&x->array, values, (size_t)arg->number);
    case 'v': x->vector = mlx_vector_array_new(); return append_places(x->vector, values, arg);
    case 'n':
    case 'q': read_numbers(x, arg); return 0;
    case 't': x->text = arg->text; return 0;
    case 'D': x->dtype = dtype_named(arg->text); return 0;
    case 'I':
    case 'F':
    case 'B':
    case 'T': read_optional(x, arg); return 0;
    default:
      x->number = number_of(arg);
      x->integer = isfinite(x->number) ? (int64_t)x->number : 0;
      return 0;
  }
}

/* Results stand empty, the stream is the thread's, the rest comes from `args`. */
static int read_parameters(parameter *x, const char *letters, const json *args, const mlx_vector_array values) {
  size_t taken = 0;
  for (size_t i = 0; letters[i] != 0; i++) {
    bool result = strchr("AV", letters[i]) != NULL;
    if (letters[i] == 's') {
      x[i].stream = mlx_default_cpu_stream_new();
    } else if (!result && read_argument(&x[i], letters[i], json_at(args, taken++), values) != 0) {
      return 1;
    }
  }
  return 0;
}

static int call_by_class(any_function called, const char *letters, parameter *x) {
#define CLASS(class_, types, arguments) \
  if (strcmp(letters, class_) == 0) {   \
    return ((int(*) types)called)arguments; \
  }
#include "classes.h"
#undef CLASS
  return 1;
}

/* What a call gave joins the values. */
static int take_results(parameter *x, const char *letters, mlx_vector_array values) {
  int status = 0;
  for (size_t i = 0; letters[i] != 0 && status == 0; i++) {
    if (letters[i] == 'A') {
      status = mlx_vector_array_append_value(values, x[i].array);
    }
    if (letters[i] == 'V') {
      status = append_all(values, x[i].vector);
    }
  }
  return status;
}

static void free_parameters(parameter *x) {
  for (size_t i = 0; i < MAX_PARAMETERS; i++) {
    mlx_array_free(x[i].array);
    mlx_vector_array_free(x[i].vector);
    mlx_stream_free(x[i].stream);
  }
  free(x);
}

int call_step(const json *step, mlx_vector_array values) {
  const char *letters = json_text(step, "class");
  any_function called = find_function(json_text(step, "call"));
  parameter *x = calloc(MAX_PARAMETERS, sizeof *x);
  int status = called == NULL || read_parameters(x, letters, json_get(step, "args"), values) ||
               call_by_class(called, letters, x) || take_results(x, letters, values);
  free_parameters(x);
  return status;
}
