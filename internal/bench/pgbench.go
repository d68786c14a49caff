//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// graceTime is added to the length of a pgbench run before it counts as stuck, as
// one whose statement is held would be.
const graceTime = 30 * time.Second

// pgbench makes the workload of one way to call pgbench.
func pgbench(secs, clients int, args ...string) func(context.Context, *world, *target) (sample, error) {
	return func(ctx context.Context, w *world, t *target) (sample, error) {
		return w.pgbench(ctx, t.near, secs, clients, args...)
	}
}

func (w *world) pgbench(ctx context.Context, to endpoint, secs, clients int, args ...string) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(secs)*time.Second+graceTime)
	defer cancel()
	dir, err := os.MkdirTemp(w.dir, "pgbench-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	all := []string{"-n", "-T", strconv.Itoa(secs), "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2))}
	if clients == 1 {
		all = append(all, "-l", "--log-prefix="+filepath.Join(dir, "log"))
	}
	cmd := exec.CommandContext(ctx, w.tool("pgbench"), append(all, args...)...)
	cmd.Env, cmd.WaitDelay = to.env(), endTime
	before := read(to.pids)
	out, err := cmd.CombinedOutput()
	used, foreign := settled(ctx, to.pids).since(before)
	if err != nil {
		return s, fmt.Errorf("pgbench: %w: %s", err, complaint(string(out)))
	}
	tps, n, err := parsePgbench(string(out))
	if err != nil {
		return s, err
	}
	s = sample{Rate: tps, Cost: float64(used.Microseconds()) / n, Count: n, Foreign: foreign}
	if clients == 1 {
		latencies, err := readLatencies(dir)
		if err != nil {
			return s, err
		}
		s.P50, s.P99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	}
	return s, nil
}

// parsePgbench reads transactions per second and their number from the report. The
// rate with connections made anew has another remark behind it, the figure is the
// one to take in both. A failed transaction fails the run: it measured something
// else.
func parsePgbench(out string) (tps, transactions float64, err error) {
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(line, "tps = "); ok {
			if tps, err = firstNumber(v); err != nil {
				return 0, 0, err
			}
		}
		if v, ok := strings.CutPrefix(line, "number of transactions actually processed: "); ok {
			if transactions, err = firstNumber(v); err != nil {
				return 0, 0, err
			}
		}
		if v, ok := strings.CutPrefix(line, "number of failed transactions: "); ok {
			if failed, err := firstNumber(v); err != nil || failed != 0 {
				return 0, 0, fmt.Errorf("pgbench: transactions failed: %s", strings.TrimSpace(v))
			}
		}
	}
	if tps == 0 || transactions == 0 {
		return 0, 0, fmt.Errorf("pgbench: no transactions: %s", complaint(out))
	}
	return tps, transactions, nil
}

func firstNumber(s string) (float64, error) {
	end := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end >= 0 {
		s = s[:end]
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("read pgbench's report: %w", err)
	}
	return v, nil
}

// complaint is the line of a program's output that says what went wrong.
func complaint(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range lines {
		if strings.Contains(l, "rror") || strings.Contains(l, "ERROR") || strings.Contains(l, "FATAL") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// readLatencies reads the logs that pgbench wrote into dir, sorted, in microseconds.
func readLatencies(dir string) ([]float64, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "log*"))
	if err != nil {
		return nil, err
	}
	var out []float64
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		out, err = parseLatencies(out, bufio.NewScanner(f))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read pgbench's log: %w", err)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("pgbench wrote no log of its transactions")
	}
	slices.Sort(out)
	return out, nil
}

// parseLatencies adds the third field of each line: client, transaction, time in
// microseconds, script, seconds, microseconds.
func parseLatencies(out []float64, lines *bufio.Scanner) ([]float64, error) {
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 3 {
			return nil, fmt.Errorf("the line %q has no time", lines.Text())
		}
		v, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, lines.Err()
}
