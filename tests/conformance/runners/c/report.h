/* What becomes of each case, and the figures at the end. */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>

/* Cases are counted whose name starts with one of `names`, or all; those in the file `expect` are expected to fail. */
void report_begin(const char *expect, char **names, int count);

/* Whether a case is to run. */
bool report_wants(const char *name);

void report_passed(const char *name);
void report_failed(const char *name, const char *why);
void report_left_out(const char *name, const char *why);

/* A line for the cases since the last one. */
void report_set(const char *set);

/* Prints `N of N`; the exit status. */
int report_end(void);

#endif
