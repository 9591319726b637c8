#include "protocol.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errors.h"

static const protocol_case *const tables[] = {closure_cases, failure_cases, gradient_cases, handle_cases,
                                              error_cases,   thread_cases,  dtype_cases,    process_cases};
static char problem[MAX_WHY];
static char *program_path;

void expect(const char *what, bool right) {
  if (!right && problem[0] == 0) {
    snprintf(problem, sizeof problem, "not so: %.200s (last error: %.200s)", what, last_error());
  }
}

void expect_number(const char *what, double got, double right) {
  if (!(fabs(got - right) <= 1e-5 * (1 + fabs(right))) && problem[0] == 0) {
    snprintf(problem, sizeof problem, "%.200s: got %g, right is %g (last error: %.200s)", what, got, right,
             last_error());
  }
}

void expect_part(const char *what, const char *got, const char *part) {
  if (strstr(got, part) == NULL && problem[0] == 0) {
    snprintf(problem, sizeof problem, "%.100s: got \"%.150s\", right has \"%.150s\"", what, got, part);
  }
}

static void (*find(const char *id))(void) {
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    for (const protocol_case *each = tables[i]; each->id != NULL; each++) {
      if (strcmp(each->id, id) == 0) {
        return each->run;
      }
    }
  }
  return NULL;
}

bool protocol_right(const char *id, char *program, char *why) {
  void (*run)(void) = find(id);
  size_t before = live_objects();
  program_path = program;
  problem[0] = 0;
  clear_error();
  if (run == NULL) {
    snprintf(why, MAX_WHY, "this runner has no such case");
    return false;
  }
  run();
  if (live_objects() != before && problem[0] == 0) {
    snprintf(problem, sizeof problem, "%zu objects are alive afterwards, %zu were before", live_objects(), before);
  }
  snprintf(why, MAX_WHY, "%s", problem);
  return problem[0] == 0;
}

int child_status(const char *id) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    execl(program_path, program_path, ".", "--child", id, (char *)NULL);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
