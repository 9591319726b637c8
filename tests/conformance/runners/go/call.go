package main

/*
#include <stdlib.h>

#include "call.h"
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"strings"
	"unsafe"

	"conformance/mlx"
)

// A step of a case: README.md of the suite says what it means.
type step struct {
	Call  string
	Class string
	Args  []json.RawMessage
	Gives int
}

var dtypes = map[string]mlx.DType{
	"bool": mlx.Bool, "uint8": mlx.Uint8, "uint16": mlx.Uint16, "uint32": mlx.Uint32, "uint64": mlx.Uint64,
	"int8": mlx.Int8, "int16": mlx.Int16, "int32": mlx.Int32, "int64": mlx.Int64, "float16": mlx.Float16,
	"float32": mlx.Float32, "float64": mlx.Float64, "bfloat16": mlx.BFloat16, "complex64": mlx.Complex64,
}

func has(function string) bool {
	name := C.CString(function)
	defer C.free(unsafe.Pointer(name))
	return C.find_function(name) != nil
}

// number reads a number, a boolean, or the text of an infinity or NaN.
func number(arg json.RawMessage) float64 {
	switch text := strings.Trim(string(arg), `"`); text {
	case "inf":
		return math.Inf(1)
	case "-inf":
		return math.Inf(-1)
	case "nan":
		return math.NaN()
	case "true":
		return 1
	case "false", "null":
		return 0
	default:
		return read[float64](arg)
	}
}

func read[T any](arg json.RawMessage) (value T) {
	if err := json.Unmarshal(arg, &value); err != nil {
		panic(&mlx.Error{Text: fmt.Sprintf("an argument that is no %T: %s", value, arg)})
	}
	return value
}

// A call being put together. What its parameters point at is pinned, or C's, until it is over.
type arguments struct {
	values []*mlx.Array
	pinner runtime.Pinner
	frees  []func()
}

func (a *arguments) over() {
	a.pinner.Unpin()
	for _, free := range a.frees {
		free()
	}
}

func handle(array *mlx.Array) C.mlx_array { return C.mlx_array{ctx: array.Handle()} }

func pinned[T any](a *arguments, list []T) *T {
	if len(list) == 0 {
		return nil
	}
	a.pinner.Pin(&list[0])
	return &list[0]
}

func (a *arguments) vector(places []int) C.mlx_vector_array {
	vector := C.mlx_vector_array_new()
	a.frees = append(a.frees, func() { C.mlx_vector_array_free(vector) })
	for _, place := range places {
		C.mlx_vector_array_append_value(vector, handle(a.values[place]))
	}
	return vector
}

func (a *arguments) text(text string) *C.char {
	res := C.CString(text)
	a.frees = append(a.frees, func() { C.free(unsafe.Pointer(res)) })
	return res
}

// set puts what stands in args into the members of a parameter that its letter is about.
func (a *arguments) set(x *C.parameter, letter rune, arg json.RawMessage) {
	null := string(arg) == "null"
	switch letter {
	case 'a':
		if !null {
			x.array = handle(a.values[read[int](arg)])
		}
	case 'v':
		x.vector = a.vector(read[[]int](arg))
	case 'n':
		list := read[[]C.int](arg)
		x.ints, x.size = pinned(a, list), C.size_t(len(list))
	case 'q':
		list := read[[]C.int64_t](arg)
		x.longs, x.size = pinned(a, list), C.size_t(len(list))
	case 't':
		x.text = a.text(read[string](arg))
	case 'D':
		x.dtype = C.mlx_dtype(dtypes[read[string](arg)])
	case 'T':
		x.some_dtype = C.mlx_optional_dtype{value: C.mlx_dtype(dtypes[read[string](arg)]), has_value: C.bool(!null)}
	case 'I':
		x.some_int = C.mlx_optional_int{value: C.int(number(arg)), has_value: C.bool(!null)}
	case 'F':
		x.some_float = C.mlx_optional_float{value: C.float(number(arg)), has_value: C.bool(!null)}
	case 'B':
		x.some_bool = C.mlx_optional_bool{value: C.bool(number(arg) != 0), has_value: C.bool(!null)}
	case 'f', 'd':
		x.number = C.double(number(arg))
	default:
		x.integer = C.int64_t(number(arg))
	}
}

// call gives what a step gives.
func call(s step, values []*mlx.Array) []*mlx.Array {
	name, class := C.CString(s.Call), C.CString(s.Class)
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(class))
	a := arguments{values: values}
	defer a.over()
	x := make([]C.parameter, len(s.Class)+1)
	used := 0
	for i, letter := range s.Class {
		switch letter {
		case 'A', 'V':
		case 's':
			x[i].stream.ctx = mlx.DefaultStream()
		default:
			a.set(&x[i], letter, s.Args[used])
			used++
		}
	}
	a.pinner.Pin(&x[0])
	mlx.Check(func() int { return int(C.call_by_class(C.find_function(name), class, &x[0])) })
	runtime.KeepAlive(values)
	return results(s.Class, x)
}

func results(class string, x []C.parameter) (res []*mlx.Array) {
	for i, letter := range class {
		switch letter {
		case 'A':
			res = append(res, mlx.FromHandle(x[i].array.ctx))
		case 'V':
			res = append(res, unpack(x[i].vector)...)
			C.mlx_vector_array_free(x[i].vector)
		}
	}
	return res
}

func unpack(vector C.mlx_vector_array) []*mlx.Array {
	res := make([]*mlx.Array, C.mlx_vector_array_size(vector))
	for i := range res {
		var array C.mlx_array
		mlx.Check(func() int { return int(C.mlx_vector_array_get(&array, vector, C.size_t(i))) })
		res[i] = mlx.FromHandle(array.ctx)
	}
	return res
}

// live is how many objects of C++ are alive.
func live() int { return int(C.mlxffi_live_total()) }
