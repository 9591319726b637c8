#!/usr/bin/env bash
# First device call of this session: where a step's time goes before anything changes.
export PYTHONUNBUFFERED=1
say() { echo; echo "== $* ($(date +%T))"; }
time_row() { say "$@"; timeout 60 env "$@" python3 scripts/gpu_tuner.py --time "${ROW:-LoRA, 4 x 1,024}" 2>&1 | tail -2 || true; }
C='{"hidden_size":1024,"num_hidden_layers":28,"intermediate_size":3072,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"rms_norm_eps":1e-6,"vocab_size":151936,"max_position_embeddings":1024,"rope_theta":10000.0,"tie_word_embeddings":true,"model_type":"qwen3"}'
{
nvidia-smi -L; nproc; grep -m1 "model name" /proc/cpuinfo
say MLX variables; L=$(python3 -c "import mlx.core as m, os; print(os.path.dirname(m.__file__) + '/lib/libmlx.so')"); grep -aoE "MLX_[A-Z_]{4,40}" "$L" | sort -u | tr '\n' ' '
say profile; timeout 100 python3 scripts/gpu/step_profile.py 2>&1 | tail -70
time_row A=1
time_row MLX_USE_CUDA_GRAPHS=0
time_row MLX_CUDA_GRAPH_CACHE_SIZE=4000
time_row MLX_BFS_MAX_WIDTH=1
time_row MLX_BFS_MAX_WIDTH=400
say torch; timeout 90 python3 scripts/gpu/torch_step.py "$C" 4 1024 2>&1 | tail -2
say mlx_lm; timeout 60 python3 scripts/gpu/mlx_lm_step.py "$C" 4 1024 2>&1 | tail -3
time_row MLX_MAX_OPS_PER_BUFFER=400
time_row MLX_MAX_OPS_PER_BUFFER=1000 MLX_MAX_MB_PER_BUFFER=4000
time_row A=2
ROW="4-bit base, 4 x 1,024" time_row A=1
say profile without graphs; MLX_USE_CUDA_GRAPHS=0 timeout 60 python3 scripts/gpu/step_profile.py 2>&1 | grep -v nodes | tail -60
say losses; timeout 60 python3 scripts/gpu_tuner.py --no-timing --only qwen3-lora qwen3-dora qwen3-packed gemma3_text-full 2>&1 | tail -6
say checks; timeout 120 python3 scripts/gpu_check.py --only values 2>&1 | grep -v "^ok" | tail -20
} 2>&1 | tee "$OUT/trip1.txt"
