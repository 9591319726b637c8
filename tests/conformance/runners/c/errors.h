/* The last error of each thread, and the functions of the library by name. */
#ifndef ERRORS_H
#define ERRORS_H

#include <stddef.h>

typedef void (*any_function)(void);

/* From now on an error is kept for the thread that it happened on, and the process goes on. */
void keep_errors(void);

/* The text of the last error of this thread since clear_error(); "" when there is none. */
const char *last_error(void);
void clear_error(void);

/* A function of the library, which may not have it: then NULL. */
any_function find_function(const char *name);

/* How many objects are alive; 0 where the library does not count them. */
size_t live_objects(void);

#endif
