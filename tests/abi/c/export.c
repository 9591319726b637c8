/* export.h: functions written to files and read back. */
#include "tempdir.h"

/* 2 * x + 1 */
static int affine(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  mlx_array x = at(in, 0), two = mlx_array_new_float(2), one = mlx_array_new_float(1);
  ((counts *)data)->calls++;
  OK(mlx_multiply(&x, x, two, cpu));
  OK(mlx_add(&x, x, one, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x, two, one);
  return 0;
}

/* x * scale + shift, of which shift may be missing */
static int named(mlx_vector_array *res, const mlx_vector_array in, const mlx_map_string_to_array kwargs, void *data) {
  mlx_array x = at(in, 0), scale = mlx_array_new(), shift = mlx_array_new();
  ((counts *)data)->calls++;
  OK(mlx_map_string_to_array_get(&scale, kwargs, "scale"));
  OK(mlx_multiply(&x, x, scale, cpu));
  if (mlx_map_string_to_array_get(&shift, kwargs, "shift") == 0) {
    OK(mlx_add(&x, x, shift, cpu));
  }
  OK(mlx_vector_array_set_value(res, x));
  drop(x, scale, shift);
  return 0;
}

static int always_fails(mlx_vector_array *res, const mlx_vector_array in) {
  (void)res;
  (void)in;
  return 1;
}

static void insert(mlx_map_string_to_array map, const char *key, float value) {
  mlx_array a = mlx_array_new_float(value);
  OK(mlx_map_string_to_array_insert(map, key, a));
  drop(a);
}

static void check_import(const char *file, const char *x, const char *expected) {
  mlx_imported_function fun = mlx_imported_function_new(file);
  mlx_vector_array in = take(1, floats(x)), out = {NULL};
  CHECK(fun.ctx != NULL);
  OK(mlx_imported_function_apply(&out, fun, in));
  OK(mlx_imported_function_apply(&out, fun, in));
  CHECK_INT(1, mlx_vector_array_size(out));
  IS_AT(out, 0, expected);
  OK(mlx_imported_function_free(fun));
  drop_vector(in, out);
}

static void check_import_fails(const char *file, const char *x) {
  mlx_imported_function fun = mlx_imported_function_new(file);
  mlx_vector_array in = take(1, floats(x)), out = {NULL};
  FAILS(mlx_imported_function_apply(&out, fun, in));
  CHECK(out.ctx == NULL);
  OK(mlx_imported_function_free(fun));
  drop_vector(in);
}

static void test_plain(void) {
  counts c = {0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(affine, &c, count_free);
  mlx_vector_array example = take(1, floats("0 0"));
  OK(mlx_export_function(temp("plain"), cls, example, false));
  OK(mlx_closure_free(cls));
  CHECK_INT(1, c.calls);
  CHECK_INT(1, c.freed);
  drop_vector(example);
  check_import(temp("plain"), "1 5", "3 11");
  check_import_fails(temp("plain"), "1 2 3");
  remove_temp("plain");
}

static void test_shapeless(void) {
  counts c = {0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(affine, &c, count_free);
  mlx_vector_array example = take(1, floats("0 0"));
  OK(mlx_export_function(temp("shapeless"), cls, example, true));
  OK(mlx_closure_free(cls));
  drop_vector(example);
  check_import(temp("shapeless"), "1 5", "3 11");
  check_import(temp("shapeless"), "1 2 3", "3 5 7");
  remove_temp("shapeless");
}

static void test_kwargs(void) {
  counts c = {0, 0};
  mlx_closure_kwargs cls = mlx_closure_kwargs_new_func_payload(named, &c, count_free);
  mlx_vector_array x = take(1, floats("1 2")), out = mlx_vector_array_new();
  mlx_map_string_to_array kwargs = mlx_map_string_to_array_new();
  insert(kwargs, "scale", 1);
  insert(kwargs, "shift", 1);
  OK(mlx_export_function_kwargs(temp("kwargs"), cls, x, kwargs, false));
  OK(mlx_closure_kwargs_free(cls));
  CHECK_INT(1, c.freed);
  mlx_imported_function fun = mlx_imported_function_new(temp("kwargs"));
  insert(kwargs, "scale", 10);
  insert(kwargs, "shift", 5);
  OK(mlx_imported_function_apply_kwargs(&out, fun, x, kwargs));
  IS_AT(out, 0, "15 25");
  FAILS(mlx_imported_function_apply(&out, fun, x));
  insert(kwargs, "unknown", 5);
  FAILS(mlx_imported_function_apply_kwargs(&out, fun, x, kwargs));
  IS_AT(out, 0, "15 25");
  OK(mlx_imported_function_free(fun));
  OK(mlx_map_string_to_array_free(kwargs));
  drop_vector(x, out);
  remove_temp("kwargs");
}

/* One file may hold the traces of several shapes. */
static void test_exporter(void) {
  static const char *shapes[3] = {"0", "0 0", "2 2: 0 0 0 0"};
  counts c = {0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(affine, &c, count_free);
  mlx_function_exporter exporter = mlx_function_exporter_new(temp("many"), cls, false);
  CHECK(exporter.ctx != NULL);
  OK(mlx_closure_free(cls));
  for (int i = 0; i < 3; i++) {
    mlx_vector_array example = take(1, floats(shapes[i]));
    OK(mlx_function_exporter_apply(exporter, example));
    drop_vector(example);
  }
  CHECK_INT(3, c.calls);
  OK(mlx_function_exporter_free(exporter));
  CHECK_INT(1, c.freed);
  check_import(temp("many"), "7", "15");
  check_import(temp("many"), "1 5", "3 11");
  check_import(temp("many"), "1 2; 3 4", "3 5; 7 9");
  check_import_fails(temp("many"), "1 2 3");
  remove_temp("many");
}

static void test_exporter_kwargs(void) {
  counts c = {0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(affine, &c, count_free);
  mlx_function_exporter exporter = mlx_function_exporter_new(temp("mixed"), cls, false);
  mlx_vector_array example = take(1, floats("0 0"));
  mlx_map_string_to_array empty = mlx_map_string_to_array_new();
  OK(mlx_function_exporter_apply_kwargs(exporter, example, empty));
  OK(mlx_function_exporter_free(exporter));
  OK(mlx_closure_free(cls));
  OK(mlx_map_string_to_array_free(empty));
  drop_vector(example);
  check_import(temp("mixed"), "1 5", "3 11");
  CHECK_INT(1, c.freed);
  remove_temp("mixed");
}

static void test_failing_function(void) {
  mlx_closure cls = mlx_closure_new_func(always_fails);
  mlx_vector_array example = take(1, floats("0 0"));
  FAILS(mlx_export_function(temp("failed"), cls, example, false));
  mlx_function_exporter exporter = mlx_function_exporter_new(temp("failed"), cls, false);
  FAILS(mlx_function_exporter_apply(exporter, example));
  OK(mlx_function_exporter_free(exporter));
  OK(mlx_closure_free(cls));
  drop_vector(example);
  unlink(temp("failed"));
}

static void test_bad_files(void) {
  counts c = {0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(affine, &c, count_free);
  mlx_vector_array example = take(1, floats("0 0"));
  FILE *f = fopen(temp("garbage"), "w");
  CHECK(f != NULL && fputs("not a function", f) >= 0 && fclose(f) == 0);
  REJECTS(mlx_imported_function_new(temp("missing")).ctx == NULL);
  CHECK_HAS("missing", last_error);
  REJECTS(mlx_imported_function_new(temp("garbage")).ctx == NULL);
  REJECTS(mlx_imported_function_new(NULL).ctx == NULL);
  FAILS(mlx_export_function(temp("no/such/dir"), cls, example, false));
  FAILS(mlx_export_function(NULL, cls, example, false));
  REJECTS(mlx_function_exporter_new(temp("no/such/dir"), cls, false).ctx == NULL);
  OK(mlx_closure_free(cls));
  drop_vector(example);
  remove_temp("garbage");
  CHECK_INT(1, c.freed);
}

static void test_null_handles(void) {
  mlx_function_exporter exporter = {NULL};
  mlx_imported_function fun = {NULL};
  mlx_closure none = {NULL};
  mlx_closure_kwargs no_kwargs = {NULL};
  mlx_map_string_to_array no_map = {NULL};
  mlx_vector_array in = take(1, floats("1")), out = {NULL};
  FAILS(mlx_export_function(temp("x"), none, in, false));
  FAILS(mlx_export_function_kwargs(temp("x"), no_kwargs, in, no_map, false));
  FAILS(mlx_function_exporter_apply(exporter, in));
  FAILS(mlx_function_exporter_apply_kwargs(exporter, in, no_map));
  FAILS(mlx_imported_function_apply(&out, fun, in));
  FAILS(mlx_imported_function_apply_kwargs(&out, fun, in, no_map));
  REJECTS(mlx_function_exporter_new(temp("x"), none, false).ctx == NULL);
  OK(mlx_function_exporter_free(exporter));
  OK(mlx_imported_function_free(fun));
  CHECK(out.ctx == NULL);
  drop_vector(in);
}

int main(void) {
  begin();
  GROUP("export and import", make_temp_dir, test_plain, test_shapeless, test_kwargs);
  GROUP("exporters", test_exporter, test_exporter_kwargs);
  GROUP("errors", test_failing_function, test_bad_files, test_null_handles);
  remove_temp_dir();
  return end();
}
