/* Operations that compute, where their arguments are not regular (see operation.h): choices, scans, reductions, sums of
 * products and convolutions. */

#include "dispatch/operation.h"

#include "mlxffi/mlxffi.h"

#include <string.h>

/* --- choices --- */

static PyObject *where(Value *v) {
  mlx_array made = {0};
  mlx_where(&made, v[0].array, v[1].array, v[2].array, v[3].stream);
  return one(made);
}

static PyObject *clip(Value *v) {
  mlx_array made = {0}, low = {0}, high = {0}, a = v[0].array;
  bool read = (!v[1].given || number_beside(&low, a, v[1].object)) &&
              (!v[2].given || number_beside(&high, a, v[2].object));
  if (read) {
    mlx_clip(&made, a, low, high, v[3].stream);
  }
  mlx_array_free(low);
  mlx_array_free(high);
  return read ? one(made) : left_to_python;
}

/* --- scans --- */

typedef int Scan(mlx_array *result, const mlx_array a, int axis, bool reverse, bool inclusive, const mlx_stream s);

/* Along an axis; without one the array is flattened first. */
static PyObject *scan(Scan *call, Value *v, mlx_stream stream) {
  mlx_array made = {0}, flat = {0};
  if (v[1].given) {
    call(&made, v[0].array, (int)v[1].integer, v[2].flag, v[3].flag, stream);
  } else if (mlx_flatten(&flat, v[0].array, 0, -1, stream) == 0) {
    call(&made, flat, 0, v[2].flag, v[3].flag, stream);
    mlx_array_free(flat);
  }
  return one(made);
}

#define SCAN(name)                                        \
  static PyObject *name##_method(Value *v) {              \
    return scan(mlx_##name, v, v[4].stream);              \
  }

/* The function has a dtype too: Python knows what to do with one. */
#define SCAN_OF_DTYPE(name)                                                    \
  SCAN(name)                                                                   \
  static PyObject *name##_function(Value *v) {                                 \
    return v[4].given ? left_to_python : scan(mlx_##name, v, v[5].stream);     \
  }

SCAN_OF_DTYPE(cumsum)
SCAN_OF_DTYPE(cumprod)
SCAN(cummax)
SCAN(cummin)
SCAN(logcumsumexp)

/* --- convolutions --- */

static PyObject *conv_general(Value *v) {
  mlx_array made = {0};
  /* The padding is the same on both sides; Python knows of pairs of them. */
  const Value *stride = &v[2], *padding = &v[3], *kernel = &v[4], *input = &v[5];
  mlx_conv_general(&made, v[0].array, v[1].array, stride->ints, ints_of(stride), padding->ints, ints_of(padding),
                   padding->ints, ints_of(padding), kernel->ints, ints_of(kernel), input->ints, ints_of(input),
                   (int)v[6].integer, v[7].flag, v[8].stream);
  return one(made);
}

/* The signal with zeros on both ends, which the convolution itself only puts on both alike. */
static mlx_array padded(mlx_array signal, int before, int after, mlx_stream stream) {
  mlx_array made = {0}, zero = mlx_array_new_int(0);
  mlx_pad(&made, signal, (int[]){1}, 1, &before, 1, &after, 1, zero, "constant", stream);
  mlx_array_free(zero);
  return made;
}

/* How many zeros stand before and after the signal for a kernel of a size; false for an unknown mode. */
static bool overlap(const char *mode, int size, int *before, int *after) {
  bool full = !strcmp(mode, "full"), same = !strcmp(mode, "same");
  *before = full ? size - 1 : same ? size / 2 : 0;
  *after = same && size % 2 == 0 && *before ? *before - 1 : *before;
  return full || same || !strcmp(mode, "valid");
}

static PyObject *convolve(Value *v) {
  mlx_array a = v[0].array, b = v[1].array, made = {0}, weights = {0}, signal = {0}, found = {0};
  size_t a_size = mlx_array_size(a), b_size = mlx_array_size(b);
  mlx_array longer = a_size < b_size ? b : a, shorter = a_size < b_size ? a : b;
  int size = (int)mlx_array_size(shorter), before, after;
  mlx_stream stream = v[3].stream;
  if (mlx_array_ndim(a) != 1 || mlx_array_ndim(b) != 1 || !a_size || !b_size ||
      !overlap(v[2].text, size, &before, &after)) {
    return left_to_python;
  }
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
    return left_to_python;
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

const Row numeric_rows[] = {
  {"fused cross entropy", "aas", cross_entropy},
  {"where", "alls", where},
  {"clip", "aoos", clip},
  {"cumsum", "aIbbDs", cumsum_function},
  {"cumprod", "aIbbDs", cumprod_function},
  {"cumsum method", "aIbbs", cumsum_method},
  {"cumprod method", "aIbbs", cumprod_method},
  {"cummax", "aIbbs", cummax_method},
  {"cummin", "aIbbs", cummin_method},
  {"logcumsumexp", "aIbbs", logcumsumexp_method},
  {"conv_general", "aaNNNNibs", conv_general},
  {"convolve", "aats", convolve},
  {NULL, NULL, NULL},
};
