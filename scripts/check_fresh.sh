#!/usr/bin/env bash
# Does what README tells a user to do, word for word, on a bare Debian made with debootstrap, and prints a verdict for each.
#
# usage: scripts/check_fresh.sh [--quick] [bookworm|trixie]...      (default: both)
#        scripts/check_fresh.sh --commands      (only print what it takes from README)
#
# The Debian gets what README names for apt-get and a copy of HEAD; README's commands run there with an empty environment.
# --quick runs fewer tests. debian.sh says what this needs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/debian.sh

# What depends most on the interpreter, the compiler and what is installed.
QUICK="tests/test_{readme,exit,exceptions,lifetime,loader,config,convert,transforms}.py tests/abi/test_{symbols,glue}.py
  tests/core/test_{core_exit,core_lifetime,compat,safe_handles}.py
  tests/tuner/test_{batches,cli,datasets,tokenizer,models_decoder}.py"

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

# The commands of README's first sh block under a heading.
commands_under() {
  awk -v heading="## $1" '
    /^## / { here = $0 == heading } here && /^```/ { if (inside) exit; inside = /sh$/; next } inside' README.md | grep .
}

apt_packages() {
  sed -n '0,/apt-get install/s/.*`apt-get install \([^`]*\)`.*/\1/p' README.md | grep .
}

# Runs a step with its output in the log, and adds to the verdict how it went.
step() {
  local name=$1 start=$SECONDS status=0
  "${@:2}" >>"$log" 2>&1 || status=$?
  verdict+="; $name $([ $status = 0 ] && echo passed || echo FAILED) in $((SECONDS - start)) s"
  [ $status = 0 ] || tail -n 400 "$log"
  return $status
}

check() {
  local debian=$work/$1 log=$work/$1.log verdict=$1 status=0
  {
    step "apt-get" make_debian "$1" "$packages" && mkdir "$debian/root/mlxffi" &&
      git archive HEAD | tar -x -C "$debian/root/mlxffi" &&
      verdict+="; $(inside 'python3 -V; echo g++; g++ -dumpfullversion' | xargs)" &&
      step "install" inside "cd mlxffi; $install" &&
      step "tests" inside "cd mlxffi; $tests ${quick:+${QUICK//$'\n'/}}"
  } || status=1
  sed -n 's/^skipped /  &/p' "$log"
  echo "$verdict: $(grep -E '^[0-9]+ (passed|failed).* in ' "$log" | tail -n 1)"
  rm -rf --one-file-system "$debian"
  return $status
}

install=$(commands_under Install)
tests=$(commands_under Tests)
packages=$(apt_packages)
[ "${1:-}" != --commands ] || { printf '%s\n' "$packages" "$install" "$tests"; exit; }
[ "${1:-}" != --quick ] || { quick=yes; shift; }
failed=0
[ $# -gt 0 ] || set -- bookworm trixie
for release; do
  check "$release" || failed=1
done
exit $failed
