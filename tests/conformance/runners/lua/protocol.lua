-- The protocol cases: what only the ABI shows. Each function returns when its case is right, and raises what is wrong.
local ffi = require("ffi")
local closures = require("closures")
local handles = require("handles")
local mlx = require("mlx")
local threads = require("threads")
local C, ops, float = mlx.C, mlx.ops, mlx.float
local check = require("abi").check

local cases = {}
-- What LuaJIT cannot say, and why.
local left_out = {
  ["thread-gradients"] = "a Lua function belongs to one Lua state, and a state to one thread",
}

local function wrong(text, ...)
  error(text:format(...), 3)
end

local function equal(got, right, what)
  if got ~= right then wrong("%sgot %s, right %s", what and what .. ": " or "", tostring(got), tostring(right)) end
end

-- The call must fail; with `text` in its error, or with that very object.
local function fails(wanted, fn, ...)
  local done, raised = pcall(fn, ...)
  if done then wrong("got no error, right is one") end
  local text = type(wanted) == "string"
  if text and not tostring(raised):find(wanted, 1, true) then
    wrong("got the error %q, right has %q", tostring(raised), wanted)
  end
  if wanted ~= nil and not text and raised ~= wanted then
    wrong("got the error %q, right is the function's own", tostring(raised))
  end
end

local function square(inputs)
  return { inputs[1] * inputs[1] }
end

local function total(inputs)
  return { ops.sum(inputs[1] * inputs[1], false) }
end

local function fork()
  ffi.cdef("int fork(void); int waitpid(int, int *, int); unsigned alarm(unsigned);")
  io.stdout:flush() -- or the child prints it once more
  return ffi.C.fork()
end

-- --- closures ---

cases["closure-freed-before-use"] = function()
  local closure, light = closures.new(square), handles.Closure()
  check(C.mlx_checkpoint(light, closure))
  closure:free()
  for _ = 1, 2 do
    local inputs, outputs = handles.pack({ float(3) }), handles.Vector()
    closures.call(C.mlx_closure_apply, { inputs }, outputs, light, inputs)
    equal(handles.take(outputs)[1]:item(), 9)
  end
end

cases["destructor-once"] = function()
  local before, closure, light = mlx.live("payload"), nil, handles.Closure()
  local kept = setmetatable({ {} }, { __mode = "v" })
  do
    local captured = kept[1]
    closure = closures.new(function(inputs) return captured and square(inputs) end)
  end
  check(C.mlx_checkpoint(light, closure))
  closure:free()
  equal(mlx.live("payload"), before + 1, "while it is used")
  if not kept[1] then error("the function went while it was used") end
  light:free()
  equal(mlx.live("payload"), before, "after its last user")
  if kept[1] then error("the function stays after its last user") end
end

cases["checkpoint-runs-twice"] = function()
  local runs = 0
  local light = mlx.checkpoint(function(inputs) runs = runs + 1 return square(inputs) end)
  light({ float(3) })
  equal(runs, 1, "runs forward")
  runs = 0
  local _, grads = mlx.vjp(light, { float(3) }, { float(1) })
  equal(grads[1]:item(), 6)
  equal(runs, 2, "runs forward and backward")
end

cases["compile-runs-once"] = function()
  local runs = 0
  local fast = mlx.compile(function(inputs) runs = runs + 1 return square(inputs) end, false)
  equal(fast({ float(2) })[1]:item(), 4)
  equal(fast({ float(3) })[1]:item(), 9)
  equal(runs, 1, "traces of one shape")
  fast({ float({ 1, 2 }) })
  equal(runs, 2, "traces of two shapes")
end

cases["compile-after-failure"] = function()
  local runs = 0
  local fast = mlx.compile(function(inputs)
    runs = runs + 1
    if runs == 1 then error("once", 0) end
    return square(inputs)
  end, false)
  fails("once", fast, { float(2) })
  equal(fast({ float(2) })[1]:item(), 4)
  equal(runs, 2, "traces")
end

cases["fails-at-first"] = function()
  local mine, x = {}, float({ 1, 2 })
  local function bad() error(mine, 0) end
  fails(mine, mlx.vjp, bad, { x }, { x })
  fails(mine, mlx.jvp, bad, { x }, { x })
  fails(mine, mlx.value_and_grad(bad, { 0 }), { x })
  fails(mine, mlx.checkpoint(bad), { x })
  fails(mine, mlx.vmap(bad, { 0 }, { 0 }), { x })
  fails(mine, mlx.compile(bad, false), { x })
end

cases["fails-at-second"] = function()
  local mine, runs = {}, 0
  local light = mlx.checkpoint(function(inputs)
    runs = runs + 1
    if runs == 2 then error(mine, 0) end
    return square(inputs)
  end)
  equal(light({ float(2) })[1]:item(), 4)
  fails(mine, light, { float(2) })
  equal(light({ float(3) })[1]:item(), 9)
end

cases["fails-backward"] = function()
  local mine, runs = {}, 0
  local light = mlx.checkpoint(function(inputs)
    runs = runs + 1
    if runs == 2 then error(mine, 0) end
    return square(inputs)
  end)
  fails(mine, mlx.vjp, light, { float(2) }, { float(1) })
end

cases["fails-nested"] = function()
  local mine = {}
  local inner = mlx.value_and_grad(function() error(mine, 0) end, { 0 })
  fails(mine, mlx.vjp, function(inputs) return { inner(inputs)[1] } end, { float(2) }, { float(1) })
end

cases["outputs-empty"] = function()
  local gradient = mlx.value_and_grad(function() return {} end, { 0 })
  fails(nil, gradient, { float(2) })
  fails(nil, mlx.checkpoint(function() return {} end), { float(2) })
  local nothing = ffi.cast("int (*)(mlx_vector_array *, void *)", function() return 0 end)
  local fn = ffi.cast("int (*)(mlx_vector_array *, const mlx_vector_array)", ffi.cast("void *", nothing))
  local closure = handles.Closure(C.mlx_closure_new_func(fn))
  fails(nil, closures.call, C.mlx_closure_apply, { closure }, handles.Vector(), closure, handles.pack({ float(2) }))
  nothing:free()
end

cases["outputs-wrong"] = function()
  local x = float({ 1, 2 })
  fails(nil, mlx.value_and_grad(square, { 0 }), { x })
  fails(nil, mlx.vjp, square, { x }, {})
  fails("[vjp]", mlx.vjp, square, { x }, { x, x })
  fails(nil, mlx.jvp, square, { x }, { x, x })
  fails(nil, mlx.vjp, square, { x }, { float(1) })
end

cases["gradients-too-few"] = function()
  local x, y = float(2), float(3)
  local function product(inputs) return { inputs[1] * inputs[2] } end
  for n = 0, 3 do
    local fn = mlx.custom_vjp(product, function() return { unpack({ x, x, x }, 1, n) } end)
    if n == 2 then mlx.vjp(fn, { x, y }, { x }) else fails(nil, mlx.vjp, fn, { x, y }, { x }) end
  end
end

local function weighted(inputs)
  return { inputs[1] + inputs[2] * float(2) + inputs[3] * float(3) }
end

cases["argnums-order"] = function()
  local inputs = { float(1), float(1), float(1) }
  local _, grads = mlx.value_and_grad(weighted, { 2, 0, -2 })(inputs)
  equal(grads[1]:item(), 3)
  equal(grads[2]:item(), 1)
  equal(grads[3]:item(), 2)
end

cases["argnums-refused"] = function()
  local inputs = { float(1), float(1), float(1) }
  for _, argnums in ipairs({ { 0, 0 }, { 3 }, { -4 }, {} }) do
    fails(nil, function() return mlx.value_and_grad(weighted, argnums)(inputs) end)
  end
end

cases["inputs-kept"] = function()
  local kept
  local outputs = mlx.vjp(function(inputs) kept = inputs[1] return inputs end, { float(5) }, { float(1) })
  collectgarbage()
  equal(outputs[1]:item(), 5)
  equal((kept * float(2)):item(), 10)
end

cases["captured-constant"] = function()
  local weight = float(7)
  local _, grads = mlx.value_and_grad(function(inputs) return { inputs[1] * weight } end, { 0 })({ float(2) })
  equal(grads[1]:item(), 7)
  local done, _, around = pcall(mlx.vjp, function(weights)
    return mlx.checkpoint(function(inputs) return { inputs[1] * weights[1] } end)({ float(2) })
  end, { weight }, { float(1) })
  if done then equal(around[1]:item(), 0, "gradient of what a checkpoint captures") end
end

-- --- handles ---

cases["data-copied"] = function()
  local buffer = ffi.new("float[2]", 1, 2)
  local sum = ops.sum(handles.array(buffer, { 2 }, C.MLX_FLOAT32), false)
  buffer[0], buffer[1] = 50, 50
  equal(sum:item(), 3)
end

cases["views"] = function()
  local x = ops.reshape(float({ 1, 2, 3, 4, 5, 6 }), { 2, 3 })
  local function numbers(array)
    local bytes, found = array:bytes(), {}
    for i = 0, #bytes / 4 - 1 do found[i + 1] = ffi.cast("const float *", bytes)[i] end
    return table.concat(found, " ")
  end
  equal(numbers(ops.transpose(x)), "1 4 2 5 3 6")
  equal(numbers(ops.slice(x, { 0, 0 }, { 2, 3 }, { 1, 2 })), "1 3 4 6")
end

cases["handle-replaced"] = function()
  local res, x = float(1), float({ 1, 2 })
  local ctx, before = res.ctx, mlx.live()
  check(C.mlx_multiply(res, x, x, handles.stream()))
  equal(res.ctx, ctx, "the handle")
  equal(mlx.live(), before, "live objects")
  equal(C.mlx_matmul(res, x, float({ 1, 2, 3 }), handles.stream()), 1, "status")
  equal(res.ctx, ctx, "the handle after a failure")
  equal(ops.sum(res, false):item(), 5)
end

cases["shared-handle"] = function()
  local a, b = float(4), handles.Array()
  check(C.mlx_array_set(b, a))
  a:free()
  equal(b:item(), 4)
end

cases["free-empty"] = function()
  for i = 0, tonumber(C.mlxffi_live_kinds()) - 1 do
    local kind = ffi.string(C.mlxffi_live_kind(i))
    if kind ~= "payload" then C[kind .. "_free"](ffi.new(ffi.typeof(kind))) end
  end
end

-- --- errors ---

cases["status-of-build"] = function()
  fails("[matmul]", ops.matmul, float({ 1, 2 }), float({ 1, 2, 3 }))
end

cases["status-of-eval"] = function()
  local inverse = ops.linalg_inv(ops.zeros({ 2, 2 }, C.MLX_FLOAT32))
  fails(nil, inverse.eval, inverse)
  fails(nil, inverse.eval, inverse)
end

cases["empty-handle-passed"] = function()
  local nothing = handles.Array(C.mlx_array_new_data(nil, ffi.new("int[1]", -1), 1, C.MLX_FLOAT32))
  equal(nothing.ctx, nil, "the result of a call that failed")
  fails(nil, ops.square, nothing)
  fails(nil, handles.pack, { nothing })
end

cases["error-percent"] = function()
  local name = "/no/%s%n%d\195\169\255" .. ("x"):rep(4000)
  fails(name, ops.load, name)
end

cases["error-threads"] = function()
  equal(C.mlx_matmul(handles.Array(), float({ 1, 2 }), float({ 1, 2, 3 }), handles.stream()), 1)
  local other = threads.join(threads.start([[
    local handles = require("handles")
    local done, text = pcall(handles.ops.reshape, handles.float({ 1, 2 }), { 3 })
    return text
  ]]))
  if not other:find("[reshape]", 1, true) then error("the other thread got " .. other) end
  fails("[matmul]", check, 1)
end

cases["error-fresh"] = function()
  equal(C.mlx_matmul(handles.Array(), float({ 1, 2 }), float({ 1, 2, 3 }), handles.stream()), 1)
  fails("[reshape]", ops.reshape, float({ 1, 2 }), { 3 })
end

-- The handler of the binding returns; what it stands for is raised when C++ has been left, and nothing is lost.
cases["error-no-return"] = function()
  local x, before = float({ 1, 2 }), mlx.live()
  fails("[matmul]", mlx.vjp, function(inputs) return { ops.matmul(inputs[1], float({ 1, 2, 3 })) } end, { x }, { x })
  equal(mlx.live(), before, "live objects")
end

-- --- threads ---

local evaluates = [[
  local handles = require("handles")
  local array = handles.borrowed(handles.Array, argument)
  return array:item()
]]

local function address(handle)
  return tonumber(ffi.cast("intptr_t", handle.ctx))
end

local function elsewhere(array)
  return threads.join(threads.start(evaluates, address(array)))
end

cases["thread-default"] = function()
  local nine = float(3) * float(3)
  local found = elsewhere(nine)
  if not found:find("^error: .*[Ss]tream") then error("got " .. found .. ", right is an error about a stream") end
  equal(nine:item(), 9)
end

cases["thread-evaluated"] = function()
  local nine = (float(3) * float(3)):eval()
  equal(elsewhere(nine), "9")
  equal(threads.join(threads.start([[
    local handles = require("handles")
    return (handles.borrowed(handles.Array, argument) + 1):item()
  ]], address(nine))), "10")
end

cases["thread-local"] = function()
  local device = handles.Device()
  check(C.mlx_get_default_device(device))
  local each = C.mlx_thread_local_stream_new(device)
  local index = [[
    local ffi, C, check = require("ffi"), require("abi").C, require("abi").check
    local each = ffi.new("mlx_thread_local_stream", ffi.cast("void *", argument))
    local stream, index, again = require("handles").Stream(), ffi.new("int[1]"), ffi.new("int[1]")
    check(C.mlx_thread_local_stream_get(stream, each))
    check(C.mlx_stream_get_index(index, stream))
    check(C.mlx_thread_local_stream_get(stream, each))
    check(C.mlx_stream_get_index(again, stream))
    assert(index[0] == again[0])
    return index[0]
  ]]
  local first, second = threads.start(index, address(each)), threads.start(index, address(each))
  local a, b = threads.join(first), threads.join(second)
  check(C.mlx_thread_local_stream_free(each))
  if a == b or not tonumber(a) or not tonumber(b) then wrong("got the streams %s and %s, right are two", a, b) end
end

cases["thread-unsafe"] = function()
  local device, res, x = handles.Device(), handles.Array(), float(3)
  check(C.mlx_get_default_device(device))
  local stream = handles.Stream(C.mlx_stream_new_thread_unsafe(device))
  check(C.mlx_multiply(res, x, x, stream))
  equal(elsewhere(res), "9")
end

-- --- counts and dtypes ---

cases["hot-loop"] = function()
  local x, before = float({ 1, 2 }), mlx.live()
  for _ = 1, 50000 do
    ops.add(x, x):free()
  end
  local gradient = mlx.value_and_grad(total, { 0 })
  for _ = 1, 500 do
    gradient({ x })
  end
  gradient = nil
  equal(mlx.live(), before, "live objects")
end

ffi.cdef([[
const void *mlx_array_data_float16(const mlx_array);
const void *mlx_array_data_bfloat16(const mlx_array);
int mlx_array_item_float16(uint16_t *, const mlx_array);
int mlx_array_item_bfloat16(uint16_t *, const mlx_array);
]])

-- By type: its dtype, the C type of a place for an item, and how 1 reads there.
-- LuaJIT finds no two complex numbers equal: the real part is looked at.
local types = {
  bool = { C.MLX_BOOL, "bool[1]", true }, uint8 = { C.MLX_UINT8, "uint8_t[1]", 1 },
  uint16 = { C.MLX_UINT16, "uint16_t[1]", 1 }, uint32 = { C.MLX_UINT32, "uint32_t[1]", 1 },
  uint64 = { C.MLX_UINT64, "uint64_t[1]", 1 },
  int8 = { C.MLX_INT8, "int8_t[1]", 1 }, int16 = { C.MLX_INT16, "int16_t[1]", 1 },
  int32 = { C.MLX_INT32, "int32_t[1]", 1 }, int64 = { C.MLX_INT64, "int64_t[1]", 1 },
  float16 = { C.MLX_FLOAT16, "uint16_t[1]", 0x3C00 }, float32 = { C.MLX_FLOAT32, "float[1]", 1 },
  float64 = { C.MLX_FLOAT64, "double[1]", 1 }, bfloat16 = { C.MLX_BFLOAT16, "uint16_t[1]", 0x3F80 },
  complex64 = { C.MLX_COMPLEX64, "complex float[1]", 1, function(number) return number.re end },
}

cases["dtype-data"] = function()
  for name, of in pairs(types) do
    local array = ops.astype(float(1), of[1]):eval()
    for reader in pairs(types) do
      equal(ffi.cast("intptr_t", C["mlx_array_data_" .. reader](array)),
        ffi.cast("intptr_t", C.mlx_array_data_uint8(array)), reader .. " of " .. name)
    end
    if C.mlx_array_data_uint8(array) == nil then error("no address for " .. name) end
  end
end

cases["dtype-item"] = function()
  for name, of in pairs(types) do
    local array = ops.astype(float(1), of[1])
    for reader, place in pairs(types) do
      local item = ffi.new(place[2])
      check(C["mlx_array_item_" .. reader](item, array))
      equal(place[4] and place[4](item[0]) or item[0], place[3], reader .. " of " .. name)
    end
  end
end

cases["dtype-unevaluated"] = function()
  C.mlxffi_clear_error()
  local sum = float(1) + float(1)
  equal(C.mlx_array_data_float32(sum), nil, "the address")
  if C.mlxffi_last_error_kind() == C.MLXFFI_ERROR_NONE then error("got no error, right is one") end
end

cases["scalar-dtype"] = function()
  local half = ops.astype(float({ 1, 2 }), C.MLX_BFLOAT16)
  equal((half * float(2)):dtype(), C.MLX_FLOAT32, "dtype with a float32 scalar")
  equal((half * ops.astype(float(2), C.MLX_BFLOAT16)):dtype(), C.MLX_BFLOAT16, "dtype with a bfloat16 scalar")
end

-- --- processes ---

cases["fork-child"] = function()
  float(1):eval()
  local child = fork()
  if child == 0 then
    ffi.C.alarm(20)
    local done = pcall(function() return (float(1) + float(1)):eval() end)
    os.exit(done and 4 or 3)
  end
  local status = ffi.new("int[1]")
  ffi.C.waitpid(child, status, 0)
  equal(status[0], 3 * 256, "status of the child")
end

cases["exit-alive"] = function()
  local code = [[
    local mlx, threads = require("mlx"), require("threads")
    x = mlx.float(2):eval()
    light = mlx.checkpoint(function(inputs) return { inputs[1] * inputs[1] } end)
    _, gradient = mlx.vjp(light, { x }, { x })
    fast = mlx.compile(function(inputs) return { inputs[1] * inputs[1] } end, false)
    fast({ x })[1]:eval()
    threads.start("require(\"handles\").float(1):eval() require(\"ffi\").C.pthread_join(0, nil)")
    os.exit(7)
  ]]
  local status = os.execute(("luajit -e '%s'"):format(code))
  equal(status, 7 * 256, "status of the process")
end

return {
  --- Why a case is left out, or nil.
  left_out = function(id)
    return left_out[id] or not cases[id] and "this runner has no such case" or nil
  end,
  --- What is wrong with a case, or nil.
  run = function(id)
    local done, raised = pcall(cases[id])
    return not done and tostring(raised) or nil
  end,
}
