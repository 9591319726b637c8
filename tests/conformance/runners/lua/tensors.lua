-- Tensors as bytes: safetensors files, and what of an array's elements is right.
local ffi = require("ffi")
local handles = require("handles")
local json = require("json")
local C = require("abi").C

local tensors = {}

local function half(bits)
  local exponent, fraction = bit.band(bit.rshift(bits, 10), 31), bit.band(bits, 1023)
  local size = exponent == 0 and fraction * 2 ^ -24 or (1 + fraction / 1024) * 2 ^ (exponent - 15)
  if exponent == 31 then size = fraction == 0 and math.huge or 0 / 0 end
  return bits >= 0x8000 and -size or size
end

local word = ffi.new("union { uint32_t bits; float number; }")
local double = ffi.new("union { uint64_t bits; uint32_t words[2]; double number; }")

-- A NaN with a sign and other bits than 0 / 0 would be read as a value of another type, so the bits are looked at.
local function single(bits)
  word.bits = bits
  return bit.band(bits, 0x7fffffff) > 0x7f800000 and 0 / 0 or word.number
end

local function bfloat(bits)
  return single(bit.lshift(bits, 16))
end

local function wide(bits)
  double.bits = bits
  local high = bit.band(double.words[1], 0x7fffffff)
  local is_nan = high > 0x7ff00000 or (high == 0x7ff00000 and double.words[0] ~= 0)
  return is_nan and 0 / 0 or double.number
end

-- By dtype: its name in safetensors, and for what can be a little off, the C type of an element's bits and its number.
local formats = {
  [C.MLX_BOOL] = { "BOOL" }, [C.MLX_UINT8] = { "U8" }, [C.MLX_UINT16] = { "U16" }, [C.MLX_UINT32] = { "U32" },
  [C.MLX_UINT64] = { "U64" }, [C.MLX_INT8] = { "I8" }, [C.MLX_INT16] = { "I16" }, [C.MLX_INT32] = { "I32" },
  [C.MLX_INT64] = { "I64" },
  [C.MLX_FLOAT16] = { "F16", "uint16_t", half }, [C.MLX_BFLOAT16] = { "BF16", "uint16_t", bfloat },
  [C.MLX_FLOAT32] = { "F32", "uint32_t", single }, [C.MLX_FLOAT64] = { "F64", "uint64_t", wide },
  [C.MLX_COMPLEX64] = { "C64", "uint32_t", single },
}
local dtypes = {}
for dtype, format in pairs(formats) do
  dtypes[format[1]] = dtype
end

--- The tensors of a safetensors file by name: dtype, shape and bytes of each.
function tensors.read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  local size = tonumber(ffi.cast("const uint64_t *", content)[0])
  local found = {}
  for name, entry in pairs(json.read(content:sub(9, 8 + size))) do
    if name ~= "__metadata__" then
      local bytes = content:sub(9 + size + entry.data_offsets[1], 8 + size + entry.data_offsets[2])
      found[name] = { dtype = dtypes[entry.dtype], shape = entry.shape, bytes = bytes }
    end
  end
  return found
end

--- A tensor as an array.
function tensors.array(tensor)
  return handles.array(tensor.bytes, tensor.shape, tensor.dtype)
end

--- An array as a tensor.
function tensors.of(array)
  return { dtype = array:dtype(), shape = array:shape(), bytes = array:bytes() }
end

local function close(got, right, rtol, atol)
  if got == right or (got ~= got and right ~= right) then return true end
  return math.abs(right) < math.huge and math.abs(got - right) <= atol + rtol * math.abs(right)
end

local function describe(tensor)
  return ("%s[%s]"):format(formats[tensor.dtype][1], table.concat(tensor.shape, ","))
end

--- Nil if `got` is right, else a text: what came, what is right.
function tensors.difference(got, right, rtol, atol)
  local came, wanted = describe(got), describe(right)
  if came ~= wanted then return ("got %s, right %s"):format(came, wanted) end
  if got.bytes == right.bytes then return nil end
  local _, ctype, number = unpack(formats[right.dtype])
  if not ctype then return ("got other elements than are right, %s"):format(wanted) end
  local pointer = "const " .. ctype .. " *"
  local a, b = ffi.cast(pointer, got.bytes), ffi.cast(pointer, right.bytes)
  for i = 0, #right.bytes / ffi.sizeof(ctype) - 1 do
    local x, y = number(a[i]), number(b[i])
    if not close(x, y, rtol or 0, atol or 0) then
      return ("got %.9g, right %.9g, at element %d of %s"):format(x, y, i, wanted)
    end
  end
end

return tensors
