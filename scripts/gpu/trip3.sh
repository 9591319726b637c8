# Experiment, not to stay.
export PYTHONUNBUFFERED=1 MLX_PTX_CACHE_DIR=/tmp/ptx; mkdir -p /tmp/ptx
for f in ptx inductor; do [ -f $f.tgz ] && tar xzf $f.tgz -C /tmp; done
S=$(date +%s); t() { echo "== $* after $(($(date +%s)-S)) s"; }
cd scripts; sed -i 's/name\[:100\]/name[-160:]/' gpu/step_profile.py
timeout 120 python3 -m gpu.trials 5 full:joined full:ungated full:apart; t full
for v in joined ungated; do timeout 50 python3 -m gpu.trial "full, 4 x 1,024" $v profile 2>&1 | grep -v "cuda[A-Z]" | cut -c1-200 | head -22; t profile $v; done
timeout 90 python3 -m gpu.trials 5 short:joined short:ungated; t short
