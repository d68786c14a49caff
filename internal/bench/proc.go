//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ, which Linux keeps at 100 on
// every machine that Go runs on.
const clockTick = 10 * time.Millisecond

// stat is what /proc/PID/stat says of a process.
type stat struct {
	parent int
	own    time.Duration // user and system time of its threads, ended ones too
	waited time.Duration // the same of children that ended and were waited for
}

// parseStat reads /proc/PID/stat (proc(5)). The name may hold blanks and brackets,
// so that fields are counted from the last bracket.
func parseStat(b []byte) (stat, error) {
	i := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[i+1:]))
	if i < 0 || len(fields) < 15 {
		return stat{}, errors.New("a process's stat has too few fields")
	}
	var n [5]int64
	for k, at := range []int{1, 11, 12, 13, 14} { // ppid, utime, stime, cutime, cstime
		v, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("read a process's stat: %w", err)
		}
		n[k] = v
	}
	return stat{parent: int(n[0]), own: time.Duration(n[1]+n[2]) * clockTick, waited: time.Duration(n[3]+n[4]) * clockTick}, nil
}

// parsePSS reads the proportional set size, in KiB, from /proc/PID/smaps_rollup.
func parsePSS(b []byte) (int64, error) {
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "Pss:" && f[2] == "kB" {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, errors.New("no Pss line in smaps_rollup")
}

// parseMachine reads the busy and the whole time of all processors from /proc/stat.
func parseMachine(b []byte) (busy, all time.Duration, err error) {
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, errors.New("no cpu line in /proc/stat")
	}
	for i, s := range f[1:9] {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		all += time.Duration(v) * clockTick
		if i != 3 && i != 4 { // idle, iowait
			busy += time.Duration(v) * clockTick
		}
	}
	return busy, all, nil
}

// family is the processes and all their living descendants, with their times. One
// that ends while it is looked at is left out. Where there is no /proc, it is empty.
func family(roots []int) map[int]stat {
	all, children := map[int]stat{}, map[int][]int{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // fails only for a malformed pattern
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		s, err := parseStat(b)
		pid, perr := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || perr != nil {
			continue
		}
		all[pid] = s
		children[s.parent] = append(children[s.parent], pid)
	}
	out := map[int]stat{}
	for todo := roots; len(todo) > 0; {
		pid := todo[0]
		todo = todo[1:]
		if _, seen := out[pid]; seen {
			continue
		}
		if s, alive := all[pid]; alive {
			out[pid] = s
			todo = append(todo[:len(todo):len(todo)], children[pid]...)
		}
	}
	return out
}

// cpu is the time that processes and their descendants have used.
func cpu(roots []int) (sum time.Duration) {
	for _, s := range family(roots) {
		sum += s.own + s.waited
	}
	return sum
}

// pss is the memory of processes and their descendants in KiB, shared pages counted
// in parts.
func pss(roots []int) (sum int64, err error) {
	for pid := range family(roots) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("read the memory of a process: %w", err)
		}
		kib, err := parsePSS(b)
		if err != nil {
			return 0, err
		}
		sum += kib
	}
	return sum, nil
}

// meter takes the time of the processes under test, of all that belongs to the
// benchmark, and of the machine.
type meter struct {
	proxy, ours, busy, all time.Duration
}

func read(pids []int) meter {
	m := meter{proxy: cpu(pids), ours: cpu([]int{os.Getpid()})}
	if b, err := os.ReadFile("/proc/stat"); err == nil {
		m.busy, m.all, _ = parseMachine(b) // a machine that does not say reads as idle
	}
	return m
}

// settleTime bounds how long processes are waited for that have work left over.
const settleTime = 2 * time.Minute

// settled reads when the processes have done what is left over from what they carried: the
// gateway's index and lineage follow the record, half a second behind it. What that takes
// belongs to the load that made it, and not to the next.
func settled(ctx context.Context, pids []int) meter {
	const window, quiet = 700 * time.Millisecond, 10 * time.Millisecond
	late := time.Now().Add(settleTime)
	tick := time.NewTicker(window)
	defer tick.Stop()
	for was := cpu(pids); len(pids) > 0 && time.Now().Before(late); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return read(pids)
		}
		now := cpu(pids)
		if now-was <= quiet {
			break
		}
		was = now
	}
	return read(pids)
}

// since is what the proxy used since an earlier reading, and the share of the
// machine that work of others took meanwhile.
func (m meter) since(from meter) (proxy time.Duration, foreign float64) {
	if all := m.all - from.all; all > 0 {
		foreign = max(0, float64((m.busy-from.busy)-(m.ours-from.ours))/float64(all))
	}
	return m.proxy - from.proxy, foreign
}
