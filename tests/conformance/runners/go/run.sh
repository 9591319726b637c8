#!/usr/bin/env bash
# The conformance suite in Go (1.24 or newer, and a C compiler): run.sh FOLDER [--expect FILE] [NAME...]. Exits with 77
# where there is no such go. CONFORMANCE_BUILD names a folder for what is built, to be kept and used again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(go env GOVERSION 2>/dev/null) || { echo "go is not installed" >&2; exit 77; }
case "$version" in
  go1.[0-9].* | go1.1[0-9]* | go1.2[0-3]*) echo "go 1.24 is needed, $version is installed" >&2 && exit 77 ;;
esac
config() { "${PYTHON:-python3}" -m mlxffi config "$1"; }
CGO_CFLAGS="-O1 $(config --cflags)"
CGO_LDFLAGS=$(config --libs)
export CGO_CFLAGS CGO_LDFLAGS CGO_ENABLED=1 GOTOOLCHAIN=local GOFLAGS=-mod=mod
build=${CONFORMANCE_BUILD:-$(mktemp -d)}
[ -n "${CONFORMANCE_BUILD:-}" ] || trap 'rm -rf "$build"' EXIT
[ -x "$build/runner" ] || (cd "$here" && go build -o "$build/runner" .)
"$build/runner" "$@"
