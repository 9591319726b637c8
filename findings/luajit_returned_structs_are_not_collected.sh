#!/usr/bin/env bash
# LuaJIT 2.1: a struct returned by a C function has the methods of its metatype, but not its __gc, which only structs
# made by ffi.new or the type's own constructor get. So a handle that a C constructor returns leaks, although it looks
# the same as one made in Lua. Copied into a struct made in Lua, it is freed. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download -qq luajit >/dev/null && dpkg -x luajit_*.deb .)
"$folder/usr/bin/luajit" - <<'PROGRAM'
local ffi = require("ffi")
ffi.cdef("typedef struct { int quot, rem; } div_t; div_t div(int, int);")
local collected = 0
local Quotient = ffi.metatype("div_t", {
  __index = { doubled = function(self) return 2 * self.quot end },
  __gc = function() collected = collected + 1 end,
})

local function count(make)
  collected = 0
  assert(make():doubled() == 6)
  collectgarbage()
  collectgarbage()
  return collected
end

local made = count(function() return Quotient(3, 1) end)
local returned = count(function() return ffi.C.div(7, 2) end)
local copied = count(function() return Quotient(ffi.C.div(7, 2)) end)
print(jit.version)
print(("calls of __gc: made in Lua %d, returned by C %d, returned by C and copied %d"):format(made, returned, copied))
os.exit(made == 1 and returned == 0 and copied == 1 and 0 or 1)
PROGRAM
