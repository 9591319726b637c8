-- MLX for LuaJIT: arrays, derivatives and losses. Functions under a transform take a list of arrays and return one.
local ffi = require("ffi")
local abi = require("abi")
local closures = require("closures")
local handles = require("handles")
local C, call = abi.C, closures.call
local Vector, pack, take, ops = handles.Vector, handles.pack, handles.take, handles.ops

local mlx = { C = C, array = handles.array, float = handles.float, ops = ops }

--- How many objects of C++ of a kind ("payload", "mlx_array", ...; nil: of all) are alive when the collector is
-- through. Compiled traces keep the functions that they were made for, with all that those captured: they are
-- dropped. A function that the registry forgets may have held the last reference to the next one: hence until nothing
-- changes.
function mlx.live(kind)
  handles.stream() -- it stays, and counts
  jit.flush()
  local before, now
  repeat
    before = now
    collectgarbage()
    closures.sweep()
    now = tonumber(C.mlxffi_live_total())
  until now == before
  for i = 0, kind and tonumber(C.mlxffi_live_kinds()) - 1 or -1 do
    if ffi.string(C.mlxffi_live_kind(i)) == kind then return tonumber(C.mlxffi_live_objects(i)) end
  end
  return now
end

-- --- derivatives ---

local function derivative(c_function)
  return function(fn, primals, directions)
    local closure, points, vectors = closures.new(fn), pack(primals), pack(directions)
    local outputs, derivatives = Vector(), Vector()
    call(c_function, { closure, points, vectors }, outputs, derivatives, closure, points, vectors)
    return take(outputs), take(derivatives)
  end
end

local vjp = derivative(C.mlx_vjp)

--- The outputs of `fn`, and a gradient for each primal. MLX would ignore cotangents that are left over.
function mlx.vjp(fn, primals, cotangents)
  local outputs, gradients = vjp(fn, primals, cotangents)
  if #cotangents > #outputs then
    error(("[vjp] cotangents: one for each of %d outputs is required, got %d"):format(#outputs, #cotangents), 0)
  end
  return outputs, gradients
end

--- jvp(fn, primals, tangents): the outputs of `fn`, and the tangent of each.
mlx.jvp = derivative(C.mlx_jvp)

-- Where the gradient of each position of `argnums` stands among those that C gives: in ascending order.
local function ranks(argnums, n)
  local found = {}
  for i, wanted in ipairs(argnums) do
    found[i] = 1
    for _, other in ipairs(argnums) do
      if other % n < wanted % n then found[i] = found[i] + 1 end
    end
  end
  return found
end

--- The outputs of `fn`, and the gradients of its first with respect to the arguments at `argnums` (from 0), in their
-- order.
function mlx.value_and_grad(fn, argnums)
  local closure, gradient = closures.new(fn), handles.ClosureValueAndGrad()
  local positions = ffi.new("int[?]", #argnums, argnums)
  call(C.mlx_value_and_grad, { closure }, gradient, closure, positions, #argnums)
  return function(inputs)
    local packed, values, grads = pack(inputs), Vector(), Vector()
    call(C.mlx_closure_value_and_grad_apply, { packed }, values, grads, gradient, packed)
    local ascending, ordered = take(grads), {}
    for i, rank in ipairs(ranks(argnums, #inputs)) do
      ordered[i] = ascending[rank]
    end
    return take(values), ordered
  end
end

-- --- functions of functions ---

local function apply(closure)
  return function(inputs)
    local packed, outputs = pack(inputs), Vector()
    call(C.mlx_closure_apply, { packed }, outputs, closure, packed)
    return take(outputs)
  end
end

local function transform(c_function)
  return function(fn, ...)
    local closure, res = closures.new(fn), handles.Closure()
    call(c_function, { closure }, res, closure, ...)
    return apply(res)
  end
end

--- checkpoint(fn): `fn`, computed again for its gradients. Only its arguments get any.
mlx.checkpoint = transform(C.mlx_checkpoint)
--- compile(fn, shapeless)
mlx.compile = transform(C.mlx_compile)

local vmap = transform(C.mlx_vmap)

--- `fn` over the axes `in_axes` of its inputs (-1: whole), which the outputs get at `out_axes`.
function mlx.vmap(fn, in_axes, out_axes)
  local ins, outs = ffi.new("int[?]", #in_axes, in_axes), ffi.new("int[?]", #out_axes, out_axes)
  return vmap(fn, ins, #in_axes, outs, #out_axes)
end

--- `fn` with a gradient of its own: `rule(primals, cotangents, outputs)` gives one for each primal.
function mlx.custom_vjp(fn, rule)
  local closure, custom, res = closures.new(fn), closures.new_custom(rule), handles.Closure()
  call(C.mlx_custom_vjp, { closure, custom }, res, closure, custom)
  return apply(res)
end

-- --- losses ---

local nothing = handles.Array()

--- The mean cross-entropy of logits [..., classes] and targets [...], in nats, by one kernel; with `mask` [...], of the
-- positions where that is 1.
function mlx.cross_entropy(logits, targets, mask)
  local res, ignored = handles.Array(), ffi.new("mlx_optional_int")
  local mean, stream = C.MLXFFI_REDUCTION_MEAN, handles.stream()
  abi.check(C.mlxffi_cross_entropy(res, logits, targets, mask or nothing, ignored, 0, mean, stream))
  return res
end

--- The mean of the squared differences.
function mlx.mse(predictions, targets)
  return ops.mean(ops.square(predictions - targets), false)
end

return mlx
