//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const report = `pgbench (15.18)
transaction type: <builtin: select only>
number of transactions actually processed: 31526
number of failed transactions: 0 (0.000%)
latency average = 0.507 ms
initial connection time = 12.3 ms
tps = 15758.167842 (without initial connection time)
`

func TestParsePgbench(t *testing.T) {
	tps, n, err := parsePgbench(report)
	if err != nil || tps != 15758.167842 || n != 31526 {
		t.Errorf("got %v, %v, %v", tps, n, err)
	}
	for name, out := range map[string]string{
		"a failed transaction": strings.Replace(report, "failed transactions: 0", "failed transactions: 3", 1),
		"nothing ran":          "pgbench: error: connection refused\n",
		"no rate":              strings.Replace(report, "tps = ", "tps: ", 1),
		"a rate of words":      strings.Replace(report, "tps = 1", "tps = x1", 1),
	} {
		if _, _, err := parsePgbench(out); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	lat, err := parseLatencies(nil, bufio.NewScanner(strings.NewReader("0 1 300 0 1700000000 1\n0 2 100 0 1700000000 2\n")))
	if err != nil || len(lat) != 2 || lat[0] != 300 {
		t.Errorf("got %v, %v", lat, err)
	}
	if _, err := parseLatencies(nil, bufio.NewScanner(strings.NewReader("0 1\n"))); err == nil {
		t.Error("a short line is taken")
	}
}

func TestParseProc(t *testing.T) {
	s, err := parseStat([]byte("12 (a ) b) S 7 1 1 0 -1 0 0 0 0 0 150 50 10 20 20 0 1 0 5"))
	if err != nil || s.parent != 7 || s.own != 2*time.Second || s.waited != 300*time.Millisecond {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := parseStat([]byte("12 (x) S 7")); err == nil {
		t.Error("a short stat is taken")
	}
	if kib, err := parsePSS([]byte("a-b rollup\nRss: 9 kB\nPss:  7 kB\n")); err != nil || kib != 7 {
		t.Errorf("got %d, %v", kib, err)
	}
	busy, all, err := parseMachine([]byte("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1\n"))
	if err != nil || busy != 2*time.Second || all != 10*time.Second {
		t.Errorf("got %v of %v, %v", busy, all, err)
	}
}

// A process that works is seen to, with what its children did.
func TestCPUCountsChildren(t *testing.T) {
	if !fileExists("/proc/self/stat") {
		return // only Linux tells
	}
	cmd := exec.CommandContext(context.Background(), "sh", "-c", `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; echo done; read x`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if used := cpu([]int{cmd.Process.Pid}); used == 0 {
		t.Error("a third of a million turns took no time")
	}
	in.Close()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() > 1 {
		t.Error(err)
	}
}

func TestTables(t *testing.T) {
	r := &results{Machine: "two CPUs", Rounds: 2, Secs: 1, Targets: []string{"direct", "sluice"}, Loads: []string{"simple-c1", "idle"},
		Samples: map[string]map[string][]sample{
			"simple-c1": {"direct": {{Rate: 100}, {Rate: 200, P50: 5, P99: 9}}, "sluice": {{Rate: 50, Cost: 80, P50: 50, P99: 90}, {Rate: 40, Cost: 70, P50: 55, P99: 80}}},
			"idle":      {"direct": {{Rate: math.NaN()}}, "sluice": {{Rate: math.NaN(), Cost: 40}}},
		}}
	md := r.markdown()
	for _, want := range []string{"| simple-c1 | 1.00 | 0.25 |", "| simple-c1 | 70 |", "| idle | 40 |", "| – | 50 / 80 |"} {
		if !strings.Contains(md, want) {
			t.Errorf("%q is not in\n%s", want, md)
		}
	}
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(path, []byte("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := replaceTable(path, md); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != "before\n<!-- bench -->\n"+md+"<!-- /bench -->\nafter\n" {
		t.Errorf("got %s, %v", b, err)
	}
	if err := replaceTable(filepath.Join(t.TempDir(), "none.md"), md); err == nil {
		t.Error("a file that is not there is written")
	}
}

func TestOptions(t *testing.T) {
	o, err := readOptions([]string{"-quick", "-secs", "7"}, os.Stderr)
	if err != nil || o.rounds != 2 || o.secs != 7 {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, bad := range [][]string{{"-rounds", "0"}, {"-o", "xml"}, {"more"}} {
		if _, err := readOptions(bad, os.Stderr); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	if _, err := choose(workloads(o), options{only: []string{"nothing"}}); err == nil {
		t.Error("a workload that is not there is chosen")
	}
	if list, err := choose(workloads(o), options{only: []string{"simple"}}); err != nil || len(list) != 3 {
		t.Errorf("got %d, %v", len(list), err)
	}
}

// What passes a distance comes out whole, as much later as it says, and its end too.
func TestDistance(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	d, err := newDistance(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", local(d.port()))
	if err != nil {
		t.Fatal(err)
	}
	began, sent := time.Now(), bytes.Repeat([]byte("0123456789"), 1<<20/10)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came back: %v", len(got), len(sent), err)
	}
	if took := time.Since(began); took < 2*oneWay {
		t.Errorf("there and back in %v", took)
	}
	idle, err := net.Dial("tcp", local(d.port())) // close does not wait for it
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := d.close(); err != nil {
		t.Error(err)
	}
}
