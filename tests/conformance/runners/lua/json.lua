-- A reader of JSON: objects and lists are tables, null is json.null.
local json = { null = setmetatable({}, { __tostring = function() return "null" end }) }

local literals = { ["true"] = true, ["false"] = false, null = json.null }
local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local value

local function fail(text, at, wanted)
  error(("JSON: %s required at byte %d, found %q"):format(wanted, at, text:sub(at, at + 10)), 0)
end

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
  return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local function text_of(text, at)
  local stop = at + 1
  while text:byte(stop) ~= 34 do
    if stop > #text then fail(text, at, "a closed string") end
    stop = stop + (text:byte(stop) == 92 and 2 or 1)
  end
  local raw = text:sub(at + 1, stop - 1)
  raw = raw:gsub("\\u(%x%x%x%x)", function(hex) return utf8(tonumber(hex, 16)) end)
  return raw:gsub("\\(.)", escapes), stop + 1
end

-- The members of an object or a list, up to `close`: `member` reads one and gives where it ends.
local function members(text, at, close, member)
  at = skip(text, at + 1)
  if text:sub(at, at) == close then return at + 1 end
  while true do
    at = skip(text, member(at))
    local mark = text:sub(at, at)
    if mark == close then return at + 1 end
    if mark ~= "," then fail(text, at, "',' or '" .. close .. "'") end
    at = skip(text, at + 1)
  end
end

local function object(text, at)
  local res = {}
  return res, members(text, at, "}", function(start)
    local name, colon = text_of(text, start)
    colon = skip(text, colon)
    if text:sub(colon, colon) ~= ":" then fail(text, colon, "':'") end
    local stop
    res[name], stop = value(text, colon + 1)
    return stop
  end)
end

local function list(text, at)
  local res = {}
  return res, members(text, at, "]", function(start)
    local stop
    res[#res + 1], stop = value(text, start)
    return stop
  end)
end

local function scalar(text, at)
  local word = text:match("^[%w+.-]+", at) or fail(text, at, "a value")
  local res = literals[word]
  if res == nil then res = tonumber(word) end
  if res == nil then fail(text, at, "a value") end
  return res, at + #word
end

local readers = { ["{"] = object, ["["] = list, ['"'] = text_of }

function value(text, at)
  at = skip(text, at)
  return (readers[text:sub(at, at)] or scalar)(text, at)
end

--- The value that a text of JSON says.
function json.read(text)
  local res, stop = value(text, 1)
  if skip(text, stop) <= #text then fail(text, stop, "the end") end
  return res
end

return json
