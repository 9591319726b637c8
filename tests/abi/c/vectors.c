/* Strings and vectors of arrays, vectors of arrays, ints and strings. */
#include "check.h"

static void test_string(void) {
  mlx_string empty = mlx_string_new(), text = mlx_string_new_data("one");
  CHECK_STR("", mlx_string_data(empty));
  CHECK_STR("one", mlx_string_data(text));
  OK(mlx_string_set(&empty, text));
  CHECK_STR("one", mlx_string_data(empty));
  OK(mlx_string_set(&text, text));
  CHECK_STR("one", mlx_string_data(text));
  OK(mlx_string_free(text));
  CHECK_STR("one", mlx_string_data(empty));
  OK(mlx_string_free(empty));
}

static void test_string_slots(void) {
  mlx_string none = {NULL}, slot = {NULL}, text = mlx_string_new_data("100% %s");
  OK(mlx_string_free(none));
  OK(mlx_string_set(&slot, text));
  CHECK_STR("100% %s", mlx_string_data(slot));
  REJECTS(mlx_string_data(none) == NULL);
  FAILS(mlx_string_set(&slot, none));
  FAILS(mlx_string_set(NULL, text));
  REJECTS(mlx_string_new_data(NULL).ctx == NULL);
  CHECK_STR("100% %s", mlx_string_data(slot));
  FREE(mlx_string, slot, text);
}

static void test_vector_array(void) {
  mlx_array items[2] = {mlx_array_new_int(1), mlx_array_new_int(2)};
  mlx_vector_array vec = mlx_vector_array_new();
  CHECK_INT(0, mlx_vector_array_size(vec));
  OK(mlx_vector_array_append_value(vec, items[0]));
  OK(mlx_vector_array_append_data(vec, items, 2));
  CHECK_INT(3, mlx_vector_array_size(vec));
  drop(items[0]);
  IS_AT(vec, 0, ": 1");
  IS_AT(vec, 1, ": 1");
  IS_AT(vec, 2, ": 2");
  OK(mlx_vector_array_set_value(&vec, items[1]));
  CHECK_INT(1, mlx_vector_array_size(vec));
  IS_AT(vec, 0, ": 2");
  drop(items[1]);
  drop_vector(vec);
}

static void test_vector_array_makers(void) {
  mlx_array items[2] = {mlx_array_new_int(1), mlx_array_new_int(2)};
  mlx_vector_array a = mlx_vector_array_new_data(items, 2);
  mlx_vector_array b = mlx_vector_array_new_value(items[1]);
  mlx_vector_array slot = {NULL}, other = {NULL};
  CHECK_INT(2, mlx_vector_array_size(a));
  CHECK_INT(1, mlx_vector_array_size(b));
  OK(mlx_vector_array_set(&slot, a));
  OK(mlx_vector_array_set(&slot, slot));
  OK(mlx_vector_array_set_data(&b, items, 2));
  OK(mlx_vector_array_set_data(&other, items + 1, 1));
  IS_AT(slot, 1, ": 2");
  IS_AT(b, 0, ": 1");
  IS_AT(other, 0, ": 2");
  OK(mlx_vector_array_append_value(slot, items[0]));
  CHECK_INT(2, mlx_vector_array_size(a));
  drop_vector(a, b, slot, other);
  drop(items[0], items[1]);
}

static void test_vector_array_errors(void) {
  mlx_array res = mlx_array_new_int(5), none = mlx_array_new();
  mlx_array items[2] = {res, none};
  mlx_vector_array vec = mlx_vector_array_new(), missing = {NULL};
  FAILS(mlx_vector_array_get(&res, vec, 0));
  FAILS(mlx_vector_array_append_value(vec, none));
  FAILS(mlx_vector_array_append_data(vec, items, 2));
  CHECK_INT(0, mlx_vector_array_size(vec));
  FAILS(mlx_vector_array_append_value(missing, res));
  REJECTS(mlx_vector_array_size(missing) == 0);
  REJECTS(mlx_vector_array_new_value(none).ctx == NULL);
  REJECTS(mlx_vector_array_new_data(items, 2).ctx == NULL);
  FAILS(mlx_vector_array_set(&vec, missing));
  OK(mlx_vector_array_free(missing));
  IS(res, ": 5");
  drop(res);
  drop_vector(vec);
}

static mlx_vector_array numbers(const char *a, const char *b) {
  return take(2, floats(a), floats(b));
}

static void check_row(mlx_vector_vector_array vec, size_t i, const char *first) {
  mlx_vector_array row = mlx_vector_array_new();
  OK(mlx_vector_vector_array_get(&row, vec, i));
  CHECK_INT(2, mlx_vector_array_size(row));
  IS_AT(row, 0, first);
  drop_vector(row);
}

static void test_vector_vector(void) {
  mlx_vector_array rows[2] = {numbers("1", "2"), numbers("3 4", "5")};
  mlx_vector_vector_array vec = mlx_vector_vector_array_new();
  CHECK_INT(0, mlx_vector_vector_array_size(vec));
  OK(mlx_vector_vector_array_append_value(vec, rows[1]));
  OK(mlx_vector_vector_array_append_data(vec, rows, 2));
  CHECK_INT(3, mlx_vector_vector_array_size(vec));
  check_row(vec, 0, "3 4");
  check_row(vec, 1, "1");
  OK(mlx_vector_vector_array_set_value(&vec, rows[0]));
  CHECK_INT(1, mlx_vector_vector_array_size(vec));
  OK(mlx_vector_vector_array_set_data(&vec, rows, 2));
  CHECK_INT(2, mlx_vector_vector_array_size(vec));
  drop_vector(rows[0], rows[1]);
  check_row(vec, 1, "3 4");
  OK(mlx_vector_vector_array_free(vec));
}

static void test_vector_vector_makers(void) {
  mlx_vector_array rows[2] = {numbers("1", "2"), numbers("3", "4")}, row = {NULL};
  mlx_vector_vector_array a = mlx_vector_vector_array_new_data(rows, 2);
  mlx_vector_vector_array b = mlx_vector_vector_array_new_value(rows[1]), slot = {NULL};
  CHECK_INT(2, mlx_vector_vector_array_size(a));
  check_row(b, 0, "3");
  OK(mlx_vector_vector_array_set(&slot, a));
  OK(mlx_vector_vector_array_free(a));
  check_row(slot, 0, "1");
  FAILS(mlx_vector_vector_array_get(&row, slot, 2));
  FAILS(mlx_vector_vector_array_append_value(slot, row));
  OK(mlx_vector_vector_array_get(&row, slot, 1));
  IS_AT(row, 1, "4");
  drop_vector(row);
  FREE(mlx_vector_vector_array, slot, b);
  drop_vector(rows[0], rows[1]);
}

static int int_at(mlx_vector_int vec, size_t i) {
  int value = 0;
  OK(mlx_vector_int_get(&value, vec, i));
  return value;
}

static void test_vector_int(void) {
  int raw[3] = {4, -5, 6}, value = 0;
  mlx_vector_int vec = mlx_vector_int_new(), one = mlx_vector_int_new_value(9);
  mlx_vector_int many = mlx_vector_int_new_data(raw, 3), slot = {NULL};
  OK(mlx_vector_int_append_value(vec, 1));
  OK(mlx_vector_int_append_data(vec, raw, 3));
  CHECK_INT(4, mlx_vector_int_size(vec));
  CHECK_INT(-5, int_at(vec, 2));
  CHECK_INT(9, int_at(one, 0));
  CHECK_INT(6, int_at(many, 2));
  OK(mlx_vector_int_set(&slot, many));
  OK(mlx_vector_int_set_value(&many, 2));
  OK(mlx_vector_int_set_data(&one, raw, 2));
  CHECK_INT(3, mlx_vector_int_size(slot));
  CHECK_INT(1, mlx_vector_int_size(many));
  CHECK_INT(2, mlx_vector_int_size(one));
  FAILS(mlx_vector_int_get(&value, one, 2));
  FREE(mlx_vector_int, vec, one, many, slot);
}

static const char *string_at(mlx_vector_string vec, size_t i) {
  char *value = NULL;
  OK(mlx_vector_string_get(&value, vec, i));
  return value;
}

static void test_vector_string(void) {
  const char *raw[2] = {"b", "c d"};
  char *value = NULL;
  mlx_vector_string vec = mlx_vector_string_new(), one = mlx_vector_string_new_value("z");
  mlx_vector_string many = mlx_vector_string_new_data(raw, 2), slot = {NULL};
  OK(mlx_vector_string_append_value(vec, "a"));
  OK(mlx_vector_string_append_data(vec, raw, 2));
  CHECK_INT(3, mlx_vector_string_size(vec));
  CHECK_STR("a", string_at(vec, 0));
  CHECK_STR("c d", string_at(vec, 2));
  CHECK_STR("z", string_at(one, 0));
  OK(mlx_vector_string_set(&slot, many));
  OK(mlx_vector_string_set_value(&many, "y"));
  OK(mlx_vector_string_set_data(&one, raw, 2));
  CHECK_STR("y", string_at(many, 0));
  CHECK_STR("c d", string_at(one, 1));
  CHECK_INT(2, mlx_vector_string_size(slot));
  FAILS(mlx_vector_string_get(&value, slot, 2));
  FAILS(mlx_vector_string_append_value(slot, NULL));
  FREE(mlx_vector_string, vec, one, many, slot);
}

static void test_empty_vectors(void) {
  mlx_vector_int no_ints = {NULL};
  mlx_vector_string no_strings = {NULL};
  mlx_vector_vector_array no_rows = {NULL};
  mlx_vector_array empty = mlx_vector_array_new_data(NULL, 0);
  CHECK_INT(0, mlx_vector_array_size(empty));
  OK(mlx_vector_array_append_data(empty, NULL, 0));
  drop_vector(empty);
  OK(mlx_vector_int_free(no_ints));
  OK(mlx_vector_string_free(no_strings));
  OK(mlx_vector_vector_array_free(no_rows));
  REJECTS(mlx_vector_int_size(no_ints) == 0);
  REJECTS(mlx_vector_string_size(no_strings) == 0);
  REJECTS(mlx_vector_vector_array_size(no_rows) == 0);
  FAILS(mlx_vector_int_append_value(no_ints, 1));
}

int main(void) {
  begin();
  GROUP("strings", test_string, test_string_slots);
  GROUP("vectors of arrays", test_vector_array, test_vector_array_makers, test_vector_array_errors);
  GROUP("vectors of vectors", test_vector_vector, test_vector_vector_makers);
  GROUP("vectors of ints", test_vector_int);
  GROUP("vectors of strings", test_vector_string);
  GROUP("empty vectors", test_empty_vectors);
  return end();
}
