/* The class StreamContext: what is to be the default, and the streams that were it before, one for each block that
 * is running. Blocks may lie in each other and run on several threads, each of which has its own defaults. */

#include "native.h"

#include <pythread.h>

/* A block that is running. */
typedef struct Block {
  unsigned long thread;
  PyObject *before;
  struct Block *outer;
} Block;

typedef struct {
  PyObject_HEAD
  PyObject *chosen;
  Block *innermost;
} StreamContext;

static bool may_be_chosen(PyObject *object) {
  int type, index;
  return stream_of(object) || device_place(object, &type, &index) ||
         PyObject_TypeCheck(object, (PyTypeObject *)told.thread_local_stream);
}

static int context_init(PyObject *object, PyObject *arguments, PyObject *named) {
  static char *names[] = {"s", NULL};
  StreamContext *self = (StreamContext *)object;
  PyObject *chosen;
  if (!named && PyTuple_Size(arguments) == 1) {
    chosen = PyTuple_GetItem(arguments, 0);
  } else if (!PyArg_ParseTupleAndKeywords(arguments, named, "O:StreamContext", names, &chosen)) {
    return -1;
  }
  if (!may_be_chosen(chosen)) {
    PyErr_Format(PyExc_TypeError, "s: expected a Stream, ThreadLocalStream, Device or DeviceType, got %R", chosen);
    return -1;
  }
  Py_XDECREF(exchanged(object, &self->chosen, Py_NewRef(chosen)));
  return 0;
}

/* --- the block --- */

/* The default stream of the default device; None where that is not one that every process has. */
static PyObject *stream_here(void) {
  mlx_device device = {0};
  mlx_stream stream = {0};
  int index;
  if (!mlx_get_default_device(&device) && !mlx_device_get_index(&index, device) && !index) {
    mlx_get_default_stream(&stream, device);
  }
  mlx_device_free(device);
  return stream.ctx ? new_stream(stream) : Py_NewRef(Py_None);
}

static int choose_stream(mlx_stream stream) {
  mlx_device device = {0};
  int failed = mlx_stream_get_device(&device, stream) || mlx_set_default_device(device);
  mlx_device_free(device);
  return failed || mlx_set_default_stream(stream);
}

static int choose(PyObject *chosen) {
  mlx_stream stream = {stream_of(chosen)};
  if (stream.ctx) {
    return choose_stream(stream);
  }
  mlx_device device = device_for(chosen);
  int failed = !device.ctx || mlx_set_default_device(device);
  mlx_device_free(device);
  return failed;
}

/* Makes it the default; the stream that was it before. */
static PyObject *exchanged_default(PyObject *chosen) {
  int type, index;
  bool here = chosen && (stream_of(chosen) || device_place(chosen, &type, &index));
  PyObject *before = here ? stream_here() : Py_NewRef(Py_None);
  if (before == Py_None) {
    Py_DECREF(before);
    return PyObject_CallFunctionObjArgs(told.make_default, chosen ? chosen : Py_None, NULL);
  }
  if (before && choose(chosen)) {
    Py_CLEAR(before);
    raise_last_error();
  }
  return before;
}

static PyObject *context_enter(PyObject *object, PyObject *unused) {
  StreamContext *self = (StreamContext *)object;
  Block *block = PyMem_Malloc(sizeof *block);
  PyObject *chosen = held_by(object, &self->chosen);
  PyObject *before = block ? exchanged_default(chosen) : PyErr_NoMemory();
  Py_XDECREF(chosen);
  if (!before) {
    PyMem_Free(block);
    return NULL;
  }
  LOCK(object)
  *block = (Block){PyThread_get_thread_ident(), before, self->innermost};
  self->innermost = block;
  UNLOCK
  Py_RETURN_NONE;
}

/* The innermost block of this thread, which is the caller's then; NULL where it has none, and where only others have, after
 * an exception. */
static Block *taken_block(PyObject *object) {
  Block *found;
  bool elsewhere;
  LOCK(object)
  Block **place = &((StreamContext *)object)->innermost;
  elsewhere = *place;
  while (*place && (*place)->thread != PyThread_get_thread_ident()) {
    place = &(*place)->outer;
  }
  found = *place;
  if (found) {
    *place = found->outer;
  }
  UNLOCK
  if (!found && elsewhere) {
    PyErr_SetString(PyExc_RuntimeError, "StreamContext: left on another thread than the one that entered it");
  }
  return found;
}

static void free_block(Block *block) {
  if (block) {
    Py_DECREF(block->before);
    PyMem_Free(block);
  }
}

/* Whether the end takes so many arguments, and others by these names. */
static bool exit_takes(Py_ssize_t count, PyObject *named) {
  static const char *const names[] = {"exc_type", "exc_value", "traceback"};
  Py_ssize_t more = named ? PyTuple_Size(named) : 0, known = 0;
  for (Py_ssize_t i = 0; i < more; i++) {
    for (Py_ssize_t j = count; j < 3; j++) {
      known += !PyUnicode_CompareWithASCIIString(PyTuple_GetItem(named, i), names[j]);
    }
  }
  return count <= 3 && known == more;
}

/* Whatever was raised in the block. */
static PyObject *context_exit(PyObject *object, PyObject *const *arguments, Py_ssize_t count, PyObject *named) {
  if (!exit_takes(count, named)) {
    return PyErr_Format(PyExc_TypeError, "__exit__(): expected at most exc_type, exc_value and traceback");
  }
  Block *block = taken_block(object);
  if (block && choose(block->before)) {
    raise_last_error();
  }
  free_block(block);
  return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* --- the class --- */

static int context_clear(PyObject *object) {
  StreamContext *self = (StreamContext *)object;
  Py_CLEAR(self->chosen);
  for (Block *block; (block = self->innermost);) {
    self->innermost = block->outer;
    free_block(block);
  }
  return 0;
}

static int context_traverse(PyObject *object, visitproc visit, void *arg) {
  StreamContext *self = (StreamContext *)object;
  Py_VISIT(self->chosen);
  for (Block *block = self->innermost; block; block = block->outer) {
    Py_VISIT(block->before);
  }
  Py_VISIT(Py_TYPE(object));
  return 0;
}

static void context_dealloc(PyObject *self) {
  PyObject_GC_UnTrack(self);
  context_clear(self);
  free_object(self, NULL);
}

static PyMethodDef methods[] = {
  {"__enter__", context_enter, METH_NOARGS, "Make it the default."},
  {"__exit__", (PyCFunction)(void (*)(void))context_exit, METH_FASTCALL | METH_KEYWORDS, "Make the default what it was."},
  {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
  {Py_tp_doc, "StreamContext(s)\n--\n\nA `with` block in which a stream or device is the default.\n\n"
              "Args:\n  s: a Stream, ThreadLocalStream, Device or DeviceType.\n\nRaises:\n  TypeError: it is something else."},
  {Py_tp_init, context_init},
  {Py_tp_dealloc, context_dealloc},
  {Py_tp_traverse, context_traverse},
  {Py_tp_clear, context_clear},
  {Py_tp_methods, methods},
  {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)
static PyType_Spec spec = {"mlxffi.core.StreamContext", sizeof(StreamContext), 0, FLAGS, slots};

bool init_contexts(PyObject *module) {
  return added_class(module, "StreamContext", &spec);
}
