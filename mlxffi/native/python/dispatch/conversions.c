/* Arguments that are not read as they lie: converted as Python would, or refused in words (see arguments.h).
 *
 * A conversion may run any code. What was read before stays valid: handles of arrays do as long as their objects live,
 * and lists were copied. */

#include "dispatch/conversions.h"

#include "objects/handle.h"

#include <string.h>

/* --- what is said of others --- */

typedef struct {
  const AbiRow *row;
  int number; /* of the parameter, from 0 */
} Place;

/* The name of a parameter, which stands between commas. */
static PyObject *name_of(const Place *place) {
  const char *start = place->row->parameters;
  for (int i = 0; i < place->number; i++) {
    start = strchr(start, ',') + 1;
  }
  return PyUnicode_FromStringAndSize(start, (Py_ssize_t)strcspn(start, ","));
}

static bool refuse(const Place *place, PyObject *class, const char *wanted, PyObject *got) {
  PyObject *name = name_of(place);
  PyErr_Clear();
  if (name) {
    PyErr_Format(class, "%s(): %U: expected %s, got %R", place->row->row.name, name, wanted, got);
    Py_DECREF(name);
  }
  return false;
}

static bool refuse_type(const Place *place, const char *wanted, PyObject *object) {
  return refuse(place, PyExc_TypeError, wanted, object == Py_None ? object : (PyObject *)Py_TYPE(object));
}

/* --- numbers --- */

/* The int of Python that stands for an object, a new reference; NULL after an exception. */
static PyObject *whole(PyObject *object, const Place *place) {
  PyObject *found = PyNumber_Index(object);
  if (!found && PyErr_ExceptionMatches(PyExc_TypeError)) {
    refuse_type(place, "an int", object);
  }
  return found;
}

static bool to_integer(Value *value, const Place *place, int64_t least, int64_t most) {
  int overflow;
  PyObject *found = whole(value->object, place);
  if (!found) {
    return false;
  }
  value->integer = PyLong_AsLongLongAndOverflow(found, &overflow);
  bool fits = !overflow && value->integer >= least && value->integer <= most;
  if (!fits) {
    refuse(place, told.misfit, most == INT32_MAX ? "an int of 32 bits" : "an int of 64 bits", found);
  }
  Py_DECREF(found);
  return fits;
}

/* One of as many bits as C's, without a sign. */
static bool to_natural(Value *value, const Place *place) {
  PyObject *found = whole(value->object, place);
  value->integer = found ? (int64_t)PyLong_AsUnsignedLongLong(found) : 0;
  bool fits = found && (!PyErr_Occurred() || refuse(place, told.misfit, "an int from 0 to 2**64 - 1", found));
  Py_XDECREF(found);
  return fits;
}

static bool to_number(Value *value, const Place *place) {
  value->number = PyFloat_AsDouble(value->object);
  if (value->number == -1 && PyErr_Occurred()) {
    return PyErr_ExceptionMatches(PyExc_TypeError) && refuse_type(place, "a number", value->object);
  }
  return true;
}

/* --- lists --- */

static bool is_text(PyObject *object) {
  return PyUnicode_Check(object) || PyBytes_Check(object);
}

PyObject *sequence_tuple(PyObject *object) {
  PyObject *items = is_text(object) || !PySequence_Check(object) ? NULL : PySequence_Tuple(object);
  if (!items && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
  }
  return items;
}

static bool ints_of_items(Value *value, const Place *place, PyObject *items, int64_t least, int64_t most) {
  Py_ssize_t size = PyTuple_Size(items);
  bool wide = most == INT64_MAX, done = true;
  void *memory = PyMem_Malloc((size_t)(size ? size : 1) * (wide ? sizeof(int64_t) : sizeof(int)));
  if (!memory) {
    return PyErr_NoMemory();
  }
  value->ints = memory;
  value->longs = memory;
  value->count = (int)size;
  value->owned = true;
  for (Py_ssize_t i = 0; i < size && done; i++) {
    Value item = {.object = PyTuple_GetItem(items, i)};
    done = to_integer(&item, place, least, most);
    if (wide) {
      value->longs[i] = item.integer;
    } else {
      value->ints[i] = (int)item.integer;
    }
  }
  return done;
}

static bool to_ints(Value *value, const Place *place, int64_t least, int64_t most) {
  PyObject *items = sequence_tuple(value->object);
  if (!items) {
    return !PyErr_Occurred() && refuse_type(place, "a sequence of ints", value->object);
  }
  bool done = ints_of_items(value, place, items, least, most);
  Py_DECREF(items);
  return done;
}

/* One int, or several. */
static bool to_one_or_more(Value *value, const Place *place) {
  PyObject *items = PyLong_Check(value->object) ? NULL : sequence_tuple(value->object);
  if (items) {
    bool done = ints_of_items(value, place, items, INT32_MIN, INT32_MAX);
    Py_DECREF(items);
    return done;
  }
  value->ints = value->few;
  value->count = ONE_INT;
  bool done = !PyErr_Occurred() && to_integer(value, place, INT32_MIN, INT32_MAX);
  value->ints[0] = done ? (int)value->integer : 0;
  return done;
}

/* --- arrays --- */

static bool to_array(Value *value, const Place *place) {
  bool array = PyObject_TypeCheck(value->object, (PyTypeObject *)told.array);
  value->array.ctx = array ? array_of(value->object) : NULL;
  if (array && !value->array.ctx) {
    raise_empty();
  }
  return value->array.ctx || (!array && refuse_type(place, "an array", value->object));
}

static bool to_held_array(Value *value, const Place *place) {
  return to_array(value, place) && hold_array(value);
}

/* A key of random numbers, which is the thread's next one where none is given. */
static bool to_key(Value *value, const Place *place) {
  if (value->given) {
    return to_held_array(value, place);
  }
  return take_key(value);
}

static bool to_vector(Value *value, const Place *place) {
  PyObject *items = sequence_tuple(value->object);
  bool done = items != NULL;
  if (!done) {
    return !PyErr_Occurred() && refuse_type(place, "a list of arrays", value->object);
  }
  for (Py_ssize_t i = 0; i < PyTuple_Size(items) && done; i++) {
    Value item = {.object = PyTuple_GetItem(items, i)};
    done = to_array(&item, place);
  }
  value->owned = done && pack_all(&value->vector, items) == PACKED;
  Py_DECREF(items);
  return value->owned;
}

/* --- texts, and dicts by them --- */

/* Paths may have bytes that are no text, which Python keeps as surrogates. */
static PyObject *encoded(PyObject *object, const Place *place) {
  if (!PyUnicode_Check(object)) {
    refuse_type(place, "a str", object);
    return NULL;
  }
  PyObject *bytes = PyUnicode_AsEncodedString(object, "utf-8", "surrogateescape");
  if (bytes && strlen(PyBytes_AsString(bytes)) != (size_t)PyBytes_Size(bytes)) {
    Py_CLEAR(bytes);
    refuse(place, PyExc_ValueError, "a str without NUL characters", object);
  }
  return bytes;
}

static bool to_text(Value *value, const Place *place) {
  value->made = encoded(value->object, place);
  value->text = value->made ? PyBytes_AsString(value->made) : NULL;
  return value->text;
}

static bool to_bytes(Value *value, const Place *place) {
  if (!PyBytes_Check(value->object)) {
    return refuse_type(place, "bytes", value->object);
  }
  value->text = PyBytes_AsString(value->object);
  value->integer = (int64_t)PyBytes_Size(value->object);
  return true;
}

static bool to_texts(Value *value, const Place *place) {
  PyObject *items = sequence_tuple(value->object);
  mlx_vector_string made = items ? mlx_vector_string_new() : (mlx_vector_string){0};
  bool done = made.ctx || (!items && !PyErr_Occurred() && refuse_type(place, "a list of strs", value->object));
  value->handle = made.ctx;
  value->owned = made.ctx;
  for (Py_ssize_t i = 0; items && i < PyTuple_Size(items) && done; i++) {
    PyObject *text = encoded(PyTuple_GetItem(items, i), place);
    done = text && (!mlx_vector_string_append_value(made, PyBytes_AsString(text)) || (raise_last_error(), false));
    Py_XDECREF(text);
  }
  Py_XDECREF(items);
  return done;
}

static bool put_array(void *map, PyObject *name, PyObject *item, const Place *place) {
  Value value = {.object = item};
  if (!to_array(&value, place)) {
    return false;
  }
  int failed = mlx_map_string_to_array_insert((mlx_map_string_to_array){map}, PyBytes_AsString(name), value.array);
  return !failed || (raise_last_error(), false);
}

static bool put_text(void *map, PyObject *name, PyObject *item, const Place *place) {
  PyObject *text = encoded(item, place);
  bool done = text && (!mlx_map_string_to_string_insert((mlx_map_string_to_string){map}, PyBytes_AsString(name),
                                                        PyBytes_AsString(text)) ||
                       (raise_last_error(), false));
  Py_XDECREF(text);
  return done;
}

static bool to_map(Value *value, const Place *place, bool arrays) {
  PyObject *key, *item;
  Py_ssize_t at = 0;
  if (!PyDict_Check(value->object)) {
    return refuse_type(place, "a dict", value->object);
  }
  value->handle = arrays ? mlx_map_string_to_array_new().ctx : mlx_map_string_to_string_new().ctx;
  value->owned = value->handle;
  bool done = value->handle || (raise_last_error(), false);
  while (done && next_pair(value->object, &at, &key, &item)) {
    PyObject *name = encoded(key, place);
    done = name && (arrays ? put_array : put_text)(value->handle, name, item, place);
    Py_XDECREF(name);
    Py_DECREF(key);
    Py_DECREF(item);
  }
  return done;
}

/* --- streams, devices and other handles --- */

static bool to_stream(Value *value, const Place *place) {
  if (PyErr_Occurred()) {
    return false;
  }
  if (!PyObject_TypeCheck(value->object, (PyTypeObject *)told.thread_local_stream)) {
    int type, index;
    if (device_place(value->object, &type, &index)) {
      return raise_last_error();
    }
    return refuse_type(place, "a Stream, ThreadLocalStream, Device, DeviceType or None", value->object);
  }
  value->made = PyObject_CallMethod(value->object, "_here", NULL);
  value->stream.ctx = value->made ? stream_of(value->made) : NULL;
  return value->stream.ctx;
}

static bool to_handle(Value *value, char letter, const Place *place) {
  value->handle = handle_of(letter, value->object);
  return value->handle || refuse_type(place, handle_name(letter), value->object);
}

/* --- all of them --- */

static bool converted_value(Value *value, char letter, const Place *place) {
  switch (letter) {
    case 'a':
    case 'A':
    case 'l':
    case '=':
      return to_held_array(value, place);
    case 'r':
      return to_key(value, place);
    case 'I':
    case 'i':
      return to_integer(value, place, INT32_MIN, INT32_MAX);
    case 'u':
      return to_natural(value, place);
    case 'B':
    case 'b':
      return refuse_type(place, "a bool", value->object);
    case 'F':
    case 'f':
      return to_number(value, place);
    case 'n':
      return to_ints(value, place, INT32_MIN, INT32_MAX);
    case 'N':
    case 'x':
      return to_one_or_more(value, place);
    case 'q':
      return to_ints(value, place, INT64_MIN, INT64_MAX);
    case 'D':
    case 'd':
      return refuse(place, PyExc_TypeError, "a Dtype", value->object);
    case 's':
      return to_stream(value, place);
    case 'w':
      return refuse_type(place, "a Stream", value->object);
    case 'v':
      return to_vector(value, place);
    case 'y':
    case 't':
      return to_text(value, place);
    case 'k':
      return to_bytes(value, place);
    case 'V':
      return to_texts(value, place);
    case 'M':
    case 'S':
      return to_map(value, place, letter == 'M');
    case 'p':
      return refuse_type(place, "a Device or DeviceType", value->object);
    case 'T':
      return refuse_type(place, "a DeviceType", value->object);
    case 'g':
      return refuse_type(place, "a Group", value->object);
    case 'G':
      return refuse_type(place, "a Group or None", value->object);
    default:
      return to_handle(value, letter, place);
  }
}

static bool convert_value(Value *value, const AbiRow *row, int number, PyObject *object) {
  value->object = object;
  value->given = object != Py_None;
  value->owned = false;
  value->made = NULL;
  return converted_value(value, row->row.letters[number], &(Place){row, number});
}

bool convert_other(Value *value, char letter, const char *function, const char *name, PyObject *object) {
  AbiRow row = {{function, (char[]){letter, 0}, NULL}, name};
  return convert_value(value, &row, 0, object);
}

/* --- ints one by one --- */

static PyObject *tuple_of(const Value *rest) {
  PyObject *tuple = PyTuple_New(rest->count);
  for (int i = 0; tuple && i < rest->count; i++) {
    PyTuple_SetItem(tuple, i, Py_NewRef(rest->items[i]));
  }
  return tuple;
}

/* As they lie; -1, without an exception, for others. */
static int read_rest(int *target, const Value *rest) {
  if (rest->count == 1 && !PyLong_CheckExact(rest->items[0])) {
    return read_ints(target, rest->items[0]);
  }
  for (int i = 0; i < rest->count && i < MOST_INTS; i++) {
    if (!read_int32(target + i, rest->items[i])) {
      return -1;
    }
  }
  return rest->count <= MOST_INTS ? rest->count : -1;
}

bool convert_rest(Value *value, const char *function, const char *name, const Value *rest) {
  value->ints = value->few;
  value->count = read_rest(value->ints, rest);
  value->owned = false;
  value->made = NULL;
  if (value->count >= 0) {
    return true;
  }
  /* As mlx.core, which looks at nothing after a sequence. */
  PyObject *sizes = sequence_tuple(rest->items[0]);
  if (!sizes && !PyErr_Occurred()) {
    sizes = tuple_of(rest);
  }
  bool done = sizes && convert_object(value, 'n', function, name, sizes);
  value->made = sizes;
  return done;
}

/* --- calls --- */

static bool is_operand(char letter) {
  return letter == 'l' || letter == '=';
}

/* The arrays that operands stand for, which may be anything: a tuple; NULL after an exception. */
static PyObject *arrays_of_likes(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count) {
  PyObject *likes = PyList_New(0);
  bool read = likes && !append_new(likes, PyUnicode_FromString(row->row.name));
  for (Py_ssize_t i = 0; read && i < count; i++) {
    read = !is_operand(row->row.letters[i]) || !PyList_Append(likes, arguments[i]);
  }
  PyObject *given = read ? PyList_AsTuple(likes) : NULL;
  PyObject *tuple = given ? PyObject_CallObject(told.as_arrays, given) : NULL;
  Py_XDECREF(given);
  Py_XDECREF(likes);
  return tuple;
}

static bool needs_arrays(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count) {
  for (Py_ssize_t i = 0; i < count; i++) {
    if (row->row.letters[i] == 'l' && !is_array(arguments[i])) {
      return true;
    }
  }
  return false;
}

/* Calls with so many arguments, of which `likes` replaces the operands. */
static PyObject *call_with(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count, const Value *rest,
                           PyObject *likes) {
  Value values[MOST_PARAMETERS];
  int read = 0, next = 0;
  bool fit = true;
  for (char letter; fit && (letter = row->row.letters[read]) && letter != '*'; read++) {
    PyObject *argument = read < count ? arguments[read] : Py_None;
    if (likes && is_operand(letter)) {
      PyObject *array = PyTuple_GetItem(likes, next++);
      argument = letter == 'l' ? array : argument;
    }
    fit = read_alone(&values[read], letter, argument) || convert_value(&values[read], row, read, argument);
  }
  if (rest) {
    values[read] = *rest;
  }
  PyObject *result = fit ? row->row.call(values) : NULL;
  free_values(values, row->row.letters, read);
  return result;
}

PyObject *call_converted(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count, const Value *rest) {
  PyObject *likes = NULL;
  if (needs_arrays(row, arguments, count) && !(likes = arrays_of_likes(row, arguments, count))) {
    return NULL;
  }
  PyObject *result = call_with(row, arguments, count, rest, likes);
  Py_XDECREF(likes);
  return result;
}
