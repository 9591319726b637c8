#!/usr/bin/env bash
# The conformance suite in C: run.sh FOLDER [--expect FILE] [NAME...]. Exits with 77 where there is no cc.
#
# CONFORMANCE_CFLAGS and CONFORMANCE_LIBS take the place of what `python -m mlxffi config` says: another libmlxc.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v cc >/dev/null || { echo "cc is not installed" >&2; exit 77; }
config() { "${PYTHON:-python3}" -m mlxffi config "$1"; }
cflags=${CONFORMANCE_CFLAGS:-$(config --cflags)}
libs=${CONFORMANCE_LIBS:-$(config --libs)}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
strict="-std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror"
# shellcheck disable=SC2086
cc $strict -O1 -pthread $cflags "$here"/*.c $libs -ldl -lm -o "$build/runner"
"$build/runner" "$@"
