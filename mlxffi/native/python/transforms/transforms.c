/* Calls of C that take functions of Python, or trees of arrays: a list of arrays goes in and comes out, and nothing on
 * the way goes through cffi.
 *
 * They keep the GIL, for they only build graphs, and no lock is held while a function of Python runs. What evaluates
 * gives the GIL up.
 */

#include "objects/handle.h"

/* --- arguments --- */

static bool has(const char *name, Py_ssize_t count, Py_ssize_t wanted) {
  if (count == wanted) {
    return true;
  }
  return PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", name, wanted, count);
}

/* Tells what is wrong with what should be a list or tuple of arrays. */
static void refuse(PyObject *arrays) {
  Py_ssize_t size = PySequence_Size(arrays);
  for (Py_ssize_t i = 0; i < size; i++) {
    PyObject *item = PySequence_GetItem(arrays, i);
    bool fit = item && PyObject_TypeCheck(item, (PyTypeObject *)owner_class);
    if (item && !fit) {
      PyErr_Format(PyExc_TypeError, "expected arrays, got %R", Py_TYPE(item));
    }
    Py_XDECREF(item);
    if (!fit) {
      return;
    }
  }
  if (size >= 0) {
    raise_empty();
  }
}

/* The arrays of a list or tuple as a new vector. */
static bool take(mlx_vector_array *vector, PyObject *arrays) {
  Packing packing = pack_all(vector, arrays);
  if (packing == OTHERS) {
    refuse(arrays);
  }
  if (packing != PACKED) {
    vector->ctx = NULL;
  }
  return packing == PACKED;
}

static bool is_array_of_any_class(PyObject *object) {
  return PyObject_TypeCheck(object, (PyTypeObject *)owner_class);
}

/* The same, or of one array. */
static bool take_one_or_all(mlx_vector_array *vector, PyObject *arrays) {
  mlx_array array = {array_of(arrays)};
  if (!is_array_of_any_class(arrays)) {
    return take(vector, arrays);
  }
  *vector = array.ctx ? mlx_vector_array_new_value(array) : (mlx_vector_array){0};
  if (!vector->ctx) {
    array.ctx ? raise_last_error() : raise_empty();
  }
  return vector->ctx;
}

/* --- results --- */

static PyObject *first_of(int failed, mlx_vector_array vector) {
  mlx_array first = {0};
  PyObject *made = NULL;
  if (failed) {
    raise_failure();
  } else {
    mlx_vector_array_get(&first, vector, 0);
    made = one(first);
  }
  mlx_vector_array_free(vector);
  release_dropped();
  return made;
}

static PyObject *list_of(int failed, mlx_vector_array vector) {
  PyObject *list = NULL;
  if (failed) {
    raise_failure();
  } else {
    /* One that MLX swallowed. */
    forget_exception();
    list = share_all(vector);
  }
  mlx_vector_array_free(vector);
  release_dropped();
  return list;
}

static PyObject *pair_of(int failed, mlx_vector_array first, mlx_vector_array second) {
  PyObject *left = list_of(failed, first);
  PyObject *right = left ? share_all(second) : NULL;
  PyObject *pair = right ? PyTuple_Pack(2, left, right) : NULL;
  mlx_vector_array_free(second);
  Py_XDECREF(left);
  Py_XDECREF(right);
  return pair;
}

/* --- functions that are traced by the call --- */

typedef int Product(mlx_vector_array *, mlx_vector_array *, const mlx_closure, const mlx_vector_array,
                    const mlx_vector_array);

/* A function that takes its inputs one by one, the inputs, and one array beside each input or output. */
static PyObject *product(Product *call, const char *what, PyObject *const *arguments, Py_ssize_t count) {
  mlx_closure traced = traced_closure();
  mlx_vector_array inputs = {0}, beside = {0}, outputs = {0}, products = {0};
  PyObject *pair = NULL;
  if (traced.ctx && has(what, count, 3) && take(&inputs, arguments[1]) && take(&beside, arguments[2])) {
    Trace trace = {arguments[0], true, what, NULL};
    begin_trace(&trace);
    int failed = call(&outputs, &products, traced, inputs, beside);
    end_trace(&trace);
    pair = pair_of(failed, outputs, products);
  }
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(beside);
  return pair;
}

static PyObject *transforms_vjp(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  return product(&mlx_vjp, "[vjp] the function", arguments, count);
}

static PyObject *transforms_jvp(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  return product(&mlx_jvp, "[jvp] the function", arguments, count);
}

/* What differentiates whatever is traced by the first so many arrays. */
static PyObject *transforms_gradient_closure(PyObject *module, PyObject *number) {
  mlx_closure traced = traced_closure();
  mlx_closure_value_and_grad made = {0};
  size_t count = PyLong_AsSize_t(number);
  int *argnums = PyErr_Occurred() ? NULL : PyMem_Malloc(count * sizeof *argnums);
  for (size_t i = 0; argnums && i < count; i++) {
    argnums[i] = (int)i;
  }
  if (!traced.ctx || !argnums) {
    return PyErr_Occurred() ? NULL : PyErr_NoMemory();
  }
  mlx_value_and_grad(&made, traced, argnums, count);
  PyMem_Free(argnums);
  return new_handle('W', made.ctx);
}

/* A function of a list of arrays, the closure that differentiates whatever is traced, and the inputs. */
static PyObject *transforms_value_and_grad(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  mlx_vector_array inputs, values = {0}, gradients = {0};
  if (!has("value_and_grad", count, 3)) {
    return NULL;
  }
  mlx_closure_value_and_grad native = {handle_of('W', arguments[1])};
  if (!native.ctx) {
    return PyErr_Format(PyExc_TypeError, "value_and_grad(): expected what gradient_closure gives");
  }
  if (!take(&inputs, arguments[2])) {
    return NULL;
  }
  Trace trace = {arguments[0], false, THE_FUNCTION, NULL};
  begin_trace(&trace);
  int failed = mlx_closure_value_and_grad_apply(&values, &gradients, native, inputs);
  end_trace(&trace);
  mlx_vector_array_free(inputs);
  return pair_of(failed, values, gradients);
}

/* --- vectorisation --- */

/* Slices of inputs, and what the function made of them. */
typedef struct {
  mlx_vector_array inputs, slices, outputs;
  int *in_axes, *out_axes;
  size_t in_num, out_num;
} Vectorised;

static int trace_slices(Vectorised *part, mlx_closure traced, PyObject *function) {
  Trace trace = {function, false, THE_FUNCTION, NULL};
  begin_trace(&trace);
  int failed = mlx_detail_vmap_trace(&part->slices, &part->outputs, traced, part->inputs, part->in_axes, part->in_num);
  end_trace(&trace);
  return failed;
}

static PyObject *vectorised(Vectorised *part, mlx_closure traced, PyObject *const *arguments) {
  mlx_vector_array result = {0};
  if (trace_slices(part, traced, arguments[0])) {
    return raise_failure();
  }
  part->out_axes = listed_ints(arguments[3], &part->out_num);
  if (!part->out_axes) {
    return NULL;
  }
  begin_call();
  int failed = mlx_detail_vmap_replace(&result, part->inputs, part->slices, part->outputs, part->in_axes, part->in_num,
                                       part->out_axes, part->out_num);
  end_call();
  return list_of(failed, result);
}

/* A function, its inputs and their axes, and a list which the function fills with the axes of its outputs. */
static PyObject *transforms_vmap(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  Vectorised part = {0};
  PyObject *list = NULL;
  mlx_closure traced = traced_closure();
  if (!traced.ctx || !has("vmap", count, 4)) {
    return NULL;
  }
  part.in_axes = listed_ints(arguments[2], &part.in_num);
  if (part.in_axes && take(&part.inputs, arguments[1])) {
    list = vectorised(&part, traced, arguments);
  }
  PyMem_Free(part.in_axes);
  PyMem_Free(part.out_axes);
  mlx_vector_array_free(part.inputs);
  mlx_vector_array_free(part.slices);
  mlx_vector_array_free(part.outputs);
  return list;
}

/* One axis for each array of a list, counted from the front, where each has so many more. None where one has it not, or
 * where this is no int. */
static PyObject *transforms_same_axis(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (!has("same_axis", count, 3)) {
    return NULL;
  }
  if (!PyList_Check(arguments[0]) || !PyLong_CheckExact(arguments[1])) {
    Py_RETURN_NONE;
  }
  long axis = PyLong_AsLong(arguments[1]), more = PyLong_AsLong(arguments[2]);
  if (PyErr_Occurred()) {
    PyErr_Clear();
    Py_RETURN_NONE;
  }
  PyObject *axes = PyList_New(0);
  for (Py_ssize_t i = 0; axes && i < PyList_Size(arguments[0]); i++) {
    mlx_array array = {array_of(PyList_GetItem(arguments[0], i))};
    long ndim = array.ctx ? (long)mlx_array_ndim(array) + more : -1;
    if (ndim < 0 || axis < -ndim || axis >= ndim) {
      Py_DECREF(axes);
      PyErr_Clear();
      Py_RETURN_NONE;
    }
    if (append_new(axes, PyLong_FromLong(axis < 0 ? axis + ndim : axis))) {
      Py_CLEAR(axes);
    }
  }
  return axes;
}

/* --- closures that are applied --- */

/* What a closure makes of the arrays of a list. */
static PyObject *applied(mlx_closure closure, PyObject *arrays) {
  mlx_vector_array inputs, outputs = {0};
  if (!take(&inputs, arrays)) {
    return NULL;
  }
  begin_call();
  int failed = mlx_closure_apply(&outputs, closure, inputs);
  end_call();
  mlx_vector_array_free(inputs);
  return list_of(failed, outputs);
}

/* A closure, and its inputs. */
static PyObject *transforms_apply(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (!has("apply", count, 2)) {
    return NULL;
  }
  mlx_closure closure = {handle_of('C', arguments[0])};
  if (!closure.ctx) {
    return PyErr_Format(PyExc_TypeError, "apply(): expected a closure");
  }
  return applied(closure, arguments[1]);
}

/* What a transformed closure makes of some arrays. Both closures are given up: the graph keeps what it needs. */
static PyObject *applied_once(int failed, mlx_closure transformed, PyObject *arrays) {
  PyObject *list = failed ? raise_last_error() : applied(transformed, arrays);
  mlx_closure_free(transformed);
  return list;
}

/* A function, and its inputs. */
static PyObject *transforms_checkpoint(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (!has("checkpoint", count, 2)) {
    return NULL;
  }
  mlx_closure transformed = {0}, function = new_closure(arguments[0]);
  if (!function.ctx) {
    return NULL;
  }
  int failed = mlx_checkpoint(&transformed, function);
  mlx_closure_free(function);
  return applied_once(failed, transformed, arguments[1]);
}

typedef struct {
  mlx_closure function;
  mlx_closure_custom reverse;
  mlx_closure_custom_jvp forward;
  mlx_closure_custom_vmap vectorised;
} Rules;

/* From a function and its three rules, of which each may be None. */
static bool make_rules(Rules *rules, PyObject *const *functions) {
  rules->function = new_closure(functions[0]);
  if (functions[1] != Py_None) {
    rules->reverse = new_reverse_rule(functions[1]);
  }
  if (functions[2] != Py_None) {
    rules->forward = new_forward_rule(functions[2]);
  }
  if (functions[3] != Py_None) {
    rules->vectorised = new_vmap_rule(functions[3]);
  }
  return !PyErr_Occurred();
}

static void free_rules(Rules *rules) {
  mlx_closure_free(rules->function);
  mlx_closure_custom_free(rules->reverse);
  mlx_closure_custom_jvp_free(rules->forward);
  mlx_closure_custom_vmap_free(rules->vectorised);
}

/* A function, its rules for vjp, jvp and vmap, or None, and its inputs. */
static PyObject *transforms_custom_function(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  Rules rules = {{0}, {0}, {0}, {0}};
  mlx_closure transformed = {0};
  if (!has("custom_function", count, 5)) {
    return NULL;
  }
  bool made = make_rules(&rules, arguments);
  int failed = made && mlx_custom_function(&transformed, rules.function, rules.reverse, rules.forward, rules.vectorised);
  free_rules(&rules);
  return made ? applied_once(failed, transformed, arguments[4]) : NULL;
}

/* --- evaluation and its order --- */

/* Evaluates the arrays of a list or tuple; waiting for it or not. */
static PyObject *evaluate(PyObject *arrays, int (*call)(const mlx_vector_array)) {
  mlx_vector_array vector;
  int failed;
  if (!take(&vector, arrays)) {
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS
  failed = call(vector);
  mlx_vector_array_free(vector);
  Py_END_ALLOW_THREADS
  return failed ? raise_last_error() : Py_NewRef(Py_None);
}

static PyObject *transforms_eval(PyObject *module, PyObject *arrays) {
  return evaluate(arrays, &mlx_eval);
}

static PyObject *transforms_async_eval(PyObject *module, PyObject *arrays) {
  return evaluate(arrays, &mlx_async_eval);
}

/* One array or some, and others; one gives one. */
static PyObject *transforms_depends(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  mlx_vector_array inputs = {0}, others = {0}, outputs = {0};
  PyObject *made = NULL;
  if (has("depends", count, 2) && take_one_or_all(&inputs, arguments[0]) && take_one_or_all(&others, arguments[1])) {
    int failed = mlx_depends(&outputs, inputs, others);
    made = is_array_of_any_class(arguments[0]) ? first_of(failed, outputs) : list_of(failed, outputs);
  }
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(others);
  return made;
}

PyMethodDef transform_functions[] = {
  {"vjp", FAST(transforms_vjp), "Outputs and vjps of a function."},
  {"jvp", FAST(transforms_jvp), "Outputs and jvps of a function."},
  {"gradient_closure", transforms_gradient_closure, METH_O, "What differentiates whatever is traced by its first so many inputs."},
  {"value_and_grad", FAST(transforms_value_and_grad), "Values and gradients of a function."},
  {"vmap", FAST(transforms_vmap), "What a function of slices makes of whole arrays."},
  {"same_axis", FAST(transforms_same_axis), "One axis for each array of a list, counted from the front; None where one has it not."},
  {"apply", FAST(transforms_apply), "What a closure makes of some arrays."},
  {"checkpoint", FAST(transforms_checkpoint), "What a checkpointed function makes of some arrays."},
  {"custom_function", FAST(transforms_custom_function), "What a function with rules of its own makes of some arrays."},
  {"eval", transforms_eval, METH_O, "Compute arrays, and wait."},
  {"async_eval", transforms_async_eval, METH_O, "Start to compute arrays."},
  {"depends", FAST(transforms_depends), "Arrays that are computed after others."},
  {NULL, NULL, 0, NULL},
};
