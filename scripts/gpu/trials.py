"""Experiments, not to stay."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from gpu import asked, rows
from gpu.asked import Asked, once
from gpu.shapes import LONG, LONGEST, MODEL_06B, SHORT

C = {"MLX_CUDA_GRAPH_CACHE_SIZE": "4000"}
ROW = {"short": SHORT, "long": LONG, "longest": LONGEST}
SIZE = {"short": ["4", "1024"], "long": ["1", "8192"]}
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def command(kind, exp):
    if exp in ("torch", "mlx_lm"):
        return [f"gpu.{exp}_step", json.dumps(MODEL_06B), *SIZE[kind]]
    return ["gpu.trial", ROW[kind]]


def group(kind, variants, turns=5):
    print(f"--- {kind} {time.strftime('%T')}", flush=True)
    running = {}
    for name, (exp, env) in variants.items():
        running[name] = Asked(command(kind, exp), {"EXP": exp, **env})
        running[name].ask()
    alive = {name: one for name, one in running.items() if one.answer()}
    found = {name: [] for name in alive}
    for _ in range(turns):
        for name, one in alive.items():
            one.ask()
            found[name].append(one.answer())
    for one in running.values():
        one.close()
    for name, runs in found.items():
        ms, peak = rows.medians(runs, ("milliseconds", "peak"))
        print(f"{name:34} {ms:7.1f} ms {peak / 1e9:6.2f} GB   {rows._spread(runs)}", flush=True)


def run(kind, exp, mode, **env):
    print(f"--- {kind} {exp} {mode} {env} {time.strftime('%T')}", flush=True)
    env = {**os.environ, "EXP": exp, **env, "PYTHONPATH": HERE + ":" + os.environ.get("PYTHONPATH", "")}
    try:
        out = subprocess.run([sys.executable, "-m", "gpu.trial", ROW[kind], mode], env=env, capture_output=True, text=True, timeout=90)
        print(out.stdout[-6500:], out.stderr[-600:] if out.returncode else "", flush=True)
    except subprocess.TimeoutExpired as error:
        print("too long", error.stdout, flush=True)


def warm():
    torch = [[[(kind, "torch")]] for kind in ("short", "long")]
    ours = [("short", "old"), ("short", ""), ("short", "cast"), ("short", "rope"), ("short", "cast,rope")]

    def chain(steps):
        for kind, exp in steps:
            start = time.time()
            done = once(command(kind, exp), [{"EXP": exp}])
            print("warm", kind, exp, f"{time.time() - start:.0f} s", done, flush=True)

    chains = [[("short", "torch")], [("long", "torch")], ours, [("short", "mlx_lm")]]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(chain, chains))


def main():
    asked.LIMIT, start = 230, time.time()
    with open(os.environ["OUT"] + "/losses.txt", "w") as file:
        losses = subprocess.Popen(["nice", "-n", "10", sys.executable, HERE + "/gpu_tuner.py", "losses"], stdout=file, stderr=file, start_new_session=True)
        warm()
        try:
            losses.wait(max(1, 240 - (time.time() - start)))
        except subprocess.TimeoutExpired:
            os.killpg(losses.pid, signal.SIGKILL)
    print(open(os.environ["OUT"] + "/losses.txt").read(), f"after {time.time() - start:.0f} s", flush=True)
    group("short", {"old": ("old", {}), "old, cache": ("old", C), "new": ("", {}), "new, cache": ("", C), "torch": ("torch", {}), "mlx_lm": ("mlx_lm", {})})
    group("short", {
        "new, cache": ("", C), "cast, cache": ("cast", C), "rope, cache": ("rope", C), "cast rope, cache": ("cast,rope", C),
        "same, MB 200": ("cast,rope", {**C, "MLX_MAX_MB_PER_BUFFER": "200"}),
        "same, OPS 40": ("cast,rope", {**C, "MLX_MAX_OPS_PER_BUFFER": "40"}),
        "same, BFS 1": ("cast,rope", {**C, "MLX_BFS_MAX_WIDTH": "1"}),
    })
    run("short", "old", "profile")
    run("short", "cast,rope", "profile", **C)
    run("short", "cast,rope", "limits", **C)
    group("long", {"old": ("old", {}), "new, cache": ("", C), "cast rope, cache": ("cast,rope", C), "torch": ("torch", {})}, 3)
    run("long", "cast,rope", "limits", **C)
    group("longest", {"cast rope, cache": ("cast,rope", C)}, 1)


if __name__ == "__main__":
    main()
