#!/usr/bin/env bash
# ruff 0.17.6, rule PT014: two different lone surrogates in a parametrize are reported as "duplicate test cases", and
# the unsafe fix removes the second, which is a different test.
#
# usage: findings/ruff-half-surrogates.sh      (exits with 1 if this has changed)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q ruff==0.17.6
cat >"$work/test_halves.py" <<'PY'
import pytest


@pytest.mark.parametrize("half", ["\ud800", "\udfff"])
def test_half(half):
    assert ord(half) in (0xD800, 0xDFFF)
PY
python3 -c 'assert "\ud800" != "\udfff"; print("Python: the two are different")'
"$work/venv/bin/ruff" --version
"$work/venv/bin/ruff" check --isolated --select PT014 --output-format concise "$work/test_halves.py" | tee "$work/found" || true
grep -q PT014 "$work/found"
