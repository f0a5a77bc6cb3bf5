// A load generator for Workload APIs: one program for every target, so that what is compared is the target alone.
// Each command prints one JSON document. Times are in microseconds.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: loadgen warm|cold|one|jwt|validate|streams|until|first|floor|payload [options]"))
	}
	commands := map[string]func([]string) (any, error){
		"warm":     warm,
		"cold":     cold,
		"one":      one,
		"jwt":      jwt,
		"validate": validate,
		"streams":  streams,
		"floor":    floor,
		"payload":  payload,
		"until":    until,
		"first":    first,
	}
	run, known := commands[os.Args[1]]
	if !known {
		fail(fmt.Errorf("unknown command %q", os.Args[1]))
	}
	result, err := run(os.Args[2:])
	if err != nil {
		fail(err)
	}
	if result != nil {
		print(result)
	}
}

func print(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fail(err)
	}
	os.Stdout.Write(append(text, '\n'))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "loadgen:", err)
	os.Exit(1)
}

// spread is what a list of durations comes to.
type spread struct {
	N       int     `json:"n"`
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	Max     float64 `json:"max_us"`
	Failed  int     `json:"failed"`
	Failure string  `json:"failure,omitempty"`
	// PerSecond is requests a second over the whole measure; 0 where that says nothing.
	PerSecond float64 `json:"per_second,omitempty"`
	// Lap is the whole measure's length.
	Lap float64 `json:"lap_us,omitempty"`
}

func spreadOf(times []float64, failures []error) spread {
	sort.Float64s(times)
	s := spread{N: len(times), Failed: len(failures)}
	if len(failures) > 0 {
		s.Failure = failures[0].Error()
	}
	if len(times) > 0 {
		at := func(part float64) float64 { return times[min(len(times)-1, int(part*float64(len(times))))] }
		s.P50, s.P99, s.Max = at(0.5), at(0.99), times[len(times)-1]
	}
	return s
}
