-- Lua functions as C closures.
--
-- 1. `keep` puts the function into the registry under the address of a payload, and C gets a closure with that
--    payload.
-- 2. LuaJIT has room for a few hundred callbacks in a process, and never frees one by itself: there is one C function
--    per kind of closure, made here and kept for ever, which finds the Lua function by the payload.
-- 3. A callback cannot take a struct by value, but a struct of one pointer is passed as that pointer: it takes those.
-- 4. What the function raises is kept, the callback returns 1, and `check` raises the same object at the caller.
-- 5. C's destructor may run on whichever thread drops the last copy, and no Lua may run on another thread than its
--    state's. So the destructor is a C function: the payload is a semaphore, the destructor sem_post. The registry is
--    swept of posted payloads whenever it gets a new one. (macOS has no semaphores without a name: there,
--    dispatch_semaphore_signal is such a function.)
-- 6. A machine-code trace must not call a C function that calls back: what does is kept from the compiler with
--    jit.off.
local ffi = require("ffi")
local abi = require("abi")
local handles = require("handles")
local C, check = abi.C, abi.check

ffi.cdef([[
typedef union { char size[32]; long align; } sem_t;
int sem_init(sem_t *, int, unsigned);
int sem_post(sem_t *);
int sem_trywait(sem_t *);
]])

local closures = {}
local registry = {}
local destroy = ffi.cast("void (*)(void *)", ffi.C.sem_post)

local function key(payload)
  return tonumber(ffi.cast("intptr_t", ffi.cast("void *", payload)))
end

--- Forget the functions whose last closure is gone.
function closures.sweep()
  for address, entry in pairs(registry) do
    if ffi.C.sem_trywait(entry.payload) == 0 then
      registry[address] = nil
    end
  end
end

local function keep(fn)
  closures.sweep()
  local payload = ffi.new("sem_t")
  ffi.C.sem_init(payload, 0, 0)
  registry[key(payload)] = { fn = fn, payload = payload }
  return payload
end

local function run(res, payload, ...)
  local arrays = {}
  for i = 1, select("#", ...) do
    arrays[i] = handles.unpack(handles.borrowed(handles.Vector, (select(i, ...))))
  end
  local outputs = handles.pack(registry[key(payload)].fn(unpack(arrays)))
  local status = C.mlx_vector_array_set(res, outputs)
  outputs:free()
  check(status)
end

-- The status of a callback: failure, unless its body came to the end.
local function status(...)
  local done, raised = pcall(run, ...)
  if done then return 0 end
  abi.raised = raised
  return 1
end

local function callback(declaration, ctype, fn)
  return ffi.cast(ctype, ffi.cast("void *", ffi.cast(declaration, fn)))
end

local call_closure = callback(
  "int (*)(mlx_vector_array *, void *, void *)",
  "int (*)(mlx_vector_array *, const mlx_vector_array, void *)",
  function(res, inputs, payload) return status(res, payload, inputs) end
)
local call_custom = callback(
  "int (*)(mlx_vector_array *, void *, void *, void *, void *)",
  "int (*)(mlx_vector_array *, const mlx_vector_array, const mlx_vector_array, const mlx_vector_array, void *)",
  function(res, primals, cotangents, outputs, payload) return status(res, payload, primals, cotangents, outputs) end
)

--- A closure of a function of a list of arrays.
function closures.new(fn)
  return handles.Closure(C.mlx_closure_new_func_payload(call_closure, keep(fn), destroy))
end

--- A closure of a function of three lists: primals, cotangents, outputs.
function closures.new_custom(fn)
  return handles.ClosureCustom(C.mlx_closure_custom_new_func_payload(call_custom, keep(fn), destroy))
end

--- Call a function of the library that may call back, with temporary handles that are freed then.
function closures.call(fn, temporaries, ...)
  local code = fn(...)
  for _, handle in ipairs(temporaries) do
    handle:free()
  end
  check(code)
end
jit.off(closures.call)

return closures
