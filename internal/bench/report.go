//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are everything that was measured.
type results struct {
	Machine string
	Date    time.Time
	Rounds  int
	Secs    int
	Targets []string
	Loads   []string
	Samples map[string]map[string][]sample // workload, target
}

func about() string {
	return fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// deliver writes the results where they are wanted.
func deliver(r *results, o options, stdout io.Writer) error {
	var out []byte
	if o.format == "json" {
		// JSON has no NaN: what was not measured is left out.
		for _, by := range r.Samples {
			for _, list := range by {
				for i := range list {
					if math.IsNaN(list[i].Rate) {
						list[i].Rate = 0
					}
				}
			}
		}
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		out = append(b, '\n')
	} else {
		out = []byte(r.markdown())
	}
	if o.write != "" {
		return replaceTable(o.write, r.markdown())
	}
	_, err := stdout.Write(out)
	return err
}

// The lines between which -write puts the tables.
const (
	tableBegins = "<!-- bench -->"
	tableEnds   = "<!-- /bench -->"
)

func replaceTable(path, table string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(b), tableBegins)
	_, foot, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %s and %s lines", path, tableBegins, tableEnds)
	}
	return os.WriteFile(path, []byte(head+tableBegins+"\n"+table+tableEnds+foot), 0o644)
}

func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s; %d rounds of %d s, all targets in turn.\n\n", r.Date.Format("2006-01-02"), r.Machine, r.Rounds, r.Secs)
	r.table(&b, "Rate, as a part of the direct connection's in the same run (best round of each)", func(load, target string) string {
		direct, here := best(r.Samples[load]["direct"]), best(r.Samples[load][target])
		if math.IsNaN(direct) || direct == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f", here/direct)
	}, nil)
	r.table(&b, "CPU of the processes in between (client and gateway together): µs a transaction; ms for 100 MB; for idle, KiB a connection", func(load, target string) string {
		list := r.Samples[load][target]
		if load == "idle" {
			list = list[:min(1, len(list))] // later rounds find the memory of the first
		}
		return fmt.Sprintf("%.0f", least(list, func(s sample) float64 { return s.Cost }))
	}, func(target string) bool { return target == "direct" })
	r.table(&b, "Latency with one client, µs: p50 / p99 (best round)", func(load, target string) string {
		list := r.Samples[load][target]
		if len(list) == 0 || list[0].P50 == 0 {
			return "–"
		}
		return fmt.Sprintf("%.0f / %.0f", least(list, func(s sample) float64 { return s.P50 }), least(list, func(s sample) float64 { return s.P99 }))
	}, nil)
	return b.String()
}

// table writes one line a workload and one column a target, without lines that say
// nothing.
func (r *results) table(b *strings.Builder, title string, cell func(load, target string) string, skip func(string) bool) {
	var targets []string
	for _, t := range r.Targets {
		if skip == nil || !skip(t) {
			targets = append(targets, t)
		}
	}
	var lines []string
	for _, load := range r.Loads {
		var cells []string
		for _, t := range targets {
			cells = append(cells, cell(load, t))
		}
		if slices.ContainsFunc(cells, func(c string) bool { return c != "–" }) {
			lines = append(lines, fmt.Sprintf("| %s | %s |\n", load, strings.Join(cells, " | ")))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "%s\n\n| | %s |\n|---|%s\n%s\n", title, strings.Join(targets, " | "), strings.Repeat("--:|", len(targets)), strings.Join(lines, ""))
	}
}

func best(list []sample) float64 {
	out := math.NaN()
	for _, s := range list {
		if !(s.Rate <= out) {
			out = s.Rate
		}
	}
	return out
}

func least(list []sample, of func(sample) float64) float64 {
	out := math.NaN()
	for _, s := range list {
		if v := of(s); !(v >= out) {
			out = v
		}
	}
	return out
}

// quantile of sorted values.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
