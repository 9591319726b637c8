package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"

	"conformance/mlx"
)

// A tensor as bytes, row by row.
type tensor struct {
	dtype mlx.DType
	shape []int
	bytes []byte
}

type tensorFile map[string]tensor

// In the order of mlx.DType.
var tags = []string{"BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64", "BF16", "C64"}

// readTensors reads a safetensors file.
func readTensors(path string) (tensorFile, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint64(content)
	header, data := content[8:8+size], content[8+size:]
	var entries map[string]struct {
		DType   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(header, &entries); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file := tensorFile{}
	for name, entry := range entries {
		if name != "__metadata__" {
			dtype := mlx.DType(slices.Index(tags, entry.DType))
			file[name] = tensor{dtype, entry.Shape, data[entry.Offsets[0]:entry.Offsets[1]]}
		}
	}
	return file, nil
}

func (t tensor) array() *mlx.Array { return mlx.FromBytes(t.bytes, t.shape, t.dtype) }

func tensorOf(a *mlx.Array) tensor { return tensor{a.DType(), a.Shape(), a.Bytes()} }

func (t tensor) String() string { return fmt.Sprintf("%s%v", tags[t.dtype], t.shape) }

// numbers are the elements of what can be a little off, and nil of what cannot.
func (t tensor) numbers() (res []float64) {
	little := binary.LittleEndian
	for data := t.bytes; len(data) > 0; {
		switch t.dtype {
		case mlx.Float16:
			res, data = append(res, half(little.Uint16(data))), data[2:]
		case mlx.BFloat16:
			res, data = append(res, float64(math.Float32frombits(uint32(little.Uint16(data))<<16))), data[2:]
		case mlx.Float32, mlx.Complex64:
			res, data = append(res, float64(math.Float32frombits(little.Uint32(data)))), data[4:]
		case mlx.Float64:
			res, data = append(res, math.Float64frombits(little.Uint64(data))), data[8:]
		default:
			return nil
		}
	}
	return res
}

func half(bits uint16) float64 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	size := math.Ldexp(1+fraction/1024, exponent-15)
	switch {
	case exponent == 0:
		size = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		size = math.Inf(1)
	case exponent == 31:
		size = math.NaN()
	}
	if bits>>15 == 1 {
		return -size
	}
	return size
}

func isClose(got, right, rtol, atol float64) bool {
	if got == right || math.IsNaN(got) && math.IsNaN(right) {
		return true
	}
	return !math.IsInf(right, 0) && math.Abs(got-right) <= atol+rtol*math.Abs(right)
}

// difference is what came and what is right, and "" where they agree.
func (t tensor) difference(right tensor, rtol, atol float64) string {
	if t.dtype != right.dtype || !slices.Equal(t.shape, right.shape) {
		return fmt.Sprintf("got %v, right %v", t, right)
	}
	if bytes.Equal(t.bytes, right.bytes) {
		return ""
	}
	got, wanted := t.numbers(), right.numbers()
	if got == nil {
		return fmt.Sprintf("got other elements than are right, %v", right)
	}
	for i := range wanted {
		if !isClose(got[i], wanted[i], rtol, atol) {
			return fmt.Sprintf("got %v, right %v, at element %d of %v", got[i], wanted[i], i, right)
		}
	}
	return ""
}
