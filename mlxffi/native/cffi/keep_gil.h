/* What only builds graph nodes never waits and never calls back: its module keeps the GIL, which cffi would give up
 * around every call. The two macros are the only place where it does. */

#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }
