/* Trees that a function is called with in place: tracers lie in the caller's own lists and dicts while it runs, and
 * whatever it did not replace is put back.
 *
 * An array that lies in another's place knows for which, and so does whoever finds it there: another thread takes the
 * array that it stands for. Lists and dicts on loan, and what is made for a loan, are in one dict, by address; another
 * thread that would change such a list or dict gets a copy. Items are set as lists and dicts set them, whatever a derived
 * class does: nothing has changed for the caller.
 */

#include "trees.h"

#include <pythread.h>
#include <stdlib.h>

/* What an array in another's place stands for, the list of its loan until that ends, and the thread. */
struct Loan {
  PyObject *original;
  const void *list;
  unsigned long thread;
};

void end_loan(struct Loan *loan) {
  Py_DECREF(loan->original);
  free(loan);
}

/* From an address to (object, what it stands for, loan, thread). A list or dict of the caller's stands for itself. */
static PyObject *on_loan;

enum { OBJECT, ORIGINAL, LOAN, THREAD };

/* A new reference; NULL, mostly without an exception, for what is not on loan. */
static PyObject *entry_of(PyObject *object) {
  PyObject *key = PyLong_FromVoidPtr(object);
  PyObject *entry = key ? set_default(on_loan, key, NULL) : NULL;
  Py_XDECREF(key);
  return entry;
}

static bool is_elsewhere(PyObject *entry) {
  return PyLong_AsUnsignedLong(PyTuple_GetItem(entry, THREAD)) != PyThread_get_thread_ident();
}

static bool is_of(PyObject *entry, PyObject *loan) {
  return PyLong_AsVoidPtr(PyTuple_GetItem(entry, LOAN)) == (void *)loan;
}

PyObject *outside(PyObject *leaf) {
  struct Loan *loan;
  while ((loan = ((ArrayOwner *)leaf)->loan) && loan->thread != PyThread_get_thread_ident()) {
    leaf = loan->original;
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

typedef enum { BROKEN = -1, LENT, OURS, ELSEWHERE } Claim;

/* Notes an object, unless it is noted already. */
static Claim note(const Lending *lending, PyObject *object, PyObject *original) {
  PyObject *key = PyLong_FromVoidPtr(object);
  PyObject *fresh = key ? PyTuple_Pack(4, object, original, lending->id, lending->thread) : NULL;
  PyObject *entry = fresh ? set_default(on_loan, key, fresh) : NULL;
  Claim claim = PyErr_Occurred() ? BROKEN : !entry ? LENT : is_elsewhere(entry) ? ELSEWHERE : OURS;
  Py_XDECREF(entry);
  Py_XDECREF(fresh);
  Py_XDECREF(key);
  return claim;
}

/* Before others can find the array. */
static int note_array(const Lending *lending, PyObject *put, PyObject *original) {
  ArrayOwner *owner = (ArrayOwner *)put;
  struct Loan *loan = owner->loan ? owner->loan : calloc(1, sizeof *loan);
  if (!loan) {
    PyErr_NoMemory();
    return -1;
  }
  PyObject *before = loan->original;
  *loan = (struct Loan){Py_NewRef(outside(original)), lending->loan, PyThread_get_thread_ident()};
  owner->loan = loan;
  Py_XDECREF(before);
  return PyList_Append(lending->loan, put);
}

static PyObject *same_array(PyObject *array) {
  mlx_array owned = own_handle((mlx_array){array_of(array)});
  return owned.ctx ? one(owned) : NULL;
}

static PyObject *lent_array(PyObject *array, Lending *lending) {
  PyObject *tracer = lending->tracers ? PyList_GetItem(lending->tracers, lending->next++) : NULL;
  PyObject *put = lending->tracers ? Py_XNewRef(tracer) : same_array(outside(array));
  if (put && note_array(lending, put, array)) {
    Py_CLEAR(put);
  }
  return put;
}

static PyObject *lent(PyObject *tree, Lending *lending);

typedef struct {
  Lending *lending;
  PyObject *target; /* a list or dict, and a new reference to it */
  Kind kind;
  Py_ssize_t next;
  bool changed; /* something else than the item was put in some place */
} Filling;

static PyObject *copy_of(PyObject *container, Kind kind) {
  return kind == DICT ? PyDict_Copy(container) : PyList_GetSlice(container, 0, PY_SSIZE_T_MAX);
}

/* A list or dict is on loan once there is something else in it. An outer loan of this thread stays noted: it is the last
 * to put things back. What another thread has is copied. */
static int begin_to_change(Filling *filling) {
  PyObject *container = filling->target;
  filling->changed = true;
  if (filling->kind == TUPLE) {
    return 0;
  }
  Claim claim = note(filling->lending, container, container);
  if (claim == ELSEWHERE) {
    filling->target = copy_of(container, filling->kind);
    claim = filling->target ? note(filling->lending, filling->target, container) : BROKEN;
    Py_DECREF(container);
  }
  return claim == BROKEN ? -1 : PyList_Append(filling->lending->loan, filling->target);
}

static int set_item(PyObject *target, PyObject *key, Py_ssize_t place, PyObject *item) {
  return key ? PyDict_SetItem(target, key, item) : PyList_SetItem(target, place, Py_NewRef(item));
}

static int visit_lent(PyObject *key, PyObject *item, void *context) {
  Filling *filling = context;
  PyObject *put = lent(item, filling->lending);
  Py_ssize_t place = filling->next++;
  int failed = !put || (put != item && !filling->changed && begin_to_change(filling));
  failed = failed || (put != item && set_item(filling->target, key, place, put));
  Py_XDECREF(put);
  return failed ? -1 : 0;
}

/* A tuple cannot be lent: the function gets one of its own. */
static PyObject *lent_tuple(PyObject *tree, Lending *lending) {
  Filling filling = {lending, PySequence_List(tree), TUPLE, 0, false};
  if (!filling.target || each(tree, TUPLE, visit_lent, &filling)) {
    Py_XDECREF(filling.target);
    return NULL;
  }
  PyObject *tuple = filling.changed ? tuple_like(tree, filling.target) : Py_NewRef(tree);
  Py_DECREF(filling.target);
  if (tuple && tuple != tree && (note(lending, tuple, tree) || PyList_Append(lending->loan, tuple))) {
    Py_CLEAR(tuple);
  }
  return tuple;
}

static PyObject *lent(PyObject *tree, Lending *lending) {
  Kind kind = kind_of(tree);
  if (is_any_array(tree)) {
    return lent_array(tree, lending);
  }
  if (kind == LEAF) {
    return Py_NewRef(tree);
  }
  if (kind == TUPLE) {
    return lent_tuple(tree, lending);
  }
  Filling filling = {lending, Py_NewRef(tree), kind, 0, false};
  if (each(tree, kind, visit_lent, &filling)) {
    Py_CLEAR(filling.target);
  }
  return filling.target;
}

static PyObject *loans_lend(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (count < 2 || count > 3 || !PyList_Check(arguments[1]) || (count > 2 && !PyList_Check(arguments[2]))) {
    return PyErr_Format(PyExc_TypeError, "lend() takes a tree, a list for the loan and a list of tracers");
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
    if (append_new(list, item)) {
      Py_CLEAR(list);
    }
  }
  PyObject *made = !list ? NULL : changed ? tuple_like(tuple, list) : Py_NewRef(original);
  Py_XDECREF(list);
  return made;
}

static PyObject *restored_array(PyObject *item, PyObject *loan) {
  ArrayOwner *owner = (ArrayOwner *)item;
  bool lent = owner->loan && owner->loan->list == loan, updated = __atomic_load_n(&owner->updated, __ATOMIC_RELAXED);
  return !lent || updated ? Py_NewRef(item) : restored(owner->loan->original, loan);
}

/* What lay in a place where an item of this loan is. */
static PyObject *restored(PyObject *item, PyObject *loan) {
  if (is_any_array(item)) {
    return restored_array(item, loan);
  }
  PyObject *entry = kind_of(item) == LEAF ? NULL : entry_of(item);
  PyObject *original = entry && is_of(entry, loan) ? PyTuple_GetItem(entry, ORIGINAL) : item;
  PyObject *back = original != item && PyTuple_Check(item) ? restored_tuple(item, original, loan) : Py_NewRef(original);
  Py_XDECREF(entry);
  return back;
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

static void forget_entry(PyObject *object, PyObject *loan) {
  PyObject *entry = entry_of(object);
  if (entry && is_of(entry, loan)) {
    PyObject *key = PyLong_FromVoidPtr(object);
    if (!key || PyDict_DelItem(on_loan, key)) {
      PyErr_Clear();
    }
    Py_XDECREF(key);
  }
  Py_XDECREF(entry);
}

static void forget(PyObject *loan) {
  for (Py_ssize_t i = 0; i < PyList_Size(loan); i++) {
    PyObject *object = PyList_GetItem(loan, i);
    if (is_any_array(object)) {
      ((ArrayOwner *)object)->loan->list = NULL;
    } else {
      forget_entry(object, loan);
    }
  }
}

static PyObject *loans_take_back(PyObject *module, PyObject *loan) {
  if (!PyList_Check(loan)) {
    return PyErr_Format(PyExc_TypeError, "take_back() takes the list of a loan");
  }
  int failed = put_back(loan);
  forget(loan);
  return failed ? NULL : Py_NewRef(Py_None);
}

/* --- the module's part --- */

PyMethodDef loan_functions[] = {
  {"lend", FAST(loans_lend), "A tree with tracers, or objects of its own, in the places of arrays; noted in a list."},
  {"take_back", loans_take_back, METH_O, "Put back what was there before a loan, except where it was replaced."},
  {NULL, NULL, 0, NULL},
};

bool init_loans(PyObject *module) {
  return (on_loan = PyDict_New());
}
