package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"conformance/mlx"
)

// A case that is data: README.md of the suite says what it means.
type testCase struct {
	Name       string
	Needs      []string
	Inputs     []string
	Captured   []string
	Steps      []step
	Returns    []int
	Transforms []transform
	Outcome    string
	Expected   [][]output
	Contract   *contract
}

type transform struct {
	Kind       string
	Cotangents []string
	Tangents   []string
	Argnums    []int
	InAxes     []int `json:"in_axes"`
	OutAxes    []int `json:"out_axes"`
	Shapeless  bool
}

type output struct {
	Tensor     string
	RTol, ATol float64
}

type contract struct {
	Name      string
	Arguments json.RawMessage
}

type function = func([]*mlx.Array) []*mlx.Array

// missing is a function that the case needs and that is not there, or "".
func (c *testCase) missing() string {
	if c.Steps == nil && c.Contract != nil && contracts[c.Contract.Name] == nil {
		return c.Contract.Name
	}
	names := slices.Clone(c.Needs)
	for _, s := range c.Steps {
		names = append(names, s.Call)
	}
	for _, name := range names {
		if !has(name) {
			return name
		}
	}
	return ""
}

func (file tensorFile) arrays(names []string) []*mlx.Array {
	res := make([]*mlx.Array, len(names))
	for i, name := range names {
		res[i] = file[name].array()
	}
	return res
}

// steps makes of the values of a case what it returns.
func (c *testCase) steps(values []*mlx.Array) []*mlx.Array {
	for _, s := range c.Steps {
		results := call(s, values)
		if len(results) != s.Gives {
			panic(&mlx.Error{Text: fmt.Sprintf("%s gives %d arrays, %d are right", s.Call, len(results), s.Gives)})
		}
		values = append(values, results...)
	}
	outputs := make([]*mlx.Array, len(c.Returns))
	for i, value := range c.Returns {
		outputs[i] = values[value]
	}
	return outputs
}

// derived gives a function of what a derivative gives, which panics where it fails.
func derived(first, second []*mlx.Array, err error) []*mlx.Array {
	if err != nil {
		panic(err)
	}
	return slices.Concat(first, second)
}

// of is the function that a transform makes of a function.
func (t transform) of(fn function, file tensorFile) function {
	switch t.Kind {
	case "vjp":
		cotangents := file.arrays(t.Cotangents)
		return func(inputs []*mlx.Array) []*mlx.Array { return derived(mlx.VJP(fn, inputs, cotangents)) }
	case "jvp":
		tangents := file.arrays(t.Tangents)
		return func(inputs []*mlx.Array) []*mlx.Array { return derived(mlx.JVP(fn, inputs, tangents)) }
	case "value_and_grad":
		gradient := mlx.ValueAndGrad(fn, t.Argnums...)
		return func(inputs []*mlx.Array) []*mlx.Array { return derived(gradient.Apply(inputs...)) }
	case "grad":
		gradient := mlx.ValueAndGrad(fn, t.Argnums...)
		return func(inputs []*mlx.Array) []*mlx.Array {
			_, grads, err := gradient.Apply(inputs...)
			return derived(nil, grads, err)
		}
	case "vmap":
		return mlx.Vmap(fn, t.InAxes, t.OutAxes)
	case "checkpoint":
		return mlx.Checkpoint(fn)
	case "compile":
		fast := mlx.Compile(fn, t.Shapeless)
		return func(inputs []*mlx.Array) []*mlx.Array {
			fast(inputs)
			return fast(inputs)
		}
	}
	panic(&mlx.Error{Text: "this runner has no transform " + t.Kind})
}

// outputs are those of the transforms of a function of the inputs and what is captured.
func (c *testCase) outputs(file tensorFile, body function) (outputs []tensor) {
	captured := file.arrays(c.Captured)
	fn := func(inputs []*mlx.Array) []*mlx.Array { return body(slices.Concat(inputs, captured)) }
	for _, t := range c.Transforms {
		fn = t.of(fn, file)
	}
	for _, array := range fn(file.arrays(c.Inputs)) {
		outputs = append(outputs, tensorOf(array))
	}
	return outputs
}

func difference(outputs []tensor, expected []output, file tensorFile) string {
	if len(outputs) != len(expected) {
		return fmt.Sprintf("got %d outputs, right %d", len(outputs), len(expected))
	}
	for i, right := range expected {
		if text := outputs[i].difference(file[right.Tensor], right.RTol, right.ATol); text != "" {
			return fmt.Sprintf("output %d: %s", i, text)
		}
	}
	return ""
}

func (c *testCase) wrong(file tensorFile, of func() []tensor) string {
	var outputs []tensor
	err := mlx.Try(func() { outputs = of() })
	if c.Outcome == "error" {
		if err == nil {
			return "got outputs, right is an error"
		}
		return ""
	}
	if err != nil {
		return fmt.Sprintf("got the error %q, right are outputs", err)
	}
	var texts []string
	for _, expected := range c.Expected {
		texts = append(texts, difference(outputs, expected, file))
	}
	if slices.Contains(texts, "") {
		return ""
	}
	return texts[0]
}

// run says what is wrong with a case, and "" where nothing is.
func (c *testCase) run(file tensorFile) string {
	if c.Steps == nil {
		return c.wrong(file, func() []tensor { return contracts[c.Contract.Name](c.Contract.Arguments, file) })
	}
	if ours := c.Contract.beside(); ours != nil {
		if text := c.wrong(file, func() []tensor { return c.outputs(file, ours) }); text != "" {
			return "by the contract: " + text
		}
	}
	return c.wrong(file, func() []tensor { return c.outputs(file, c.steps) })
}
