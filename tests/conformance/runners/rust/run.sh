#!/usr/bin/env bash
# The conformance suite in Rust: run.sh FOLDER [--expect FILE] [NAME...]. Exits with 77 where there is no rustc.
# CONFORMANCE_BUILD names a folder for what is built, to be kept and used again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v rustc >/dev/null || { echo "rustc is not installed" >&2; exit 77; }
build=${CONFORMANCE_BUILD:-$(mktemp -d)}
[ -n "${CONFORMANCE_BUILD:-}" ] || trap 'rm -rf "$build"' EXIT
libs=$("${PYTHON:-python3}" -m mlxffi config --libs)
link=()
for flag in $libs; do link+=(-C "link-arg=$flag"); done
[ -x "$build/runner" ] || {
  rustc --edition 2021 --crate-type rlib --crate-name mlx "$here/mlx/lib.rs" -o "$build/libmlx.rlib"
  rustc --edition 2021 --extern "mlx=$build/libmlx.rlib" "$here/main.rs" "${link[@]}" -o "$build/runner"
}
"$build/runner" "$@"
