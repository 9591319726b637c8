package main

/*
#include "call.h"
*/
import "C"

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"conformance/mlx"
)

// A thread of the system that runs functions, until it is sent nil.
type thread chan func()

func newThread() thread {
	work := make(thread)
	go func() {
		runtime.LockOSThread() // it ends with the goroutine, which never unlocks it
		for function := range work {
			function()
		}
	}()
	return work
}

// do runs a function on the thread and waits for it.
func (t thread) do(function func()) {
	done := make(chan struct{})
	t <- func() {
		defer close(done)
		function()
	}
	<-done
}

func twoThreads(use func(first, second thread)) {
	first, second := newThread(), newThread()
	defer close(first)
	defer close(second)
	use(first, second)
}

// together runs work on n threads at once.
func together(n int, work func(i int)) {
	var all sync.WaitGroup
	all.Add(n)
	for i := range n {
		go func() {
			defer all.Done()
			runtime.LockOSThread()
			work(i)
		}()
	}
	all.Wait()
}

func cpu() C.mlx_device { return C.mlx_device_new_type(C.MLX_CPU, 0) }

// The stream is one of the thread's own, as the default stream is that MLX gives a thread; this package gives all
// threads another one.
func threadDefault(p *probe) {
	twoThreads(func(first, second thread) {
		var nine *mlx.Array
		first.do(func() {
			device, three := cpu(), mlx.Scalar(3)
			stream := C.mlx_stream_new_device(device)
			var res C.mlx_array
			mlx.Check(func() int { return int(C.mlx_square(&res, handle(three), stream)) })
			nine = mlx.FromHandle(res.ctx)
			C.mlx_stream_free(stream)
			C.mlx_device_free(device)
			runtime.KeepAlive(three)
		})
		var err error
		second.do(func() { err = mlx.Eval(nine) })
		p.equal("an error about a stream", err != nil && strings.Contains(err.Error(), "tream"), true)
		first.do(func() { p.equal("on its own thread", nine.Item(), 9.0) })
	})
}

func threadEvaluated(p *probe) {
	twoThreads(func(first, second thread) {
		var nine *mlx.Array
		first.do(func() {
			nine = mlx.Square(mlx.Scalar(3))
			mlx.Materialize(nine)
		})
		second.do(func() { p.equal("the sum", mlx.Add(nine, nine).Item(), 18.0) })
	})
}

func threadUnsafe(p *probe) {
	twoThreads(func(first, second thread) {
		var nine *mlx.Array
		first.do(func() { nine = mlx.Square(mlx.Scalar(3)) })
		second.do(func() { p.equal("the square", nine.Item(), 9.0) })
	})
}

func threadLocal(p *probe) {
	device := cpu()
	streams := C.mlx_thread_local_stream_new(device)
	index := func() (index C.int) {
		var stream C.mlx_stream
		mlx.Check(func() int { return int(C.mlx_thread_local_stream_get(&stream, streams)) })
		C.mlx_stream_get_index(&index, stream)
		C.mlx_stream_free(stream)
		return index
	}
	twoThreads(func(first, second thread) {
		var here, there C.int
		first.do(func() { here = index() })
		second.do(func() { there = index() })
		p.equal("one stream for two threads", here == there, false)
		first.do(func() { p.equal("the stream of a thread", index(), here) })
	})
	C.mlx_thread_local_stream_free(streams)
	C.mlx_device_free(device)
}

func threadGradients(p *probe) {
	var runs, wrong atomic.Int64
	gradient := mlx.ValueAndGrad(func(inputs []*mlx.Array) []*mlx.Array {
		runs.Add(1)
		return square(inputs)
	})
	together(4, func(i int) {
		for n := 100 * i; n < 100*i+50; n++ {
			values, grads, err := gradient.Apply(mlx.Scalar(float32(n)))
			if err != nil || values[0].Item() != float64(n*n) || grads[0].Item() != float64(2*n) {
				wrong.Add(1)
			}
		}
	})
	p.equal("wrong gradients", wrong.Load(), int64(0))
	p.equal("runs", runs.Load(), int64(200))
}
