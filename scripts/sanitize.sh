#!/usr/bin/env bash
# Runs the C programs of tests/abi/c under AddressSanitizer + LeakSanitizer + UndefinedBehaviorSanitizer, with a
# libmlxc that is instrumented too, or under valgrind. Prints a line for each program and a verdict.
#
# usage: scripts/sanitize.sh [asan|valgrind] [PROGRAM...]      (PYTHON=python of the environment that has mlxffi)
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
mode=${1:-asan}
shift || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case "$mode" in
  asan) flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g" ;;
  valgrind) flags="-g" ;;
  *) echo "scripts/sanitize.sh: expected asan or valgrind, got '$mode'" >&2; exit 2 ;;
esac
mlx=$("$python" -c 'import build_ffi; print(build_ffi.mlx_folder())' 2>/dev/null) ||
  mlx=$(cd "$root" && "$python" -c 'import build_ffi; print(build_ffi.mlx_folder())') || exit 1

# libmlxc with the checks of this mode; libmlx stays as it is.
(cd "$root" && MLXFFI_CFLAGS="$flags" "$python" - "$work" <<'PY') || exit 1
import sys
from pathlib import Path
import build_ffi
build_ffi.build_libmlxc(Path(sys.argv[1]) / "libmlxc.so", build_ffi.ROOT / "build" / "sanitized", True)
PY

# libmlx keeps caches and thread pools until the process ends; what it allocated itself is not ours to free.
cat >"$work/lsan.txt" <<'EOF'
leak:libmlx.so
leak:libgomp
EOF
export ASAN_OPTIONS=detect_odr_violation=0:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=suppressions=$work/lsan.txt:print_suppressions=0
valgrind=(valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
  --suppressions="$root/tests/abi/valgrind.supp")

programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=($(cd "$root/tests/abi/c" && ls ./*.c | sed 's|^\./||; s|\.c$||' | grep -v '^live$'))
failed=0
for name in "${programs[@]}"; do
  # shellcheck disable=SC2086
  if ! cc -std=c11 -Wall -Wextra -pthread $flags -I"$root/include" "$root/tests/abi/c/$name.c" "$root/tests/abi/c/live.c" \
    -L"$work" -lmlxc -lm -Wl,--disable-new-dtags,-rpath,"$work",-rpath,"$mlx/lib" -o "$work/$name"; then
    echo "$mode $name: does not compile"; failed=$((failed + 1)); continue
  fi
  if [ "$mode" = asan ]; then run=("$work/$name"); else run=("${valgrind[@]}" "$work/$name"); fi
  if (cd "$work" && timeout 600 "${run[@]}" >"$work/$name.log" 2>&1); then
    echo "$mode $name: clean, $(tail -n 1 "$work/$name.log")"
  else
    echo "$mode $name: FAILED with status $?"; tail -n 40 "$work/$name.log"; failed=$((failed + 1))
  fi
done
echo "$mode: ${#programs[@]} programs, $failed failed"
exit $((failed > 0))
