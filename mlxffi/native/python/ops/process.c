/* Memory, devices and streams of the process, what is computed before what, and what dtypes are to each other, as operations (see operation.h). */

#include "dispatch/operation.h"

#include <string.h>


static PyObject *flag_after(int failed, bool flag) {
  if (failed) {
    raise_last_error();
    return NULL;
  }
  return PyBool_FromLong(flag);
}

static PyObject *bytes_after(int failed, size_t bytes) {
  if (failed) {
    raise_last_error();
    return NULL;
  }
  return PyLong_FromSize_t(bytes);
}

/* --- memory --- */

#define READ(name)                                \
  static PyObject *name(Value *v) {               \
    size_t bytes = 0;                             \
    (void)v;                                      \
    int failed = mlx_##name(&bytes);              \
    return bytes_after(failed, bytes);            \
  }
#define LIMIT(name)                                            \
  static PyObject *name(Value *v) {                            \
    size_t before = 0;                                         \
    int failed = mlx_##name(&before, (size_t)v[0].integer);    \
    return bytes_after(failed, before);                        \
  }

READ(get_active_memory)
READ(get_peak_memory)
READ(get_cache_memory)
READ(get_memory_limit)
LIMIT(set_memory_limit)
LIMIT(set_cache_limit)
LIMIT(set_wired_limit)

static PyObject *clear_cache(Value *v) {
  (void)v;
  return none_after(mlx_clear_cache());
}

static PyObject *reset_peak_memory(Value *v) {
  (void)v;
  return none_after(mlx_reset_peak_memory());
}

/* --- devices and streams --- */

static PyObject *metal_is_available(Value *v) {
  bool found = false;
  (void)v;
  int failed = mlx_metal_is_available(&found);
  return flag_after(failed, found);
}

static PyObject *cuda_is_available(Value *v) {
  bool found = false;
  (void)v;
  int failed = mlx_cuda_is_available(&found);
  return flag_after(failed, found);
}

static PyObject *distributed_is_available(Value *v) {
  return PyBool_FromLong(mlx_distributed_is_available(v[0].text));
}

static PyObject *device_is_available(Value *v) {
  mlx_device device;
  bool made, found = false;
  if (!read_device(&device, &made, v[0].object)) {
    return left_to_python;
  }
  int failed = mlx_device_is_available(&found, device);
  if (made) {
    mlx_device_free(device);
  }
  return flag_after(failed, found);
}

static PyObject *set_default_device(Value *v) {
  mlx_device device;
  bool made;
  if (!read_device(&device, &made, v[0].object)) {
    return left_to_python;
  }
  int failed = mlx_set_default_device(device);
  if (made) {
    mlx_device_free(device);
  }
  return none_after(failed);
}

static PyObject *device_count(Value *v) {
  int count = 0, type = device_type_of(v[0].object);
  if (type < 0) {
    return left_to_python;
  }
  int failed = mlx_device_count(&count, (mlx_device_type)type);
  return bytes_after(failed, (size_t)count);
}

static PyObject *set_default_stream(Value *v) {
  mlx_stream stream = {stream_of(v[0].object)};
  return stream.ctx ? none_after(mlx_set_default_stream(stream)) : left_to_python;
}

static PyObject *default_device(Value *v) {
  mlx_device device = {0};
  (void)v;
  mlx_get_default_device(&device);
  return new_device(device);
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

/* --- between processes --- */

static const char *const backends[] = {"any", "mpi", "nccl", "jaccl", "ring"};

/* strict, backend, all_gather_factory */
static PyObject *distributed_init(Value *v) {
  bool known = false;
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    known |= !strcmp(v[1].text, backends[i]);
  }
  if (!known || v[2].object != Py_None) {
    return left_to_python;
  }
  mlx_distributed_group group = {0};
  mlx_distributed_init(&group, v[0].flag, v[1].text);
  return new_group(group);
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

#define FEW_ARRAYS 16

static PyObject *buffer_size(Value *v) {
  mlx_array arrays[FEW_ARRAYS];
  size_t bytes = 0, count = (size_t)v[0].count;
  bool all = count <= FEW_ARRAYS;
  for (size_t i = 0; i < count && all; i++) {
    arrays[i].ctx = is_array(v[0].items[i]) ? array_of(v[0].items[i]) : NULL;
    all = arrays[i].ctx != NULL;
  }
  if (!all) {
    return left_to_python;
  }
  mlx_vector_array vector = mlx_vector_array_new_data(arrays, count);
  int failed = !vector.ctx || mlx_get_array_buffer_size(&bytes, vector);
  mlx_vector_array_free(vector);
  return bytes_after(failed, bytes);
}

const Row process_rows[] = {
  {"get_active_memory", "", get_active_memory},
  {"get_peak_memory", "", get_peak_memory},
  {"get_cache_memory", "", get_cache_memory},
  {"get_memory_limit", "", get_memory_limit},
  {"set_memory_limit", "u", set_memory_limit},
  {"set_cache_limit", "u", set_cache_limit},
  {"set_wired_limit", "u", set_wired_limit},
  {"reset_peak_memory", "", reset_peak_memory},
  {"clear_cache", "", clear_cache},
  {"metal is_available", "", metal_is_available},
  {"cuda is_available", "", cuda_is_available},
  {"distributed is_available", "t", distributed_is_available},
  {"device is_available", "o", device_is_available},
  {"set_default_device", "o", set_default_device},
  {"device_count", "o", device_count},
  {"set_default_stream", "o", set_default_stream},
  {"default_device", "", default_device},
  {"default_stream", "o", default_stream},
  {"stream", "o", stream_context},
  {"compile_epoch", "", compile_epoch},
  {"disable_compile", "", disable_compile},
  {"enable_compile", "", enable_compile},
  {"distributed init", "bto", distributed_init},
  {"isdtype", "oo", isdtype},
  {"get_array_buffer_size", "*", buffer_size},
  {"depends", "aa", depends},
  {"result_type", "*", result_type},
  {"can_cast", "oo", can_cast},
  {"issubdtype", "oo", issubdtype},
  {NULL, NULL, NULL},
};
