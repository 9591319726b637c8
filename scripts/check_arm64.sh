#!/usr/bin/env bash
# Builds libmlxc for arm64 Linux with Debian's cross compiler, over the libmlx of PyPI's aarch64 wheel, and runs the C
# programs of tests/abi/c on it under qemu-user. A line for each, and a verdict. What emulation cannot tell is speed.
#
# usage: [WORK=FOLDER] scripts/check_arm64.sh [PROGRAM...]      (WORK keeps what was built; needs apt and root, or the tools)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
environment .venv-arm64 cpu
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
mlx=$("$python" -c 'import importlib.metadata as m; print(m.version("mlx-cpu"))')

tools() {
  command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64-static >/dev/null && return
  apt-get update -qq && apt-get install -y -qq g++-aarch64-linux-gnu qemu-user-static >/dev/null
}

wheels() {
  mkdir -p "$work/site" "$work/wheels"
  "$python" -m pip download -q --no-deps --only-binary=:all: -d "$work/wheels" --platform manylinux_2_35_aarch64 \
    --platform manylinux_2_28_aarch64 "mlx-cpu==$mlx" scipy-openblas32
  for wheel in "$work"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$work/site"; done
}

build() {
  CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ "$python" - "$work" <<'PROGRAM'
import sys
from pathlib import Path

sys.path.insert(0, ".")
import build_ffi

work = Path(sys.argv[1])
build_ffi.mlx_folder = lambda: work / "site/mlx"
target = work / "site/mlxffi/lib"
target.mkdir(parents=True, exist_ok=True)
build_ffi.build_blas_bridge(target / "libmlxffi_blas.so", False)
build_ffi.build_libmlxc(target / "libmlxc.so", work / "build", False)
PROGRAM
}

# MLX compiles functions with what it finds as g++.
program() {
  local name=$1 lib=$work/site/mlxffi/lib
  aarch64-linux-gnu-gcc -std=c11 -Wall -Wextra -Werror -pthread -Iinclude "tests/abi/c/$name.c" tests/abi/c/live.c \
    -L"$lib" -lmlxc -Wl,--allow-shlib-undefined -Wl,-rpath,"$lib" -lm -o "$work/run/$name"
  (cd "$work/run" && PATH=$work/bin TMPDIR=$work/run "$work/bin/qemu" -L /usr/aarch64-linux-gnu "./$name" 2>&1 | tail -n 1)
}

tools
wheels
build
mkdir -p "$work/run" "$work/bin"
ln -sf /bin/sh "$work/bin/sh"
ln -sf "$(command -v aarch64-linux-gnu-g++)" "$work/bin/g++"
ln -sf "$(command -v qemu-aarch64-static)" "$work/bin/qemu"
[ $# -gt 0 ] || set -- $(cd tests/abi/c && ls ./*.c | sed 's|./||; s|\.c$||' | grep -v '^live$')
failed=0
for name; do
  said=$(program "$name") || true
  echo "$name: $said"
  [[ $said == ok:* ]] || failed=$((failed + 1))
done
echo "arm64 under qemu-user: $# programs, $failed failed"
[ $failed = 0 ]
