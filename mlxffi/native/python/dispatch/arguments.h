/* Functions of C for Python, by rows of a table. A row says how arguments are read, a letter for each, and what is called
 * with them:
 *
 *   a array   A array or None   l array or number   = array beside a number, which gets the result
 *   r a key of random numbers, or None for the next one
 *   o any object   m the same, or none at all
 *   i int     I int or None     u unsigned int      b bool      B bool or None   f number   F number or None
 *   n ints in a list or tuple   N the same, or one int          x the same, one int, or None
 *   d Dtype   D Dtype or None   s a stream or None   w Stream   t str            v arrays in a list or tuple
 *   g Group   G Group or None   p Device or DeviceType          T DeviceType
 *   * what `*arguments` takes: the last letter, as it stands behind all others in the function's code
 *
 * and, in functions of the ABI only:
 *
 *   q ints of 64 bits           y str or None       V strs      M dict of arrays by str           S dict of strs by str
 *   k bytes
 *   and those of objects/handle.h
 *
 * Arguments are read as they lie, which is how they mostly come; what is not read so is converted as Python would, or
 * refused in words (conversions.c). Operations (operation.c) are functions of mlxffi.core, and of most there is nothing in
 * Python but the signature. The others leave what they do not read to Python, which calls functions of the ABI (abi.c). */

#ifndef MLXFFI_ARGUMENTS_H
#define MLXFFI_ARGUMENTS_H

#include "dispatch/scalar_promotion.h"

#define MOST_INTS 16
#define MOST_PARAMETERS 24

/* `count` of Value where a parameter that takes several ints got one. */
#define ONE_INT -1

/* One argument as C reads it; which of these have a value follows from the letter. */
typedef struct {
  PyObject *object;
  PyObject *const *items; /* of *, `count` of them */
  mlx_array array;
  mlx_vector_array vector;
  mlx_stream stream;
  void *handle; /* of the other kinds, and of lists and dicts of strs */
  const char *text;
  int64_t *longs;
  int64_t integer;
  double number;
  int count, *ints; /* ints: `count` of them, in `few` or `few_longs` where they fit */
  union {
    int few[MOST_INTS];
    int64_t few_longs[MOST_INTS / 2];
  };
  bool given, flag, owned; /* given: not None; owned: it is freed after the call */
  PyObject *made;          /* what the object was converted to, until the call is done */
} Value;

/* What a call gives where it leaves the arguments to Python after all. */
extern PyObject *const left_to_python;

typedef struct {
  const char *name, *letters;
  PyObject *(*call)(Value *values);
} Row;

/* --- what arguments are, and what results become --- */

/* False, without an exception, for what is not read as it lies. */
bool read_value(Value *value, char letter, PyObject *object);
bool match_likes(Value *values, const char *letters);
/* The thread's next key of random numbers; false after an exception. */
bool take_key(Value *value);
/* The same for each parameter of a key that was not given. */
bool take_keys(Value *values, const char *letters);

/* The end of an argument: of what was made for it, which it mostly is not. */
void free_owned(Value *value, char letter);
static inline void free_value(Value *value, char letter) {
  if (value->owned) {
    free_owned(value, letter);
  }
  Py_XDECREF(value->made);
}
void free_values(Value *values, const char *letters, int count);

static inline bool read_int32(int *target, PyObject *object) {
  int64_t value;
  bool fits = read_int64(&value, object) && value >= INT32_MIN && value <= INT32_MAX;
  *target = fits ? (int)value : 0;
  return fits;
}
/* Ints of a list or tuple; -1, without an exception, for anything else. */
int read_ints(int *target, PyObject *sequence);
/* What an object stands for beside an array of a dtype, or, for -1, alone: a new handle; false after an exception. */
bool array_beside(mlx_array *made, int dtype, PyObject *object);
/* The same of an object among the arguments, which becomes the value's array. */
bool beside(Value *value, int dtype);
/* Whether its elements are floating point or complex. */
bool is_inexact(mlx_array array);
/* Whether a parameter got no list of ints but one, which is an error that names it. */
bool is_one(const Value *value, const char *name);
/* Room for so many ints, in a new value or in one that has been read. */
bool room(Value *value, int count);
bool reserve(Value *value, int count);
/* The ints are all axes of an array. */
bool all_axes(Value *value, mlx_array array);
/* How many ints a parameter got, one or several. */
size_t ints_of(const Value *value);
/* One int becomes as many as there are axes, where there are several. */
bool repeat_for(Value *value, const Value *axes);
/* One int for all of `count`, or as many; another number of them is an error, which names the parameter. */
bool spread(Value *value, int count, const char *name);

/* An element of that dtype as a Python number. */
PyObject *element_at(const void *at, int dtype);

/* An array becomes one of its elements in a row; false after an exception. */
bool flatten(Value *value, mlx_stream stream);

/* An array gets a handle of its own, for a call that gives up the GIL. */
bool own(Value *value);

/* The same where there is no GIL. */
static inline bool hold_array(Value *value) {
  return !FREE_THREADS || own(value);
}

/* The array object itself, with the value of a fresh array. */
PyObject *replaced(PyObject *array, mlx_array made);

#endif
