/* Default streams, what is computed before what, and what dtypes are to each other, as operations (see operation.h). */

#include "dispatch/operation.h"

#include <string.h>

/* --- streams --- */

static PyObject *set_default_stream(Value *v) {
  mlx_stream stream = {stream_of(v[0].object)};
  return stream.ctx ? none_after(mlx_set_default_stream(stream)) : left_to_python;
}

/* Python knows how many devices there are. */
static PyObject *default_stream(Value *v) {
  mlx_device device;
  mlx_stream stream = {0};
  bool made;
  int type, index;
  if (!device_place(v[0].object, &type, &index) || index || !read_device(&device, &made, v[0].object)) {
    return left_to_python;
  }
  mlx_get_default_stream(&stream, device);
  if (made) {
    mlx_device_free(device);
  }
  return new_stream(stream);
}

static PyObject *stream_context(Value *v) {
  return new_context(v[0].object);
}

/* --- whether functions are compiled --- */

/* How often that was changed. */
static size_t compile_epochs;

static PyObject *compile_epoch(Value *v) {
  (void)v;
  return PyLong_FromSize_t(compile_epochs);
}

static PyObject *disable_compile(Value *v) {
  (void)v;
  compile_epochs++;
  return none_after(mlx_disable_compile());
}

static PyObject *enable_compile(Value *v) {
  (void)v;
  compile_epochs++;
  return none_after(mlx_enable_compile());
}

/* --- order --- */

/* One array, which is computed after another one. */
static PyObject *depends(Value *v) {
  mlx_array made = {0};
  mlx_vector_array found = {0};
  mlx_vector_array inputs = mlx_vector_array_new_value(v[0].array), others = mlx_vector_array_new_value(v[1].array);
  if (inputs.ctx && others.ctx && !mlx_depends(&found, inputs, others)) {
    mlx_vector_array_get(&made, found, 0);
  }
  mlx_vector_array_free(found);
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(others);
  return one(made);
}

/* --- dtypes --- */

/* By the number of the dtype: its kind and its size in bytes. */
static const char kinds[] = "buuuuiiiiffffc";
static const int widths[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 2, 8};

/* The number of a Dtype, or of that of an array; -1 for anything else. */
static int dtype_in(PyObject *object) {
  if (!is_array(object)) {
    return read_dtype(object);
  }
  mlx_array array = {array_of(object)};
  return array.ctx ? (int)mlx_array_dtype(array) : -1;
}

static PyObject *result_type(Value *v) {
  int found = v[0].count ? dtype_in(v[0].items[0]) : -1;
  for (int i = 1; i < v[0].count && found >= 0; i++) {
    int other = dtype_in(v[0].items[i]);
    found = other < 0 ? -1 : promoted(found, other);
  }
  return found < 0 ? left_to_python : dtype_object(found);
}

static PyObject *can_cast(Value *v) {
  int from = dtype_in(v[0].object), to = read_dtype(v[1].object);
  if (from < 0 || to < 0) {
    return left_to_python;
  }
  bool inexact = kinds[to] == 'f' || kinds[to] == 'c';
  bool whole = kinds[from] == 'b' || kinds[from] == 'u' || kinds[from] == 'i';
  if ((kinds[from] == 'u' && kinds[to] == 'i') || (whole && inexact)) {
    return PyBool_FromLong(inexact || widths[to] > widths[from]);
  }
  return PyBool_FromLong(promoted(from, to) == to);
}

static PyObject *issubdtype(Value *v) {
  int of = read_dtype(v[0].object), in = read_dtype(v[1].object);
  if (of < 0) {
    return left_to_python;
  }
  return in >= 0 ? PyBool_FromLong(of == in) : is_in_category(of, v[1].object);
}

/* How the array API standard calls kinds of dtypes, and the letters of these. */
static const struct {
  const char *name, *letters;
} kinds_named[] = {
  {"bool", "b"},
  {"signed integer", "i"},
  {"unsigned integer", "u"},
  {"integral", "iu"},
  {"real floating", "f"},
  {"complex floating", "c"},
  {"numeric", "iufc"},
};

/* Whether a dtype is another one, or of a kind; -1 for anything else. */
static int is_of(int dtype, PyObject *kind) {
  if (!PyUnicode_Check(kind)) {
    int other = read_dtype(kind);
    return other < 0 ? -1 : other == dtype;
  }
  for (size_t i = 0; i < sizeof kinds_named / sizeof *kinds_named; i++) {
    if (!PyUnicode_CompareWithASCIIString(kind, kinds_named[i].name)) {
      return strchr(kinds_named[i].letters, kinds[dtype]) != NULL;
    }
  }
  return -1;
}

/* As in Python, what comes behind a kind that it is of is not looked at. */
static PyObject *isdtype(Value *v) {
  int dtype = read_dtype(v[0].object), found = 0;
  PyObject *kind = v[1].object;
  if (dtype < 0) {
    return left_to_python;
  }
  if (!PyTuple_Check(kind)) {
    found = is_of(dtype, kind);
  }
  for (Py_ssize_t i = 0; PyTuple_Check(kind) && i < PyTuple_Size(kind) && !found; i++) {
    found = is_of(dtype, PyTuple_GetItem(kind, i));
  }
  return found < 0 ? left_to_python : PyBool_FromLong(found);
}

const Row process_rows[] = {
  {"set_default_stream", "o", set_default_stream},
  {"default_stream", "o", default_stream},
  {"stream", "o", stream_context},
  {"compile_epoch", "", compile_epoch},
  {"disable_compile", "", disable_compile},
  {"enable_compile", "", enable_compile},
  {"isdtype", "oo", isdtype},
  {"depends", "aa", depends},
  {"result_type", "*", result_type},
  {"can_cast", "oo", can_cast},
  {"issubdtype", "oo", issubdtype},
  {NULL, NULL, NULL},
};
