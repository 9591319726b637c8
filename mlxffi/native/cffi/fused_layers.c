/* The functions of mlxffi/fused.h and mlxffi/losses.h. A plain mlx-c has the same functions less the kernels, where it has them at all. */

#define ARRAY(handle) ((mlx_array){(void *)(handle)})

#ifdef MLXFFI_PLAIN_MLXC
#define mlxffi_rms_norm mlx_fast_rms_norm
#define mlxffi_rope mlx_fast_rope_dynamic
#define mlxffi_attention(res, q, k, v, scale, causal, mask, s) \
  mlx_fast_scaled_dot_product_attention(res, q, k, v, scale, (causal) ? "causal" : "", mask, (mlx_array){0}, s)
#endif

static intptr_t glue_fused_rms_norm(intptr_t x, intptr_t weight, float eps, intptr_t s) {
  HOLD;
  mlx_array res = {0};
  mlx_stream stream = glue_stream(s);
  mlxffi_rms_norm(&res, ARRAY(x), ARRAY(weight), eps, stream);
  glue_stream_done(s, stream);
  return (intptr_t)res.ctx;
}

static intptr_t glue_fused_rope(
    intptr_t x, int dims, bool traditional, float base, bool has_base, float scale, intptr_t offset, intptr_t freqs, intptr_t s) {
  HOLD;
  mlx_array res = {0};
  mlx_stream stream = glue_stream(s);
  mlx_optional_float power = {base, has_base};
  mlxffi_rope(&res, ARRAY(x), dims, traditional, power, scale, ARRAY(offset), ARRAY(freqs), stream);
  glue_stream_done(s, stream);
  return (intptr_t)res.ctx;
}

static intptr_t glue_fused_attention(intptr_t q, intptr_t k, intptr_t v, float scale, bool causal, intptr_t mask, intptr_t s) {
  HOLD;
  mlx_array res = {0};
  mlx_stream stream = glue_stream(s);
  mlxffi_attention(&res, ARRAY(q), ARRAY(k), ARRAY(v), scale, causal, ARRAY(mask), stream);
  glue_stream_done(s, stream);
  return (intptr_t)res.ctx;
}

#ifndef MLXFFI_PLAIN_MLXC

static intptr_t glue_fused_paced(const intptr_t *arrays, size_t count, int ahead, intptr_t s) {
  HOLD;
  mlx_vector_array res = {0};
  mlx_vector_array given = mlx_vector_array_new_data((const mlx_array *)arrays, count);
  if (given.ctx) {
    mlxffi_paced(&res, given, ahead, glue_stream(s));
  }
  mlx_vector_array_free(given);
  return (intptr_t)res.ctx;
}

/* The handle of the array that a call puts into `res`; 0 after an error. */
#define MAKE(call)             \
  HOLD;                        \
  mlx_array res = {0};         \
  call;                        \
  return (intptr_t)res.ctx

static intptr_t glue_fused_swiglu(intptr_t gate, intptr_t up, intptr_t s) {
  MAKE(mlxffi_swiglu(&res, ARRAY(gate), ARRAY(up), glue_stream(s)));
}

static intptr_t glue_fused_geglu(intptr_t gate, intptr_t up, intptr_t s) {
  MAKE(mlxffi_geglu(&res, ARRAY(gate), ARRAY(up), glue_stream(s)));
}

static intptr_t glue_fused_cross_entropy(intptr_t logits, intptr_t targets, intptr_t weights, int ignored, bool has_ignored, double smoothing, int reduction, intptr_t s) {
  mlx_optional_int index = {ignored, has_ignored};
  MAKE(mlxffi_cross_entropy(&res, ARRAY(logits), ARRAY(targets), ARRAY(weights), index, smoothing, reduction, glue_stream(s)));
}

static intptr_t glue_fused_kl_div_loss(intptr_t q, intptr_t p, double temperature, bool teacher_gradient, int reduction, intptr_t s) {
  MAKE(mlxffi_kl_div_loss(&res, ARRAY(q), ARRAY(p), temperature, teacher_gradient, reduction, glue_stream(s)));
}

static intptr_t glue_fused_js_div_loss(intptr_t q, intptr_t p, double temperature, bool teacher_gradient, int reduction, intptr_t s) {
  MAKE(mlxffi_js_div_loss(&res, ARRAY(q), ARRAY(p), temperature, teacher_gradient, reduction, glue_stream(s)));
}

static intptr_t glue_fused_linear_cross_entropy(intptr_t hidden, intptr_t head, intptr_t targets, intptr_t weights, int ignored, bool has_ignored, double smoothing, double z_loss, int reduction, intptr_t s) {
  mlx_optional_int index = {ignored, has_ignored};
  MAKE(mlxffi_linear_cross_entropy(&res, ARRAY(hidden), (const mlxffi_head *)head, ARRAY(targets), ARRAY(weights), index, smoothing, z_loss, reduction, glue_stream(s)));
}

static intptr_t glue_fused_linear_kl_div_loss(intptr_t q, intptr_t head_q, intptr_t p, intptr_t head_p, double temperature, bool teacher_gradient, int reduction, intptr_t s) {
  MAKE(mlxffi_linear_kl_div_loss(&res, ARRAY(q), (const mlxffi_head *)head_q, ARRAY(p), (const mlxffi_head *)head_p, temperature, teacher_gradient, reduction, glue_stream(s)));
}

static intptr_t glue_fused_linear_js_div_loss(intptr_t q, intptr_t head_q, intptr_t p, intptr_t head_p, double temperature, bool teacher_gradient, int reduction, intptr_t s) {
  MAKE(mlxffi_linear_js_div_loss(&res, ARRAY(q), (const mlxffi_head *)head_q, ARRAY(p), (const mlxffi_head *)head_p, temperature, teacher_gradient, reduction, glue_stream(s)));
}

static intptr_t glue_fused_lora_linear(intptr_t x, intptr_t weight, intptr_t a, intptr_t b, float scale, intptr_t s) {
  MAKE(mlxffi_lora_linear(&res, ARRAY(x), ARRAY(weight), ARRAY(a), ARRAY(b), scale, glue_stream(s)));
}

static intptr_t glue_fused_lora_quantized_linear(intptr_t x, intptr_t w, intptr_t scales, intptr_t biases, intptr_t a, intptr_t b, float scale, int group_size, int bits, const char *mode, intptr_t s) {
  mlx_optional_int size = {group_size, true}, width = {bits, true};
  MAKE(mlxffi_lora_quantized_linear(&res, ARRAY(x), ARRAY(w), ARRAY(scales), ARRAY(biases), ARRAY(a), ARRAY(b), scale, size, width, mode, glue_stream(s)));
}

static intptr_t glue_fused_decoder_block(intptr_t x, intptr_t block, intptr_t keys, intptr_t values, int first, intptr_t s) {
  HOLD;
  mlx_vector_array res = {0};
  mlxffi_decoder_block(&res, ARRAY(x), (const mlxffi_block *)block, ARRAY(keys), ARRAY(values), first, glue_stream(s));
  return (intptr_t)res.ctx;
}

#endif
