#!/usr/bin/env bash
# The conformance suite in C: run.sh FOLDER [--expect FILE] [NAME...]. Exits with 77 where there is no cc.
# CONFORMANCE_BUILD names a folder for what is built, to be kept and used again. CONFORMANCE_CFLAGS and CONFORMANCE_LIBS
# take the place of what `python -m mlxffi config` says: another libmlxc.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v cc >/dev/null || { echo "cc is not installed" >&2; exit 77; }
build=${CONFORMANCE_BUILD:-$(mktemp -d)}
[ -n "${CONFORMANCE_BUILD:-}" ] || trap 'rm -rf "$build"' EXIT
config() { "${PYTHON:-python3}" -m mlxffi config "$1"; }
strict="-std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror"
# shellcheck disable=SC2046,SC2086
[ -x "$build/runner" ] || cc $strict -O1 -pthread ${CONFORMANCE_CFLAGS:-$(config --cflags)} "$here"/*.c \
  ${CONFORMANCE_LIBS:-$(config --libs)} -ldl -lm -o "$build/runner"
"$build/runner" "$@"
