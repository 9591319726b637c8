/* Operations that compute, where their arguments are not regular (see dispatch/arguments.h): choices, scans, reductions, sums of
 * products and convolutions. */

#include "dispatch/conversions.h"

#include "mlxffi/mlxffi.h"

#include <string.h>

/* --- choices --- */

/* condition, x, y, stream */
static PyObject *where(Value *v) {
  mlx_array made = {0};
  if (!beside(&v[0], MLX_BOOL)) {
    return NULL;
  }
  mlx_where(&made, v[0].array, v[1].array, v[2].array, v[3].stream);
  return one(made);
}

/* --- scans that take no dtype --- */

/* a, axis, reverse, inclusive, stream */
#define SCAN(name)                                                                                  \
  static PyObject *name(Value *v) {                                                                 \
    mlx_array made = {0};                                                                           \
    if (!v[1].given && !flatten(&v[0], v[4].stream)) {                                              \
      return NULL;                                                                                  \
    }                                                                                               \
    mlx_##name(&made, v[0].array, (int)v[1].integer, v[2].flag, v[3].flag, v[4].stream);            \
    return one(made);                                                                               \
  }

SCAN(cumsum)
SCAN(cumprod)

/* --- sums along a diagonal --- */

/* a, offset, axis1, axis2, dtype, stream: bool is counted as int32 */
static PyObject *trace(Value *v) {
  mlx_array made = {0};
  int own = (int)mlx_array_dtype(v[0].array), dtype = v[4].given ? (int)v[4].integer : own == MLX_BOOL ? MLX_INT32 : own;
  mlx_trace(&made, v[0].array, (int)v[1].integer, (int)v[2].integer, (int)v[3].integer, (mlx_dtype)dtype, v[5].stream);
  return one(made);
}

/* --- sums of products --- */

/* What is in a sequence of two; false after an exception. */
static bool convert_two(Value *first, Value *second, char letter, const char *function, const char *name, PyObject *two) {
  PyObject *items[] = {PySequence_GetItem(two, 0), PySequence_GetItem(two, 1)};
  bool read = items[0] && items[1] && convert_object(first, letter, function, name, items[0]) &&
              convert_object(second, letter, function, name, items[1]);
  Py_XDECREF(items[0]);
  Py_XDECREF(items[1]);
  return read;
}

/* The two lists of axes of a list; false after an exception. */
static bool read_axes(Value *first, Value *second, PyObject *axes) {
  if (PySequence_Size(axes) != 2) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[tensordot] axes must be a list of two lists.");
  }
  return convert_two(first, second, 'n', "tensordot", "axes", axes);
}

/* a, b, axes, stream */
static PyObject *tensordot(Value *v) {
  mlx_array made = {0};
  Value first = {0}, second = {0};
  bool lists = PyList_Check(v[2].object) || PyTuple_Check(v[2].object);
  bool read = lists ? read_axes(&first, &second, v[2].object)
                    : convert_object(&first, 'i', "tensordot", "axes", v[2].object);
  if (read && lists) {
    mlx_tensordot(&made, v[0].array, v[1].array, first.ints, ints_of(&first), second.ints, ints_of(&second), v[3].stream);
  } else if (read) {
    mlx_tensordot_axis(&made, v[0].array, v[1].array, (int)first.integer, v[3].stream);
  }
  free_value(&first, 'n');
  free_value(&second, 'n');
  return read ? one(made) : NULL;
}

/* --- convolutions --- */

static bool is_list(PyObject *object) {
  return PyList_Check(object) || PyTuple_Check(object);
}

/* One list or int for both sides, or a pair of lists; false after an exception. */
static bool read_padding(Value *low, Value *high, PyObject *padding) {
  const char *function = "conv_general", *name = "padding";
  PyObject *first = is_list(padding) && PySequence_Size(padding) == 2 ? PySequence_GetItem(padding, 0) : NULL;
  bool pair = first && is_list(first);
  Py_XDECREF(first);
  return pair ? convert_two(low, high, 'N', function, name, padding)
              : convert_object(low, 'N', function, name, padding) && convert_object(high, 'N', function, name, padding);
}

/* input, weight, stride, padding, kernel_dilation, input_dilation, groups, flip, stream */
static PyObject *conv_general(Value *v) {
  mlx_array made = {0};
  Value low = {0}, high = {0};
  const Value *stride = &v[2], *kernel = &v[4], *input = &v[5];
  bool read = read_padding(&low, &high, v[3].object);
  if (read) {
    mlx_conv_general(&made, v[0].array, v[1].array, stride->ints, ints_of(stride), low.ints, ints_of(&low), high.ints,
                     ints_of(&high), kernel->ints, ints_of(kernel), input->ints, ints_of(input), (int)v[6].integer,
                     v[7].flag, v[8].stream);
  }
  free_value(&low, 'N');
  free_value(&high, 'N');
  return read ? one(made) : NULL;
}

/* The signal with zeros on both ends, which the convolution itself only puts on both alike. */
static mlx_array padded(mlx_array signal, int before, int after, mlx_stream stream) {
  mlx_array made = {0}, zero = mlx_array_new_int(0);
  mlx_pad(&made, signal, (int[]){1}, 1, &before, 1, &after, 1, zero, "constant", stream);
  mlx_array_free(zero);
  return made;
}

/* How many zeros stand before and after the signal for a kernel of a size. */
static void overlap(const char *mode, int size, int *before, int *after) {
  bool full = !strcmp(mode, "full"), same = !strcmp(mode, "same");
  *before = full ? size - 1 : same ? size / 2 : 0;
  *after = same && size % 2 == 0 && *before ? *before - 1 : *before;
}

static const char *wrong_with(mlx_array a, mlx_array b, const char *mode) {
  if (mlx_array_ndim(a) != 1 || mlx_array_ndim(b) != 1) {
    return "[convolve] Inputs must be 1D.";
  }
  if (!mlx_array_size(a) || !mlx_array_size(b)) {
    return "[convolve] Inputs cannot be empty.";
  }
  return strcmp(mode, "full") && strcmp(mode, "same") && strcmp(mode, "valid") ? "[convolve] Invalid mode." : NULL;
}

/* a, v, mode, stream */
static PyObject *convolve(Value *v) {
  mlx_array a = v[0].array, b = v[1].array, made = {0}, weights = {0}, signal = {0}, found = {0};
  size_t a_size = mlx_array_size(a), b_size = mlx_array_size(b);
  mlx_array longer = a_size < b_size ? b : a, shorter = a_size < b_size ? a : b;
  int size = (int)mlx_array_size(shorter), before, after;
  mlx_stream stream = v[3].stream;
  const char *wrong = wrong_with(a, b, v[2].text);
  if (wrong) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "%s", wrong);
  }
  overlap(v[2].text, size, &before, &after);
  bool done = mlx_slice(&made, shorter, (int[]){size - 1}, 1, (int[]){-size - 1}, 1, (int[]){-1}, 1, stream) == 0 &&
              mlx_reshape(&weights, made, (int[]){1, -1, 1}, 3, stream) == 0 &&
              mlx_reshape(&signal, longer, (int[]){1, -1, 1}, 3, stream) == 0;
  if (done && before != after) {
    mlx_array wider = padded(signal, before, after, stream);
    mlx_array_free(signal);
    signal = wider;
    before = 0;
    done = wider.ctx != NULL;
  }
  mlx_array_free(made);
  made = (mlx_array){0};
  if (done && mlx_conv1d(&found, signal, weights, 1, before, 1, 1, stream) == 0) {
    mlx_reshape(&made, found, (int[]){-1}, 1, stream);
  }
  mlx_array_free(found);
  mlx_array_free(signal);
  mlx_array_free(weights);
  return one(made);
}

/* --- losses --- */

static bool on_cpu(mlx_stream stream) {
  mlx_device device = {0};
  mlx_device_type type = MLX_GPU;
  bool found = !mlx_stream_get_device(&device, stream) && !mlx_device_get_type(&type, device);
  mlx_device_free(device);
  return found && type == MLX_CPU;
}

/* Whether targets are the classes of rows of logits. */
static bool are_classes(mlx_array targets, mlx_array logits) {
  size_t ndim = mlx_array_ndim(targets);
  bool fit = !is_inexact(targets) && mlx_array_dtype(targets) != MLX_BOOL && ndim + 1 == mlx_array_ndim(logits);
  return fit && is_inexact(logits) && mlx_array_dtype(logits) != MLX_COMPLEX64 &&
         !memcmp(mlx_array_shape(targets), mlx_array_shape(logits), ndim * sizeof(int));
}

/* Targets, a new array, of which negative ones counted from the last class. */
static mlx_array from_zero(mlx_array targets, int64_t classes, mlx_stream stream) {
  mlx_array wide = {0}, made = {0}, count = mlx_array_new_data(&classes, NULL, 0, MLX_INT64);
  if (count.ctx && !mlx_astype(&wide, targets, MLX_INT64, stream)) {
    mlx_remainder(&made, wide, count, stream);
  }
  mlx_array_free(wide);
  mlx_array_free(count);
  return made;
}

static bool is_signed(mlx_array array) {
  mlx_dtype dtype = mlx_array_dtype(array);
  return dtype == MLX_INT8 || dtype == MLX_INT16 || dtype == MLX_INT32 || dtype == MLX_INT64;
}

/* logits, targets, stream */
static PyObject *cross_entropy(Value *v) {
  mlx_array logits = v[0].array, targets = {0}, losses = {0}, made = {0};
  mlx_stream stream = v[2].stream;
  if (!are_classes(v[1].array, logits) || !on_cpu(stream)) {
    mlx_fast_cross_entropy(&made, logits, v[1].array, stream);
    return one(made);
  }
  if (is_signed(v[1].array)) {
    targets = from_zero(v[1].array, mlx_array_shape(logits)[mlx_array_ndim(logits) - 1], stream);
  } else {
    mlx_array_set(&targets, v[1].array);
  }
  mlx_optional_int none = {0, false};
  if (targets.ctx &&
      !mlxffi_cross_entropy(&losses, logits, targets, (mlx_array){0}, none, 0.0, MLXFFI_REDUCTION_NONE, stream)) {
    mlx_astype(&made, losses, MLX_FLOAT32, stream);
  }
  mlx_array_free(losses);
  mlx_array_free(targets);
  return one(made);
}

/* The arrays that one array, or a list or tuple of them, stands for, as a new vector; an empty one after an exception. */
static mlx_vector_array one_or_more(PyObject *object, const char *name) {
  mlx_vector_array made = {0};
  PyObject *sequence = array_of(object) ? PyTuple_Pack(1, object) : Py_NewRef(object);
  if (sequence && pack_all(&made, sequence) == OTHERS) {
    const char *text = "depends(): %s: expected an array or a sequence of arrays, got %R";
    object == Py_None ? PyErr_Format(PyExc_TypeError, text, name, object)
                      : refused(MLXFFI_ERROR_OTHER, text, name, Py_TYPE(object));
  }
  Py_XDECREF(sequence);
  return made;
}

/* inputs, dependencies: one array for one, else a list */
static PyObject *depends(Value *v) {
  mlx_vector_array made = {0}, inputs = one_or_more(v[0].object, "inputs"), others = {0};
  mlx_array first = {0};
  if (inputs.ctx && (others = one_or_more(v[1].object, "dependencies")).ctx) {
    mlx_depends(&made, inputs, others);
  }
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(others);
  if (PyErr_Occurred() || !made.ctx || !array_of(v[0].object)) {
    return PyErr_Occurred() ? NULL : listed(made);
  }
  mlx_vector_array_get(&first, made, 0);
  mlx_vector_array_free(made);
  return one(first);
}

const Row numeric_rows[] = {
  {"depends", "oo", depends},
  {"fast_cross_entropy", "aas", cross_entropy},
  {"where", "olls", where},
  {"cumsum method", "aIbbs", cumsum},
  {"cumprod method", "aIbbs", cumprod},
  {"trace", "aiiiDs", trace},
  {"tensordot", "aaos", tensordot},
  {"conv_general", "aaNoNNibs", conv_general},
  {"convolve", "aats", convolve},
  {NULL, NULL, NULL},
};
