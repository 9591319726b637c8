package main

import (
	"runtime"

	"conformance/mlx"
)

func closureFreedBeforeUse(p *probe) {
	light := mlx.Checkpoint(square) // it has freed its closure of square
	for range 2 {
		p.equal("the square", light(scalars(3))[0].Item(), 9.0)
	}
}

// A second run of the destructor would panic: cgo.Handle.Delete does, of what it deleted.
func destructorOnce(p *probe) {
	before := payloads()
	light := mlx.Checkpoint(square)
	runtime.GC()
	p.equal("payloads while it is used", payloads(), before+1)
	light(scalars(3))
	light = nil
	p.eventually("payloads after its last user", payloads, before)
}

func checkpointRunsTwice(p *probe) {
	runs := 0
	_, grads, err := mlx.VJP(mlx.Checkpoint(counted(square, &runs)), scalars(3), scalars(1))
	p.equal("error", err, nil)
	p.equal("the gradient", grads[0].Item(), 6.0)
	p.equal("runs", runs, 2)
}

// Traces belong to a thread.
func compileRunsOnce(p *probe) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runs := 0
	fast := mlx.Compile(counted(square, &runs), false)
	p.equal("the first square", fast(scalars(2))[0].Item(), 4.0)
	p.equal("the second square", fast(scalars(3))[0].Item(), 9.0)
	p.equal("traces of one shape", runs, 1)
	fast([]*mlx.Array{vector(1, 2)})
	p.equal("traces of two shapes", runs, 2)
}

func compileAfterFailure(p *probe) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runs := 0
	fast := mlx.Compile(badAt(1, &runs), false)
	p.fails("mine", func() { fast(scalars(2)) })
	p.equal("the square", fast(scalars(2))[0].Item(), 4.0)
	p.equal("traces", runs, 2)
}

func weighted(x []*mlx.Array) []*mlx.Array {
	doubled, tripled := mlx.Mul(x[1], mlx.Scalar(2)), mlx.Mul(x[2], mlx.Scalar(3))
	return []*mlx.Array{mlx.Add(x[0], mlx.Add(doubled, tripled))}
}

func argnumsOrder(p *probe) {
	_, grads, err := mlx.ValueAndGrad(weighted, 2, 0, -2).Apply(scalars(1, 1, 1)...)
	p.equal("error", err, nil)
	for i, right := range []float64{3, 1, 2} {
		p.equal("a gradient", grads[i].Item(), right)
	}
}

// No argnums at all are the first argument, in Go.
func argnumsRefused(p *probe) {
	for _, argnums := range [][]int{{0, 0}, {3}, {-4}, {0, -3}} {
		_, _, err := mlx.ValueAndGrad(weighted, argnums...).Apply(scalars(1, 1, 1)...)
		p.equal("an error", err != nil, true)
	}
}

func inputsKept(p *probe) {
	var kept *mlx.Array
	keeps := func(inputs []*mlx.Array) []*mlx.Array {
		kept = inputs[0]
		return inputs
	}
	outputs, _, err := mlx.VJP(keeps, scalars(5), scalars(1))
	p.equal("error", err, nil)
	runtime.GC()
	p.equal("an input that is returned", outputs[0].Item(), 5.0)
	p.equal("an input that is kept", mlx.Square(kept).Item(), 25.0)
}

func capturedConstant(p *probe) {
	weight := mlx.Scalar(7)
	scaled := func(inputs []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.Mul(inputs[0], weight)} }
	_, grads, err := mlx.ValueAndGrad(scaled).Apply(mlx.Scalar(2))
	p.equal("error", err, nil)
	p.equal("the gradient of the argument", grads[0].Item(), 7.0)
	through := func(weights []*mlx.Array) []*mlx.Array {
		captures := func(inputs []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.Mul(inputs[0], weights[0])} }
		return mlx.Checkpoint(captures)(scalars(2))
	}
	if _, grads, err = mlx.VJP(through, []*mlx.Array{weight}, scalars(1)); err == nil {
		p.equal("the gradient of what a checkpoint captures", grads[0].Item(), 0.0)
	}
}

func hotLoop(p *probe) {
	x, before := vector(1, 2), live()
	for range 50_000 {
		mlx.Free(mlx.Add(x, x))
	}
	total := func(inputs []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.SumAll(mlx.Square(inputs[0]))} }
	gradient := mlx.ValueAndGrad(total)
	for range 500 {
		_, _, err := gradient.Apply(x)
		p.equal("error", err, nil)
	}
	gradient.Free()
	p.eventually("live objects", live, before)
	runtime.KeepAlive(x)
}
