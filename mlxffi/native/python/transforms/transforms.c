/* Calls of C that take functions of Python, or trees of arrays: a list of arrays goes in and comes out, and nothing on
 * the way goes through cffi.
 *
 * They keep the GIL, for they only build graphs, and no lock is held while a function of Python runs. What evaluates
 * gives the GIL up.
 */

#include "native.h"

#include <string.h>

/* --- arguments --- */

static bool has(const char *name, Py_ssize_t count, Py_ssize_t wanted) {
  if (count == wanted) {
    return true;
  }
  PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", name, wanted, count);
  return false;
}

static bool is_class(PyObject *type) {
  if (PyType_Check(type)) {
    return true;
  }
  PyErr_SetString(PyExc_TypeError, "expected the class of the arrays first");
  return false;
}

/* Tells what is wrong with a list or tuple that should hold arrays of a class. */
static void refuse(PyObject *type, PyObject *arrays) {
  Py_ssize_t size = PySequence_Size(arrays);
  for (Py_ssize_t i = 0; i < size; i++) {
    PyObject *item = PySequence_GetItem(arrays, i);
    bool fit = item && PyObject_TypeCheck(item, (PyTypeObject *)type);
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
static bool take(mlx_vector_array *vector, PyObject *type, PyObject *arrays) {
  Packing packing = pack_all(vector, (PyTypeObject *)type, arrays);
  if (packing == OTHERS) {
    refuse(type, arrays);
  }
  if (packing != PACKED) {
    vector->ctx = NULL;
  }
  return packing == PACKED;
}

/* --- results --- */

static PyObject *list_of(PyObject *type, int failed, mlx_vector_array vector) {
  PyObject *list = NULL;
  if (failed) {
    raise_failure();
  } else {
    /* One that MLX swallowed. */
    forget_exception();
    list = share_all(type, vector);
  }
  mlx_vector_array_free(vector);
  release_dropped();
  return list;
}

static PyObject *pair_of(PyObject *type, int failed, mlx_vector_array first, mlx_vector_array second) {
  PyObject *left = list_of(type, failed, first);
  PyObject *right = left ? share_all(type, second) : NULL;
  PyObject *pair = right ? PyTuple_Pack(2, left, right) : NULL;
  mlx_vector_array_free(second);
  Py_XDECREF(left);
  Py_XDECREF(right);
  return pair;
}

/* --- functions that are traced by the call --- */

typedef int Product(mlx_vector_array *, mlx_vector_array *, const mlx_closure, const mlx_vector_array,
                    const mlx_vector_array);

/* The class of arrays, a function, its inputs, one array beside each input or output, and perhaps whether the function
 * takes its inputs one by one. */
static PyObject *product(Product *call, const char *what, PyObject *const *arguments, Py_ssize_t count) {
  mlx_closure traced = traced_closure();
  mlx_vector_array inputs = {0}, beside = {0}, outputs = {0}, products = {0};
  PyObject *pair = NULL;
  bool spread = count == 5 && arguments[4] == Py_True;
  if (traced.ctx && has(what, count, count == 5 ? 5 : 4) && is_class(arguments[0]) &&
      take(&inputs, arguments[0], arguments[2]) && take(&beside, arguments[0], arguments[3])) {
    Trace trace = {{arguments[1], arguments[0], false}, spread, what, NULL};
    begin_trace(&trace);
    int failed = call(&outputs, &products, traced, inputs, beside);
    end_trace(&trace);
    pair = pair_of(arguments[0], failed, outputs, products);
  }
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(beside);
  return pair;
}

static PyObject *transforms_vjp(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  return product(&mlx_vjp, "[vjp] the function", arguments, count);
}

static PyObject *transforms_jvp(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  return product(&mlx_jvp, "[jvp] the function", arguments, count);
}

/* The class of arrays, a function, the closure that differentiates whatever is traced, and the inputs. */
static PyObject *transforms_value_and_grad(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  mlx_vector_array inputs, values = {0}, gradients = {0};
  if (!has("value_and_grad", count, 4) || !is_class(arguments[0])) {
    return NULL;
  }
  mlx_closure_value_and_grad native = {PyLong_AsVoidPtr(arguments[2])};
  if (PyErr_Occurred() || !take(&inputs, arguments[0], arguments[3])) {
    return NULL;
  }
  Trace trace = {{arguments[1], arguments[0], false}, false, THE_FUNCTION, NULL};
  begin_trace(&trace);
  int failed = mlx_closure_value_and_grad_apply(&values, &gradients, native, inputs);
  end_trace(&trace);
  mlx_vector_array_free(inputs);
  return pair_of(arguments[0], failed, values, gradients);
}

/* --- vectorisation --- */

/* Slices of inputs, and what the function made of them. */
typedef struct {
  mlx_vector_array inputs, slices, outputs;
  int *in_axes, *out_axes;
  size_t in_num, out_num;
} Vectorised;

static int trace_slices(Vectorised *part, mlx_closure traced, PyObject *function, PyObject *type) {
  Trace trace = {{function, type, false}, false, THE_FUNCTION, NULL};
  begin_trace(&trace);
  int failed = mlx_detail_vmap_trace(&part->slices, &part->outputs, traced, part->inputs, part->in_axes, part->in_num);
  end_trace(&trace);
  return failed;
}

static PyObject *vectorised(Vectorised *part, mlx_closure traced, PyObject *const *arguments) {
  mlx_vector_array result = {0};
  if (trace_slices(part, traced, arguments[1], arguments[0])) {
    raise_failure();
    return NULL;
  }
  part->out_axes = listed_ints(arguments[4], &part->out_num);
  if (!part->out_axes) {
    return NULL;
  }
  begin_call();
  int failed = mlx_detail_vmap_replace(&result, part->inputs, part->slices, part->outputs, part->in_axes, part->in_num,
                                       part->out_axes, part->out_num);
  end_call();
  return list_of(arguments[0], failed, result);
}

/* The class of arrays, a function, its inputs and their axes, and a list which the function fills with the axes of its
 * outputs. */
static PyObject *transforms_vmap(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  Vectorised part = {0};
  PyObject *list = NULL;
  mlx_closure traced = traced_closure();
  if (!traced.ctx || !has("vmap", count, 5) || !is_class(arguments[0])) {
    return NULL;
  }
  part.in_axes = listed_ints(arguments[3], &part.in_num);
  if (part.in_axes && take(&part.inputs, arguments[0], arguments[2])) {
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
  (void)module;
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
    mlx_array array = {array_of(PyList_GetItem(arguments[0], i), (PyTypeObject *)owner_class)};
    long ndim = array.ctx ? (long)mlx_array_ndim(array) + more : -1;
    if (ndim < 0 || axis < -ndim || axis >= ndim) {
      Py_DECREF(axes);
      PyErr_Clear();
      Py_RETURN_NONE;
    }
    PyObject *place = PyLong_FromLong(axis < 0 ? axis + ndim : axis);
    if (!place || PyList_Append(axes, place)) {
      Py_CLEAR(axes);
    }
    Py_XDECREF(place);
  }
  return axes;
}

/* --- what rules return --- */

static bool same_shape(PyObject *first, PyObject *second) {
  mlx_array a = {array_of(first, (PyTypeObject *)owner_class)}, b = {array_of(second, (PyTypeObject *)owner_class)};
  size_t ndim = a.ctx && b.ctx ? mlx_array_ndim(a) : 0;
  return a.ctx && b.ctx && ndim == mlx_array_ndim(b) &&
         (!ndim || !memcmp(mlx_array_shape(a), mlx_array_shape(b), ndim * sizeof(int)));
}

/* Whether two lists or tuples hold as many arrays, of the same shapes one by one. */
static PyObject *transforms_same_shapes(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  if (!has("same_shapes", count, 2)) {
    return NULL;
  }
  Py_ssize_t size = PySequence_Size(arguments[0]);
  bool same = size >= 0 && size == PySequence_Size(arguments[1]);
  for (Py_ssize_t i = 0; i < size && same; i++) {
    PyObject *first = PySequence_GetItem(arguments[0], i), *second = PySequence_GetItem(arguments[1], i);
    same = first && second && same_shape(first, second);
    Py_XDECREF(first);
    Py_XDECREF(second);
  }
  return PyErr_Occurred() ? NULL : PyBool_FromLong(same);
}

/* --- closures that are applied --- */

/* What a closure makes of the arrays of a list. */
static PyObject *applied(PyObject *type, mlx_closure closure, PyObject *arrays) {
  mlx_vector_array inputs, outputs = {0};
  if (!take(&inputs, type, arrays)) {
    return NULL;
  }
  begin_call();
  int failed = mlx_closure_apply(&outputs, closure, inputs);
  end_call();
  mlx_vector_array_free(inputs);
  return list_of(type, failed, outputs);
}

/* The class of arrays, a closure, and its inputs. */
static PyObject *transforms_apply(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  if (!has("apply", count, 3) || !is_class(arguments[0])) {
    return NULL;
  }
  mlx_closure closure = {PyLong_AsVoidPtr(arguments[1])};
  return PyErr_Occurred() ? NULL : applied(arguments[0], closure, arguments[2]);
}

/* What a transformed closure makes of some arrays. Both closures are given up: the graph keeps what it needs. */
static PyObject *applied_once(PyObject *type, int failed, mlx_closure transformed, PyObject *arrays) {
  PyObject *list = NULL;
  if (failed) {
    raise_last_error();
  } else {
    list = applied(type, transformed, arrays);
  }
  mlx_closure_free(transformed);
  return list;
}

/* The class of arrays, a function, and its inputs. */
static PyObject *transforms_checkpoint(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  if (!has("checkpoint", count, 3) || !is_class(arguments[0])) {
    return NULL;
  }
  mlx_closure transformed = {0}, function = new_closure((Callee){arguments[1], arguments[0], false});
  if (!function.ctx) {
    return NULL;
  }
  int failed = mlx_checkpoint(&transformed, function);
  mlx_closure_free(function);
  return applied_once(arguments[0], failed, transformed, arguments[2]);
}

typedef struct {
  mlx_closure function;
  mlx_closure_custom reverse;
  mlx_closure_custom_jvp forward;
  mlx_closure_custom_vmap vectorised;
} Rules;

/* From a function and its three rules, of which each may be None. */
static bool make_rules(Rules *rules, PyObject *type, PyObject *const *functions) {
  rules->function = new_closure((Callee){functions[0], type, false});
  if (functions[1] != Py_None) {
    rules->reverse = new_reverse_rule((Callee){functions[1], type, false});
  }
  if (functions[2] != Py_None) {
    rules->forward = new_forward_rule((Callee){functions[2], type, false});
  }
  if (functions[3] != Py_None) {
    rules->vectorised = new_vmap_rule((Callee){functions[3], type, false});
  }
  return !PyErr_Occurred();
}

static void free_rules(Rules *rules) {
  mlx_closure_free(rules->function);
  mlx_closure_custom_free(rules->reverse);
  mlx_closure_custom_jvp_free(rules->forward);
  mlx_closure_custom_vmap_free(rules->vectorised);
}

/* The class of arrays, a function, its rules for vjp, jvp and vmap, or None, and its inputs. */
static PyObject *transforms_custom_function(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  Rules rules = {{0}, {0}, {0}, {0}};
  mlx_closure transformed = {0};
  if (!has("custom_function", count, 6) || !is_class(arguments[0])) {
    return NULL;
  }
  bool made = make_rules(&rules, arguments[0], arguments + 1);
  int failed = made && mlx_custom_function(&transformed, rules.function, rules.reverse, rules.forward, rules.vectorised);
  free_rules(&rules);
  return made ? applied_once(arguments[0], failed, transformed, arguments[5]) : NULL;
}

/* --- evaluation and its order --- */

/* Evaluates the arrays of a list or tuple; waiting for it or not. */
static PyObject *evaluate(PyObject *arrays, int (*call)(const mlx_vector_array)) {
  mlx_vector_array vector;
  int failed;
  if (!take(&vector, owner_class, arrays)) {
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS
  failed = call(vector);
  mlx_vector_array_free(vector);
  Py_END_ALLOW_THREADS
  if (failed) {
    raise_last_error();
    return NULL;
  }
  Py_RETURN_NONE;
}

static PyObject *transforms_eval(PyObject *module, PyObject *arrays) {
  (void)module;
  return evaluate(arrays, &mlx_eval);
}

static PyObject *transforms_async_eval(PyObject *module, PyObject *arrays) {
  (void)module;
  return evaluate(arrays, &mlx_async_eval);
}

/* The class of arrays, some of them, and others. */
static PyObject *transforms_depends(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  mlx_vector_array inputs = {0}, others = {0}, outputs = {0};
  PyObject *list = NULL;
  if (has("depends", count, 3) && is_class(arguments[0]) && take(&inputs, arguments[0], arguments[1]) &&
      take(&others, arguments[0], arguments[2])) {
    list = list_of(arguments[0], mlx_depends(&outputs, inputs, others), outputs);
  }
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(others);
  return list;
}

/* The class of arrays, outputs, inputs, and arrays: those of them that outputs get a gradient from around the inputs. */
static PyObject *transforms_gradient_around(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  mlx_vector_array vectors[3] = {{0}}, found = {0};
  bool taken = has("gradient_around", count, 4) && is_class(arguments[0]);
  for (int i = 0; i < 3 && taken; i++) {
    taken = take(&vectors[i], arguments[0], arguments[1 + i]);
  }
  PyObject *list = NULL;
  if (taken) {
    list = list_of(arguments[0], mlxffi_array_gradient_around(&found, vectors[0], vectors[1], vectors[2]), found);
  }
  for (int i = 0; i < 3; i++) {
    mlx_vector_array_free(vectors[i]);
  }
  return list;
}

static PyMethodDef functions[] = {
  {"vjp", FAST(transforms_vjp), "Outputs and vjps of a function."},
  {"jvp", FAST(transforms_jvp), "Outputs and jvps of a function."},
  {"value_and_grad", FAST(transforms_value_and_grad), "Values and gradients of a function."},
  {"vmap", FAST(transforms_vmap), "What a function of slices makes of whole arrays."},
  {"same_axis", FAST(transforms_same_axis), "One axis for each array of a list, counted from the front; None where one has it not."},
  {"same_shapes", FAST(transforms_same_shapes), "Whether two lists or tuples hold arrays of the same shapes."},
  {"apply", FAST(transforms_apply), "What a closure makes of some arrays."},
  {"checkpoint", FAST(transforms_checkpoint), "What a checkpointed function makes of some arrays."},
  {"custom_function", FAST(transforms_custom_function), "What a function with rules of its own makes of some arrays."},
  {"gradient_around", FAST(transforms_gradient_around), "Arrays that outputs get a gradient from around their inputs."},
  {"eval", transforms_eval, METH_O, "Compute arrays, and wait."},
  {"async_eval", transforms_async_eval, METH_O, "Start to compute arrays."},
  {"depends", FAST(transforms_depends), "Arrays that are computed after others."},
  {NULL, NULL, 0, NULL},
};

bool init_transforms(PyObject *module) {
  return PyModule_AddFunctions(module, functions) == 0;
}
