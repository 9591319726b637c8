package mlx

/*
#include "trampolines.h"
*/
import "C"

import (
	"runtime"
	"slices"
	"sync"
	"unsafe"
)

// DType is the type of an array's elements.
type DType int

const (
	Bool DType = iota
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	Float16
	Float32
	Float64
	BFloat16
	Complex64
)

// Array is a lazy, immutable array. Several may be handles of one.
type Array struct {
	handle  C.mlx_array
	cleanup runtime.Cleanup
}

// own takes over a handle that C gave: the one place that does.
func own(handle C.mlx_array) *Array {
	a := &Array{handle: handle}
	free := func(handle C.mlx_array) { C.mlx_array_free(handle) }
	a.cleanup = runtime.AddCleanup(a, free, handle)
	return a
}

// op makes an array by a call of C. The inputs are alive until it has returned: nothing else tells the collector.
func op(call func(res *C.mlx_array, s C.mlx_stream) C.int, inputs ...*Array) *Array {
	var res C.mlx_array
	must(func() C.int { return call(&res, stream()) })
	runtime.KeepAlive(inputs)
	return own(res)
}

// Free frees the arrays now; they may not be used afterwards, other than to be freed again.
func Free(arrays ...*Array) {
	for _, a := range arrays {
		a.cleanup.Stop()
		C.mlx_array_free(a.handle)
		a.handle.ctx = nil
	}
}

// FromBytes makes an array of the bytes of its elements, row by row, which are copied.
func FromBytes(data []byte, shape []int, dtype DType) *Array {
	dims := cInts(shape)
	return op(func(res *C.mlx_array, _ C.mlx_stream) C.int {
		start, first := unsafe.Pointer(unsafe.SliceData(data)), unsafe.SliceData(dims)
		return C.mlx_array_set_data(res, start, first, C.int(len(dims)), C.mlx_dtype(dtype))
	})
}

// FromValues makes a float32 array; without a shape, of one number.
func FromValues(values []float32, shape ...int) *Array {
	size := 1
	for _, n := range shape {
		size *= n
	}
	if size != len(values) {
		panic(&Error{"[FromValues] as many values are required as the shape has elements"})
	}
	start := (*byte)(unsafe.Pointer(unsafe.SliceData(values)))
	return FromBytes(unsafe.Slice(start, 4*len(values)), shape, Float32)
}

// Scalar makes a float32 array without dimensions.
func Scalar(value float32) *Array { return FromValues([]float32{value}) }

// Clone makes another handle of the same array.
func (a *Array) Clone() *Array {
	return op(func(res *C.mlx_array, _ C.mlx_stream) C.int { return C.mlx_array_set(res, a.handle) }, a)
}

// Handle is the one pointer that the C handle of an array is. It is valid while the Array is alive.
func (a *Array) Handle() unsafe.Pointer { return a.handle.ctx }

// FromHandle takes over a handle by its pointer: the Array frees it.
func FromHandle(handle unsafe.Pointer) *Array { return own(C.mlx_array{ctx: handle}) }

// Shape is the size of each dimension.
func (a *Array) Shape() []int {
	defer runtime.KeepAlive(a)
	dims := unsafe.Slice(C.mlx_array_shape(a.handle), C.mlx_array_ndim(a.handle))
	shape := make([]int, len(dims))
	for i, n := range dims {
		shape[i] = int(n)
	}
	return shape
}

// DType is the type of the elements.
func (a *Array) DType() DType {
	defer runtime.KeepAlive(a)
	return DType(C.mlx_array_dtype(a.handle))
}

// One goroutine at a time evaluates on the stream that all threads share. No callback runs while it is held.
var evaluating sync.Mutex

// Eval computes arrays and waits for them.
func Eval(arrays ...*Array) error {
	for _, a := range arrays {
		if err := a.eval(); err != nil {
			return err
		}
	}
	return nil
}

func (a *Array) eval() error {
	evaluating.Lock()
	defer evaluating.Unlock()
	defer runtime.KeepAlive(a)
	return check(func() C.int { return C.mlx_array_eval(a.handle) })
}

// Materialize computes arrays, and panics where that fails.
func Materialize(arrays ...*Array) {
	if err := Eval(arrays...); err != nil {
		panic(err)
	}
}

// Item is the number of an array of one element.
func (a *Array) Item() float64 {
	defer runtime.KeepAlive(a)
	Materialize(a)
	var number C.double
	must(func() C.int { return C.mlx_array_item_float64(&number, a.handle) })
	return float64(number)
}

// Bytes are the elements row by row, whatever the strides.
func (a *Array) Bytes() []byte {
	rows := op(func(res *C.mlx_array, s C.mlx_stream) C.int { return C.mlx_contiguous(res, a.handle, false, s) }, a)
	defer Free(rows)
	Materialize(rows) // data has an address only then
	data := (*byte)(unsafe.Pointer(C.mlx_array_data_uint8(rows.handle)))
	return slices.Clone(unsafe.Slice(data, C.mlx_array_nbytes(rows.handle)))
}

func (a *Array) String() string {
	defer runtime.KeepAlive(a)
	return text(func(res *C.mlx_string) C.int { return C.mlx_array_tostring(res, a.handle) })
}

// Version is the version of MLX that the library is for.
func Version() string {
	return text(func(res *C.mlx_string) C.int { return C.mlx_version(res) })
}

func text(call func(res *C.mlx_string) C.int) string {
	var res C.mlx_string
	must(func() C.int { return call(&res) })
	defer C.mlx_string_free(res)
	return C.GoString(C.mlx_string_data(res))
}

func cInts(numbers []int) []C.int {
	res := make([]C.int, len(numbers))
	for i, n := range numbers {
		res[i] = C.int(n)
	}
	return res
}
