// Package mlx is MLX for Go over the C ABI of libmlxc: arrays, derivatives and losses.
//
// # Errors
//
// An operation that fails panics with an *Error, so that expressions read as such. VJP, JVP and GradFn.Apply, which
// run a whole function, return it as their error; Try does so for any code. Every other panic of a function under a
// transform goes on at the caller of the transform with the same value, and never through C++.
//
// # Threads
//
// Goroutines move between the threads of the system, and MLX's streams and errors belong to those. Each call of C is
// therefore locked to its thread until its error is read, and every thread has one and the same default stream: one
// of mlx_stream_new_thread_unsafe, on which one goroutine at a time evaluates. An array may be built on one goroutine
// and evaluated on another. What several goroutines use at once is to be evaluated before: evaluation changes a
// graph. A function under a transform builds its arrays on its own goroutine, since tracing belongs to the thread,
// too.
//
// # Memory
//
// The collector frees an Array that nothing refers to; it sees 8 bytes of each and not the megabytes behind it, so
// that loops over large arrays call Free.
package mlx

/*
#include "trampolines.h"
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// Error is an error of MLX's.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// The default stream of every thread. It stays for as long as the process does.
var stream = sync.OnceValue(func() C.mlx_stream {
	C.keep_errors()
	var device C.mlx_device
	C.mlx_get_default_device(&device)
	defer C.mlx_device_free(device)
	return C.mlx_stream_new_thread_unsafe(device)
})

// check makes a call of C and turns its status into an error: that of this thread, or what a callback panicked with.
func check(call func() C.int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.enter(stream())
	if call() == 0 {
		return nil
	}
	if key := C.take_failure(); key != 0 {
		failure := cgo.Handle(key)
		defer failure.Delete()
		return asError(failure.Value())
	}
	return &Error{C.GoString(C.mlxffi_last_error_text())}
}

// asError gives an *Error that something panicked with; everything else panics on.
func asError(panicked any) error {
	if failure, ours := panicked.(*Error); ours {
		return failure
	}
	panic(panicked)
}

// must panics with the error of a call of C.
func must(call func() C.int) {
	if err := check(call); err != nil {
		panic(err)
	}
}

// Try runs a function and returns the *Error that it panicked with, or nil.
func Try(function func()) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = asError(panicked)
		}
	}()
	function()
	return nil
}

// Check makes a call of C that this package has no function for, and panics with its error.
func Check(call func() int) { must(func() C.int { return C.int(call()) }) }

// DefaultStream is the pointer that the handle of the default stream is.
func DefaultStream() unsafe.Pointer { return stream().ctx }
