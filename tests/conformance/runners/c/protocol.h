/* The protocol cases: what only the ABI shows. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

enum { MAX_WHY = 512 };

/* Whether a case is right; else `why` says what was not. */
bool protocol_right(const char *id, char *program, char *why);

/* What `runner FOLDER --child ID` does: the part of a case that ends, or might end, its process. */
int protocol_child(const char *id);

typedef struct {
  const char *id;
  void (*run)(void);
} protocol_case;

/* One table a theme, each ended by a case without an id. */
extern const protocol_case closure_cases[], failure_cases[], gradient_cases[], handle_cases[], error_cases[];
extern const protocol_case thread_cases[], dtype_cases[], process_cases[];

/* The first that is not right is what is told of a case. */
void expect(const char *what, bool right);
void expect_number(const char *what, double got, double right);
void expect_part(const char *what, const char *got, const char *part);

/* The exit status of `runner FOLDER --child ID`; 128 and more after a signal. */
int child_status(const char *id);

#endif
