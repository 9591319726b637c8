/* How lists, tuples and dicts (and classes derived from them) are gone through. */

#ifndef MLXFFI_TREES_H
#define MLXFFI_TREES_H

#include "native.h"

typedef enum { LEAF, LIST, TUPLE, DICT } Kind;

Kind kind_of(PyObject *tree);

/* Of the class that operations give, or of one derived from it. */
bool is_any_array(PyObject *leaf);

/* What is done with each item; the key is NULL but for dicts. */
typedef int Visit(PyObject *key, PyObject *item, void *context);

/* Every item of a tree that is no leaf. */
int each(PyObject *tree, Kind kind, Visit *visit, void *context);

/* A tuple of the class of another, from a list. */
PyObject *tuple_like(PyObject *model, PyObject *list);

/* What an array of a tree is, where another thread's transform has put a tracer in its place; lent. */
PyObject *outside(PyObject *leaf);

#endif
