package main

/*
#include "call.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"strings"

	"conformance/mlx"
)

var mine = &mlx.Error{Text: "mine"}

// badAt is a square that fails at its run of that number.
func badAt(number int, runs *int) function {
	fails := func(inputs []*mlx.Array) []*mlx.Array {
		if *runs == number {
			panic(mine)
		}
		return square(inputs)
	}
	return counted(fails, runs)
}

func bad([]*mlx.Array) []*mlx.Array { panic(mine) }

func (p *probe) isMine(function func()) {
	p.equal("the error", mlx.Try(function), error(mine))
}

func (p *probe) isMineOf(_, _ []*mlx.Array, err error) {
	p.equal("the error", err, error(mine))
}

func failsAtFirst(p *probe) {
	x := []*mlx.Array{vector(1, 2)}
	p.isMineOf(mlx.VJP(bad, x, x))
	p.isMineOf(mlx.JVP(bad, x, x))
	p.isMineOf(mlx.ValueAndGrad(bad).Apply(x...))
	p.isMine(func() { mlx.Checkpoint(bad)(x) })
	p.isMine(func() { mlx.Vmap(bad, []int{0}, []int{0})(x) })
	p.isMine(func() { mlx.Compile(bad, false)(x) })
}

func failsAtSecond(p *probe) {
	runs := 0
	gradient := mlx.ValueAndGrad(badAt(2, &runs))
	for run := 1; run <= 3; run++ {
		_, grads, err := gradient.Apply(mlx.Scalar(3))
		if run == 2 {
			p.equal("the error", err, error(mine))
		} else {
			p.equal("a gradient", grads[0].Item(), 6.0)
		}
	}
}

func failsBackward(p *probe) {
	runs := 0
	p.isMineOf(mlx.VJP(mlx.Checkpoint(badAt(2, &runs)), scalars(2), scalars(1)))
	p.equal("runs", runs, 2)
}

func failsNested(p *probe) {
	inner := mlx.ValueAndGrad(bad)
	outer := func(inputs []*mlx.Array) []*mlx.Array { return derived(inner.Apply(inputs...)) }
	p.isMineOf(mlx.VJP(outer, scalars(2), scalars(1)))
}

func none([]*mlx.Array) []*mlx.Array { return nil }

func outputsEmpty(p *probe) {
	_, _, err := mlx.ValueAndGrad(none).Apply(mlx.Scalar(2))
	p.equal("an error of value_and_grad", err != nil, true)
	p.fails("", func() { mlx.Checkpoint(none)(scalars(2)) })
	closure, inputs := C.closure_of_nothing(), C.mlx_vector_array_new()
	var outputs C.mlx_vector_array
	p.fails("", func() { mlx.Check(func() int { return int(C.mlx_closure_apply(&outputs, closure, inputs)) }) })
	C.mlx_closure_free(closure)
	C.mlx_vector_array_free(inputs)
}

func outputsWrong(p *probe) {
	x := vector(1, 2)
	one := []*mlx.Array{x}
	_, _, err := mlx.ValueAndGrad(square).Apply(x)
	p.equal("an error of a value that is no scalar", err != nil, true)
	_, _, err = mlx.VJP(square, one, nil)
	p.equal("an error of a cotangent too few", err != nil, true)
	_, _, err = mlx.VJP(square, one, []*mlx.Array{x, x})
	p.equal("an error of a cotangent too many", err != nil, true)
	_, _, err = mlx.VJP(square, one, scalars(1))
	p.equal("an error of a cotangent of another shape", err != nil, true)
	_, _, err = mlx.JVP(square, one, []*mlx.Array{x, x})
	p.equal("an error of a tangent too many", err != nil, true)
}

func gradientsTooFew(p *probe) {
	product := func(x []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.Mul(x[0], x[1])} }
	for count := range 4 {
		rule := func(primals, _, _ []*mlx.Array) (res []*mlx.Array) {
			for range count {
				res = append(res, primals[0])
			}
			return res
		}
		_, _, err := mlx.VJP(mlx.CustomVJP(product, rule), scalars(2, 3), scalars(1))
		p.equal(fmt.Sprintf("%d gradients for 2 arguments are right", count), err == nil, count == 2)
	}
}

func statusOfBuild(p *probe) {
	p.fails("[matmul]", func() { mlx.MatMul(vector(1, 2), vector(1, 2, 3)) })
}

func statusOfEval(p *probe) {
	inverse := mlx.Inverse(mlx.FromValues(make([]float32, 4), 2, 2))
	for range 2 {
		p.equal("an error", mlx.Eval(inverse) != nil, true)
	}
}

func emptyHandlePassed(p *probe) {
	freed := mlx.Scalar(1)
	mlx.Free(freed)
	p.fails("", func() { mlx.Square(freed) })
	p.fails("", func() { freed.Item() })
	p.fails("", func() { mlx.Checkpoint(square)([]*mlx.Array{freed}) })
	p.equal("its dimensions", len(freed.Shape()), 0)
}

func errorPercent(p *probe) {
	name := "/nowhere/100% %s %n %d%% \xc3\xa9\xff" + strings.Repeat("x", 4000)
	p.fails(name, func() { mlx.Load(name) })
}

// A failure whose status nobody looks at.
func unread() int {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a, b := vector(1, 2), vector(1, 2, 3)
	var res C.mlx_array
	status := C.mlx_matmul(&res, handle(a), handle(b), C.mlx_stream{ctx: mlx.DefaultStream()})
	runtime.KeepAlive([]*mlx.Array{a, b})
	return int(status)
}

func errorFresh(p *probe) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.equal("status", unread(), 1)
	p.fails("[reshape]", func() { mlx.Reshape(vector(1, 2), 3) })
}

// A panic does not cross C++: it goes on at the caller when C++ has been left, and nothing is lost.
func errorNoReturn(p *probe) {
	type value struct{ number int }
	before := live()
	func() {
		defer func() { p.equal("what the panic carries", recover(), any(value{3})) }()
		x := scalars(2)
		defer mlx.Free(x...)
		mlx.VJP(func([]*mlx.Array) []*mlx.Array { panic(value{3}) }, x, x)
	}()
	p.eventually("live objects", live, before)
}

func mismatch(columns int) error {
	return mlx.Try(func() { mlx.MatMul(mlx.FromValues([]float32{0}, 1, 1), vector(make([]float32, columns)...)) })
}

func errorThreads(p *probe) {
	var right [2]int
	together(2, func(i int) {
		for range 50 {
			if strings.Contains(mismatch(3+2*i).Error(), fmt.Sprintf("(%d,1)", 3+2*i)) {
				right[i]++
			}
		}
	})
	p.equal("own texts", right, [2]int{50, 50})
}
