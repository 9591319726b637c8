#!/usr/bin/env bash
# LuaJIT 2.1: two complex numbers always compare as unequal, and so do a complex number and the same Lua number; there
# is no error. Their parts compare as numbers do. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download -qq luajit >/dev/null && dpkg -x luajit_*.deb .)
"$folder/usr/bin/luajit" - <<'PROGRAM'
local ffi = require("ffi")
local a, b = ffi.new("complex", 1, 2), ffi.new("complex", 1, 2)
local numbers, one, parts = a == b, ffi.new("complex", 1) == 1, a.re == b.re and a.im == b.im
print(jit.version)
print(("1+2i == 1+2i: %s; 1+0i == 1: %s; their parts: %s"):format(tostring(numbers), tostring(one), tostring(parts)))
os.exit(not numbers and not one and parts and 0 or 1)
PROGRAM
