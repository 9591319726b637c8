-- Handles, and arrays in particular: who owns what.
--
-- A handle is a struct of one pointer. Made by LuaJIT (`Array()`), it is freed when the collector finds it, or at
-- once by `free`; what a C function returns by value is not freed by itself, and becomes an owner's only when it is
-- copied into one. The collector sees 8 bytes of each array, not the megabytes behind it: long loops free, or call
-- collectgarbage().
local ffi = require("ffi")
local abi = require("abi")
local C, check = abi.C, abi.check

local handles = {}

-- The type of a handle's owner. Methods are those of `methods`, and `free`, which may be called twice.
local function owner(kind, metatable)
  local free = C["mlx_" .. kind .. "_free"]
  metatable.__index.free = function(self)
    free(self)
    self.ctx = nil
  end
  metatable.__gc = free
  return ffi.metatype("mlx_" .. kind, metatable)
end

--- The handle at an address, which somebody else owns.
function handles.borrowed(ctype, address)
  return ffi.gc(ctype(ffi.cast("void *", address)), nil)
end

local array = { __index = {} }
local Array = owner("array", array)
local Vector = owner("vector_array", { __index = {} })
handles.Array, handles.Vector = Array, Vector
handles.Closure = owner("closure", { __index = {} })
handles.ClosureCustom = owner("closure_custom", { __index = {} })
handles.ClosureValueAndGrad = owner("closure_value_and_grad", { __index = {} })
handles.String = owner("string", { __index = {} })
handles.Stream = owner("stream", { __index = {} })
handles.Device = owner("device", { __index = {} })

--- An array of bytes: a string or a pointer, with dimensions and a dtype (C.MLX_FLOAT32, ...). The bytes are copied.
function handles.array(bytes, shape, dtype)
  local res = Array()
  check(C.mlx_array_set_data(res, bytes, ffi.new("int[?]", #shape, shape), #shape, dtype))
  return res
end

--- A float32 array of a number (no dimensions) or of a list of numbers (one).
function handles.float(value)
  if type(value) == "number" then
    return handles.array(ffi.new("float[1]", value), {}, C.MLX_FLOAT32)
  end
  return handles.array(ffi.new("float[?]", #value, value), { #value }, C.MLX_FLOAT32)
end

--- Pack a list of arrays into a vector, which has references of its own.
function handles.pack(arrays)
  local data = ffi.new("mlx_array[?]", #arrays)
  for i, a in ipairs(arrays) do
    assert(ffi.istype(Array, a), "a list of arrays is required")
    data[i - 1] = a
  end
  local vector = Vector()
  check(C.mlx_vector_array_set_data(vector, data, #arrays))
  return vector
end

--- The arrays of a vector that somebody else owns.
function handles.unpack(vector)
  local arrays = {}
  for i = 1, tonumber(C.mlx_vector_array_size(vector)) do
    arrays[i] = Array()
    check(C.mlx_vector_array_get(arrays[i], vector, i - 1))
  end
  return arrays
end

--- The arrays of a vector of ours, which is freed.
function handles.take(vector)
  local arrays = handles.unpack(vector)
  vector:free()
  return arrays
end

-- --- what an array tells ---

function array.__index:shape()
  local dims, shape = C.mlx_array_shape(self), {}
  for i = 1, tonumber(C.mlx_array_ndim(self)) do
    shape[i] = dims[i - 1]
  end
  return shape
end

function array.__index:dtype()
  return tonumber(C.mlx_array_dtype(self)) -- an enum of C is no key of a table
end

ffi.cdef("int getpid(void);")
local process = ffi.C.getpid()

--- Compute the array, on the thread that owns its stream. MLX's threads do not exist in a forked child: it would wait
-- for ever.
function array.__index:eval()
  if ffi.C.getpid() ~= process then error("MLX cannot compute in a forked process", 0) end
  check(C.mlx_array_eval(self))
  return self
end

--- The number of an array of one element.
function array.__index:item()
  local res = ffi.new("double[1]")
  check(C.mlx_array_item_float64(res, self:eval()))
  return res[0]
end

--- The elements in row-major order, as a string of bytes.
function array.__index:bytes()
  local rows = handles.ops.contiguous(self, false):eval() -- data has an address only then
  local bytes = ffi.string(C.mlx_array_data_uint8(rows), C.mlx_array_nbytes(rows))
  rows:free()
  return bytes
end

function array:__tostring()
  local text = handles.String()
  check(C.mlx_array_tostring(text, self))
  return ffi.string(C.mlx_string_data(text))
end

-- --- operations ---

local default

--- The default stream of this thread: each thread, and so each Lua state, has its own.
function handles.stream()
  if not default then
    local device = handles.Device()
    default = handles.Stream()
    check(C.mlx_get_default_device(device))
    check(C.mlx_get_default_stream(default, device))
  end
  return default
end

-- `ops.add(a, b)` is mlx_add: a result, the arguments in their order, and the stream. A list stands for a pointer and
-- a count.
local function expand(value, ...)
  if type(value) == "table" then
    return ffi.new("int[?]", #value, value), #value, ...
  end
  return value, ...
end

local function arguments(n, value, ...)
  if n == 0 then return handles.stream() end
  return expand(value, arguments(n - 1, ...))
end

handles.ops = setmetatable({}, {
  __index = function(ops, name)
    local fn = C["mlx_" .. name]
    ops[name] = function(...)
      local res = Array()
      check(fn(res, arguments(select("#", ...), ...)))
      return res
    end
    return ops[name]
  end,
})

for operator, name in pairs({ add = "add", sub = "subtract", mul = "multiply", div = "divide", unm = "negative" }) do
  array["__" .. operator] = function(a, b)
    local op = handles.ops[name]
    return operator == "unm" and op(a) or op(handles.lift(a), handles.lift(b))
  end
end

--- A number as an array; an array as it is.
function handles.lift(value)
  return type(value) == "number" and handles.float(value) or value
end

return handles
