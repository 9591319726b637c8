package mlx

/*
#include "trampolines.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"
)

// VJP gives the outputs of fn and, for each primal, the derivative of the sum of outputs times cotangents.
func VJP(fn func([]*Array) []*Array, primals, cotangents []*Array) (outputs, vjps []*Array, err error) {
	outputs, vjps, err = derivative(fn, primals, cotangents, func(a, b *vector, f C.mlx_closure, x, dx vector) C.int {
		return C.mlx_vjp(a, b, f, x, dx)
	})
	if wanted, got := len(outputs), len(cotangents); err == nil && got > wanted { // which MLX ignores
		return nil, nil, &Error{fmt.Sprintf("[VJP] cotangents: one for each of %d outputs is required, got %d", wanted, got)}
	}
	return
}

// JVP gives the outputs of fn and the tangent of each.
func JVP(fn func([]*Array) []*Array, primals, tangents []*Array) (outputs, jvps []*Array, err error) {
	return derivative(fn, primals, tangents, func(a, b *vector, f C.mlx_closure, x, dx vector) C.int {
		return C.mlx_jvp(a, b, f, x, dx)
	})
}

type vector = C.mlx_vector_array

func derivative(
	fn func([]*Array) []*Array,
	points, directions []*Array,
	call func(a, b *vector, f C.mlx_closure, x, dx vector) C.int,
) (outputs, derivatives []*Array, err error) {
	err = Try(func() {
		function := C.closure_of(registered(ofOne(fn)))
		defer C.mlx_closure_free(function)
		x, dx := pack(points), pack(directions)
		defer C.mlx_vector_array_free(x)
		defer C.mlx_vector_array_free(dx)
		outputs, derivatives = pair(func(a, b *vector) C.int { return call(a, b, function, x, dx) })
	})
	return
}

// pair gives the arrays of two vectors that a call of C makes.
func pair(call func(a, b *vector) C.int) (first, second []*Array) {
	var a, b vector
	must(func() C.int { return call(&a, &b) })
	defer C.mlx_vector_array_free(a)
	defer C.mlx_vector_array_free(b)
	return unpack(a), unpack(b)
}

// GradFn gives the outputs of a function and gradients of the first.
type GradFn struct {
	handle   C.mlx_closure_value_and_grad
	function *listFunction // C refers to it weakly
	argnums  []int
	cleanup  runtime.Cleanup
}

// ValueAndGrad makes a GradFn for the arguments at argnums (default: the first; -1 is the last). The first output of
// fn is a scalar.
func ValueAndGrad(fn func([]*Array) []*Array, argnums ...int) *GradFn {
	if len(argnums) == 0 {
		argnums = []int{0}
	}
	held := ofOne(fn)
	g := &GradFn{function: &held, argnums: slices.Clone(argnums)}
	function := C.closure_of(registeredWeakly(g.function))
	defer C.mlx_closure_free(function)
	numbers := cInts(argnums)
	must(func() C.int {
		return C.mlx_value_and_grad(&g.handle, function, unsafe.SliceData(numbers), C.size_t(len(numbers)))
	})
	free := func(handle C.mlx_closure_value_and_grad) { C.mlx_closure_value_and_grad_free(handle) }
	g.cleanup = runtime.AddCleanup(g, free, g.handle)
	return g
}

// Apply gives the outputs, and the gradients in the order of argnums. C gives them in ascending order.
func (g *GradFn) Apply(inputs ...*Array) (values, grads []*Array, err error) {
	err = Try(func() {
		packed := pack(inputs)
		defer C.mlx_vector_array_free(packed)
		var ascending []*Array
		values, ascending = pair(func(a, b *vector) C.int {
			return C.mlx_closure_value_and_grad_apply(a, b, g.handle, packed)
		})
		grads = inOrder(ascending, g.argnums, len(inputs))
	})
	runtime.KeepAlive(g)
	return
}

func inOrder(ascending []*Array, argnums []int, inputs int) []*Array {
	positions := make([]int, len(argnums))
	for i, n := range argnums {
		positions[i] = (n + inputs) % inputs
	}
	sorted := slices.Sorted(slices.Values(positions))
	res := make([]*Array, len(argnums))
	for i, position := range positions {
		res[i] = ascending[slices.Index(sorted, position)]
	}
	return res
}

// Free frees what C holds now. It may be called twice.
func (g *GradFn) Free() {
	g.cleanup.Stop()
	C.mlx_closure_value_and_grad_free(g.handle)
	g.handle.ctx = nil
}

// Checkpoint makes fn a function that is computed once more for its gradients, instead of keeping what they need.
// Only its arguments get gradients, and nothing that fn captures.
func Checkpoint(fn func([]*Array) []*Array) func([]*Array) []*Array {
	function := C.closure_of(registered(ofOne(fn)))
	defer C.mlx_closure_free(function)
	return made(func(res *C.mlx_closure) C.int { return C.mlx_checkpoint(res, function) })
}

// Compile makes fn a function that is traced once on each thread for each combination of shapes and dtypes; if
// shapeless, of dtypes.
func Compile(fn func([]*Array) []*Array, shapeless bool) func([]*Array) []*Array {
	function := C.closure_of(registered(ofOne(fn)))
	defer C.mlx_closure_free(function)
	return made(func(res *C.mlx_closure) C.int { return C.mlx_compile(res, function, C.bool(shapeless)) })
}

// Vmap maps fn over the axes inAxes of its inputs (-1: whole), which the outputs get at outAxes.
func Vmap(fn func([]*Array) []*Array, inAxes, outAxes []int) func([]*Array) []*Array {
	function := C.closure_of(registered(ofOne(fn)))
	defer C.mlx_closure_free(function)
	ins, outs := cInts(inAxes), cInts(outAxes)
	in, out := unsafe.SliceData(ins), unsafe.SliceData(outs)
	return made(func(res *C.mlx_closure) C.int {
		return C.mlx_vmap(res, function, in, C.size_t(len(ins)), out, C.size_t(len(outs)))
	})
}

// CustomVJP gives fn a gradient of its own: rule gives one for each primal.
func CustomVJP(
	fn func([]*Array) []*Array,
	rule func(primals, cotangents, outputs []*Array) []*Array,
) func([]*Array) []*Array {
	function := C.closure_of(registered(ofOne(fn)))
	defer C.mlx_closure_free(function)
	custom := C.custom_of(registered(func(lists ...[]*Array) []*Array { return rule(lists[0], lists[1], lists[2]) }))
	defer C.mlx_closure_custom_free(custom)
	return made(func(res *C.mlx_closure) C.int { return C.mlx_custom_vjp(res, function, custom) })
}
