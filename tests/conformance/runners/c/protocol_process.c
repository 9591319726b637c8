/* What ends a process, or might: each in a child. */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errors.h"
#include "lists.h"
#include "probe.h"
#include "protocol.h"

/* The seconds after which a process hangs: alarm() ends it. */
enum { OWN_STATUS = 7, HANGS = 60, FORKED_HANGS = 10 };

static const int first[] = {0};

/* ---- a handler that does not return ---- */

static jmp_buf back;

static void jump(const char *message, void *data) {
  (void)message, (void)data;
  longjmp(back, 1);
}

/* Whether a product of shapes that do not fit jumped out. */
static bool jumps_out(void) {
  static const float numbers[] = {1, 2, 3};
  static const int two[] = {2}, three[] = {3};
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array a = floats_of(numbers, two, 1), b = floats_of(numbers, three, 1);
  mlx_array res = mlx_array_new();
  if (setjmp(back) != 0) {
    return true;
  }
  mlx_set_error_handler(jump, NULL, NULL);
  mlx_add(&res, a, b, stream);
  return false;
}

/* What the failed call held stays behind; the next calls are right all the same. */
static int jump_and_go_on(void) {
  bool jumped = jumps_out();
  keep_errors();
  probe p = {.body = square};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), values = {NULL}, gradients = {NULL};
  int status = mlx_closure_value_and_grad_apply(&values, &gradients, gradient, x);
  return jumped && status == 0 && number_at(gradients, 0) == 6 ? OWN_STATUS : 1;
}

static void error_no_return(void) {
  expect_number("exit status after a jump out of the handler", child_status("error-no-return"), OWN_STATUS);
}

/* ---- fork ---- */

static bool forked;

static void note_fork(void) {
  forked = true;
}

/* A binding's evaluation: a forked child has none of MLX's threads and would wait for ever. */
static int evaluate(mlx_array array) {
  if (forked) {
    mlx_error("%s", "a forked child cannot compute: start it with exec");
    return 1;
  }
  return mlx_array_eval(array);
}

/* In the forked child: what computes is refused, the rest works. */
static int after_fork(mlx_array square) {
  mlx_array seven = mlx_array_new_float32(7), copy = mlx_array_new();
  alarm(FORKED_HANGS);
  bool refused = evaluate(square) == 1 && strstr(last_error(), "forked child") != NULL;
  bool works = mlx_array_set(&copy, seven) == 0 && mlx_array_size(copy) == 1;
  return refused && works ? OWN_STATUS : 1;
}

static int fork_and_compute(void) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array three = mlx_array_new_float32(3), nine = mlx_array_new();
  pthread_atfork(NULL, NULL, note_fork);
  mlx_square(&nine, three, stream);
  if (evaluate(nine) != 0) {
    return 1;
  }
  mlx_square(&nine, nine, stream);
  pid_t child = fork();
  if (child == 0) {
    exit(after_fork(nine));
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == OWN_STATUS && evaluate(nine) == 0 ? OWN_STATUS : 1;
}

static void fork_child(void) {
  expect_number("exit status of a process whose forked child evaluates", child_status("fork-child"), OWN_STATUS);
}

/* ---- exit ---- */

/* A thread that has computed, and is still there at the end. */
static void *compute_and_stay(void *pipe_end) {
  probe p = {.body = square};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), values = {NULL}, gradients = {NULL};
  mlx_closure_value_and_grad_apply(&values, &gradients, gradient, x);
  mlx_eval(gradients);
  bool told = write(*(int *)pipe_end, "", 1) == 1;
  while (told) {
    pause();
  }
  return NULL;
}

static int exit_with_everything(void) {
  static probe p = {.body = square};
  static int ends[2];
  char computed;
  pthread_t thread;
  mlx_closure closure = probe_closure(&p), compiled = {NULL}, checkpoint = {NULL};
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), a = {NULL}, b = {NULL}, c = {NULL};
  bool made = mlx_compile(&compiled, closure, false) == 0 && mlx_checkpoint(&checkpoint, closure) == 0 &&
              mlx_closure_apply(&a, compiled, x) == 0 && mlx_vjp(&b, &c, checkpoint, x, x) == 0;
  made = made && pipe(ends) == 0 && pthread_create(&thread, NULL, compute_and_stay, &ends[1]) == 0;
  made = made && read(ends[0], &computed, 1) == 1;
  mlx_async_eval(a);
  return made ? OWN_STATUS : 1;
}

static void exit_alive(void) {
  expect_number("exit status with everything alive", child_status("exit-alive"), OWN_STATUS);
}

int protocol_child(const char *id) {
  static const struct {
    const char *id;
    int (*run)(void);
  } children[] = {
      {"error-no-return", jump_and_go_on},
      {"fork-child", fork_and_compute},
      {"exit-alive", exit_with_everything},
  };
  alarm(HANGS);
  for (size_t i = 0; i < sizeof children / sizeof *children; i++) {
    if (strcmp(children[i].id, id) == 0) {
      return children[i].run();
    }
  }
  return 2;
}

const protocol_case process_cases[] = {
    {"error-no-return", error_no_return}, {"fork-child", fork_child}, {"exit-alive", exit_alive}, {NULL, NULL}};
