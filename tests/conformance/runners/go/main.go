// The runner: runner FOLDER [--expect FILE] [NAME...]
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"conformance/mlx"
)

// What was asked for, and what came of it.
type report struct {
	prefixes              []string
	expected              []string
	right, total, leftOut int
	alive                 int
}

func (r *report) wants(name string) bool {
	fits := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return len(r.prefixes) == 0 || slices.ContainsFunc(r.prefixes, fits)
}

// add runs and counts a case; run says what is wrong with it.
func (r *report) add(name string, run func() string) {
	wrong, expected := run(), slices.Contains(r.expected, name)
	if left := r.left(); wrong == "" && left > 0 {
		wrong = fmt.Sprintf("%d objects more than before are alive afterwards", left)
	}
	r.total++
	switch {
	case wrong == "" && expected:
		fmt.Println("unexpected pass:", name)
	case wrong != "" && !expected:
		fmt.Printf("failed: %s: %s\n", name, wrong)
	default:
		r.right++
	}
}

// left is how many objects a case left behind, once the collector has had time to find its own.
func (r *report) left() int {
	for range 100 {
		runtime.GC() // runs cleanups after it has returned
		if live() <= r.alive {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	before := r.alive
	r.alive = live()
	return r.alive - before
}

func (r *report) leaveOut(name, why string) {
	r.leftOut++
	fmt.Printf("left out: %s: %s\n", name, why)
}

func (r *report) set(name string, run func()) {
	right, total := r.right, r.total
	run()
	fmt.Printf("%s: %d of %d\n", name, r.right-right, r.total-total)
}

func readJSON(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

func (r *report) vectors(path, set string) error {
	var content struct{ Cases []testCase }
	if err := readJSON(path+"/"+set+".json", &content); err != nil {
		return err
	}
	file, err := readTensors(path + "/" + set + ".safetensors")
	if err != nil {
		return err
	}
	r.set(set, func() {
		for i := range content.Cases {
			c := &content.Cases[i]
			if !r.wants(c.Name) {
				continue
			}
			if function := c.missing(); function != "" {
				r.leaveOut(c.Name, "there is no "+function)
			} else {
				r.add(c.Name, func() string { return c.run(file) })
			}
		}
	})
	return nil
}

func (r *report) protocol(folder string) error {
	var cases []struct {
		ID    string
		Needs []string
	}
	if err := readJSON(folder+"/protocol.json", &cases); err != nil {
		return err
	}
	r.set("protocol", func() {
		for _, c := range cases {
			name := "protocol/" + c.ID
			needs := testCase{Needs: c.Needs}
			if !r.wants(name) {
				continue
			}
			if function := needs.missing(); function != "" {
				r.leaveOut(name, "there is no "+function)
			} else if why := inexpressible(c.ID); why != "" {
				r.leaveOut(name, why)
			} else {
				r.add(name, func() string { return runProtocol(c.ID) })
			}
		}
	})
	return nil
}

func (r *report) run(folder string) error {
	path := folder + "/vectors/" + mlx.Version()
	frozen, err := os.ReadFile(path + "/FROZEN")
	if err != nil {
		return err
	}
	mlx.DefaultStream() // it stays, and counts
	r.alive = live()
	for _, word := range strings.Fields(string(frozen)) {
		if set, is := strings.CutSuffix(word, ".json"); is {
			if err := r.vectors(path, set); err != nil {
				return err
			}
		}
	}
	if err := r.protocol(folder); err != nil {
		return err
	}
	if r.leftOut > 0 {
		fmt.Println("left out:", r.leftOut)
	}
	fmt.Printf("%d of %d\n", r.right, r.total)
	return nil
}

func main() {
	if len(os.Args) == 4 && os.Args[2] == "--child" {
		os.Exit(child(os.Args[3]))
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: runner FOLDER [--expect FILE] [NAME...]")
		os.Exit(2)
	}
	r, rest := report{}, os.Args[2:]
	var err error
	if len(rest) > 1 && rest[0] == "--expect" {
		var content []byte
		content, err = os.ReadFile(rest[1])
		r.expected = strings.Split(string(content), "\n") // a comment is nobody's name
		rest = rest[2:]
	}
	r.prefixes = rest
	if err == nil {
		err = r.run(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if r.right != r.total {
		os.Exit(1)
	}
}
