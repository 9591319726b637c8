#!/usr/bin/env bash
# Runs our native code under sanitizers: libmlxc and the Python modules are built anew with them, libmlx stays as it is.
#
#   scripts/sanitize.sh asan [PROGRAM...]      the C programs of tests/abi/c under AddressSanitizer, LeakSanitizer and
#                                              UndefinedBehaviorSanitizer
#   scripts/sanitize.sh valgrind [PROGRAM...]  the same programs under valgrind
#   scripts/sanitize.sh python [TEST...]       Python tests (those of errors, lifetime, handles, threads, exit, failure
#                                              injection, of what mlxffi.core does in C, of sorting and lookups) under AddressSanitizer and UndefinedBehaviorSanitizer
#   scripts/sanitize.sh threads [TEST...]      tests/free_threads/shared.c and Python tests of threads under ThreadSanitizer,
#                                              with handles as on a Python without a GIL
#
# PYTHON is the interpreter of the environment that has mlxffi and what its tests need. The last line is the verdict.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
mode=${1:-asan}
shift || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root" || exit 1
objects=build/sanitized

# libmlx keeps the descriptions of its primitives' types, with which calls through them would be checked, to itself. With
# no more than the lines to debug by, the compiler takes three quarters of the time.
sanitizers="-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1"
export UBSAN_OPTIONS=print_stacktrace=1

# libmlx keeps caches and thread pools until the process ends; what it allocated itself is not ours to free.
suppress_libmlx() {
  printf 'leak:libmlx.so\nleak:libgomp\n' >"$work/lsan.txt"
  export ASAN_OPTIONS=detect_odr_violation=0:detect_leaks=1:allocator_may_return_null=1
  export LSAN_OPTIONS=suppressions=$work/lsan.txt:print_suppressions=0
}

build_libmlxc() {
  MLXFFI_CFLAGS="$1" "$python" - "$work" "$objects" <<'PY'
import sys
from pathlib import Path
import build_ffi
build_ffi.build_libmlxc(Path(sys.argv[1]) / "libmlxc.so", build_ffi.ROOT / sys.argv[2], True)
PY
}

build_program() {
  local mlx
  mlx=$("$python" -c 'import build_ffi; print(build_ffi.mlx_folder())') || return 1
  # shellcheck disable=SC2086
  cc -std=c11 -Wall -Wextra -pthread $2 -Iinclude "${3:-tests/abi/c}/$1.c" tests/abi/c/live.c -L"$work" -lmlxc -lm \
    -Wl,--disable-new-dtags,-rpath,"$work",-rpath,"$mlx/lib" -o "$work/$1"
}

c_programs() {
  local flags=$1 runner=$2 failed=0 programs
  shift 2
  programs=("$@")
  [ ${#programs[@]} -gt 0 ] || mapfile -t programs < <(cd tests/abi/c && ls ./*.c | sed 's|^\./||; s|\.c$||' | grep -v '^live$')
  build_libmlxc "$flags" || return 1
  for name in "${programs[@]}"; do
    if ! build_program "$name" "$flags"; then
      echo "$mode $name: does not compile"; failed=$((failed + 1)); continue
    fi
    if (cd "$work" && timeout 600 $runner "$work/$name" >"$work/$name.log" 2>&1); then
      echo "$mode $name: clean, $(tail -n 1 "$work/$name.log")"
    else
      echo "$mode $name: FAILED with status $?"; tail -n 40 "$work/$name.log"; failed=$((failed + 1))
    fi
  done
  echo "$mode: ${#programs[@]} programs, $failed failed"
  return $((failed > 0))
}

# A copy of the checkout, built in place; objects are shared with the mode `asan`, or with the program of `threads`.
build_copy() {
  mkdir -p "$work/tree/build" "$objects"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/tree" || return 1
  ln -s "$root/$objects" "$work/tree/build/sanitized"
  cd "$work/tree" || return 1
  MLXFFI_CFLAGS="$1" "$python" setup.py -q build_ext --inplace \
    >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; return 1; }
}

python_tests() {
  local tests=("$@") preload status
  [ ${#tests[@]} -gt 0 ] || tests=(tests/test_{failure_injection,threads,exceptions,lifetime,exit,safe_handles}.py tests/abi/test_glue.py
    tests/core/test_{operations,indexing,tree_walks,safe_handles,sorting,lookups}.py tests/right/test_threads.py)
  build_copy "$sanitizers" || return 1
  # The interpreter is not instrumented, so the runtimes come first; libstdc++ too, for the exceptions that they watch.
  for library in libasan.so libubsan.so libstdc++.so; do
    preload="${preload:-} $(readlink -f "$(gcc -print-file-name=$library)")"
  done
  # CPython leaks by design; our own counters tell of native objects. Freed memory is kept for a while to find uses of
  # it, so the test of flat memory cannot pass here. Where there is no memory MLX is told so, and not the sanitizer.
  export ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0:allocator_may_return_null=1
  LD_PRELOAD=$preload PYTHONMALLOC=malloc PYTHONPATH=$work/tree \
    "$python" -m pytest -p no:cacheprovider "${tests[@]}" \
    --deselect tests/test_lifetime.py::test_memory_stays_flat_over_calls_and_failures
  status=$?
  echo "python: ${#tests[@]} files, $([ $status = 0 ] && echo clean || echo "FAILED with status $status")"
  return $status
}

# What is not ours is not instrumented. So the sanitizer does not see how libmlx counts references to its events before it
# destroys one, nor that glibc hands on the memory of ended threads under a lock; OpenBLAS and OpenMP are left out altogether.
# MLX has its count of tasks, and whether an array is computed, read without a lock: too low a count does no harm (guards.h),
# and fences, which the sanitizer does not know, order an array's numbers (at_once.cpp, evaluation.cpp).
thread_tests() {
  local tests=("$@") flags="-fsanitize=thread -DMLXFFI_FREE_THREADS -O1 -g1" failed=0
  [ ${#tests[@]} -gt 0 ] || tests=(tests/test_threads.py tests/right/test_threads.py tests/core/test_{core_threads,free_threads}.py)
  objects=build/sanitized-threads
  printf '%s\n' race:mlx::core::Event:: race:mlxc::forget_lost_tasks race_top:mlx::core::array::{,set_}status \
    race_top:pthread_cond_destroy race:_dl_deallocate_tls \
    called_from_lib:{libgomp,libscipy_openblas.so,libscipy_openblas64_} >"$work/suppressions"
  export TSAN_OPTIONS="suppressions=$work/suppressions exitcode=66 log_path=$work/report"
  build_libmlxc "$flags" && build_program shared "$flags" tests/free_threads || return 1
  # Its memory must lie where the sanitizer expects it.
  setarch -R "$work/shared" || failed=1
  build_copy "$flags" || return 1
  LD_PRELOAD=$(readlink -f "$(gcc -print-file-name=libtsan.so)") PYTHONPATH=$work/tree \
    setarch -R "$python" -m pytest -p no:cacheprovider "${tests[@]}" || failed=1
  cat "$work"/report.* 2>/dev/null
  echo "threads: a program and ${#tests[@]} files, $([ $failed = 0 ] && echo no race || echo FAILED)"
  return $failed
}

case "$mode" in
  asan) suppress_libmlx; c_programs "$sanitizers" "" "$@" ;;
  valgrind)
    c_programs -g "valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite" "$@" ;;
  python) python_tests "$@" ;;
  threads) thread_tests "$@" ;;
  *) echo "scripts/sanitize.sh: expected asan, valgrind, python or threads, got '$mode'" >&2; exit 2 ;;
esac
