package main

import (
	"encoding/json"
	"math"
	"strings"

	"conformance/mlx"
)

// What a port does in its own language, by the names of the suite's contracts.
var contracts = map[string]func(arguments json.RawMessage, file tensorFile) []tensor{
	"batch":   batch,
	"adapter": adapter,
}

type batchArguments struct {
	Records []struct {
		Tokens []int32
		Offset int
	}
	MaxSeqLength int `json:"max_seq_length"`
}

// batch gives inputs, targets, and which targets count.
func batch(arguments json.RawMessage, _ tensorFile) []tensor {
	given := read[batchArguments](arguments)
	longest := 0
	for _, record := range given.Records {
		longest = max(longest, len(record.Tokens))
	}
	width := min(1+32*((longest+31)/32), given.MaxSeqLength)
	inputs, targets, mask := []int32{}, []int32{}, []byte{}
	for _, record := range given.Records {
		row := make([]int32, width)
		length := copy(row, record.Tokens)
		inputs, targets = append(inputs, row[:width-1]...), append(targets, row[1:]...)
		for t := 1; t < width; t++ {
			counts := byte(0)
			if record.Offset <= t && t < length {
				counts = 1
			}
			mask = append(mask, counts)
		}
	}
	shape := []int{len(given.Records), width - 1}
	return []tensor{integers(inputs, shape), integers(targets, shape), {mlx.Bool, shape, mask}}
}

func integers(numbers []int32, shape []int) tensor {
	bytes := make([]byte, 0, 4*len(numbers))
	for _, n := range numbers {
		bytes = append(bytes, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return tensor{mlx.Int32, shape, bytes}
}

type adapterArguments struct {
	Config struct {
		PEFTType       string `json:"peft_type"`
		R              float64
		LoRAAlpha      float64 `json:"lora_alpha"`
		UseRSLoRA      bool    `json:"use_rslora"`
		Rank, Alpha    float64
		LoRALayers     []string `json:"lora_layers"`
		LoRAParameters struct {
			Rank, Alpha float64
			Scale       *float64
		} `json:"lora_parameters"`
	}
	File  map[string]string
	Layer string
}

// An adapter's file: the names of its tensors, whether its factors lie the other way round, and its scale.
type adapterKind struct {
	names  []string
	turned bool
	scale  float64
}

func (given *adapterArguments) kind() adapterKind {
	config := &given.Config
	lora := config.LoRAParameters
	names := []string{"PATH.lora_a", "PATH.lora_b", "PATH.m"}
	switch {
	case config.PEFTType != "":
		rank := config.R
		if config.UseRSLoRA {
			rank = math.Sqrt(rank)
		}
		peft := []string{"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"}
		for i, name := range peft {
			peft[i] = "base_model.model.PATH." + name
		}
		return adapterKind{peft, true, config.LoRAAlpha / rank}
	case config.LoRALayers != nil:
		return adapterKind{names, true, config.Alpha / config.Rank}
	case lora.Scale != nil:
		return adapterKind{names, false, *lora.Scale}
	}
	return adapterKind{names, false, lora.Alpha / lora.Rank}
}

// adapter gives the adapter of a layer as x a b scale takes it: a, b, scale, and the magnitudes of DoRA.
func adapter(arguments json.RawMessage, file tensorFile) []tensor {
	given := read[adapterArguments](arguments)
	kind := given.kind()
	var found []tensor
	for i, name := range kind.names {
		if i == 2 {
			found = append(found, tensorOf(mlx.Scalar(float32(kind.scale))))
		}
		tensor, there := file[given.File[strings.Replace(name, "PATH", given.Layer, 1)]]
		if there && i < 2 && kind.turned {
			tensor = tensorOf(mlx.Transpose(tensor.array()))
		}
		if there {
			found = append(found, tensor)
		}
	}
	return found
}

// beside is a function of ours of the numbered values of a case, which stands beside its steps; nil where there is
// none.
func (c *contract) beside() function {
	var given struct {
		Values struct {
			Logits, Targets, Prediction, Target int
			Weights                             *int
		}
		Reduction      string
		LabelSmoothing *float64 `json:"label_smoothing"`
		IgnoreIndex    *int     `json:"ignore_index"`
	}
	if c == nil || json.Unmarshal(c.Arguments, &given) != nil {
		return nil
	}
	at := given.Values
	mean := given.Reduction == "mean" && given.LabelSmoothing == nil && given.IgnoreIndex == nil
	switch {
	case c.Name == "mse":
		return single(func(x []*mlx.Array) *mlx.Array { return mlx.MSELoss(x[at.Prediction], x[at.Target]) })
	case c.Name == "cross_entropy" && mean && at.Weights == nil:
		return single(func(x []*mlx.Array) *mlx.Array { return mlx.CrossEntropyLoss(x[at.Logits], x[at.Targets]) })
	case c.Name == "cross_entropy" && mean:
		return single(func(x []*mlx.Array) *mlx.Array {
			return mlx.MaskedCrossEntropyLoss(x[at.Logits], x[at.Targets], x[*at.Weights])
		})
	}
	return nil
}

func single(fn func([]*mlx.Array) *mlx.Array) function {
	return func(values []*mlx.Array) []*mlx.Array { return []*mlx.Array{fn(values)} }
}
