package mlx

/*
#include <stdlib.h>

#include "trampolines.h"

typedef int unary(mlx_array *, mlx_array, mlx_stream);
typedef int binary(mlx_array *, mlx_array, mlx_array, mlx_stream);

static int call_unary(unary *op, mlx_array *res, mlx_array a, mlx_stream s) { return op(res, a, s); }
static int call_binary(binary *op, mlx_array *res, mlx_array a, mlx_array b, mlx_stream s) { return op(res, a, b, s); }
*/
import "C"

import "unsafe"

func unary(function unsafe.Pointer, a *Array) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.call_unary((*C.unary)(function), res, a.handle, s)
	}, a)
}

func binary(function unsafe.Pointer, a, b *Array) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.call_binary((*C.binary)(function), res, a.handle, b.handle, s)
	}, a, b)
}

func Add(a, b *Array) *Array      { return binary(C.mlx_add, a, b) }
func Subtract(a, b *Array) *Array { return binary(C.mlx_subtract, a, b) }
func Mul(a, b *Array) *Array      { return binary(C.mlx_multiply, a, b) }
func Divide(a, b *Array) *Array   { return binary(C.mlx_divide, a, b) }
func MatMul(a, b *Array) *Array   { return binary(C.mlx_matmul, a, b) }
func Square(a *Array) *Array      { return unary(C.mlx_square, a) }
func Exp(a *Array) *Array         { return unary(C.mlx_exp, a) }
func Log(a *Array) *Array         { return unary(C.mlx_log, a) }
func Transpose(a *Array) *Array   { return unary(C.mlx_transpose, a) }
func Inverse(a *Array) *Array     { return unary(C.mlx_linalg_inv, a) }
func OnesLike(a *Array) *Array    { return unary(C.mlx_ones_like, a) }

// SumAll is the sum of all elements.
func SumAll(a *Array) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int { return C.mlx_sum(res, a.handle, false, s) }, a)
}

// MeanAll is the mean of all elements.
func MeanAll(a *Array) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int { return C.mlx_mean(res, a.handle, false, s) }, a)
}

// AsType converts the elements.
func AsType(a *Array, dtype DType) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.mlx_astype(res, a.handle, C.mlx_dtype(dtype), s)
	}, a)
}

// Reshape gives the elements another shape; -1 stands for what is left.
func Reshape(a *Array, shape ...int) *Array {
	dims := cInts(shape)
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.mlx_reshape(res, a.handle, unsafe.SliceData(dims), C.size_t(len(dims)), s)
	}, a)
}

// Slice takes the elements from start up to stop, strides apart, along each axis.
func Slice(a *Array, start, stop, strides []int) *Array {
	from, to, by := cInts(start), cInts(stop), cInts(strides)
	size := C.size_t(len(from))
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.mlx_slice(res, a.handle, &from[0], size, &to[0], size, &by[0], size, s)
	}, a)
}

// ExpandDims adds a dimension of size 1.
func ExpandDims(a *Array, axis int) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.mlx_expand_dims(res, a.handle, C.int(axis), s)
	}, a)
}

// Squeeze removes a dimension of size 1.
func Squeeze(a *Array, axis int) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.mlx_squeeze_axis(res, a.handle, C.int(axis), s)
	}, a)
}

// LogSumExp is log(sum(exp(a))) along an axis, without overflow.
func LogSumExp(a *Array, axis int, keepDims bool) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.mlx_logsumexp_axis(res, a.handle, C.int(axis), C.bool(keepDims), s)
	}, a)
}

// TakeAlongAxis takes for each place of indices the element of a at that index of the axis.
func TakeAlongAxis(a, indices *Array, axis int) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		return C.mlx_take_along_axis(res, a.handle, indices.handle, C.int(axis), s)
	}, a, indices)
}

// Load reads an .npy or a .safetensors file, when the array is evaluated.
func Load(path string) *Array {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int { return C.mlx_load(res, name, s) })
}
