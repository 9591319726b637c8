package mlx

/*
#include "trampolines.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"unsafe"
	"weak"
)

// Go functions as C closures.
//
//  1. The function goes into cgo's registry of handles. The payload of the C closure is its key, never a Go pointer.
//  2. C calls the trampoline of the closure's kind, on the goroutine and the thread that called C.
//  3. The status is failure until the outputs are in place. A panic is kept for the thread, and check re-raises it
//     when C++ has returned: a Go panic cannot unwind C++ frames.
//  4. When the last copy of the closure dies, on whichever thread, goDrop takes the function out of the registry.
//
// A closure that C keeps in a graph (Checkpoint, CustomVJP) holds its function until then. A GradFn's holds it
// weakly: the GradFn does, and a function that refers to its own GradFn is collected with it.

// listFunction is what C calls: from lists of arrays (inputs; or primals, cotangents and outputs) to a list of arrays.
type listFunction func(lists ...[]*Array) []*Array

func registered(function listFunction) C.uintptr_t {
	return C.uintptr_t(cgo.NewHandle(function))
}

func registeredWeakly(function *listFunction) C.uintptr_t {
	pointer := weak.Make(function)
	return registered(func(lists ...[]*Array) []*Array {
		held := pointer.Value()
		if held == nil {
			panic(&Error{"[GradFn] it was collected while C still called its function"})
		}
		return (*held)(lists...)
	})
}

func ofOne(fn func([]*Array) []*Array) listFunction {
	return func(lists ...[]*Array) []*Array { return fn(lists[0]) }
}

//export goCall
func goCall(res *C.mlx_vector_array, inputs C.mlx_vector_array, key C.uintptr_t) C.int {
	return run(res, key, inputs)
}

//export goCallCustom
func goCallCustom(res *C.mlx_vector_array, primals, cotangents, outputs C.mlx_vector_array, key C.uintptr_t) C.int {
	return run(res, key, primals, cotangents, outputs)
}

//export goDrop
func goDrop(key C.uintptr_t) {
	cgo.Handle(key).Delete()
}

func run(res *C.mlx_vector_array, key C.uintptr_t, vectors ...C.mlx_vector_array) (status C.int) {
	status = 1
	defer func() {
		if panicked := recover(); panicked != nil {
			C.keep_failure(C.uintptr_t(cgo.NewHandle(panicked)))
		}
	}()
	lists := make([][]*Array, len(vectors))
	for i, vector := range vectors {
		lists[i] = unpack(vector)
	}
	outputs := pack(cgo.Handle(key).Value().(listFunction)(lists...))
	defer C.mlx_vector_array_free(outputs)
	must(func() C.int { return C.mlx_vector_array_set(res, outputs) })
	return 0
}

// pack makes a vector, which has references of its own and which the caller frees.
func pack(arrays []*Array) C.mlx_vector_array {
	handles := make([]C.mlx_array, len(arrays))
	for i, a := range arrays {
		if a == nil {
			panic(&Error{fmt.Sprintf("an array is required at place %d of the list, got nil", i)})
		}
		handles[i] = a.handle
	}
	var vector C.mlx_vector_array
	must(func() C.int {
		return C.mlx_vector_array_set_data(&vector, unsafe.SliceData(handles), C.size_t(len(handles)))
	})
	runtime.KeepAlive(arrays)
	return vector
}

// unpack gives the arrays of a vector, which stays whose it is.
func unpack(vector C.mlx_vector_array) []*Array {
	arrays := make([]*Array, C.mlx_vector_array_size(vector))
	for i := range arrays {
		arrays[i] = op(func(res *C.mlx_array, _ C.mlx_stream) C.int {
			return C.mlx_vector_array_get(res, vector, C.size_t(i))
		})
	}
	return arrays
}

// closure is a function that C made of another.
type closure struct{ handle C.mlx_closure }

// made takes over what a transform puts into its place.
func made(transform func(res *C.mlx_closure) C.int) func([]*Array) []*Array {
	c := &closure{}
	must(func() C.int { return transform(&c.handle) })
	free := func(handle C.mlx_closure) { C.mlx_closure_free(handle) }
	runtime.AddCleanup(c, free, c.handle)
	return c.apply
}

func (c *closure) apply(inputs []*Array) []*Array {
	packed := pack(inputs)
	defer C.mlx_vector_array_free(packed)
	var outputs C.mlx_vector_array
	must(func() C.int { return C.mlx_closure_apply(&outputs, c.handle, packed) })
	runtime.KeepAlive(c)
	defer C.mlx_vector_array_free(outputs)
	return unpack(outputs)
}
