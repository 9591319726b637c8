# Experiment, not to stay.
export PYTHONUNBUFFERED=1 MLX_PTX_CACHE_DIR=/tmp/ptx NCCL_NVLS_ENABLE=0; mkdir -p /tmp/ptx
for f in ptx inductor; do [ -f $f.tgz ] && tar xzf $f.tgz -C /tmp; done
S=$(date +%s); t() { echo "== $* after $(($(date +%s)-S)) s"; }
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
cd scripts
for r in "qwen3 lora" "qwen3 4-bit" "qwen3 full" "gemma3_text lora"; do
  (d=$(mktemp -d); cp -r /tmp/ptx/. $d; export MLX_PTX_CACHE_DIR=$d; echo | timeout 145 python3 -m gpu.tuner_losses $r gpu cpu 2>&1 | tail -1 | sed "s/^/$r /" >>$OUT/losses.txt) &
done
timeout 145 python3 -c "
from gpu import rows, shapes as s
from gpu.asked import Together, once
from concurrent.futures import ThreadPoolExecutor as P
with P(2) as p: list(p.map(lambda r: once(Together(rows.commands(r)[rows.TORCH])), [s.SHORT, s.FULL]))" &
(timeout 145 python3 -m gpu.trials 1 short:joined full:joined 4bit:joined) &
wait; t losses; cut -c1-700 $OUT/losses.txt
timeout 110 python3 -m gpu.trials 9 short:joined short:apart short:torch short:mlx_lm; t short
timeout 100 python3 -m gpu.trials 5 full:joined full:flat full:torch; t full
timeout 40 python3 -m gpu.trial "LoRA, 4 x 1,024" joined profile 2>&1 | cut -c1-900; t profile
timeout 80 python3 -m gpu.trial_decode 9; t decode
timeout 40 python3 -m gpu.trial "full, 4 x 1,024" flat profile 2>&1 | cut -c1-500; t profile
timeout 60 python3 -m gpu.trials 3 4bit:joined 4bit:apart; t 4bit
timeout 50 python3 -m gpu.trials 3 long:joined; t long
tar czf $OUT/ptx.tgz -C /tmp ptx
