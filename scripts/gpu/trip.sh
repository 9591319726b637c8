#!/usr/bin/env bash
# Second device call of this session: the kernels against float64, then rows in turns.
export PYTHONUNBUFFERED=1 MLXFFI_BLAS=reference
R="$OUT/trip2"; mkdir -p "$R"
say() { echo; echo "== $* ($(date +%T))"; }
C='{"hidden_size":1024,"num_hidden_layers":28,"intermediate_size":3072,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"rms_norm_eps":1e-6,"vocab_size":151936,"max_position_embeddings":1024,"rope_theta":10000.0,"tie_word_embeddings":true,"model_type":"qwen3"}'
row() { say "$1 ${@:2}"; timeout 100 env "${@:2}" python3 scripts/gpu_tuner.py --time "$1" 2>"$R/err" | tail -1 || true; grep -v Warning "$R/err" | tail -3; }
{
nvidia-smi -L
# What compiles is warmed while values are checked.
(timeout 300 python3 scripts/gpu/torch_step.py "$C" 4 1024 >"$R/torch_warm" 2>&1; timeout 200 python3 scripts/gpu/torch_step.py "$C" 1 8192 >>"$R/torch_warm" 2>&1) &
T=$!
(timeout 150 python3 scripts/gpu/mlx_lm_step.py "$C" 4 1024 >"$R/mlx_lm_warm" 2>&1; timeout 60 python3 scripts/gpu/decode.py "$C" mlx >>"$R/mlx_lm_warm" 2>&1) &
M=$!
say layers; timeout 170 python3 scripts/gpu_check.py --only layers 2>&1 | grep -v Warn | tail -60
say losses; timeout 100 python3 scripts/gpu_tuner.py --no-timing --only qwen3-lora llama-packed gemma3_text-full qwen3-4-bit 2>&1 | tail -6
row "LoRA, 4 x 1,024" WARM=1
wait $M; say mlx_lm warm; tail -3 "$R/mlx_lm_warm"
say profile; timeout 80 python3 scripts/gpu/step_profile.py 2>&1 | grep -v Warn | tail -62
wait $T; say torch warm; tail -3 "$R/torch_warm"
for turn in 1 2; do
  row "LoRA, 4 x 1,024" A=1
  say torch; timeout 90 python3 scripts/gpu/torch_step.py "$C" 4 1024 2>&1 | tail -1
  row "LoRA, 4 x 1,024" MLX_CUDA_GRAPH_CACHE_SIZE=4000
  say mlx_lm; timeout 60 python3 scripts/gpu/mlx_lm_step.py "$C" 4 1024 2>&1 | tail -1
  row "LoRA, 4 x 1,024" MLX_BFS_MAX_WIDTH=1 MLX_CUDA_GRAPH_CACHE_SIZE=4000
done
row "LoRA, 1 x 8,192" MLX_CUDA_GRAPH_CACHE_SIZE=4000
say torch 8192; timeout 60 python3 scripts/gpu/torch_step.py "$C" 1 8192 2>&1 | tail -1
say mlx_lm 8192; timeout 60 python3 scripts/gpu/mlx_lm_step.py "$C" 1 8192 2>&1 | tail -1
row "4-bit base, 4 x 1,024" MLX_CUDA_GRAPH_CACHE_SIZE=4000
row "LoRA, 1 x 32,768, checkpointed" MLX_CUDA_GRAPH_CACHE_SIZE=4000
for core in mlx mlxffi; do say decode $core; timeout 40 python3 scripts/gpu/decode.py "$C" $core 2>&1 | tail -1; done
say values; timeout 60 python3 scripts/gpu_check.py --only values 2>&1 | grep -v "^ok" | tail -8
} 2>&1 | tee "$OUT/trip2.txt"
