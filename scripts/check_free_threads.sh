#!/usr/bin/env bash
# Builds CPython without a GIL from Debian's source, and mlxffi for it; runs tests there, looks for races, and compares
# eight threads with one. A verdict for each is printed. (sanitize.sh threads looks for races with an ordinary CPython.)
#
# usage: scripts/check_free_threads.sh [tests|races|speed]...      (default: all)
#        ROOT=FOLDER keeps interpreters and environments in that folder, or takes them from there.
#
# CPython 3.14 where Debian's pool has its source, else 3.13, which cffi refuses without a GIL: its refusal is taken out, for
# nothing but these tests. `tests` are those of the flat layer, a short form of those of mlxffi.core, some of the tuner that
# need no tokenizers (which has no wheel without a GIL), and what depends on threads. Only the last are run for races, with
# ThreadSanitizer, in an interpreter that is built with it too; libmlx is not.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
root=${ROOT:-$(mktemp -d)}
[ -n "${ROOT:-}" ] || trap 'rm -rf --one-file-system "$root"' EXIT

# What depends on threads, in both layers.
CORE="core_threads free_threads safe_handles loans core_lifetime"
FLAT="threads safe_handles lifetime exceptions"
TUNER="lora optimizers resume trainer tuner_losses"
# For Debian's releases beyond this machine's, in lists of its own.
RELEASES="sid testing trixie"

# --- the interpreters ---

apt_of_others() {
  "$1" -o Dir::Etc::SourceList="$root/apt/sources" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$root/apt/lists" \
    -o Dir::Cache="$root/apt/cache" -o Dir::State::Status="$root/apt/status" -o APT::Sandbox::User=root "${@:2}"
}

# A mirror's lists may name a version that its pool does not have yet, or any more: the newest that the pool has.
newest_kept() {
  local patch
  for patch in {30..0}; do
    curl -fsSL -o "$root/${1##*/}.orig.tar.xz" "$1_${1##*python}.$patch.orig.tar.xz" && return
  done 2>/dev/null
  return 1
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
    newest_kept "$site/pool/main/p/python$version/python$version" && break
  done
  mkdir "$root/source" && tar -xf "$root"/python3.*.orig.tar.xz -C "$root/source" --strip-components 1
}

# An interpreter, in a folder of that name, and what else configure is to do.
make_python() {
  [ -x "$root/$1/bin/python3" ] && return
  apt-get install -y -qq libssl-dev libffi-dev zlib1g-dev >/dev/null
  [ -d "$root/source" ] || fetch_source
  mkdir -p "$root/objects-$1"
  (cd "$root/objects-$1" && ../source/configure -q --disable-gil --disable-test-modules --prefix="$root/$1" "${@:2}" &&
    make -s -j"$(nproc)" && make -s install)
}

install_cffi() {
  local folder=$root/cffi
  if "$1" -c 'import sys; sys.exit(sys.version_info < (3, 14))'; then
    "$1" -m pip install -q 'cffi>=2'
    return
  fi
  python3 -m pip download -q --no-deps --no-binary=:all: -d "$folder" cffi==2.1.1
  tar -xf "$folder"/cffi-*.tar.gz -C "$folder" --strip-components 1
  sed -i '/^if FREE_THREADED_BUILD/,/^$/d' "$folder/setup.py"
  "$1" -m pip install -q "$folder"
}

# An environment of an interpreter, and mlxffi built for it in a copy of this tree. (Newer versions of hypothesis have a
# native module that does not load without a GIL.)
make_environment() {
  local python=$root/$1/venv/bin/python
  [ -x "$python" ] || "$root/$1/bin/python3" -m venv "$root/$1/venv"
  "$python" -m pip install -q 'setuptools>=77' wheel mlx-cpu==0.32.4 mlx==0.32.4 scipy-openblas32 'numpy>=2' ml-dtypes pytest \
    'hypothesis<6.140'
  "$python" -c 'import cffi' 2>/dev/null || install_cffi "$python"
  mkdir -p "$root/$1/tree"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -u -t "$root/$1/tree"
  (cd "$root/$1/tree" && MLXFFI_CFLAGS="${2:-}" "$python" -m pip install -q --no-build-isolation --no-deps -e .)
}

# --- what is tried ---

# An interpreter, in its copy of the tree: it would load the modules that stand here, which are for another. Its memory lies
# where the sanitizer expects it.
in_copy() {
  (cd "$root/$1/tree" && setarch -R ../venv/bin/python "${@:2}")
}

imports() {
  in_copy "$1" -c "import sys, mlxffi.array, mlxffi.core, mlxffi.tuner
assert not sys._is_gil_enabled(), 'the GIL is on'
print('the GIL stays off')"
}

files() {
  printf 'tests/core/test_%s.py ' $CORE
  printf 'tests/test_%s.py ' $FLAT
}

# shellcheck disable=SC2046
tests() {
  make_python python
  make_environment python
  imports python
  in_copy python -m pytest -p no:cacheprovider -rs $(files) $(root=. flat_tests) $(root=. short_core_tests) \
    $(printf 'tests/tuner/test_%s.py ' $TUNER)
}

# shellcheck disable=SC2046
races() {
  # What CPython itself does while it is built and installs packages is not looked at.
  export TSAN_OPTIONS=report_bugs=0
  make_python python-tsan --with-thread-sanitizer
  make_environment python-tsan "-fsanitize=thread -g -O1"
  # CPython lists its own known races; sanitize.sh says what the rest leaves out. Without a GIL any thread may be the last
  # owner of an array or an event and delete it, and libmlx counts the owners unseen.
  cp "$root/source/Tools/tsan/suppressions_free_threading.txt" "$root/suppressions"
  printf '%s\n' 'race:mlxc::release<mlx_array_>' \
    race:mlx::core::{Event::,array::ArrayDesc::~ArrayDesc,scheduler::Scheduler::signal_event} \
    race_top:pthread_cond_destroy race:_dl_deallocate_tls \
    called_from_lib:{libgomp,libscipy_openblas.so,libscipy_openblas64_} >>"$root/suppressions"
  TSAN_OPTIONS="suppressions=$root/suppressions exitcode=66" in_copy python-tsan -m pytest -p no:cacheprovider $(files)
}

speed() {
  make_python python
  make_environment python
  in_copy python scripts/bench.py threads
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
