/* Maps from strings to arrays and to strings, with their iterators. */
#include "check.h"

static mlx_map_string_to_array abc(void) {
  const char *keys[3] = {"a", "b", "c"};
  mlx_map_string_to_array map = mlx_map_string_to_array_new();
  for (int i = 0; i < 3; i++) {
    mlx_array value = mlx_array_new_int(i + 1);
    OK(mlx_map_string_to_array_insert(map, keys[i], value));
    drop(value);
  }
  return map;
}

static void check_value(mlx_map_string_to_array map, const char *key, const char *expected) {
  mlx_array value = mlx_array_new();
  OK(mlx_map_string_to_array_get(&value, map, key));
  IS(value, expected);
  drop(value);
}

static void test_array_map(void) {
  mlx_map_string_to_array map = abc();
  mlx_array value = mlx_array_new_int(20);
  check_value(map, "a", ": 1");
  check_value(map, "c", ": 3");
  OK(mlx_map_string_to_array_insert(map, "b", value));
  check_value(map, "b", ": 20");
  OK(mlx_map_string_to_array_get(&value, map, "a"));
  IS(value, ": 1");
  drop(value);
  OK(mlx_map_string_to_array_free(map));
}

static void test_array_map_missing(void) {
  mlx_map_string_to_array map = abc();
  mlx_array value = mlx_array_new(), kept = mlx_array_new_int(7);
  error_count = 0;
  CHECK_INT(2, mlx_map_string_to_array_get(&value, map, "nothing"));
  CHECK(value.ctx == NULL);
  CHECK_INT(2, mlx_map_string_to_array_get(&kept, map, ""));
  IS(kept, ": 7");
  CHECK_INT(0, error_count);
  drop(kept);
  OK(mlx_map_string_to_array_free(map));
}

static void test_array_map_set(void) {
  mlx_map_string_to_array map = abc(), copy = mlx_map_string_to_array_new(), slot = {NULL};
  mlx_array value = mlx_array_new_int(9);
  OK(mlx_map_string_to_array_set(&copy, map));
  OK(mlx_map_string_to_array_set(&slot, map));
  OK(mlx_map_string_to_array_set(&slot, slot));
  OK(mlx_map_string_to_array_insert(copy, "a", value));
  check_value(map, "a", ": 1");
  check_value(copy, "a", ": 9");
  check_value(slot, "b", ": 2");
  drop(value);
  FREE(mlx_map_string_to_array, map, copy, slot);
}

static void test_array_map_iterator(void) {
  mlx_map_string_to_array map = abc();
  mlx_map_string_to_array_iterator it = mlx_map_string_to_array_iterator_new(map);
  mlx_array value = mlx_array_new();
  const char *key = NULL;
  int seen = 0, status, item = 0;
  CHECK(it.ctx != NULL);
  while ((status = mlx_map_string_to_array_iterator_next(&key, &value, it)) == 0) {
    CHECK_INT(1, strlen(key));
    OK(mlx_array_item_int32(&item, value));
    CHECK_INT(key[0] - 'a' + 1, item);
    seen += 1 << item;
  }
  CHECK_INT(2, status);
  CHECK_INT(2 + 4 + 8, seen);
  CHECK_INT(2, mlx_map_string_to_array_iterator_next(&key, &value, it));
  drop(value);
  OK(mlx_map_string_to_array_iterator_free(it));
  OK(mlx_map_string_to_array_free(map));
}

static void test_empty_array_map(void) {
  mlx_map_string_to_array map = mlx_map_string_to_array_new();
  mlx_map_string_to_array_iterator it = mlx_map_string_to_array_iterator_new(map);
  mlx_array value = mlx_array_new();
  const char *key = NULL;
  CHECK_INT(2, mlx_map_string_to_array_iterator_next(&key, &value, it));
  CHECK(value.ctx == NULL);
  OK(mlx_map_string_to_array_iterator_free(it));
  OK(mlx_map_string_to_array_free(map));
}

static void test_array_map_errors(void) {
  mlx_map_string_to_array map = abc(), none = {NULL};
  mlx_map_string_to_array_iterator no_it = {NULL, NULL};
  mlx_array value = mlx_array_new();
  const char *key = NULL;
  FAILS(mlx_map_string_to_array_insert(map, "k", value));
  FAILS(mlx_map_string_to_array_insert(map, NULL, value));
  FAILS(mlx_map_string_to_array_get(&value, none, "a"));
  FAILS(mlx_map_string_to_array_set(&map, none));
  REJECTS(mlx_map_string_to_array_iterator_new(none).ctx == NULL);
  FAILS(mlx_map_string_to_array_iterator_next(&key, &value, no_it));
  OK(mlx_map_string_to_array_iterator_free(no_it));
  OK(mlx_map_string_to_array_free(none));
  CHECK_INT(2, mlx_map_string_to_array_get(&value, map, "k"));
  OK(mlx_map_string_to_array_free(map));
}

static mlx_map_string_to_string colours(void) {
  mlx_map_string_to_string map = mlx_map_string_to_string_new();
  OK(mlx_map_string_to_string_insert(map, "sky", "blue"));
  OK(mlx_map_string_to_string_insert(map, "sun", "green"));
  OK(mlx_map_string_to_string_insert(map, "sun", "yellow"));
  return map;
}

static void test_string_map(void) {
  mlx_map_string_to_string map = colours(), copy = mlx_map_string_to_string_new(), slot = {NULL};
  const char *value = NULL;
  OK(mlx_map_string_to_string_get(&value, map, "sun"));
  CHECK_STR("yellow", value);
  OK(mlx_map_string_to_string_set(&copy, map));
  OK(mlx_map_string_to_string_set(&slot, map));
  OK(mlx_map_string_to_string_insert(copy, "sky", "grey"));
  OK(mlx_map_string_to_string_get(&value, map, "sky"));
  CHECK_STR("blue", value);
  OK(mlx_map_string_to_string_get(&value, copy, "sky"));
  CHECK_STR("grey", value);
  error_count = 0;
  CHECK_INT(2, mlx_map_string_to_string_get(&value, slot, "sea"));
  CHECK_INT(0, error_count);
  FREE(mlx_map_string_to_string, map, copy, slot);
}

static void test_string_map_iterator(void) {
  mlx_map_string_to_string map = colours();
  mlx_map_string_to_string_iterator it = mlx_map_string_to_string_iterator_new(map);
  const char *key = NULL, *value = NULL;
  int seen = 0, status;
  while ((status = mlx_map_string_to_string_iterator_next(&key, &value, it)) == 0) {
    CHECK_STR(strcmp(key, "sky") == 0 ? "blue" : "yellow", value);
    seen++;
  }
  CHECK_INT(2, status);
  CHECK_INT(2, seen);
  OK(mlx_map_string_to_string_iterator_free(it));
  OK(mlx_map_string_to_string_free(map));
}

static void test_string_map_errors(void) {
  mlx_map_string_to_string map = colours(), none = {NULL};
  mlx_map_string_to_string_iterator no_it = {NULL, NULL};
  const char *key = NULL, *value = NULL;
  FAILS(mlx_map_string_to_string_insert(none, "a", "b"));
  FAILS(mlx_map_string_to_string_insert(map, "a", NULL));
  FAILS(mlx_map_string_to_string_get(&value, none, "a"));
  FAILS(mlx_map_string_to_string_get(&value, map, NULL));
  FAILS(mlx_map_string_to_string_set(&map, none));
  REJECTS(mlx_map_string_to_string_iterator_new(none).ctx == NULL);
  FAILS(mlx_map_string_to_string_iterator_next(&key, &value, no_it));
  OK(mlx_map_string_to_string_iterator_free(no_it));
  FREE(mlx_map_string_to_string, none, map);
}

int main(void) {
  begin();
  GROUP("maps to arrays", test_array_map, test_array_map_missing, test_array_map_set);
  GROUP("iterators over maps to arrays", test_array_map_iterator, test_empty_array_map);
  GROUP("errors of maps to arrays", test_array_map_errors);
  GROUP("maps to strings", test_string_map, test_string_map_iterator, test_string_map_errors);
  return end();
}
