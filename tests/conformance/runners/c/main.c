/* The conformance suite, run by a program that knows nothing but libmlxc's headers: see ../../README.md.
 *
 *     runner FOLDER [--expect FILE] [NAME ...]
 *
 * To be read in this order by who writes a binding in C:
 *   errors.c    the error handler, and functions by name
 *   lists.c     arrays and vectors: who frees what
 *   call.c      any operation, by the letters of its parameters (classes.h is made)
 *   program.c   closures and transforms
 *   probe.c, protocol_*.c   callbacks, handles, errors, threads, dtypes, processes: one rule of the guide a function
 * What remains reads files (json.c, tensors.c), compares (compare.c), counts (report.c), and batches (contracts.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "lists.h"
#include "program.h"
#include "protocol.h"
#include "report.h"

enum { MAX_PATH = 1024, MAX_FILE = MAX_PATH + 64 };

static json *read_json(const char *path) {
  size_t size;
  char *text = read_file(path, &size);
  json *tree = text != NULL ? json_parse(text, size) : NULL;
  if (tree == NULL) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(2);
  }
  free(text);
  return tree;
}

/* The first function that a case needs and the library has not; NULL when it has all. */
static const char *missing(const json *about) {
  const json *needs = json_get(about, "needs");
  for (const json *each = needs != NULL ? needs->first : NULL; each != NULL; each = each->next) {
    if (find_function(each->text) == NULL) {
      return each->text;
    }
  }
  return NULL;
}

static int outputs_of(mlx_vector_array *res, const json *about, const tensors *set) {
  const json *transforms = json_get(about, "transforms");
  if (json_get(about, "steps") == NULL) {
    return contract_outputs(res, json_get(about, "contract"), set);
  }
  function f = {about, set, transforms->size};
  mlx_vector_array inputs = {NULL};
  int status = named_tensors(&inputs, set, json_get(about, "inputs")) || function_apply(&f, res, inputs) ||
               mlx_eval(*res);
  mlx_vector_array_free(inputs);
  return status;
}

static bool is_one_of(const mlx_vector_array got, const json *expected, const tensors *set, char *message) {
  bool fine = false;
  for (const json *right = expected->first; right != NULL && !fine; right = right->next) {
    fine = outputs_right(got, right, set, message);
  }
  return fine;
}

static bool case_right(const json *about, const tensors *set, char *message) {
  mlx_vector_array got = {NULL};
  clear_error();
  int status = outputs_of(&got, about, set);
  bool fine, error = strcmp(json_text(about, "outcome"), "error") == 0;
  if (status != 0 || error) {
    fine = status != 0 && error;
    snprintf(message, MAX_MESSAGE, status != 0 ? "error: %.480s" : "got outputs, right is an error", last_error());
  } else {
    fine = is_one_of(got, json_get(about, "expected"), set, message);
  }
  mlx_vector_array_free(got);
  return fine;
}

static void run_case(const json *about, const tensors *set) {
  const char *name = json_text(about, "name"), *lacking = missing(about);
  char message[MAX_MESSAGE] = "";
  if (lacking != NULL) {
    report_left_out(name, lacking);
    return;
  }
  size_t before = live_objects();
  bool fine = case_right(about, set, message);
  if (fine && live_objects() != before) {
    fine = false;
    snprintf(message, sizeof message, "%zu objects are alive afterwards, %zu were before", live_objects(), before);
  }
  if (fine) {
    report_passed(name);
  } else {
    report_failed(name, message);
  }
}

static void run_set(const char *folder, const char *name) {
  char path[MAX_FILE];
  tensors set;
  snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
  if (tensors_read(&set, path) != 0) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(2);
  }
  snprintf(path, sizeof path, "%s/%s.json", folder, name);
  json *about = read_json(path);
  for (const json *each = json_get(about, "cases")->first; each != NULL; each = each->next) {
    if (report_wants(json_text(each, "name"))) {
      run_case(each, &set);
    }
  }
  report_set(name);
  json_free(about);
  tensors_free(&set);
}

static void run_protocol(const char *folder, char *program) {
  char path[MAX_PATH], name[MAX_PATH], message[MAX_MESSAGE];
  snprintf(path, sizeof path, "%s/protocol.json", folder);
  json *cases = read_json(path);
  for (const json *each = cases->first; each != NULL; each = each->next) {
    const char *id = json_text(each, "id"), *lacking = missing(each);
    snprintf(name, sizeof name, "protocol/%s", id);
    if (!report_wants(name)) {
      continue;
    }
    if (lacking != NULL) {
      report_left_out(name, lacking);
    } else if (protocol_right(id, program, message)) {
      report_passed(name);
    } else {
      report_failed(name, message);
    }
  }
  report_set("protocol");
  json_free(cases);
}

/* The vectors of the version that the library says it is. */
static void version_folder(char *path, const char *folder) {
  mlx_string version = mlx_string_new();
  mlx_version(&version);
  snprintf(path, MAX_PATH, "%s/vectors/%s", folder, mlx_string_data(version));
  mlx_string_free(version);
}

int main(int count, char **arguments) {
  static const char *const sets[] = {"operations", "transforms", "losses",  "optimizers",
                                     "lora",       "quantized",  "records", "adapters"};
  char path[MAX_PATH];
  keep_errors();
  if (count == 4 && strcmp(arguments[2], "--child") == 0) {
    return protocol_child(arguments[3]);
  }
  int used = count > 3 && strcmp(arguments[2], "--expect") == 0 ? 4 : 2;
  if (count < 2) {
    fprintf(stderr, "usage: %s FOLDER [--expect FILE] [NAME ...]\n", arguments[0]);
    return 2;
  }
  report_begin(used == 4 ? arguments[3] : NULL, arguments + used, count - used);
  version_folder(path, arguments[1]);
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    run_set(path, sets[i]);
  }
  if (find_function("mlxffi_live_total") == NULL) {
    printf("live objects are not counted: the library has no mlxffi_live_total\n");
  }
  run_protocol(arguments[1], arguments[0]);
  return report_end();
}
