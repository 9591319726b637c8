/* What a Python without a GIL needs, and what costs nothing on one that has it. */

#ifndef MLXFFI_FREE_THREADS_H
#define MLXFFI_FREE_THREADS_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* No other thread changes an object between these two. */
#ifdef Py_GIL_DISABLED
#define FREE_THREADS true
#define LOCK(object) Py_BEGIN_CRITICAL_SECTION(object);
#define UNLOCK Py_END_CRITICAL_SECTION();
#else
#define FREE_THREADS false
#define LOCK(object) { (void)(object);
#define UNLOCK }
#endif

/* A new reference to an item of a list; NULL, without an exception, past its end. */
static inline PyObject *list_item(PyObject *list, Py_ssize_t place) {
  PyObject *item;
  LOCK(list)
  item = place < PyList_Size(list) ? Py_NewRef(PyList_GetItem(list, place)) : NULL;
  UNLOCK
  return item;
}

/* PyDict_Next with new references. */
static inline bool next_pair(PyObject *dict, Py_ssize_t *place, PyObject **key, PyObject **item) {
  bool found;
  LOCK(dict)
  found = PyDict_Next(dict, place, key, item);
  if (found) {
    Py_INCREF(*key);
    Py_INCREF(*item);
  }
  UNLOCK
  return found;
}

/* A new reference to what a place in an object holds, which becomes another, given up; either may be NULL. */
static inline PyObject *exchanged(PyObject *object, PyObject **place, PyObject *other) {
  PyObject *before;
  LOCK(object)
  before = *place;
  *place = other;
  UNLOCK
  return before;
}

/* A new reference to what a place in an object holds, if anything. */
static inline PyObject *held_by(PyObject *object, PyObject *const *place) {
  PyObject *held;
  LOCK(object)
  held = Py_XNewRef(*place);
  UNLOCK
  return held;
}

/* A new reference to the value of a key, which becomes `fresh` where there is none and that is not NULL; NULL where there
 * was none, or after an exception. */
static inline PyObject *set_default(PyObject *dict, PyObject *key, PyObject *fresh) {
  PyObject *found = NULL;
#ifdef Py_GIL_DISABLED
  int there = fresh ? PyDict_SetDefaultRef(dict, key, fresh, &found) : PyDict_GetItemRef(dict, key, &found);
  if (there == 0) {
    Py_CLEAR(found);
  }
#else
  found = Py_XNewRef(PyDict_GetItemWithError(dict, key));
  if (!found && fresh && !PyErr_Occurred()) {
    PyDict_SetItem(dict, key, fresh);
  }
#endif
  return found;
}

/* A new reference to what a weak one leads to; NULL, without an exception, where that is gone. */
static inline PyObject *referent(PyObject *reference) {
#ifdef Py_GIL_DISABLED
  PyObject *found = NULL;
  PyWeakref_GetRef(reference, &found);
  return found;
#else
  PyObject *found = PyWeakref_GetObject(reference);
  return found == Py_None ? NULL : Py_XNewRef(found);
#endif
}

/* What lives as long as the process: threads that counted references to it would wait for each other. Only the thread that
 * made it knows it yet. */
static inline PyObject *immortal(PyObject *object) {
#ifdef Py_GIL_DISABLED
  if (object) {
    Py_SET_REFCNT(object, (Py_ssize_t)UINT32_MAX + 1);
  }
#endif
  return object;
}

/* A name that is interned once, and kept in a place of its own. Threads may both do it, and find the same. */
static inline PyObject *interned(PyObject **place, const char *name) {
  PyObject *found = __atomic_load_n(place, __ATOMIC_ACQUIRE);
  if (!found) {
    found = PyUnicode_InternFromString(name);
    __atomic_store_n(place, found, __ATOMIC_RELEASE);
  }
  return found;
}

#endif
