intptr_t glue_fused_rms_norm(intptr_t x, intptr_t weight, float eps, intptr_t s);
intptr_t glue_fused_rope(intptr_t x, int dims, bool traditional, float base, bool has_base, float scale, intptr_t offset, intptr_t freqs, intptr_t s);
intptr_t glue_fused_attention(intptr_t q, intptr_t k, intptr_t v, float scale, bool causal, intptr_t mask, intptr_t s);
#ifndef MLXFFI_PLAIN_MLXC
intptr_t glue_fused_swiglu(intptr_t gate, intptr_t up, intptr_t s);
intptr_t glue_fused_geglu(intptr_t gate, intptr_t up, intptr_t s);
intptr_t glue_fused_cross_entropy(intptr_t logits, intptr_t targets, intptr_t weights, int ignored, bool has_ignored, double smoothing, int reduction, intptr_t s);
intptr_t glue_fused_kl_div_loss(intptr_t q, intptr_t p, double temperature, bool teacher_gradient, int reduction, intptr_t s);
intptr_t glue_fused_js_div_loss(intptr_t q, intptr_t p, double temperature, bool teacher_gradient, int reduction, intptr_t s);
intptr_t glue_fused_linear_cross_entropy(intptr_t hidden, intptr_t head, intptr_t targets, intptr_t weights, int ignored, bool has_ignored, double smoothing, double z_loss, int reduction, intptr_t s);
intptr_t glue_fused_linear_kl_div_loss(intptr_t q, intptr_t head_q, intptr_t p, intptr_t head_p, double temperature, bool teacher_gradient, int reduction, intptr_t s);
intptr_t glue_fused_linear_js_div_loss(intptr_t q, intptr_t head_q, intptr_t p, intptr_t head_p, double temperature, bool teacher_gradient, int reduction, intptr_t s);
intptr_t glue_fused_lora_linear(intptr_t x, intptr_t weight, intptr_t a, intptr_t b, float scale, intptr_t s);
intptr_t glue_fused_lora_quantized_linear(intptr_t x, intptr_t w, intptr_t scales, intptr_t biases, intptr_t a, intptr_t b, float scale, int group_size, int bits, const char *mode, intptr_t s);
intptr_t glue_fused_decoder_block(intptr_t x, intptr_t block, intptr_t keys, intptr_t values, int first, intptr_t s);
intptr_t glue_fused_paced(const intptr_t *arrays, size_t count, int ahead, intptr_t s);
#endif
