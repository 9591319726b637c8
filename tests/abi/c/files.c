/* io.h through files: npy, safetensors and GGUF. */
#include "tempdir.h"

/* ---- npy -------------------------------------------------------------- */

static void check_round_trip(mlx_dtype dtype, const char *values) {
  mlx_array a = typed(values, dtype), b = mlx_array_new();
  OK(mlx_save(temp("a.npy"), a));
  OK(mlx_load(&b, temp("a.npy"), cpu));
  CHECK_INT(dtype, mlx_array_dtype(b));
  IS(b, values);
  drop(a, b);
  remove_temp("a.npy");
}

static void test_npy(void) {
  check_round_trip(MLX_FLOAT32, "1 2; 3 -4.5");
  check_round_trip(MLX_FLOAT16, "1 2 0.5");
  check_round_trip(MLX_FLOAT64, ": 0.1");
  check_round_trip(MLX_INT8, "-128 127");
  check_round_trip(MLX_INT64, "9007199254740991 -1");
  check_round_trip(MLX_UINT16, "65535 0");
  check_round_trip(MLX_BOOL, "1 0 1");
}

static void test_npy_transposed(void) {
  mlx_array a = floats("1 2 3; 4 5 6"), b = mlx_array_new();
  OK(mlx_transpose(&a, a, cpu));
  OK(mlx_save(temp("t.npy"), a));
  OK(mlx_load(&b, temp("t.npy"), cpu));
  IS(b, "1 4; 2 5; 3 6");
  drop(a, b);
  remove_temp("t.npy");
}

/* A loaded array is lazy: it may still read its file when that is written. */
static void test_npy_overwrite(void) {
  mlx_array a = floats("1 2 3"), b = mlx_array_new();
  OK(mlx_save(temp("o.npy"), a));
  OK(mlx_load(&b, temp("o.npy"), cpu));
  OK(mlx_add(&b, b, a, cpu));
  OK(mlx_save(temp("o.npy"), b));
  IS(b, "2 4 6");
  OK(mlx_load(&b, temp("o.npy"), cpu));
  IS(b, "2 4 6");
  drop(a, b);
  remove_temp("o.npy");
}

static void test_npy_errors(void) {
  mlx_array a = floats("1"), res = mlx_array_new();
  FILE *f = fopen(temp("bad.npy"), "w");
  CHECK(f != NULL && fputs("this is no array", f) >= 0 && fclose(f) == 0);
  FAILS(mlx_load(&res, temp("missing.npy"), cpu));
  CHECK_HAS("missing.npy", last_error);
  FAILS(mlx_load(&res, temp("bad.npy"), cpu));
  FAILS(mlx_load(&res, NULL, cpu));
  FAILS(mlx_save(temp("no/such/dir.npy"), a));
  FAILS(mlx_save(NULL, a));
  FAILS(mlx_save(temp("x.npy"), res));
  CHECK(res.ctx == NULL);
  drop(a);
  remove_temp("bad.npy");
}

/* ---- safetensors ------------------------------------------------------ */

static void put_array(mlx_map_string_to_array map, const char *key, mlx_array a) {
  OK(mlx_map_string_to_array_insert(map, key, a));
  drop(a);
}

static void check_entry(mlx_map_string_to_array map, const char *key, mlx_dtype dtype, const char *expected) {
  mlx_array a = mlx_array_new();
  OK(mlx_map_string_to_array_get(&a, map, key));
  CHECK_INT(dtype, mlx_array_dtype(a));
  IS(a, expected);
  drop(a);
}

static void test_safetensors(void) {
  mlx_map_string_to_array arrays = mlx_map_string_to_array_new(), got = mlx_map_string_to_array_new();
  mlx_map_string_to_string meta = mlx_map_string_to_string_new(), got_meta = {NULL};
  const char *text = NULL;
  put_array(arrays, "weight", floats("1 2; 3 4"));
  put_array(arrays, "half", typed("0.5 -1", MLX_BFLOAT16));
  put_array(arrays, "index", typed("7", MLX_UINT32));
  put_array(arrays, "wide \"F64\"", typed("0.1 1e300", MLX_FLOAT64));
  OK(mlx_map_string_to_string_insert(meta, "format", "mlx \"quoted\""));
  OK(mlx_save_safetensors(temp("w.safetensors"), arrays, meta));
  OK(mlx_load_safetensors(&got, &got_meta, temp("w.safetensors"), cpu));
  check_entry(got, "weight", MLX_FLOAT32, "1 2; 3 4");
  check_entry(got, "half", MLX_BFLOAT16, "2: 0.5 -1");
  check_entry(got, "index", MLX_UINT32, "1: 7");
  check_entry(got, "wide \"F64\"", MLX_FLOAT64, "2: 0.1 1e300");
  OK(mlx_map_string_to_string_get(&text, got_meta, "format"));
  CHECK_STR("mlx \"quoted\"", text);
  FREE(mlx_map_string_to_array, arrays, got);
  FREE(mlx_map_string_to_string, meta, got_meta);
  remove_temp("w.safetensors");
}

static void test_safetensors_errors(void) {
  mlx_map_string_to_array arrays = mlx_map_string_to_array_new(), got = {NULL};
  mlx_map_string_to_string meta = mlx_map_string_to_string_new(), no_meta = {NULL};
  FILE *f = fopen(temp("bad.safetensors"), "w");
  CHECK(f != NULL && fputs("ab", f) >= 0 && fclose(f) == 0);
  FAILS(mlx_load_safetensors(&got, &no_meta, temp("missing.safetensors"), cpu));
  FAILS(mlx_load_safetensors(&got, &no_meta, temp("bad.safetensors"), cpu));
  FAILS(mlx_save_safetensors(temp("no/dir.safetensors"), arrays, meta));
  FAILS(mlx_save_safetensors(temp("x.safetensors"), got, meta));
  FAILS(mlx_save_safetensors(temp("x.safetensors"), arrays, no_meta));
  CHECK(got.ctx == NULL && no_meta.ctx == NULL);
  OK(mlx_map_string_to_array_free(arrays));
  OK(mlx_map_string_to_string_free(meta));
  remove_temp("bad.safetensors");
}

/* ---- GGUF ------------------------------------------------------------- */

static mlx_io_gguf sample_gguf(void) {
  const char *words[2] = {"alpha", "beta gamma"};
  mlx_io_gguf gguf = mlx_io_gguf_new();
  mlx_vector_string list = mlx_vector_string_new_data(words, 2);
  mlx_array weight = floats("1 2; 3 4"), number = mlx_array_new_int(42), numbers = floats("0.5 1.5");
  OK(mlx_io_gguf_set_array(gguf, "weight", weight));
  OK(mlx_io_gguf_set_array(gguf, "bias", numbers));
  OK(mlx_io_gguf_set_metadata_array(gguf, "number", number));
  OK(mlx_io_gguf_set_metadata_array(gguf, "numbers", numbers));
  OK(mlx_io_gguf_set_metadata_string(gguf, "name", "a model"));
  OK(mlx_io_gguf_set_metadata_vector_string(gguf, "words", list));
  OK(mlx_vector_string_free(list));
  drop(weight, number, numbers);
  return gguf;
}

/* Which kinds of metadata there are under a key: array 1, string 2, list 4. */
static int kinds(mlx_io_gguf gguf, const char *key) {
  bool array = false, string = false, list = false;
  OK(mlx_io_gguf_has_metadata_array(&array, gguf, key));
  OK(mlx_io_gguf_has_metadata_string(&string, gguf, key));
  OK(mlx_io_gguf_has_metadata_vector_string(&list, gguf, key));
  return array + 2 * string + 4 * list;
}

static void check_keys(mlx_io_gguf gguf) {
  mlx_vector_string keys = {NULL};
  char *key = NULL;
  OK(mlx_io_gguf_get_keys(&keys, gguf));
  CHECK_INT(2, mlx_vector_string_size(keys));
  for (size_t i = 0; i < 2; i++) {
    OK(mlx_vector_string_get(&key, keys, i));
    CHECK(strcmp(key, "weight") == 0 || strcmp(key, "bias") == 0);
  }
  OK(mlx_vector_string_free(keys));
}

static void check_gguf(mlx_io_gguf gguf) {
  mlx_array a = mlx_array_new();
  mlx_string text = mlx_string_new();
  mlx_vector_string list = mlx_vector_string_new();
  char *word = NULL;
  check_keys(gguf);
  OK(mlx_io_gguf_get_array(&a, gguf, "weight"));
  IS(a, "1 2; 3 4");
  OK(mlx_io_gguf_get_metadata_array(&a, gguf, "number"));
  IS(a, "42");
  OK(mlx_io_gguf_get_metadata_array(&a, gguf, "numbers"));
  IS(a, "2: 0.5 1.5");
  OK(mlx_io_gguf_get_metadata_string(&text, gguf, "name"));
  CHECK_STR("a model", mlx_string_data(text));
  OK(mlx_io_gguf_get_metadata_vector_string(&list, gguf, "words"));
  CHECK_INT(2, mlx_vector_string_size(list));
  OK(mlx_vector_string_get(&word, list, 1));
  CHECK_STR("beta gamma", word);
  CHECK_INT(1, kinds(gguf, "number"));
  CHECK_INT(2, kinds(gguf, "name"));
  CHECK_INT(4, kinds(gguf, "words"));
  CHECK_INT(0, kinds(gguf, "nothing"));
  drop(a);
  OK(mlx_string_free(text));
  OK(mlx_vector_string_free(list));
}

static void test_gguf(void) {
  mlx_io_gguf gguf = sample_gguf(), loaded = {NULL};
  check_gguf(gguf);
  OK(mlx_save_gguf(temp("m.gguf"), gguf));
  OK(mlx_load_gguf(&loaded, temp("m.gguf"), cpu));
  check_gguf(loaded);
  OK(mlx_load_gguf(&loaded, temp("m.gguf"), cpu));
  check_keys(loaded);
  FREE(mlx_io_gguf, gguf, loaded);
  remove_temp("m.gguf");
}

static void test_gguf_replaced_metadata(void) {
  mlx_io_gguf gguf = mlx_io_gguf_new();
  mlx_string text = mlx_string_new();
  mlx_array a = mlx_array_new_int(1);
  OK(mlx_io_gguf_set_metadata_string(gguf, "key", "one"));
  OK(mlx_io_gguf_set_metadata_string(gguf, "key", "two"));
  OK(mlx_io_gguf_get_metadata_string(&text, gguf, "key"));
  CHECK_STR("two", mlx_string_data(text));
  OK(mlx_io_gguf_set_metadata_array(gguf, "key", a));
  CHECK_INT(1, kinds(gguf, "key"));
  OK(mlx_io_gguf_free(gguf));
  OK(mlx_string_free(text));
  drop(a);
}

static void test_gguf_missing(void) {
  mlx_io_gguf gguf = sample_gguf();
  mlx_array a = mlx_array_new();
  mlx_string text = mlx_string_new();
  mlx_vector_string list = mlx_vector_string_new();
  CHECK_INT(2, mlx_io_gguf_get_array(&a, gguf, "nothing"));
  CHECK_INT(2, mlx_io_gguf_get_metadata_array(&a, gguf, "name"));
  CHECK_INT(2, mlx_io_gguf_get_metadata_string(&text, gguf, "number"));
  CHECK_INT(2, mlx_io_gguf_get_metadata_vector_string(&list, gguf, "name"));
  CHECK(a.ctx == NULL);
  OK(mlx_io_gguf_free(gguf));
  OK(mlx_string_free(text));
  OK(mlx_vector_string_free(list));
}

static void test_gguf_errors(void) {
  mlx_io_gguf none = {NULL}, gguf = mlx_io_gguf_new();
  mlx_array a = mlx_array_new();
  mlx_vector_string no_list = {NULL};
  FAILS(mlx_load_gguf(&none, temp("missing.gguf"), cpu));
  FAILS(mlx_save_gguf(temp("x.gguf"), none));
  FAILS(mlx_io_gguf_set_array(gguf, "k", a));
  FAILS(mlx_io_gguf_set_metadata_array(gguf, "k", a));
  FAILS(mlx_io_gguf_set_metadata_string(gguf, "k", NULL));
  FAILS(mlx_io_gguf_set_metadata_vector_string(gguf, "k", no_list));
  FAILS(mlx_io_gguf_get_array(&a, none, "k"));
  FAILS(mlx_io_gguf_get_keys(NULL, gguf));
  FREE(mlx_io_gguf, none, gguf);
  CHECK(a.ctx == NULL);
}

int main(void) {
  begin();
  GROUP("npy", make_temp_dir, test_npy, test_npy_transposed, test_npy_overwrite, test_npy_errors);
  GROUP("safetensors", test_safetensors, test_safetensors_errors);
  GROUP("gguf", test_gguf, test_gguf_replaced_metadata, test_gguf_missing, test_gguf_errors);
  remove_temp_dir();
  return end();
}
