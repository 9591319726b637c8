package main

/*
#include <stdlib.h>

#include "call.h"
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"unsafe"

	"conformance/mlx"
)

// kinds are the names of the kinds of objects that are counted.
func kinds() (names []string) {
	for i := range C.mlxffi_live_kinds() {
		names = append(names, C.GoString(C.mlxffi_live_kind(i)))
	}
	return names
}

// payloads is how many payloads are alive, once C is done with those that it can be.
func payloads() int {
	for i, name := range kinds() {
		if name == "payload" {
			return int(C.mlxffi_live_objects(C.size_t(i)))
		}
	}
	return -1
}

func dataCopied(p *probe) {
	buffer := []float32{1, 2}
	sum := mlx.SumAll(mlx.FromValues(buffer, 2))
	buffer[0], buffer[1] = 50, 50
	p.equal("the sum", sum.Item(), 3.0)
}

func floats(array *mlx.Array) string {
	numbers := make([]float32, len(array.Bytes())/4)
	binary.Decode(array.Bytes(), binary.LittleEndian, numbers)
	return fmt.Sprint(numbers)
}

func views(p *probe) {
	x := mlx.FromValues([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	p.equal("transposed", floats(mlx.Transpose(x)), "[1 4 2 5 3 6]")
	p.equal("strided", floats(mlx.Slice(x, []int{0, 0}, []int{2, 3}, []int{1, 2})), "[1 3 4 6]")
}

func handleReplaced(p *probe) {
	x, longer, s := vector(1, 2), vector(1, 2, 3), C.mlx_stream{ctx: mlx.DefaultStream()}
	defer runtime.KeepAlive([]*mlx.Array{x, longer})
	res := C.mlx_array_new_float(1)
	ctx, before := res.ctx, live()
	p.equal("status", int(C.mlx_multiply(&res, handle(x), handle(x), s)), 0)
	p.equal("the handle", res.ctx, ctx)
	p.equal("live objects", live(), before)
	p.fails("", func() { mlx.Check(func() int { return int(C.mlx_matmul(&res, handle(x), handle(longer), s)) }) })
	p.equal("the handle after a failure", res.ctx, ctx)
	p.equal("its elements", mlx.SumAll(mlx.FromHandle(res.ctx)).Item(), 5.0)
}

func sharedHandle(p *probe) {
	first := mlx.Scalar(4)
	second := first.Clone()
	mlx.Free(first)
	p.equal("the number", second.Item(), 4.0)
}

func freeEmpty(*probe) {
	for _, kind := range kinds() {
		if kind != "payload" {
			withName(kind+"_free", func(name *C.char) { C.free_empty(name) })
		}
	}
}

func withName(name string, use func(*C.char)) {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	use(text)
}

func dtypeData(p *probe) {
	for name, dtype := range dtypes {
		array := mlx.AsType(vector(1, 1), dtype)
		mlx.Materialize(array)
		right := unsafe.Pointer(C.mlx_array_data_uint8(handle(array)))
		p.equal("no address of "+name, right == nil, false)
		for reader := range dtypes {
			withName("mlx_array_data_"+reader, func(function *C.char) {
				p.equal(reader+" of "+name, C.address_of(function, handle(array)), right)
			})
		}
		runtime.KeepAlive(array)
	}
}

// one is how the number 1 reads in memory.
func one(dtype mlx.DType) uint64 {
	switch dtype {
	case mlx.Float16:
		return 0x3C00
	case mlx.BFloat16:
		return 0x3F80
	case mlx.Float32, mlx.Complex64:
		return uint64(math.Float32bits(1))
	case mlx.Float64:
		return math.Float64bits(1)
	}
	return 1
}

func dtypeItem(p *probe) {
	for name, dtype := range dtypes {
		array := mlx.AsType(mlx.Scalar(1), dtype)
		mlx.Materialize(array)
		for reader, wanted := range dtypes {
			withName("mlx_array_item_"+reader, func(function *C.char) {
				var place uint64
				mlx.Check(func() int { return int(C.item_of(function, unsafe.Pointer(&place), handle(array))) })
				p.equal(reader+" of "+name, place, one(wanted))
			})
		}
		runtime.KeepAlive(array)
	}
}

func dtypeUnevaluated(p *probe) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sum := mlx.Add(mlx.Scalar(1), mlx.Scalar(1))
	defer runtime.KeepAlive(sum)
	C.mlxffi_clear_error()
	p.equal("no address", C.mlx_array_data_float32(handle(sum)) == nil, true)
	p.equal("an error", strings.Contains(C.GoString(C.mlxffi_last_error_text()), "eval"), true)
}

func scalarDType(p *probe) {
	half, two := mlx.AsType(vector(1, 2), mlx.BFloat16), mlx.Scalar(2)
	p.equal("dtype with a float32 scalar", mlx.Mul(half, two).DType(), mlx.Float32)
	p.equal("dtype with a bfloat16 scalar", mlx.Mul(half, mlx.AsType(two, mlx.BFloat16)).DType(), mlx.BFloat16)
}
