-- The C ABI in LuaJIT: the declarations, the library, and the one place that turns a status into an error.
--
-- CONFORMANCE_INCLUDE names the folder of the headers, CONFORMANCE_LIBRARY the library, as run.sh sets them.
local ffi = require("ffi")

-- What the C compiler makes of our headers, less what it brings in from the system's.
local function declarations(include)
  local command = "cc -E -DMLX_NO_OBJECTS -DMLX_NO_HALF -I%s -include mlx/c/mlx.h -include mlxffi/mlxffi.h - </dev/null"
  local lines, ours = {}, false
  for line in assert(io.popen(command:format(include))):lines() do
    local file = line:match('^# %d+ "(.*)"')
    if file then
      ours = file:sub(1, #include) == include
    elseif ours then
      lines[#lines + 1] = line
    end
  end
  return table.concat(lines, "\n")
end

local include = assert(os.getenv("CONFORMANCE_INCLUDE"), "CONFORMANCE_INCLUDE is not set")
ffi.cdef("typedef struct _IO_FILE FILE;")
ffi.cdef(declarations(include))
local C = ffi.load(assert(os.getenv("CONFORMANCE_LIBRARY"), "CONFORMANCE_LIBRARY is not set"))

-- The handler in the place of the one that ends the process: a failing call keeps its error for us to read.
C.mlx_set_error_handler(C.mlxffi_ignore_errors, nil, nil)

local abi = { C = C }

-- What a callback of ours raised, until the call that ran it has returned.
abi.raised = nil

--- Raise the error of a call that failed: that of the callback it ran, the same object, or else MLX's text.
function abi.check(status)
  if status == 0 then return end
  local raised = abi.raised
  abi.raised = nil
  error(raised or ffi.string(C.mlxffi_last_error_text()), 0)
end

return abi
