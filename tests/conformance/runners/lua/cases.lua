-- The interpreter of the cases that are data: README.md of the suite says what a case is.
local ffi = require("ffi")
local contracts = require("contracts")
local handles = require("handles")
local json = require("json")
local mlx = require("mlx")
local tensors = require("tensors")
local abi = require("abi")
local C, check = abi.C, abi.check

local cases = {}

local named = { inf = math.huge, ["-inf"] = -math.huge, nan = 0 / 0 }

local function number(value)
  return named[value] or value
end

local function dtype(name)
  return C["MLX_" .. name:upper()]
end

local function optional(ctype, read)
  return function(_, value)
    return ffi.new(ctype, value == json.null and {} or { read(value), true })
  end
end

local function integers(ctype)
  return function(_, value)
    if value == json.null then return nil, 0 end
    return ffi.new(ctype, #value, value), #value
  end
end

local function plain(_, value)
  return value
end

local function itself(value)
  return value
end

-- By letter of a class: what a parameter gets for what stands in `args`. Values are numbered from 0, tables from 1.
local read = {
  a = function(values, value) return value == json.null and handles.Array() or values[value + 1] end,
  v = function(values, list)
    local arrays = {}
    for i, value in ipairs(list) do arrays[i] = values[value + 1] end
    return handles.pack(arrays)
  end,
  n = integers("int[?]"), q = integers("int64_t[?]"),
  i = plain, u = plain, U = plain, b = plain, t = plain, e = plain,
  f = function(_, value) return number(value) end, d = function(_, value) return number(value) end,
  D = function(_, name) return dtype(name) end,
  I = optional("mlx_optional_int", itself), F = optional("mlx_optional_float", number),
  B = optional("mlx_optional_bool", itself), T = optional("mlx_optional_dtype", dtype),
}

-- What one step gives: a list of arrays.
local function call(step, values)
  local arguments, results, vector, n, used = {}, {}, nil, 0, 0
  local function add(count, ...)
    for i = 1, count do arguments[n + i] = (select(i, ...)) end
    n = n + count
  end
  for letter in step.class:gmatch(".") do
    if letter == "A" then
      results[#results + 1] = handles.Array()
      add(1, results[#results])
    elseif letter == "V" then
      vector = handles.Vector()
      add(1, vector)
    elseif letter == "s" then
      add(1, handles.stream())
    else
      used = used + 1
      add((letter == "n" or letter == "q") and 2 or 1, read[letter](values, step.args[used]))
    end
  end
  check(C[step.call](unpack(arguments, 1, n)))
  return vector and handles.take(vector) or results
end

-- What the steps of a case make of its values.
local function steps(case)
  return function(values)
    for _, step in ipairs(case.steps) do
      local results = call(step, values)
      if #results ~= step.gives then
        error(("%s gives %d arrays, %d are right"):format(step.call, #results, step.gives), 0)
      end
      for _, array in ipairs(results) do values[#values + 1] = array end
    end
    local returned = {}
    for i, value in ipairs(case.returns) do returned[i] = values[value + 1] end
    return returned
  end
end

local function joined(first, second)
  for _, array in ipairs(second) do first[#first + 1] = array end
  return first
end

local function arrays(names, file)
  local found = {}
  for i, name in ipairs(names) do found[i] = tensors.array(file[name]) end
  return found
end

-- By kind: the function that a transform makes of a function.
local transforms = {
  vjp = function(fn, t, file)
    local cotangents = arrays(t.cotangents, file)
    return function(inputs) return joined(mlx.vjp(fn, inputs, cotangents)) end
  end,
  jvp = function(fn, t, file)
    local tangents = arrays(t.tangents, file)
    return function(inputs) return joined(mlx.jvp(fn, inputs, tangents)) end
  end,
  value_and_grad = function(fn, t)
    local gradient = mlx.value_and_grad(fn, t.argnums)
    return function(inputs) return joined(gradient(inputs)) end
  end,
  grad = function(fn, t)
    local gradient = mlx.value_and_grad(fn, t.argnums)
    return function(inputs) return (select(2, gradient(inputs))) end
  end,
  vmap = function(fn, t) return mlx.vmap(fn, t.in_axes, t.out_axes) end,
  checkpoint = function(fn) return mlx.checkpoint(fn) end,
  compile = function(fn, t)
    local fast = mlx.compile(fn, t.shapeless)
    return function(inputs)
      fast(inputs)
      return fast(inputs)
    end
  end,
}

-- `body` computes of the inputs and what is captured.
local function outputs_of(case, file, body)
  local captured = arrays(case.captured, file)
  local fn = function(inputs) return body(joined({ unpack(inputs) }, captured)) end
  for _, transform in ipairs(case.transforms or {}) do
    fn = transforms[transform.kind](fn, transform, file)
  end
  local outputs = {}
  for i, array in ipairs(fn(arrays(case.inputs, file))) do outputs[i] = tensors.of(array) end
  return outputs
end

local function difference(outputs, expected, file)
  if #outputs ~= #expected then return ("got %d outputs, right %d"):format(#outputs, #expected) end
  for i, right in ipairs(expected) do
    local text = tensors.difference(outputs[i], file[right.tensor], right.rtol, right.atol)
    if text then return ("output %d: %s"):format(i - 1, text) end
  end
end

-- Nil if the outputs are one of those that are right, else how they differ from the first.
local function wrong(outputs, case, file)
  local first
  for _, expected in ipairs(case.expected) do
    local text = difference(outputs, expected, file)
    if not text then return nil end
    first = first or text
  end
  return first
end

--- The version of MLX that the library is for.
function cases.version()
  local text = handles.String()
  check(C.mlx_version(text))
  return ffi.string(C.mlx_string_data(text))
end

--- Why a case is left out, or nil: what it needs and is not there.
function cases.missing(case)
  local contract = case.contract and not case.steps and case.contract.name
  if contract and not contracts[contract] then return "there is no " .. contract end
  local names = {}
  for _, name in ipairs(case.needs or {}) do names[#names + 1] = name end
  for _, step in ipairs(case.steps or {}) do names[#names + 1] = step.call end
  for _, name in ipairs(names) do
    if not pcall(function() return C[name] end) then return "there is no " .. name end
  end
end

local function run(case, file, outputs, ...)
  local done, got = pcall(outputs, case, file, ...)
  if case.outcome == "error" then
    return done and "got outputs, right is an error" or nil
  end
  if not done then return ("got the error %q, right are outputs"):format(tostring(got)) end
  return wrong(got, case, file)
end

local function of_contract(case, file)
  return contracts[case.contract.name](case.contract.arguments, file)
end

--- Nil if the case is right, else what is wrong.
function cases.run(case, file)
  if not case.steps then return run(case, file, of_contract) end
  local ours = contracts.beside(case.contract)
  local text = ours and run(case, file, outputs_of, ours)
  return text and "by the contract: " .. text or run(case, file, outputs_of, steps(case))
end

return cases
