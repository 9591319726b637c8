# Sourced by the other scripts: `environment NAME EXTRAS` makes the virtual environment NAME in the checkout, installs
# mlxffi into it in editable form with those extras, and sets `python` to its interpreter.
#
# PYTHON chooses the interpreter it is made with (default: python3) and adds its version to NAME. What Debian's python3
# lacks (venv, headers) and a C++ compiler are installed with apt-get where that is possible.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

missing_packages() {
  local base=${PYTHON:-python3}
  "$base" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  "$base" -c 'import os, sysconfig as s; assert os.path.exists(s.get_path("include") + "/Python.h")' 2>/dev/null ||
    echo python3-dev
  command -v c++ >/dev/null || echo g++
}

install_missing() {
  local missing
  missing=$(missing_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "this machine lacks: $missing; install them (sudo apt-get install $missing) and run this again" >&2
    return 1
  fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
}

environment() {
  local folder=$root/$1 extras=$2
  install_missing || return 1
  [ -z "${PYTHON:-}" ] || folder+=$("$PYTHON" -c 'import sys; print("-%d.%d" % sys.version_info[:2])') || return 1
  [ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder" || return 1
  python=$folder/bin/python
  "$python" -m pip install -q -e "$root[$extras]"
}

# The tests of the flat layer, by their paths in the checkout, less those that speak of what an installed flat layer has
# not beside it: the checkout, and programs on mlxffi.core.
flat_tests() {
  (cd "$root" && ls tests/test_*.py tests/abi/test_glue.py |
    grep -vE '_(config|docs|docstrings|generated|loader|porting_table|quickstart|readme|structure|trace)\.py')
}

# A short form of the tests of mlxffi.core.
short_core_tests() {
  local name
  for name in array core_compile core_io core_transforms dtype exchange fused_losses indexing random trees values; do
    echo "tests/core/test_$name.py"
  done
}
