/* Trees that a function is called with in place: tracers lie in the caller's own lists and dicts while it runs, and
 * whatever it did not replace is put back.
 *
 * All that is on loan is in one dict, by address. Another thread that comes by a container on loan gets a copy, and for
 * the tracers in it the arrays that they stand for. Items are set as lists and dicts set them, whatever a derived class
 * does: nothing has changed for the caller.
 */

#include "trees.h"

#include <pythread.h>

/* From an address to (object, what it stands for, loan, thread). A container stands for itself. */
static PyObject *on_loan;

enum { OBJECT, ORIGINAL, LOAN, THREAD };

static PyObject *entry_of(PyObject *object) {
  PyObject *key = PyLong_FromVoidPtr(object);
  PyObject *entry = key ? PyDict_GetItemWithError(on_loan, key) : NULL;
  Py_XDECREF(key);
  return entry;
}

static PyObject *part(PyObject *entry, Py_ssize_t place) {
  return PyTuple_GetItem(entry, place);
}

static bool is_elsewhere(PyObject *entry) {
  return PyLong_AsUnsignedLong(part(entry, THREAD)) != PyThread_get_thread_ident();
}

PyObject *outside(PyObject *leaf) {
  PyObject *entry;
  while (PyDict_Size(on_loan) && (entry = entry_of(leaf)) && is_elsewhere(entry)) {
    leaf = part(entry, ORIGINAL);
  }
  return leaf;
}

/* --- lending --- */

/* `tracers` is NULL for arrays that are not differentiated: of those the function gets objects of its own. */
typedef struct {
  PyObject *loan, *tracers;
  Py_ssize_t next;
  PyObject *id, *thread;
} Lending;

static int note(const Lending *lending, PyObject *object, PyObject *original) {
  PyObject *key = PyLong_FromVoidPtr(object);
  PyObject *entry = key ? PyTuple_Pack(4, object, original, lending->id, lending->thread) : NULL;
  int failed = !entry || PyDict_SetItem(on_loan, key, entry) || PyList_Append(lending->loan, object);
  Py_XDECREF(entry);
  Py_XDECREF(key);
  return failed ? -1 : 0;
}

static PyObject *same_array(PyObject *array) {
  mlx_array handle = {array_of(array)};
  if (!handle.ctx) {
    raise_empty();
    return NULL;
  }
  mlx_array owned = own_handle(handle);
  return owned.ctx ? one(owned) : NULL;
}

static PyObject *lent_array(PyObject *array, Lending *lending) {
  PyObject *tracer = lending->tracers ? PyList_GetItem(lending->tracers, lending->next++) : NULL;
  PyObject *put = lending->tracers ? Py_XNewRef(tracer) : same_array(outside(array));
  if (put && note(lending, put, array)) {
    Py_CLEAR(put);
  }
  return put;
}

static PyObject *lent(PyObject *tree, Lending *lending);

typedef struct {
  Lending *lending;
  PyObject *target; /* a list or dict; a list to append to where the key is missing and `fresh` */
  Py_ssize_t next;
  bool fresh, changed; /* changed: something else than the item was put in some place */
} Filling;

/* A container is on loan once there is something else in it. An outer loan of this thread stays noted: it is the last
 * to put things back. */
static int note_container(Filling *filling) {
  PyObject *target = filling->target;
  bool first = !filling->changed;
  filling->changed = true;
  if (!first || filling->fresh) {
    return 0;
  }
  return entry_of(target) ? PyList_Append(filling->lending->loan, target) : note(filling->lending, target, target);
}

static int set_item(PyObject *target, PyObject *key, Py_ssize_t place, PyObject *item) {
  return key ? PyDict_SetItem(target, key, item) : PyList_SetItem(target, place, Py_NewRef(item));
}

static int visit_lent(PyObject *key, PyObject *item, void *context) {
  Filling *filling = context;
  PyObject *put = lent(item, filling->lending);
  Py_ssize_t place = filling->next++;
  int failed = !put || (put != item && note_container(filling));
  if (!failed && filling->fresh && !key) {
    failed = PyList_Append(filling->target, put);
  } else if (!failed && (put != item || filling->fresh)) {
    failed = set_item(filling->target, key, place, put);
  }
  Py_XDECREF(put);
  return failed ? -1 : 0;
}

/* A container of the function's own: tuples cannot be lent, nor what another thread has. */
static PyObject *lent_copy(PyObject *tree, Kind kind, Lending *lending) {
  Filling filling = {lending, kind == DICT ? PyDict_New() : PyList_New(0), 0, true, false};
  if (!filling.target || each(tree, kind, visit_lent, &filling)) {
    Py_XDECREF(filling.target);
    return NULL;
  }
  if (kind != TUPLE) {
    return filling.target;
  }
  PyObject *tuple = filling.changed ? tuple_like(tree, filling.target) : Py_NewRef(tree);
  Py_DECREF(filling.target);
  if (tuple && tuple != tree && note(lending, tuple, tree)) {
    Py_CLEAR(tuple);
  }
  return tuple;
}

static PyObject *lent(PyObject *tree, Lending *lending) {
  if (is_any_array(tree)) {
    return lent_array(tree, lending);
  }
  Kind kind = kind_of(tree);
  if (kind == LEAF) {
    return Py_NewRef(tree);
  }
  PyObject *entry = kind == TUPLE ? NULL : entry_of(tree);
  if (kind == TUPLE || (entry && is_elsewhere(entry))) {
    return lent_copy(tree, kind, lending);
  }
  Filling filling = {lending, tree, 0, false, false};
  return each(tree, kind, visit_lent, &filling) ? NULL : Py_NewRef(tree);
}

static PyObject *loans_lend(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  if (count < 2 || count > 3 || !PyList_Check(arguments[1]) || (count > 2 && !PyList_Check(arguments[2]))) {
    PyErr_SetString(PyExc_TypeError, "lend() takes a tree, a list for the loan and a list of tracers");
    return NULL;
  }
  PyObject *id = PyLong_FromVoidPtr(arguments[1]), *thread = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
  Lending lending = {arguments[1], count > 2 ? arguments[2] : NULL, 0, id, thread};
  PyObject *tree = id && thread ? lent(arguments[0], &lending) : NULL;
  Py_XDECREF(id);
  Py_XDECREF(thread);
  return tree;
}

/* --- putting back --- */

static PyObject *restored(PyObject *item, PyObject *loan);

/* The original of a tuple, unless the function changed an array in it. */
static PyObject *restored_tuple(PyObject *tuple, PyObject *original, PyObject *loan) {
  bool changed = false;
  Py_ssize_t size = PyTuple_Size(tuple);
  PyObject *list = PyList_New(0);
  for (Py_ssize_t i = 0; list && i < size; i++) {
    PyObject *item = restored(PyTuple_GetItem(tuple, i), loan);
    changed = changed || item != PyTuple_GetItem(original, i);
    if (!item || PyList_Append(list, item)) {
      Py_CLEAR(list);
    }
    Py_XDECREF(item);
  }
  PyObject *made = !list ? NULL : changed ? tuple_like(tuple, list) : Py_NewRef(original);
  Py_XDECREF(list);
  return made;
}

/* What lay in a place where an item of this loan is. */
static PyObject *restored(PyObject *item, PyObject *loan) {
  PyObject *entry = entry_of(item);
  if (!entry || part(entry, ORIGINAL) == item || PyLong_AsVoidPtr(part(entry, LOAN)) != (void *)loan) {
    return Py_NewRef(item);
  }
  if (PyTuple_Check(item)) {
    return restored_tuple(item, part(entry, ORIGINAL), loan);
  }
  return ((ArrayOwner *)item)->updated ? Py_NewRef(item) : restored(part(entry, ORIGINAL), loan);
}

typedef struct {
  PyObject *container, *loan;
  Py_ssize_t next;
} Restoring;

static int visit_restored(PyObject *key, PyObject *item, void *context) {
  Restoring *restoring = context;
  PyObject *back = restored(item, restoring->loan);
  Py_ssize_t place = restoring->next++;
  int failed = !back || (back != item && set_item(restoring->container, key, place, back));
  Py_XDECREF(back);
  return failed ? -1 : 0;
}

static int put_back(PyObject *loan) {
  int failed = 0;
  for (Py_ssize_t i = 0; i < PyList_Size(loan); i++) {
    PyObject *object = PyList_GetItem(loan, i);
    Kind kind = kind_of(object);
    Restoring restoring = {object, loan, 0};
    if (kind == LIST || kind == DICT) {
      failed |= each(object, kind, visit_restored, &restoring);
    }
  }
  return failed;
}

static void forget(PyObject *loan) {
  for (Py_ssize_t i = 0; i < PyList_Size(loan); i++) {
    PyObject *entry = entry_of(PyList_GetItem(loan, i));
    if (entry && PyLong_AsVoidPtr(part(entry, LOAN)) == (void *)loan) {
      PyObject *key = PyLong_FromVoidPtr(PyList_GetItem(loan, i));
      if (!key || PyDict_DelItem(on_loan, key)) {
        PyErr_Clear();
      }
      Py_XDECREF(key);
    }
  }
}

static PyObject *loans_take_back(PyObject *module, PyObject *loan) {
  (void)module;
  if (!PyList_Check(loan)) {
    PyErr_SetString(PyExc_TypeError, "take_back() takes the list of a loan");
    return NULL;
  }
  int failed = put_back(loan);
  forget(loan);
  return failed ? NULL : Py_NewRef(Py_None);
}

/* --- the module's part --- */

static PyMethodDef functions[] = {
  {"lend", FAST(loans_lend), "A tree with tracers, or objects of its own, in the places of arrays; noted in a list."},
  {"take_back", loans_take_back, METH_O, "Put back what was there before a loan, except where it was replaced."},
  {NULL, NULL, 0, NULL},
};

bool init_loans(PyObject *module) {
  on_loan = PyDict_New();
  return on_loan && PyModule_AddFunctions(module, functions) == 0;
}
