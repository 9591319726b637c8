package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"conformance/mlx"
)

// The protocol cases: what only the ABI shows.
var protocolCases = map[string]func(*probe){
	"closure-freed-before-use": closureFreedBeforeUse,
	"destructor-once":          destructorOnce,
	"checkpoint-runs-twice":    checkpointRunsTwice,
	"compile-runs-once":        compileRunsOnce,
	"compile-after-failure":    compileAfterFailure,
	"argnums-order":            argnumsOrder,
	"argnums-refused":          argnumsRefused,
	"inputs-kept":              inputsKept,
	"captured-constant":        capturedConstant,
	"hot-loop":                 hotLoop,
	"fails-at-first":           failsAtFirst,
	"fails-at-second":          failsAtSecond,
	"fails-backward":           failsBackward,
	"fails-nested":             failsNested,
	"outputs-empty":            outputsEmpty,
	"outputs-wrong":            outputsWrong,
	"gradients-too-few":        gradientsTooFew,
	"status-of-build":          statusOfBuild,
	"status-of-eval":           statusOfEval,
	"empty-handle-passed":      emptyHandlePassed,
	"error-percent":            errorPercent,
	"error-fresh":              errorFresh,
	"error-no-return":          errorNoReturn,
	"error-threads":            errorThreads,
	"data-copied":              dataCopied,
	"views":                    views,
	"handle-replaced":          handleReplaced,
	"shared-handle":            sharedHandle,
	"free-empty":               freeEmpty,
	"dtype-data":               dtypeData,
	"dtype-item":               dtypeItem,
	"dtype-unevaluated":        dtypeUnevaluated,
	"scalar-dtype":             scalarDType,
	"thread-default":           threadDefault,
	"thread-evaluated":         threadEvaluated,
	"thread-local":             threadLocal,
	"thread-unsafe":            threadUnsafe,
	"thread-gradients":         threadGradients,
	"exit-alive":               exitAlive,
}

// inexpressible says why Go leaves a case out, and "" where it does not.
func inexpressible(id string) string {
	switch {
	case id == "fork-child":
		return "Go's runtime has threads of its own, so that a process cannot fork without exec"
	case protocolCases[id] == nil:
		return "this runner has no such case"
	}
	return ""
}

func runProtocol(id string) string {
	p := &probe{}
	if err := mlx.Try(func() { protocolCases[id](p) }); err != nil {
		p.wrong = append(p.wrong, fmt.Sprintf("got the error %q", err))
	}
	return strings.Join(p.wrong, "; ")
}

// A probe collects what is wrong with a case.
type probe struct{ wrong []string }

func (p *probe) equal(what string, got, right any) {
	if got != right {
		p.wrong = append(p.wrong, fmt.Sprintf("%s: got %v, right %v", what, got, right))
	}
}

// fails expects an *Error with text in it.
func (p *probe) fails(text string, function func()) {
	err := mlx.Try(function)
	if err == nil {
		p.wrong = append(p.wrong, fmt.Sprintf("got no error, right is one with %q", text))
	} else if !strings.Contains(err.Error(), text) {
		p.wrong = append(p.wrong, fmt.Sprintf("got the error %q, right has %q", err, text))
	}
}

// eventually waits for what the collector does in its time.
func (p *probe) eventually(what string, got func() int, right int) {
	for i := 0; i < 100 && got() != right; i++ {
		runtime.GC()
		time.Sleep(100 * time.Microsecond)
	}
	p.equal(what, got(), right)
}

func scalars(numbers ...float32) (res []*mlx.Array) {
	for _, number := range numbers {
		res = append(res, mlx.Scalar(number))
	}
	return res
}

func vector(numbers ...float32) *mlx.Array { return mlx.FromValues(numbers, len(numbers)) }

func square(inputs []*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.Square(inputs[0])} }

// counted is a function that counts its runs.
func counted(function function, runs *int) function {
	return func(inputs []*mlx.Array) []*mlx.Array {
		*runs++
		return function(inputs)
	}
}

const ownStatus = 7

func exitAlive(p *probe) {
	self, err := os.Executable()
	p.equal("the program", err, nil)
	command := exec.Command(self, "", "--child", "exit-alive")
	output, _ := command.CombinedOutput()
	p.equal("what it writes", string(output), "")
	p.equal("its status", command.ProcessState.ExitCode(), ownStatus)
}

// child leaves the process with an array, a graph, a compiled function and a thread.
func child(name string) int {
	x := vector(1, 2)
	outputs, grads, _ := mlx.VJP(mlx.Checkpoint(square), []*mlx.Array{x}, []*mlx.Array{x})
	fast := mlx.Compile(square, false)
	mlx.Materialize(fast([]*mlx.Array{x})...)
	computed := make(chan float64)
	go func() {
		runtime.LockOSThread()
		computed <- mlx.Square(mlx.Scalar(3)).Item()
		select {}
	}()
	if <-computed != 9 || name != "exit-alive" {
		return 1
	}
	defer runtime.KeepAlive([]any{outputs, grads, fast})
	return ownStatus
}
