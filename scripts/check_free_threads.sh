#!/usr/bin/env bash
# Builds CPython without a GIL from Debian's source, and mlxffi for it; runs tests there, looks for races, and compares
# eight threads with one. A verdict for each is printed.
#
# usage: scripts/check_free_threads.sh [tests|races|speed]...      (default: all)
#        ROOT=FOLDER keeps interpreters and environments in that folder, or takes them from there.
#
# CPython 3.14 where apt finds its source, else 3.13. For that there is no cffi without a GIL, so mlxffi.core alone is
# tried. Races are looked for with ThreadSanitizer, in an interpreter that is built with it too; libmlx is not.
set -euo pipefail
cd "$(dirname "$0")/.."
root=${ROOT:-$(mktemp -d)}
[ -n "${ROOT:-}" ] || trap 'rm -rf --one-file-system "$root"' EXIT

# What depends on threads; of the flat layer where there is cffi.
CORE="core_threads free_threads safe_handles loans core_lifetime"
FLAT="threads safe_handles lifetime exceptions"
# For Debian's releases beyond this machine's, in lists of its own.
RELEASES="sid testing trixie"

# --- the interpreters ---

apt_of_others() {
  "$1" -o Dir::Etc::SourceList="$root/apt/sources" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$root/apt/lists" \
    -o Dir::Cache="$root/apt/cache" -o Dir::State::Status="$root/apt/status" -o APT::Sandbox::User=root "${@:2}"
}

fetch_source() {
  local site version
  mkdir -p "$root"/apt/{lists,cache/archives}/partial
  touch "$root/apt/status"
  # shellcheck disable=SC2016
  site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
  printf "deb-src $site %s main\n" $RELEASES >"$root/apt/sources"
  apt_of_others apt-get update -qq
  for version in 3.14 3.13; do
    (cd "$root" && apt_of_others apt-get source -qq --download-only "python$version") && break
  done
  mkdir "$root/source" && tar -xf "$root"/python3.*.orig.tar.xz -C "$root/source" --strip-components 1
}

# An interpreter, in a folder of that name, and what else configure is to do.
make_python() {
  [ -x "$root/$1/bin/python3" ] && return
  [ -d "$root/source" ] || fetch_source
  mkdir -p "$root/objects-$1"
  (cd "$root/objects-$1" && ../source/configure -q --disable-gil --disable-test-modules --prefix="$root/$1" "${@:2}" &&
    make -s -j"$(nproc)" && make -s install)
}

# An environment of an interpreter, and mlxffi built for it in a copy of this tree.
make_environment() {
  local python=$root/$1/venv/bin/python
  [ -x "$python" ] || "$root/$1/bin/python3" -m venv "$root/$1/venv"
  "$python" -m pip install -q 'setuptools>=77' wheel mlx-cpu==0.32.4 mlx==0.32.4 scipy-openblas32 'numpy>=2' ml-dtypes pytest hypothesis
  ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 14))' || "$python" -m pip install -q 'cffi>=2'
  mkdir -p "$root/$1/tree"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -u -t "$root/$1/tree"
  (cd "$root/$1/tree" && MLXFFI_CFLAGS="${2:-}" "$python" -m pip install -q --no-build-isolation --no-deps -e .)
}

has_cffi() {
  "$root/$1/venv/bin/python" -c 'import cffi' 2>/dev/null
}

# --- what is tried ---

imports() {
  local modules=mlxffi.core,mlxffi.tuner
  ! has_cffi "$1" || modules+=,mlxffi.array
  "$root/$1/venv/bin/python" -c "import sys, mlxffi, $modules; assert not sys._is_gil_enabled(), 'the GIL is on'
print('the GIL stays off with $modules')"
}

files() {
  printf 'tests/core/test_%s.py ' $CORE
  ! has_cffi "$1" || printf 'tests/test_%s.py ' $FLAT
}

# shellcheck disable=SC2046
tests() {
  make_python python
  make_environment python
  imports python
  "$root/python/venv/bin/python" -m pytest -p no:cacheprovider -rs $(files python)
}

# shellcheck disable=SC2046
races() {
  make_python python-tsan --with-thread-sanitizer
  make_environment python-tsan "-fsanitize=thread -g -O1"
  printf 'called_from_lib:libmlx.so\ncalled_from_lib:libgomp.so.1\n' >"$root/suppressions"
  TSAN_OPTIONS="suppressions=$root/suppressions halt_on_error=0 exitcode=66 log_path=$root/races" setarch -R \
    "$root/python-tsan/venv/bin/python" -m pytest -p no:cacheprovider $(files python-tsan)
}

speed() {
  make_python python
  make_environment python
  "$root/python/venv/bin/python" scripts/bench.py threads
}

failed=0
[ $# -gt 0 ] || set -- tests races speed
for part; do
  set +e
  (set -e; "$part")
  status=$?
  set -e
  echo "without a GIL, $part: $([ $status = 0 ] && echo passed || echo "FAILED with status $status")"
  [ $status = 0 ] || failed=1
done
exit $failed
