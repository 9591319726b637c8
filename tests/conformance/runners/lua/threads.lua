-- Threads: a Lua state belongs to one thread, so each thread gets a state of its own, which loads these modules again.
-- What goes over is numbers and addresses: a handle is one.
local ffi = require("ffi")

ffi.cdef([[
typedef struct lua_State lua_State;
lua_State *luaL_newstate(void);
void luaL_openlibs(lua_State *);
int luaL_loadstring(lua_State *, const char *);
int lua_pcall(lua_State *, int, int, int);
double lua_tonumber(lua_State *, int);
const char *lua_tolstring(lua_State *, int, size_t *);
void lua_getfield(lua_State *, int, const char *);
void lua_close(lua_State *);
int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);
int pthread_join(unsigned long, void **);
]])

local threads = {}
local GLOBALS = -10002

-- The chunk that a new state runs: it gives the address of the thread's function, which leaves its result in `result`.
local BEGIN = [[
local ffi = require("ffi")
local function body(argument) %s end
local function start(argument)
  local done, found = pcall(body, tonumber(ffi.cast("intptr_t", argument)))
  result = done and tostring(found) or "error: " .. tostring(found)
  return nil
end
anchor = ffi.cast("void *(*)(void *)", start)
return tonumber(ffi.cast("intptr_t", anchor))
]]

local function string_at_top(state)
  return ffi.string(ffi.C.lua_tolstring(state, -1, nil))
end

--- Start a chunk of Lua on a thread of its own, with `argument`, a number; `join` waits and gives what it returned,
-- as text.
function threads.start(chunk, argument)
  local state = ffi.C.luaL_newstate()
  ffi.C.luaL_openlibs(state)
  if ffi.C.luaL_loadstring(state, BEGIN:format(chunk)) ~= 0 or ffi.C.lua_pcall(state, 0, 1, 0) ~= 0 then
    error(string_at_top(state), 0)
  end
  local start = ffi.cast("void *(*)(void *)", ffi.cast("intptr_t", ffi.C.lua_tonumber(state, -1)))
  local id = ffi.new("unsigned long[1]")
  assert(ffi.C.pthread_create(id, nil, start, ffi.cast("void *", ffi.cast("intptr_t", argument or 0))) == 0)
  return { id = id[0], state = state }
end

function threads.join(thread)
  ffi.C.pthread_join(thread.id, nil)
  ffi.C.lua_getfield(thread.state, GLOBALS, "result")
  local result = string_at_top(thread.state)
  ffi.C.lua_close(thread.state)
  return result
end

return threads
