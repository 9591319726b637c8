-- The runner: luajit run.lua FOLDER [--expect FILE] [NAME...]
local cases = require("cases")
local json = require("json")
local mlx = require("mlx")
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
      -- A comment is nobody's name.
      for line in content(list[i]):gmatch("[^\n]+") do expected[line] = true end
    else
      prefixes[#prefixes + 1] = list[i]
    end
    i = i + 1
  end
  return folder, prefixes, expected
end

local folder, prefixes, expected = arguments(arg)
local right, total, left_out = 0, 0, 0

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
    wrong = ("failed: %s: %s"):format(name, wrong)
  end
  total = total + 1
  if wrong then print(wrong) else right = right + 1 end
end

-- What is wrong with a case, if only with what it leaves behind.
local function without_leaks(run, ...)
  local before = mlx.live()
  local wrong = run(...)
  local after = mlx.live()
  if wrong or after == before then return wrong end
  return ("%d objects are alive afterwards, %d were before"):format(after, before)
end

-- Run those of a list of cases that were asked for: `left_out_for` says why one is left out, `run` what is wrong with
-- it.
local function run_set(set, list, name_of, left_out_for, run)
  local before_right, before_total = right, total
  for _, case in ipairs(list) do
    local name = name_of(case)
    local why = chosen(name) and left_out_for(case)
    if why then
      left_out = left_out + 1
      print(("left out: %s: %s"):format(name, why))
    elseif chosen(name) then
      report(name, without_leaks(run, case))
    end
  end
  print(("%s: %d of %d"):format(set, right - before_right, total - before_total))
end

local function run_vectors(path)
  for set in content(path .. "/FROZEN"):gmatch("(%S+)%.json") do
    local file = tensors.read(("%s/%s.safetensors"):format(path, set))
    local read = json.read(content(("%s/%s.json"):format(path, set)))
    local function name_of(case) return case.name end
    run_set(set, read.cases, name_of, cases.missing, function(case) return cases.run(case, file) end)
  end
end

local function run_protocol(path)
  local function name_of(case) return "protocol/" .. case.id end
  local function left_out_for(case) return cases.missing(case) or protocol.left_out(case.id) end
  run_set("protocol", json.read(content(path)), name_of, left_out_for, function(case) return protocol.run(case.id) end)
end

local function main()
  run_vectors(("%s/vectors/%s"):format(folder, cases.version()))
  run_protocol(folder .. "/protocol.json")
  if left_out > 0 then print("left out: " .. left_out) end
  print(("%d of %d"):format(right, total))
end

local done, raised = pcall(main)
if not done then io.stderr:write(tostring(raised), "\n") end
os.exit(not done and 2 or right == total and 0 or 1, true)
