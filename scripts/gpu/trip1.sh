# Experiment, not to stay.
export PYTHONUNBUFFERED=1 MLX_PTX_CACHE_DIR=/tmp/ptx NCCL_NVLS_ENABLE=0; mkdir -p /tmp/ptx
for f in ptx inductor; do [ -f $f.tgz ] && tar xzf $f.tgz -C /tmp; done
S=$(date +%s); t() { echo "== $* after $(($(date +%s)-S)) s"; }
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader; nproc
timeout 150 python3 scripts/gpu_tuner.py losses --only llama-lora qwen3-lora qwen3-4-bit qwen3-full qwen3-packed qwen3-checkpoint qwen3-dora gemma3_text-lora >$OUT/losses.txt 2>&1 &
cd scripts
timeout 150 python3 -c "
from gpu import rows, shapes as s
from gpu.asked import Together, once
from concurrent.futures import ThreadPoolExecutor as P
with P(2) as p: list(p.map(lambda r: once(Together(rows.commands(r)[rows.TORCH])), [s.SHORT, s.FULL]))" &
timeout 100 python3 -m gpu.trials 1 short:joined
wait; t losses; cat $OUT/losses.txt
timeout 130 python3 -m gpu.trials 7 short:joined short:apart short:torch short:mlx_lm; t short
timeout 120 python3 -m gpu.trials 5 full:joined full:flat full:apart full:torch; t full
for c in mlx mlxffi; do timeout 40 python3 -m gpu.trial_decode nodes $c; done; timeout 90 python3 -m gpu.trial_decode 9; t decode
timeout 50 python3 -m gpu.trial "LoRA, 4 x 1,024" joined profile 2>&1 | cut -c1-180; t profile
timeout 50 python3 -m gpu.trial "full, 4 x 1,024" flat profile 2>&1 | cut -c1-180; t profile
timeout 60 python3 -m gpu.trials 3 long:joined long:apart; t long
tar czf $OUT/ptx.tgz -C /tmp ptx
