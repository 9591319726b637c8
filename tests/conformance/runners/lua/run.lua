-- The runner: luajit run.lua FOLDER [--expect FILE] [NAME...]
local cases = require("cases")
local json = require("json")
local protocol = require("protocol")
local tensors = require("tensors")

local function content(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function arguments(list)
  local folder, prefixes, expected, i = list[1], {}, {}, 2
  while i <= #list do
    if list[i] == "--expect" then
      i = i + 1
      for line in content(list[i]):gmatch("[^\n]+") do
        local name = line:match("^%s*([^#%s]+)")
        if name then expected[name] = true end
      end
    else
      prefixes[#prefixes + 1] = list[i]
    end
    i = i + 1
  end
  return folder, prefixes, expected
end

local folder, prefixes, expected = arguments(arg)
local right, total = 0, 0

local function chosen(name)
  for _, prefix in ipairs(prefixes) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return #prefixes == 0
end

-- Count a case: `wrong` is nil or what is wrong.
local function report(name, wrong)
  if expected[name] then
    wrong = not wrong and "unexpected pass: " .. name or nil
  elseif wrong then
    wrong = name .. ": " .. wrong
  end
  total = total + 1
  if wrong then print(wrong) else right = right + 1 end
end

-- Run those of a list of cases that were asked for: `run` gives what is wrong, and else why the case is left out.
local function run_set(set, list, name_of, run)
  local before_right, before_total = right, total
  for _, case in ipairs(list) do
    local name = name_of(case)
    if chosen(name) then
      local wrong, left_out = run(case)
      if left_out then print(("left out: %s: %s"):format(name, left_out)) else report(name, wrong) end
    end
  end
  if total > before_total then print(("%s: %d of %d"):format(set, right - before_right, total - before_total)) end
end

local function run_vectors(path)
  local file
  for set in content(path .. "/FROZEN"):gmatch("(%S+)%.json") do
    file = tensors.read(("%s/%s.safetensors"):format(path, set))
    local read = json.read(content(("%s/%s.json"):format(path, set)))
    run_set(set, read.cases, function(case) return case.name end, function(case)
      local missing = cases.missing(case)
      if missing then return nil, "there is no " .. missing end
      return cases.run(case, file)
    end)
    collectgarbage()
  end
end

run_vectors(("%s/vectors/%s"):format(folder, cases.version()))
run_set("protocol", json.read(content(folder .. "/protocol.json")), function(case) return "protocol/" .. case.id end,
  function(case) return protocol.run(case.id) end)
print(("%d of %d"):format(right, total))
os.exit(right == total and 0 or 1, true)
