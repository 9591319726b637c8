/* Trees of arrays: lists, tuples and dicts (and classes derived from them) in each other, arrays and other leaves.
 *
 * Lists, tuples and dicts themselves are read as they lie; classes derived from them are asked for their items, as
 * Python would. Either may run Python code that changes the tree on the way: nothing is kept but strong references, and
 * a dict that changes its size is an error as in a loop of Python.
 */

#include "trees.h"

#include <string.h>

/* Stands for an array in the structure of a tree. */
static PyObject *array_mark;

bool is_any_array(PyObject *leaf) {
  return PyObject_TypeCheck(leaf, (PyTypeObject *)told.array);
}

static bool is_holder(PyObject *leaf) {
  return PyObject_TypeCheck(leaf, (PyTypeObject *)told.holder);
}

/* --- the items of lists, tuples and dicts --- */

static int each_of_list(PyObject *list, Visit *visit, void *context) {
  PyObject *item;
  for (Py_ssize_t i = 0; (item = list_item(list, i)); i++) {
    int failed = visit(NULL, item, context);
    Py_DECREF(item);
    if (failed) {
      return -1;
    }
  }
  return 0;
}

static int each_of_tuple(PyObject *tuple, Visit *visit, void *context) {
  Py_ssize_t size = PyTuple_Size(tuple);
  for (Py_ssize_t i = 0; i < size; i++) {
    if (visit(NULL, PyTuple_GetItem(tuple, i), context)) {
      return -1;
    }
  }
  return 0;
}

static int each_of_dict(PyObject *dict, Visit *visit, void *context) {
  PyObject *key, *item;
  Py_ssize_t place = 0, size = PyDict_Size(dict);
  while (next_pair(dict, &place, &key, &item)) {
    int failed = visit(key, item, context);
    Py_DECREF(key);
    Py_DECREF(item);
    if (failed) {
      return -1;
    }
    if (PyDict_Size(dict) != size) {
      PyErr_SetString(PyExc_RuntimeError, "dictionary changed size during iteration");
      return -1;
    }
  }
  return 0;
}

static int visit_pair(PyObject *pair, Visit *visit, void *context) {
  PyObject *key, *item, *tuple = PySequence_Tuple(pair);
  int failed = !tuple || !PyArg_ParseTuple(tuple, "OO:items", &key, &item) || visit(key, item, context);
  Py_XDECREF(tuple);
  return failed ? -1 : 0;
}

static int each_by_iteration(PyObject *items, bool pairs, Visit *visit, void *context) {
  PyObject *item, *iterator = items ? PyObject_GetIter(items) : NULL;
  int failed = !iterator;
  while (!failed && (item = PyIter_Next(iterator))) {
    failed = pairs ? visit_pair(item, visit, context) : visit(NULL, item, context);
    Py_DECREF(item);
  }
  Py_XDECREF(iterator);
  return failed || PyErr_Occurred() ? -1 : 0;
}

Kind kind_of(PyObject *tree) {
  return PyDict_Check(tree) ? DICT : PyList_Check(tree) ? LIST : PyTuple_Check(tree) ? TUPLE : LEAF;
}

static int each_unbounded(PyObject *tree, Kind kind, Visit *visit, void *context) {
  if (PyList_CheckExact(tree)) {
    return each_of_list(tree, visit, context);
  }
  if (PyTuple_CheckExact(tree)) {
    return each_of_tuple(tree, visit, context);
  }
  if (PyDict_CheckExact(tree)) {
    return each_of_dict(tree, visit, context);
  }
  if (kind != DICT) {
    return each_by_iteration(tree, false, visit, context);
  }
  PyObject *items = PyObject_CallMethod(tree, "items", NULL);
  int failed = each_by_iteration(items, true, visit, context);
  Py_XDECREF(items);
  return failed;
}

/* How deep a tree may be, whatever Python's own limit is set to: each level takes a few hundred bytes of the stack. */
#define DEEPEST 10000

static _Thread_local int depth;

static bool go_down(void) {
  if (depth >= DEEPEST) {
    return PyErr_Format(PyExc_RecursionError, "a tree of arrays is too deep, or contains itself");
  }
  if (Py_EnterRecursiveCall(" in a tree of arrays")) {
    return false;
  }
  depth++;
  return true;
}

static void come_up(void) {
  depth--;
  Py_LeaveRecursiveCall();
}

int each(PyObject *tree, Kind kind, Visit *visit, void *context) {
  if (!go_down()) {
    return -1;
  }
  int failed = each_unbounded(tree, kind, visit, context);
  come_up();
  return failed;
}

/* --- arrays out of trees --- */

/* Whether a function got as many arguments as it takes, the second of which is a list. */
static bool takes(const char *name, PyObject *const *arguments, Py_ssize_t count, Py_ssize_t least, Py_ssize_t most) {
  if (count >= least && count <= most && PyList_Check(arguments[1])) {
    return true;
  }
  return PyErr_Format(PyExc_TypeError, "%s() takes a tree and a list", name);
}

static int visit_leaves(PyObject *key, PyObject *tree, void *found) {
  if (is_any_array(tree)) {
    return PyList_Append(found, tree);
  }
  Kind kind = kind_of(tree);
  if (kind != LEAF) {
    return each(tree, kind, visit_leaves, found);
  }
  return is_holder(tree) ? append_new(found, PyObject_CallMethod(tree, "_get", NULL)) : 0;
}

static PyObject *trees_leaves(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (!takes("leaves", arguments, count, 2, 2) || visit_leaves(NULL, arguments[0], arguments[1])) {
    return NULL;
  }
  return Py_NewRef(arguments[1]);
}

/* --- trees built anew --- */

/* How the leaves of a new tree come about: a new reference for each. */
typedef PyObject *Leaf(PyObject *leaf, void *context);

typedef struct {
  PyObject *made;
  Leaf *leaf;
  void *context;
} Building;

static PyObject *rebuilt(PyObject *tree, Leaf *leaf, void *context);

static int visit_branch(PyObject *key, PyObject *item, void *context) {
  Building *building = context;
  PyObject *branch = rebuilt(item, building->leaf, building->context);
  int failed = !branch || (key ? PyDict_SetItem(building->made, key, branch) : PyList_Append(building->made, branch));
  Py_XDECREF(branch);
  return failed ? -1 : 0;
}

/* A tuple of a class derived from it, as named ones are. */
PyObject *tuple_like(PyObject *model, PyObject *list) {
  PyObject *items = PyList_AsTuple(list), *made = NULL;
  PyObject *arguments = items ? PyTuple_Pack(1, items) : NULL;
  if (arguments) {
    newfunc make = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    made = make(Py_TYPE(model), arguments, NULL);
  }
  Py_XDECREF(arguments);
  Py_XDECREF(items);
  return made;
}

/* A tuple itself, as arguments are, needs no list on the way. */
static PyObject *rebuilt_tuple(PyObject *tuple, Leaf *leaf, void *context) {
  Py_ssize_t size = PyTuple_Size(tuple);
  if (!go_down()) {
    return NULL;
  }
  PyObject *made = PyTuple_New(size);
  for (Py_ssize_t i = 0; i < size && made; i++) {
    PyObject *branch = rebuilt(PyTuple_GetItem(tuple, i), leaf, context);
    if (!branch || PyTuple_SetItem(made, i, branch)) {
      Py_CLEAR(made);
    }
  }
  come_up();
  return made;
}

/* A tree of plain lists and dicts, and of tuples of their own classes. */
static PyObject *rebuilt(PyObject *tree, Leaf *leaf, void *context) {
  if (PyTuple_CheckExact(tree)) {
    return rebuilt_tuple(tree, leaf, context);
  }
  Kind kind = kind_of(tree);
  if (kind == LEAF) {
    return leaf(tree, context);
  }
  Building building = {kind == DICT ? PyDict_New() : PyList_New(0), leaf, context};
  if (!building.made || each(tree, kind, visit_branch, &building)) {
    Py_XDECREF(building.made);
    return NULL;
  }
  if (kind != TUPLE) {
    return building.made;
  }
  PyObject *tuple = tuple_like(tree, building.made);
  Py_DECREF(building.made);
  return tuple;
}

typedef struct {
  PyObject *found;
  bool strict;
} Splitting;

static PyObject *split_leaf(PyObject *leaf, void *context) {
  Splitting *splitting = context;
  if (is_any_array(leaf)) {
    leaf = PyList_Append(splitting->found, outside(leaf)) ? NULL : array_mark;
  } else if (splitting->strict && !is_holder(leaf)) {
    PyObject *error = PyObject_CallNoArgs(told.not_arrays);
    if (error) {
      PyErr_SetObject((PyObject *)Py_TYPE(error), error);
      Py_DECREF(error);
    }
    return NULL;
  }
  return Py_XNewRef(leaf);
}

static PyObject *trees_split(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (!takes("split", arguments, count, 2, 3)) {
    return NULL;
  }
  Splitting splitting = {arguments[1], count > 2 && arguments[2] == Py_True};
  return rebuilt(arguments[0], split_leaf, &splitting);
}

typedef struct {
  PyObject *arrays;
  Py_ssize_t next;
} Joining;

static PyObject *join_leaf(PyObject *leaf, void *context) {
  Joining *joining = context;
  PyObject *put = leaf == array_mark ? PyList_GetItem(joining->arrays, joining->next++) : leaf;
  return Py_XNewRef(put);
}

static PyObject *trees_joined(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (!takes("joined", arguments, count, 2, 2)) {
    return NULL;
  }
  Joining joining = {arguments[1], 0};
  return rebuilt(arguments[0], join_leaf, &joining);
}

/* --- what a compiled function is traced for --- */

typedef struct {
  PyObject *key, *arrays;
} Keying;

static int add_to_key(Keying *keying, PyObject *kind, PyObject *value) {
  return PyList_Append(keying->key, kind) | append_new(keying->key, value);
}

static bool is_plain(PyObject *leaf) {
  int overflow = 0;
  if (PyLong_CheckExact(leaf)) {
    PyLong_AsLongLongAndOverflow(leaf, &overflow);
    return !overflow;
  }
  if (PyFloat_CheckExact(leaf)) {
    double value = PyFloat_AsDouble(leaf);
    return value < 0 || value > 0;
  }
  return leaf == Py_None || PyBool_Check(leaf) || PyUnicode_CheckExact(leaf);
}

static int key_of_leaf(PyObject *leaf, Keying *keying) {
  if (is_array(leaf)) {
    return PyList_Append(keying->key, told.array) || PyList_Append(keying->arrays, leaf) ? -1 : 0;
  }
  if (is_plain(leaf)) {
    Py_INCREF(leaf);
    return add_to_key(keying, (PyObject *)Py_TYPE(leaf), leaf);
  }
  return add_to_key(keying, (PyObject *)Py_TYPE(leaf), PyObject_CallFunctionObjArgs(told.constant, leaf, NULL));
}

static int visit_key(PyObject *name, PyObject *tree, void *context) {
  Keying *keying = context;
  Kind kind = kind_of(tree);
  if (name && PyList_Append(keying->key, name)) {
    return -1;
  }
  if (kind == LEAF) {
    return key_of_leaf(tree, keying);
  }
  PyObject *class = kind == DICT ? (PyObject *)&PyDict_Type : (PyObject *)Py_TYPE(tree);
  Py_ssize_t size = PyObject_Size(tree);
  return size < 0 || add_to_key(keying, class, PyLong_FromSsize_t(size)) || each(tree, kind, visit_key, context) ? -1 : 0;
}

typedef struct {
  int *numbers;
  size_t used, room;
} Forms;

/* Appends the dtype of an array, how many axes it has, and, unless only these count, its sizes. */
static bool add_form(Forms *forms, mlx_array array, bool ranks) {
  size_t ndim = mlx_array_ndim(array), sizes = ranks ? 0 : ndim, end = forms->used + 2 + sizes;
  if (end > forms->room) {
    int *more = PyMem_Realloc(forms->numbers, 2 * end * sizeof *more);
    if (!more) {
      return PyErr_NoMemory();
    }
    *forms = (Forms){more, forms->used, 2 * end};
  }
  int *place = forms->numbers + forms->used;
  place[0] = (int)mlx_array_dtype(array);
  place[1] = (int)ndim;
  memcpy(place + 2, mlx_array_shape(array), sizes * sizeof *place);
  forms->used = end;
  return true;
}

static PyObject *forms_of(PyObject *arrays, bool ranks) {
  Forms forms = {0};
  bool done = true;
  for (Py_ssize_t i = 0; done && i < PyList_Size(arrays); i++) {
    mlx_array array = hold((mlx_array){array_of(PyList_GetItem(arrays, i))});
    done = array.ctx ? add_form(&forms, array, ranks) : !PyErr_Occurred() && raise_empty();
    let_go(array);
  }
  Py_ssize_t bytes = (Py_ssize_t)(forms.used * sizeof *forms.numbers);
  PyObject *made = done ? PyBytes_FromStringAndSize((char *)forms.numbers, bytes) : NULL;
  PyMem_Free(forms.numbers);
  return made;
}

/* Of a state, which may be None, only the arrays count. */
static PyObject *trees_key_of(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (!takes("key_of", arguments, count, 2, 4)) {
    return NULL;
  }
  Keying keying = {PyList_New(0), arguments[1]};
  bool state = count > 2 && arguments[2] != Py_None, ranks = count > 3 && arguments[3] == Py_True;
  bool keyed = keying.key && !visit_key(NULL, arguments[0], &keying) &&
               (!state || !visit_leaves(NULL, arguments[2], arguments[1])) &&
               !append_new(keying.key, forms_of(arguments[1], ranks));
  PyObject *key = keyed ? PyList_AsTuple(keying.key) : NULL;
  Py_XDECREF(keying.key);
  return key;
}

/* --- the module's part --- */

PyMethodDef tree_functions[] = {
  {"leaves", FAST(trees_leaves), "leaves(tree, found): append the arrays of a tree, those of Holders too, to a list, which is returned."},
  {"split", FAST(trees_split), "split(tree, found, strict=False): the structure of a tree, in which ARRAY stands for each array; these are appended to "
                              "a list. `strict` refuses leaves that are neither arrays nor Holders."},
  {"joined", FAST(trees_joined), "joined(structure, arrays): the tree of a structure, with the first arrays of a list in their places."},
  {"key_of", FAST(trees_key_of), "key_of(tree, found, state=None, ranks=False): what a tree is but for the values of its arrays, which are appended to "
                                "a list, and those of a state behind them: the same containers, names, constants, dtypes, "
                                "and sizes or, with `ranks`, numbers of axes, have the same key."},
  {NULL, NULL, 0, NULL},
};

bool init_trees(PyObject *module) {
  array_mark = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
  Py_XINCREF(array_mark); /* for this file, beside the module's */
  return array_mark && PyModule_AddObject(module, "ARRAY", array_mark) == 0;
}
