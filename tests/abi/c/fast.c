/* fast.h: norms, rotary positions, attention and custom kernel objects. */
#include "check.h"

static void test_rms_norm(void) {
  mlx_array x = floats("3 4; 0 2"), w = floats("2 10"), none = mlx_array_new(), res = mlx_array_new();
  RESULT(mlx_fast_rms_norm(&res, x, none, 0, cpu), res, "0.8485281 1.1313708; 0 1.4142136");
  RESULT(mlx_fast_rms_norm(&res, x, w, 0, cpu), res, "1.6970563 11.313708; 0 14.142136");
  FAILS(mlx_fast_rms_norm(&res, x, x, 0, cpu));
  FAILS(mlx_fast_rms_norm(&res, none, w, 0, cpu));
  CHECK(res.ctx == NULL);
  drop(x, w);
}

static void test_layer_norm(void) {
  mlx_array x = floats("1 3"), w = floats("2 3"), b = floats("10 20"), none = mlx_array_new();
  mlx_array res = mlx_array_new();
  RESULT(mlx_fast_layer_norm(&res, x, none, none, 0, cpu), res, "-1 1");
  RESULT(mlx_fast_layer_norm(&res, x, w, b, 0, cpu), res, "8 23");
  RESULT(mlx_fast_layer_norm(&res, x, w, none, 0, cpu), res, "-2 3");
  RESULT(mlx_fast_layer_norm(&res, x, none, b, 0, cpu), res, "9 21");
  drop(x, w, b);
}

/* One pair (1, 0) at two positions: it turns by the angle of the position. */
static void test_rope(void) {
  mlx_optional_float base = {10000, true}, unset = {0, false};
  mlx_array x = floats("1 1 2 2: 1 0 1 0"), none = mlx_array_new(), res = mlx_array_new(), freqs = floats("2");
  mlx_array offset = mlx_array_new_int(1);
  RESULT(mlx_fast_rope(&res, x, 2, true, base, 1, 0, none, cpu), res, "1 1 2 2: 1 0 0.5403023 0.8414710");
  RESULT(mlx_fast_rope(&res, x, 2, false, base, 2, 0, none, cpu), res, "1 1 2 2: 1 0 -0.4161468 0.9092974");
  RESULT(mlx_fast_rope(&res, x, 2, true, base, 1, 1, none, cpu), res,
         "1 1 2 2: 0.5403023 0.8414710 -0.4161468 0.9092974");
  RESULT(mlx_fast_rope_dynamic(&res, x, 2, true, base, 1, offset, none, cpu), res,
         "1 1 2 2: 0.5403023 0.8414710 -0.4161468 0.9092974");
  RESULT(mlx_fast_rope(&res, x, 2, true, unset, 1, 0, freqs, cpu), res, "1 1 2 2: 1 0 0.8775826 0.4794255");
  RESULT(mlx_fast_rope_dynamic(&res, x, 2, true, unset, 1, offset, freqs, cpu), res,
         "1 1 2 2: 0.8775826 0.4794255 0.5403023 0.8414710");
  FAILS(mlx_fast_rope(&res, x, 2, true, base, 1, 0, freqs, cpu));
  FAILS(mlx_fast_rope(&res, x, 2, true, unset, 1, 0, none, cpu));
  FAILS(mlx_fast_rope_dynamic(&res, x, 2, true, base, 1, none, none, cpu));
  drop(x, freqs, offset);
}

/* Queries of zero weigh all the keys that they see alike. */
static void test_attention(void) {
  mlx_array q = floats("1 1 2 2: 0 0 0 0"), k = floats("1 1 2 2: 1 2 3 4"), v = floats("1 1 2 2: 1 10 3 30");
  mlx_array none = mlx_array_new(), mask = typed("0 1; 1 0", MLX_BOOL), sinks = floats("0"), res = mlx_array_new();
  RESULT(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 1, "", none, none, cpu), res, "1 1 2 2: 2 20 2 20");
  RESULT(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 1, "causal", none, none, cpu), res,
         "1 1 2 2: 1 10 2 20");
  RESULT(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 1, "array", mask, none, cpu), res,
         "1 1 2 2: 3 30 1 10");
  RESULT(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 1, "", none, sinks, cpu), res,
         "1 1 2 2: 1.3333333 13.333333 1.3333333 13.333333");
  FAILS(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 1, "nonsense", none, none, cpu));
  FAILS(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 1, NULL, none, none, cpu));
  FAILS(mlx_fast_scaled_dot_product_attention(&res, q, none, v, 1, "", none, none, cpu));
  drop(q, k, v, mask, sinks);
}

static void test_attention_weights(void) {
  mlx_array q = floats("1 1 1 1: 1"), k = floats("1 1 2 1: 0 1.0986123"), v = floats("1 1 2 1: 4 8");
  mlx_array none = mlx_array_new(), res = mlx_array_new();
  RESULT(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 1, "", none, none, cpu), res, "1 1 1 1: 7");
  drop(q, k, v);
}

/* ---- custom kernels: there is no GPU to run them, but no call may crash --- */

static const char source[] = "out[thread_position_in_grid.x] = in[thread_position_in_grid.x];";

static void test_cuda_kernel(void) {
  const int shape[1] = {3};
  mlx_vector_string in = mlx_vector_string_new_value("in"), out = mlx_vector_string_new_value("out");
  mlx_fast_cuda_kernel_config config = mlx_fast_cuda_kernel_config_new();
  mlx_vector_array inputs = take(1, floats("1 2 3")), outputs = mlx_vector_array_new();
  OK(mlx_fast_cuda_kernel_config_add_output_arg(config, shape, 1, MLX_FLOAT32));
  OK(mlx_fast_cuda_kernel_config_set_grid(config, 3, 1, 1));
  OK(mlx_fast_cuda_kernel_config_set_thread_group(config, 3, 1, 1));
  OK(mlx_fast_cuda_kernel_config_set_init_value(config, 0.5f));
  OK(mlx_fast_cuda_kernel_config_set_verbose(config, false));
  OK(mlx_fast_cuda_kernel_config_add_template_arg_dtype(config, "T", MLX_FLOAT32));
  OK(mlx_fast_cuda_kernel_config_add_template_arg_int(config, "N", 3));
  OK(mlx_fast_cuda_kernel_config_add_template_arg_bool(config, "B", true));
  FAILS(mlx_fast_cuda_kernel_config_add_output_arg(config, shape, 1, (mlx_dtype)99));
  FAILS(mlx_fast_cuda_kernel_config_add_template_arg_int(config, NULL, 3));
  error_count = 0;
  mlx_fast_cuda_kernel kernel = mlx_fast_cuda_kernel_new("copy", in, out, source, "", true, 0);
  CHECK((kernel.ctx == NULL) == (error_count > 0));
  FAILS(mlx_fast_cuda_kernel_apply(&outputs, kernel, inputs, config, cpu));
  CHECK_INT(0, mlx_vector_array_size(outputs));
  mlx_fast_cuda_kernel_free(kernel);
  mlx_fast_cuda_kernel_config_free(config);
  FREE(mlx_vector_string, in, out);
  drop_vector(inputs, outputs);
}

static void test_metal_kernel(void) {
  const int shape[1] = {3};
  mlx_vector_string in = mlx_vector_string_new_value("in"), out = mlx_vector_string_new_value("out");
  mlx_fast_metal_kernel_config config = mlx_fast_metal_kernel_config_new();
  mlx_vector_array inputs = take(1, floats("1 2 3")), outputs = mlx_vector_array_new();
  OK(mlx_fast_metal_kernel_config_add_output_arg(config, shape, 1, MLX_FLOAT32));
  OK(mlx_fast_metal_kernel_config_set_grid(config, 3, 1, 1));
  OK(mlx_fast_metal_kernel_config_set_thread_group(config, 3, 1, 1));
  OK(mlx_fast_metal_kernel_config_set_init_value(config, 0.5f));
  OK(mlx_fast_metal_kernel_config_set_verbose(config, false));
  OK(mlx_fast_metal_kernel_config_add_template_arg_dtype(config, "T", MLX_FLOAT32));
  OK(mlx_fast_metal_kernel_config_add_template_arg_int(config, "N", 3));
  OK(mlx_fast_metal_kernel_config_add_template_arg_bool(config, "B", true));
  FAILS(mlx_fast_metal_kernel_config_add_output_arg(config, NULL, 1, MLX_FLOAT32));
  FAILS(mlx_fast_metal_kernel_config_add_template_arg_bool(config, NULL, true));
  error_count = 0;
  mlx_fast_metal_kernel kernel = mlx_fast_metal_kernel_new("copy", in, out, source, "", true, false);
  CHECK((kernel.ctx == NULL) == (error_count > 0));
  FAILS(mlx_fast_metal_kernel_apply(&outputs, kernel, inputs, config, cpu));
  CHECK_INT(0, mlx_vector_array_size(outputs));
  mlx_fast_metal_kernel_free(kernel);
  mlx_fast_metal_kernel_config_free(config);
  FREE(mlx_vector_string, in, out);
  drop_vector(inputs, outputs);
}

static void test_empty_kernel_handles(void) {
  mlx_fast_cuda_kernel cuda = {NULL};
  mlx_fast_cuda_kernel_config cuda_config = {NULL};
  mlx_fast_metal_kernel metal = {NULL};
  mlx_fast_metal_kernel_config metal_config = {NULL};
  mlx_vector_string none = {NULL};
  FAILS(mlx_fast_cuda_kernel_config_set_grid(cuda_config, 1, 1, 1));
  FAILS(mlx_fast_metal_kernel_config_set_grid(metal_config, 1, 1, 1));
  REJECTS(mlx_fast_cuda_kernel_new("a", none, none, source, "", true, 0).ctx == NULL);
  REJECTS(mlx_fast_metal_kernel_new(NULL, none, none, source, "", true, false).ctx == NULL);
  mlx_fast_cuda_kernel_free(cuda);
  mlx_fast_cuda_kernel_config_free(cuda_config);
  mlx_fast_metal_kernel_free(metal);
  mlx_fast_metal_kernel_config_free(metal_config);
}

int main(void) {
  begin();
  GROUP("norms", test_rms_norm, test_layer_norm);
  GROUP("rotary positions", test_rope);
  GROUP("attention", test_attention, test_attention_weights);
  GROUP("custom kernels", test_cuda_kernel, test_metal_kernel, test_empty_kernel_handles);
  return end();
}
