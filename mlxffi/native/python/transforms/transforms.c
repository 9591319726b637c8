/* Calls of C that take functions of Python, or lists of arrays, as functions of the module (see dispatch/arguments.h).
 *
 * They keep the GIL, for they only build graphs, and no lock is held while a function of Python runs. What evaluates
 * gives the GIL up.
 */

#include "dispatch/conversions.h"
#include "objects/handle.h"

/* --- results --- */

static PyObject *list_of(int failed, mlx_vector_array vector) {
  PyObject *list = NULL;
  if (failed) {
    raise_failure();
  } else {
    /* One that MLX swallowed. */
    forget_exception();
    list = share_all(vector, false);
  }
  mlx_vector_array_free(vector);
  release_dropped();
  return list;
}

static PyObject *pair_of(int failed, mlx_vector_array first, mlx_vector_array second) {
  PyObject *left = list_of(failed, first);
  PyObject *right = left ? share_all(second, false) : NULL;
  PyObject *pair = right ? PyTuple_Pack(2, left, right) : NULL;
  mlx_vector_array_free(second);
  Py_XDECREF(left);
  Py_XDECREF(right);
  return pair;
}

/* --- functions that are traced by the call --- */

typedef int Product(mlx_vector_array *, mlx_vector_array *, const mlx_closure, const mlx_vector_array,
                    const mlx_vector_array);

/* A function of some inputs, these, and one array beside each input or output. */
static PyObject *product(Product *call, const char *name, const char *what, Value *v) {
  mlx_vector_array outputs = {0}, products = {0};
  Trace trace = {.function = v[0].object, .what = what};
  if (!PyCallable_Check(trace.function)) {
    return PyErr_Format(PyExc_TypeError, "%s(): fun: expected a callable, got %R", name, Py_TYPE(trace.function));
  }
  begin_trace(&trace);
  int failed = call(&outputs, &products, traced_closure, v[1].vector, v[2].vector);
  end_trace(&trace);
  return pair_of(failed, outputs, products);
}

static PyObject *vjp(Value *v) {
  return product(&mlx_vjp, "vjp", "[vjp] the function", v);
}

static PyObject *jvp(Value *v) {
  return product(&mlx_jvp, "jvp", "[jvp] the function", v);
}

/* What differentiates whatever is traced, by the arrays in those places. */
static PyObject *gradient_closure(Value *v) {
  mlx_closure_value_and_grad made = {0};
  mlx_value_and_grad(&made, traced_closure, v[0].ints, ints_of(&v[0]));
  return new_handle('W', made.ctx);
}

/* A function, the closure that differentiates whatever is traced, the inputs, and what makes a list of arrays of a result
 * that is no array. */
static PyObject *value_and_grad(Value *v) {
  mlx_vector_array values = {0}, gradients = {0};
  Trace trace = {.function = v[0].object, .what = THE_FUNCTION, .unpack = v[3].object};
  begin_trace(&trace);
  int failed = mlx_closure_value_and_grad_apply(&values, &gradients, (mlx_closure_value_and_grad){v[1].handle}, v[2].vector);
  end_trace(&trace);
  return pair_of(failed, values, gradients);
}

/* --- vectorisation --- */

/* What becomes of the slices of inputs that were traced, and of what the function made of them. */
static PyObject *replaced_slices(Value *v, mlx_vector_array slices, mlx_vector_array outputs) {
  mlx_vector_array result = {0};
  Value out_axes;
  PyObject *list = NULL;
  if (convert_object(&out_axes, 'n', "vmap", "out_axes", v[3].object)) {
    begin_call();
    int failed = mlx_detail_vmap_replace(&result, v[1].vector, slices, outputs, v[2].ints, ints_of(&v[2]),
                                         out_axes.ints, ints_of(&out_axes));
    end_call();
    list = list_of(failed, result);
  }
  free_value(&out_axes, 'n');
  return list;
}

/* A function, its inputs and their axes, and a list which the function fills with the axes of its outputs. */
static PyObject *vmap(Value *v) {
  mlx_vector_array slices = {0}, outputs = {0};
  Trace trace = {.function = v[0].object, .what = THE_FUNCTION};
  begin_trace(&trace);
  int failed = mlx_detail_vmap_trace(&slices, &outputs, traced_closure, v[1].vector, v[2].ints, ints_of(&v[2]));
  end_trace(&trace);
  PyObject *list = failed ? raise_failure() : replaced_slices(v, slices, outputs);
  mlx_vector_array_free(slices);
  mlx_vector_array_free(outputs);
  return list;
}

/* One axis for each array of a list, counted from the front, where each has so many more. None where one has it not, or
 * where this is no int. */
static PyObject *same_axis(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  int axis, more;
  if (count != 3 || !PyList_Check(arguments[0]) || !read_int32(&more, arguments[2])) {
    return PyErr_Format(PyExc_TypeError, "same_axis() takes a list of arrays, an axis and an int");
  }
  PyObject *axes = read_int32(&axis, arguments[1]) ? PyList_New(0) : Py_NewRef(Py_None);
  for (Py_ssize_t i = 0; axes && axes != Py_None && i < PyList_Size(arguments[0]); i++) {
    mlx_array array = {array_of(PyList_GetItem(arguments[0], i))};
    int ndim = array.ctx ? (int)mlx_array_ndim(array) + more : -1;
    if (axis < -ndim || axis >= ndim) {
      Py_DECREF(axes);
      axes = Py_NewRef(Py_None);
    } else if (append_new(axes, PyLong_FromLong(axis < 0 ? axis + ndim : axis))) {
      Py_CLEAR(axes);
    }
  }
  return axes;
}

/* --- closures that are applied --- */

/* What a closure makes of some arrays. */
static PyObject *applied(mlx_closure closure, mlx_vector_array inputs) {
  mlx_vector_array outputs = {0};
  begin_call();
  int failed = mlx_closure_apply(&outputs, closure, inputs);
  end_call();
  return list_of(failed, outputs);
}

/* A closure, and its inputs. */
static PyObject *apply(Value *v) {
  return applied((mlx_closure){v[0].handle}, v[1].vector);
}

/* What a transformed closure makes of some arrays. It is given up: the graph keeps what it needs. */
static PyObject *applied_once(int failed, mlx_closure transformed, mlx_vector_array inputs) {
  PyObject *list = failed ? raise_last_error() : applied(transformed, inputs);
  mlx_closure_free(transformed);
  return list;
}

/* A function, and its inputs. */
static PyObject *checkpoint(Value *v) {
  mlx_closure transformed = {0}, function = new_closure(v[0].object);
  if (!function.ctx) {
    return NULL;
  }
  int failed = mlx_checkpoint(&transformed, function);
  mlx_closure_free(function);
  return applied_once(failed, transformed, v[1].vector);
}

/* A function, its rules for vjp, jvp and vmap, or None, and its inputs. */
static PyObject *custom_function(Value *v) {
  mlx_closure transformed = {0}, function = new_closure(v[0].object);
  mlx_closure_custom reverse = {0};
  mlx_closure_custom_jvp forward = {0};
  mlx_closure_custom_vmap vectorised = {0};
  if (v[1].given) {
    reverse = new_reverse_rule(v[1].object);
  }
  if (v[2].given) {
    forward = new_forward_rule(v[2].object);
  }
  if (v[3].given) {
    vectorised = new_vmap_rule(v[3].object);
  }
  bool made = !PyErr_Occurred();
  int failed = made && mlx_custom_function(&transformed, function, reverse, forward, vectorised);
  mlx_closure_free(function);
  mlx_closure_custom_free(reverse);
  mlx_closure_custom_jvp_free(forward);
  mlx_closure_custom_vmap_free(vectorised);
  return made ? applied_once(failed, transformed, v[4].vector) : NULL;
}

/* --- evaluation --- */

/* Evaluates the arrays of a list or tuple; waiting for it or not. */
static PyObject *evaluated(PyObject *arrays, int (*call)(const mlx_vector_array)) {
  Value value;
  int failed;
  if (!convert_object(&value, 'v', "eval", "arrays", arrays)) {
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS
  failed = call(value.vector);
  mlx_vector_array_free(value.vector);
  Py_END_ALLOW_THREADS
  return failed ? raise_last_error() : Py_NewRef(Py_None);
}

static PyObject *eval(PyObject *module, PyObject *arrays) {
  return evaluated(arrays, &mlx_eval);
}

static PyObject *async_eval(PyObject *module, PyObject *arrays) {
  return evaluated(arrays, &mlx_async_eval);
}

/* --- the module's part --- */

/* Which are called too often to be rows. */
PyMethodDef transform_functions[] = {
  {"eval", eval, METH_O, "Compute arrays, and wait."},
  {"async_eval", async_eval, METH_O, "Start to compute arrays."},
  {"same_axis", FAST(same_axis), "One axis for each array of a list, counted from the front; None where one has it not."},
  {NULL, NULL, 0, NULL},
};

const Row product_rows[] = {
  {"vjp", "ovv", vjp},
  {"jvp", "ovv", jvp},
  {NULL, NULL, NULL},
};

const AbiRow transform_rows[] = {
  {{"gradient_closure", "n", gradient_closure}, "argnums"},
  {{"value_and_grad", "oWvo", value_and_grad}, "function,closure,inputs,unpack"},
  {{"vmap", "ovno", vmap}, "function,inputs,in_axes,out_axes"},
  {{"apply", "Cv", apply}, "closure,inputs"},
  {{"checkpoint", "ov", checkpoint}, "function,inputs"},
  {{"custom_function", "oooov", custom_function}, "function,vjp,jvp,vmap,inputs"},
  {{NULL, NULL, NULL}, NULL},
};
