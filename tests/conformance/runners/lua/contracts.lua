-- What a port does in its own language, by the names of the suite's contracts.
local ffi = require("ffi")
local handles = require("handles")
local mlx = require("mlx")
local tensors = require("tensors")
local C = require("abi").C
local ops = handles.ops

local contracts = {}

-- A tensor of rows of numbers, each what `element(record, position)` gives.
local function rows(records, width, ctype, dtype, element)
  local elements = ffi.new(ctype .. "[?]", #records * width)
  for r, record in ipairs(records) do
    for t = 0, width - 1 do
      elements[(r - 1) * width + t] = element(record, t)
    end
  end
  return { dtype = dtype, shape = { #records, width }, bytes = ffi.string(elements, ffi.sizeof(elements)) }
end

--- A batch of records {tokens, offset}: inputs, targets, and which targets count.
function contracts.batch(arguments)
  local records, longest = arguments.records, 0
  for _, record in ipairs(records) do longest = math.max(longest, #record.tokens) end
  local width = math.min(1 + 32 * math.ceil(longest / 32), arguments.max_seq_length)
  local function token(record, t) return t < width and record.tokens[t + 1] or 0 end
  return {
    rows(records, width - 1, "int32_t", C.MLX_INT32, token),
    rows(records, width - 1, "int32_t", C.MLX_INT32, function(record, t) return token(record, t + 1) end),
    rows(records, width - 1, "bool", C.MLX_BOOL, function(record, t)
      return record.offset <= t + 1 and t + 1 < math.min(#record.tokens, width)
    end),
  }
end

local function transposed(tensor)
  return tensors.of(ops.transpose(tensors.array(tensor)))
end

local function itself(tensor)
  return tensor
end

-- The kinds of adapter file: whether it is one, the names of its tensors, how its factors lie, and its scale.
local kinds = {
  {
    fits = function(config) return config.peft_type end,
    names = {
      "base_model.model.%s.lora_A.weight",
      "base_model.model.%s.lora_B.weight",
      "base_model.model.%s.lora_magnitude_vector",
    },
    factor = transposed,
    scale = function(config) return config.lora_alpha / (config.use_rslora and math.sqrt(config.r) or config.r) end,
  },
  {
    fits = function(config) return config.lora_layers end,
    names = { "%s.lora_a", "%s.lora_b", "%s.m" },
    factor = transposed,
    scale = function(config) return config.alpha / config.rank end,
  },
  {
    fits = function() return true end,
    names = { "%s.lora_a", "%s.lora_b", "%s.m" },
    factor = itself,
    scale = function(config)
      local lora = config.lora_parameters
      return lora.scale or lora.alpha / lora.rank
    end,
  },
}

--- The adapter of a layer, as `x a b scale` takes it: a, b, scale, and the magnitudes of DoRA.
function contracts.adapter(arguments, file)
  local config, kind = arguments.config, nil
  for _, other in ipairs(kinds) do
    kind = kind or (other.fits(config) and other)
  end
  local found = {}
  for i, name in ipairs(kind.names) do found[i] = file[arguments.file[name:format(arguments.layer)]] end
  local scale = tensors.of(handles.float(kind.scale(config)))
  return { kind.factor(found[1]), kind.factor(found[2]), scale, found[3] }
end

-- By name: a function of ours of the numbered values of a case, or nil where it has not the contract's options.
local functions = {}

function functions.cross_entropy(arguments)
  local at = arguments.values
  if arguments.reduction ~= "mean" or arguments.label_smoothing or arguments.ignore_index then return nil end
  return function(values)
    return { mlx.cross_entropy(values[at.logits + 1], values[at.targets + 1], at.weights and values[at.weights + 1]) }
  end
end

function functions.mse(arguments)
  local at = arguments.values
  return function(values) return { mlx.mse(values[at.prediction + 1], values[at.target + 1]) } end
end

--- The function of ours that stands beside the steps of a case, or nil.
function contracts.beside(contract)
  local of = contract and functions[contract.name]
  return of and of(contract.arguments)
end

return contracts
