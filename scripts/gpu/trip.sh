#!/usr/bin/env bash
# Third device call of this session: all rows and verdicts.
export PYTHONUNBUFFERED=1
R="$OUT/trip3"; mkdir -p "$R"
say() { echo; echo "== $* ($(date +%T))"; }
C='{"hidden_size":1024,"num_hidden_layers":28,"intermediate_size":3072,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"rms_norm_eps":1e-6,"vocab_size":151936,"max_position_embeddings":1024,"rope_theta":10000.0,"tie_word_embeddings":true,"model_type":"qwen3","query_pre_attn_scalar":64,"sliding_window":16,"sliding_window_pattern":2}'
{
nvidia-smi -L
(timeout 170 python3 scripts/gpu/torch_step.py "$C" 4 1024 >"$R/torch1" 2>&1) &
(timeout 170 python3 scripts/gpu/torch_step.py "$C" 4 1024 --full >"$R/torch2" 2>&1) &
(timeout 170 python3 scripts/gpu/torch_step.py "$C" 1 8192 >"$R/torch3" 2>&1) &
(timeout 60 python3 scripts/gpu/mlx_lm_step.py "$C" 4 1024; timeout 40 python3 scripts/gpu/mlx_lm_step.py "$C" 4 1024 --bits 4; timeout 40 python3 scripts/gpu/decode.py "$C" mlx --bits 4) >"$R/warm" 2>&1 &
(timeout 150 python3 scripts/gpu_tuner.py --no-timing --only qwen3-lora qwen3-4-bit llama-packed gemma3_text-full qwen3-checkpoint) >"$R/losses" 2>&1 &
(timeout 170 python3 scripts/gpu_check.py --only layers) >"$R/layers" 2>&1 &
wait
for f in torch1 torch2 torch3 warm; do tail -1 "$R/$f"; done
say losses; grep -v Warn "$R/losses" | tail -14
say layers; grep -v Warn "$R/layers" | tail -36
say rows; timeout 330 python3 scripts/gpu_tuner.py --turns 1 --no-losses 2>&1 | grep -v Warn
for ops in 20 60; do say ops "$ops"; MLX_MAX_OPS_PER_BUFFER=$ops timeout 50 python3 scripts/gpu_tuner.py --time "LoRA, 4 x 1,024" 2>/dev/null | tail -1; done
say profile; timeout 60 python3 scripts/gpu/step_profile.py 2>&1 | grep -v Warn | tail -62
} 2>&1 | tee "$OUT/trip3.txt"
