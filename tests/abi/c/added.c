/* Streams, vmap, export, memory and kernels that this library adds to the ABI. */
#include "tempdir.h"

#include <pthread.h>

#include "mlxffi/mlxffi.h"

/* ---- streams ---------------------------------------------------------- */

static void add_on(mlx_stream s) {
  mlx_array a = mlx_array_new_float(1), b = mlx_array_new();
  OK(mlx_add(&b, a, a, s));
  OK(mlx_array_eval(b));
  CHECK_CLOSE(2, mlx_array_data_float32(b)[0], 0);
  drop(a, b);
}

static void *peek_clear_and_use(void *arg) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream s = mlx_stream_new();
  mlx_array one = mlx_array_new_float(1), late = mlx_array_new();
  (void)arg;
  error_count = 0;
  CHECK_INT(2, mlx_peek_default_stream(&s, dev));
  CHECK(s.ctx == NULL && error_count == 0);
  begin_thread();
  OK(mlx_peek_default_stream(&s, dev));
  CHECK(mlx_stream_equal(s, cpu));
  add_on(cpu);
  OK(mlx_synchronize_default());
  OK(mlx_clear_streams());
  OK(mlx_square(&late, one, s));
  FAILS(mlx_array_eval(late));
  drop(one, late);
  OK(mlx_stream_free(s));
  OK(mlx_device_free(dev));
  end_thread();
  return NULL;
}

static void on_thread(void *(*body)(void *), void *arg) {
  pthread_t id;
  CHECK_INT(0, pthread_create(&id, NULL, body, arg));
  CHECK_INT(0, pthread_join(id, NULL));
}

static void test_peek_and_clear(void) {
  mlx_stream s = mlx_stream_new();
  on_thread(peek_clear_and_use, NULL);
  FAILS(mlx_peek_default_stream(&s, mlx_device_new()));
  add_on(cpu);
}

static void *use_shared(void *s) {
  add_on(*(mlx_stream *)s);
  return NULL;
}

static void test_thread_unsafe(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream s = mlx_stream_new_thread_unsafe(dev);
  CHECK(s.ctx != NULL);
  add_on(s);
  on_thread(use_shared, &s);
  add_on(s);
  OK(mlx_stream_free(s));
  OK(mlx_device_free(dev));
  REJECTS(mlx_stream_new_thread_unsafe(mlx_device_new()).ctx == NULL);
}

static void *use_thread_local(void *tls) {
  mlx_stream s = mlx_stream_new(), again = mlx_stream_new();
  OK(mlx_thread_local_stream_get(&s, *(mlx_thread_local_stream *)tls));
  OK(mlx_thread_local_stream_get(&again, *(mlx_thread_local_stream *)tls));
  CHECK(mlx_stream_equal(s, again));
  add_on(s);
  FREE(mlx_stream, s, again);
  return NULL;
}

static void test_thread_local(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_thread_local_stream tls = mlx_thread_local_stream_new(dev), none = {NULL};
  mlx_stream s = mlx_stream_new();
  CHECK(tls.ctx != NULL);
  use_thread_local(&tls);
  on_thread(use_thread_local, &tls);
  FAILS(mlx_thread_local_stream_get(&s, none));
  FREE(mlx_thread_local_stream, none, tls);
  OK(mlx_device_free(dev));
}

/* ---- vmap ------------------------------------------------------------- */

/* (x . y, x) for vectors x and y */
static int dot_and_first(mlx_vector_array *res, const mlx_vector_array in, void *calls) {
  mlx_array x = at(in, 0), y = at(in, 1), dot = mlx_array_new();
  ++*(int *)calls;
  OK(mlx_inner(&dot, x, y, cpu));
  OK(mlx_vector_array_set_value(res, dot));
  OK(mlx_vector_array_append_value(*res, x));
  drop(x, y, dot);
  return 0;
}

static void test_vmap(void) {
  const int in_axes[2] = {0, -1}, out_axes[2] = {0, 1}, far[2] = {5, -1};
  int calls = 0;
  mlx_closure fun = mlx_closure_new_func_payload(dot_and_first, &calls, NULL), mapped = {NULL};
  mlx_vector_array in = take(2, floats("1 2 3; 4 5 6"), floats("1 10 100")), out = {NULL};
  OK(mlx_vmap(&mapped, fun, in_axes, 2, out_axes, 2));
  OK(mlx_closure_free(fun));
  OK(mlx_closure_apply(&out, mapped, in));
  CHECK_INT(1, calls);
  IS_AT(out, 0, "2: 321 654");
  IS_AT(out, 1, "1 4; 2 5; 3 6");
  OK(mlx_closure_free(mapped));
  fun = mlx_closure_new_func_payload(dot_and_first, &calls, NULL);
  mapped = mlx_closure_new();
  OK(mlx_vmap(&mapped, fun, far, 2, out_axes, 2));
  FAILS(mlx_closure_apply(&out, mapped, in));
  FAILS(mlx_vmap(&mapped, mlx_closure_new(), in_axes, 2, out_axes, 2));
  FREE(mlx_closure, mapped, fun);
  drop_vector(in, out);
}

/* No axes: all inputs and outputs along their first. */
static void test_vmap_defaults(void) {
  int calls = 0;
  mlx_closure fun = mlx_closure_new_func_payload(dot_and_first, &calls, NULL), mapped = {NULL};
  mlx_vector_array in = take(2, floats("1 2; 3 4"), floats("1 1; 10 10")), out = {NULL};
  OK(mlx_vmap(&mapped, fun, NULL, 0, NULL, 0));
  OK(mlx_closure_apply(&out, mapped, in));
  IS_AT(out, 0, "2: 3 70");
  IS_AT(out, 1, "1 2; 3 4");
  FREE(mlx_closure, mapped, fun);
  drop_vector(in, out);
}

/* ---- export ----------------------------------------------------------- */

static int scaled(mlx_vector_array *res, const mlx_vector_array in, const mlx_map_string_to_array kwargs) {
  mlx_array x = at(in, 0), scale = mlx_array_new();
  OK(mlx_map_string_to_array_get(&scale, kwargs, "scale"));
  OK(mlx_multiply(&x, x, scale, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x, scale);
  return 0;
}

static mlx_map_string_to_array scale_of(float value) {
  mlx_map_string_to_array map = mlx_map_string_to_array_new();
  mlx_array a = mlx_array_new_float(value);
  OK(mlx_map_string_to_array_insert(map, "scale", a));
  drop(a);
  return map;
}

static void check_import(const char *file, const char *metadata) {
  mlx_imported_function fun = mlx_imported_function_new(file);
  mlx_map_string_to_array kwargs = scale_of(10);
  mlx_vector_array in = take(1, floats("1 2")), out = {NULL};
  mlx_string text = mlx_string_new();
  OK(mlx_imported_function_metadata(&text, fun));
  CHECK_STR(metadata, mlx_string_data(text));
  OK(mlx_imported_function_apply_kwargs(&out, fun, in, kwargs));
  IS_AT(out, 0, "10 20");
  OK(mlx_imported_function_free(fun));
  OK(mlx_map_string_to_array_free(kwargs));
  OK(mlx_string_free(text));
  drop_vector(in, out);
}

static void test_metadata(void) {
  mlx_closure_kwargs cls = mlx_closure_kwargs_new_func(scaled);
  mlx_map_string_to_array kwargs = scale_of(1);
  mlx_vector_array in = take(1, floats("0 0"));
  OK(mlx_export_function_kwargs_metadata(temp("a"), cls, in, kwargs, false, "about %s"));
  OK(mlx_export_function_kwargs(temp("b"), cls, in, kwargs, false));
  check_import(temp("a"), "about %s");
  check_import(temp("b"), "");
  OK(mlx_closure_kwargs_free(cls));
  OK(mlx_map_string_to_array_free(kwargs));
  drop_vector(in);
  remove_temp("a");
  remove_temp("b");
}

static void test_exporter_close(void) {
  mlx_closure_kwargs cls = mlx_closure_kwargs_new_func(scaled);
  mlx_map_string_to_array kwargs = scale_of(1);
  mlx_vector_array in = take(1, floats("0 0"));
  mlx_function_exporter exporter = mlx_function_exporter_new_kwargs(temp("c"), cls, false, "more");
  mlx_function_exporter none = {NULL};
  OK(mlx_closure_kwargs_free(cls));
  OK(mlx_function_exporter_apply_kwargs(exporter, in, kwargs));
  OK(mlx_function_exporter_close(exporter));
  OK(mlx_function_exporter_close(exporter));
  check_import(temp("c"), "more");
  FAILS(mlx_function_exporter_apply_kwargs(exporter, in, kwargs));
  FAILS(mlx_function_exporter_close(none));
  OK(mlx_function_exporter_free(exporter));
  OK(mlx_map_string_to_array_free(kwargs));
  drop_vector(in);
  remove_temp("c");
}

/* ---- memory, kernels, errors ------------------------------------------ */

static void test_buffer_size(void) {
  size_t empty = 1, once = 0, twice = 0;
  mlx_array a = floats("1 2 3 4"), lazy = mlx_array_new();
  mlx_vector_array none = mlx_vector_array_new(), one = mlx_vector_array_new_value(a);
  OK(mlx_add(&lazy, a, a, cpu));
  OK(mlx_get_array_buffer_size(&empty, none));
  OK(mlx_get_array_buffer_size(&once, one));
  OK(mlx_vector_array_append_value(one, a));
  OK(mlx_get_array_buffer_size(&twice, one));
  CHECK_INT(0, empty);
  CHECK(once >= 4 * sizeof(float));
  CHECK_INT(once, twice);
  OK(mlx_vector_array_append_value(one, lazy));
  FAILS(mlx_get_array_buffer_size(&twice, one));
  drop(a, lazy);
  drop_vector(none, one);
}

static void test_kernels(void) {
  const int shape[1] = {1};
  mlx_vector_string names = mlx_vector_string_new_value("x");
  mlx_fast_cuda_kernel_config config = mlx_fast_cuda_kernel_config_new();
  mlx_vector_array in = take(1, floats("1")), out = {NULL};
  OK(mlx_fast_cuda_kernel_config_add_output_arg(config, shape, 1, MLX_FLOAT32));
  OK(mlx_fast_cuda_kernel_config_set_grid(config, 1, 1, 1));
  OK(mlx_fast_cuda_kernel_config_set_thread_group(config, 1, 1, 1));
  OK(mlx_fast_cuda_kernel_config_add_scalar_arg_bool(config, true));
  OK(mlx_fast_cuda_kernel_config_add_scalar_arg_int(config, 3));
  OK(mlx_fast_cuda_kernel_config_add_scalar_arg_float(config, 0.5f));
  FAILS(mlx_fast_precompiled_cuda_kernel(&out, "k", "", 0, in, config, 0, true, cpu));
  FAILS(mlx_fast_precompiled_cuda_kernel(&out, "k", NULL, 4, in, config, 0, true, cpu));
  CHECK(out.ctx == NULL);
  error_count = 0;
  mlx_fast_metal_kernel kernel =
      mlx_fast_metal_kernel_new_math_mode("k", names, names, "", "", true, false, MLX_FAST_MATH_FAST);
  CHECK((kernel.ctx == NULL) == (error_count > 0));
  mlx_fast_metal_kernel_free(kernel);
  mlx_fast_cuda_kernel_config_free(config);
  OK(mlx_vector_string_free(names));
  drop_vector(in);
}

static void test_metallib(void) {
  bool metal = true;
  mlx_string path = mlx_string_new();
  OK(mlx_metal_is_available(&metal));
  if (!metal) {
    FAILS(mlx_metal_get_metallib_path(&path));
  }
  FAILS(mlx_metal_set_metallib_path(NULL));
  OK(mlx_metal_set_metallib_path("/nowhere/mlx.metallib"));
  OK(mlx_string_free(path));
}

static void test_half_precision(void) {
#ifdef HAS_FLOAT16
  mlx_array a = typed(": 1.5", MLX_FLOAT16);
  float16_t half = 0;
  OK(mlx_array_item_float16(&half, a));
  CHECK_CLOSE(1.5, (double)half, 0);
  CHECK_CLOSE(1.5, (double)mlx_array_data_float16(a)[0], 0);
  drop(a);
#endif
#ifdef HAS_BFLOAT16
  mlx_array b = typed(": 1.5", MLX_BFLOAT16);
  bfloat16_t brain;
  OK(mlx_array_item_bfloat16(&brain, b));
  CHECK(memcmp(&brain, mlx_array_data_bfloat16(b), sizeof brain) == 0);
  drop(b);
#endif
  mlx_array c = typed("1.5 -2", MLX_BFLOAT16), one = typed(": 1.5", MLX_FLOAT16);
  uint16_t bits = 0;
  CHECK_INT(0x3fc0, mlx_array_data_uint16(c)[0]);
  CHECK_INT(0xc000, mlx_array_data_uint16(c)[1]);
  CHECK_INT(0x3e00, mlx_array_data_uint16(one)[0]);
  OK(mlx_array_item_uint16(&bits, one));
  CHECK_INT(1, bits);
  drop(c, one);
}

static void test_text(void) {
  mlx_array a = floats("1.5 -2");
  mlx_string text = mlx_string_new();
  OK(mlxffi_array_text(&text, a, 2));
  CHECK_STR("array([1.50, -2.00], dtype=float32)", mlx_string_data(text));
  OK(mlx_array_tostring(&text, a));
  CHECK_STR("array([1.5, -2], dtype=float32)", mlx_string_data(text));
  FAILS(mlxffi_array_text(&text, a, 4097));
  FAILS(mlxffi_array_text(&text, mlx_array_new(), 2));
  drop(a);
  OK(mlx_string_free(text));
}

static void test_error_macro(void) {
  error_count = 0;
  mlx_error("%s %d", "number", 7);
  CHECK_INT(1, error_count);
  CHECK_HAS("number 7", last_error);
  CHECK_HAS("added.c", last_error);
}

int main(void) {
  begin();
  GROUP("streams", make_temp_dir, test_peek_and_clear, test_thread_unsafe, test_thread_local);
  GROUP("vmap", test_vmap, test_vmap_defaults);
  GROUP("export", test_metadata, test_exporter_close);
  GROUP("memory, kernels and errors", test_buffer_size, test_kernels, test_metallib, test_half_precision, test_text,
        test_error_macro);
  remove_temp_dir();
  return end();
}
