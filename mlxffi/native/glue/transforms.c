/* Calls of C that take functions of Python, or trees of arrays: a list of arrays goes in and comes out, and nothing on
 * the way goes through cffi.
 *
 * They keep the GIL, for they only build graphs, and no lock is held while a function of Python runs. What evaluates
 * gives the GIL up.
 */

#include "owner.h"

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
    raise_closed();
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

typedef int Product(mlx_vector_array *, mlx_vector_array *, const mlx_closure, const mlx_vector_array, const mlx_vector_array);

/* The class of arrays, a function, its inputs, and one array beside each input or output. */
static PyObject *product(Product *call, const char *name, PyObject *const *arguments, Py_ssize_t count) {
  Trace trace;
  mlx_closure traced = traced_closure();
  mlx_vector_array inputs = {0}, beside = {0}, outputs = {0}, products = {0};
  PyObject *pair = NULL;
  if (traced.ctx && has(name, count, 4) && is_class(arguments[0]) && take(&inputs, arguments[0], arguments[2]) &&
      take(&beside, arguments[0], arguments[3])) {
    forget_exception();
    begin_trace(&trace, arguments[1], arguments[0]);
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
  return product(&mlx_vjp, "vjp", arguments, count);
}

static PyObject *transforms_jvp(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  return product(&mlx_jvp, "jvp", arguments, count);
}

/* The class of arrays, a function, the closure that differentiates whatever is traced, and the inputs. */
static PyObject *transforms_value_and_grad(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  Trace trace;
  mlx_vector_array inputs, values = {0}, gradients = {0};
  if (!has("value_and_grad", count, 4) || !is_class(arguments[0])) {
    return NULL;
  }
  mlx_closure_value_and_grad native = {PyLong_AsVoidPtr(arguments[2])};
  if (PyErr_Occurred() || !take(&inputs, arguments[0], arguments[3])) {
    return NULL;
  }
  forget_exception();
  begin_trace(&trace, arguments[1], arguments[0]);
  int failed = mlx_closure_value_and_grad_apply(&values, &gradients, native, inputs);
  end_trace(&trace);
  mlx_vector_array_free(inputs);
  return pair_of(arguments[0], failed, values, gradients);
}

/* --- vectorisation --- */

/* The class of arrays, a function, its inputs and their axes: slices of the inputs, and what the function made of them. */
static PyObject *transforms_vmap_trace(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  Trace trace;
  size_t axes_num;
  mlx_closure traced = traced_closure();
  mlx_vector_array inputs = {0}, slices = {0}, outputs = {0};
  if (!traced.ctx || !has("vmap_trace", count, 4) || !is_class(arguments[0])) {
    return NULL;
  }
  PyObject *pair = NULL;
  int *axes = ints_of(arguments[3], &axes_num);
  if (axes && take(&inputs, arguments[0], arguments[2])) {
    forget_exception();
    begin_trace(&trace, arguments[1], arguments[0]);
    int failed = mlx_detail_vmap_trace(&slices, &outputs, traced, inputs, axes, axes_num);
    end_trace(&trace);
    pair = pair_of(arguments[0], failed, slices, outputs);
  }
  PyMem_Free(axes);
  mlx_vector_array_free(inputs);
  return pair;
}

/* The class of arrays, inputs, their slices, what was made of them, and the axes of inputs and outputs. */
static PyObject *transforms_vmap_replace(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  size_t in_num, out_num;
  mlx_vector_array vectors[3] = {{0}}, result = {0};
  if (!has("vmap_replace", count, 6) || !is_class(arguments[0])) {
    return NULL;
  }
  PyObject *list = NULL;
  int *in_axes = ints_of(arguments[4], &in_num), *out_axes = in_axes ? ints_of(arguments[5], &out_num) : NULL;
  bool taken = out_axes != NULL;
  for (int i = 0; i < 3 && taken; i++) {
    taken = take(&vectors[i], arguments[0], arguments[1 + i]);
  }
  if (taken) {
    forget_exception();
    int failed = mlx_detail_vmap_replace(&result, vectors[0], vectors[1], vectors[2], in_axes, in_num, out_axes, out_num);
    list = list_of(arguments[0], failed, result);
  }
  for (int i = 0; i < 3; i++) {
    mlx_vector_array_free(vectors[i]);
  }
  PyMem_Free(in_axes);
  PyMem_Free(out_axes);
  return list;
}

/* --- closures that are applied --- */

/* What a closure makes of the arrays of a list. */
static PyObject *applied(PyObject *type, mlx_closure closure, PyObject *arrays) {
  mlx_vector_array inputs, outputs = {0};
  if (!take(&inputs, type, arrays)) {
    return NULL;
  }
  forget_exception();
  int failed = mlx_closure_apply(&outputs, closure, inputs);
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
  mlx_closure transformed = {0}, function = new_closure((Callee){arguments[1], arguments[0]});
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
  rules->function = new_closure((Callee){functions[0], type});
  if (functions[1] != Py_None) {
    rules->reverse = new_reverse_rule((Callee){functions[1], type});
  }
  if (functions[2] != Py_None) {
    rules->forward = new_forward_rule((Callee){functions[2], type});
  }
  if (functions[3] != Py_None) {
    rules->vectorised = new_vmap_rule((Callee){functions[3], type});
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

PyMethodDef transform_functions[] = {
  {"vjp", FAST(transforms_vjp), "Outputs and vjps of a function."},
  {"jvp", FAST(transforms_jvp), "Outputs and jvps of a function."},
  {"value_and_grad", FAST(transforms_value_and_grad), "Values and gradients of a function."},
  {"vmap_trace", FAST(transforms_vmap_trace), "Slices of inputs, and what a function makes of them."},
  {"vmap_replace", FAST(transforms_vmap_replace), "What a function made of slices, made of whole arrays."},
  {"apply", FAST(transforms_apply), "What a closure makes of some arrays."},
  {"checkpoint", FAST(transforms_checkpoint), "What a checkpointed function makes of some arrays."},
  {"custom_function", FAST(transforms_custom_function), "What a function with rules of its own makes of some arrays."},
  {"eval", transforms_eval, METH_O, "Compute arrays, and wait."},
  {"async_eval", transforms_async_eval, METH_O, "Start to compute arrays."},
  {"depends", FAST(transforms_depends), "Arrays that are computed after others."},
  {NULL, NULL, 0, NULL},
};
