#!/usr/bin/env bash
# The conformance suite in LuaJIT: run.sh FOLDER [--expect FILE] [NAME...]. Exits with 77 where there is no luajit.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v luajit >/dev/null || { echo "luajit is not installed" >&2; exit 77; }
config() { "${PYTHON:-python3}" -m mlxffi config "$1"; }
CONFORMANCE_INCLUDE=$(config --includedir)
CONFORMANCE_LIBRARY=$(ls "$(config --libdir)"/libmlxc.*)
export CONFORMANCE_INCLUDE CONFORMANCE_LIBRARY LUA_PATH="$here/?.lua;;"
# Compiled early, or one run in ten would show what a compiled trace keeps or does differently.
exec luajit -Ohotloop=2 "$here/run.lua" "$@"
