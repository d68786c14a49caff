package audit

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// killedDir tells the test binary that it is the one to be killed.
const killedDir = "SLUICE_AUDIT_TEST_KILLED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		appendForEver(dir)
		return
	}
	os.Exit(m.Run())
}

// appendForEver appends from eight goroutines until the process is killed, and
// prints the number of each event that was promised: "a N" for appended, "d N"
// for durable.
func appendForEver(dir string) {
	l, err := Open(Config{Dir: dir, Origin: "sluice/killed", Log: slog.New(slog.DiscardHandler), sealEvery: 20 * time.Millisecond})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var out sync.Mutex
	say := func(what string, seq uint64) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(what, seq) // one write each, so that no promise is left in a buffer
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for {
				ev := numbered(w)
				ev.Detail = strings.Repeat("x", 500*w)
				tk, err := l.Append(ev)
				if err != nil {
					fmt.Println("error", err)
					return
				}
				say("a", tk.Seq)
				if w%2 == 0 {
					if err := tk.Durable(context.Background()); err != nil {
						fmt.Println("error", err)
						return
					}
					say("d", tk.Seq)
				}
			}
		})
	}
	wg.Wait()
}

// TestKillUnderLoad kills a process that appends as fast as it can, several
// times over the same log, and checks each time that what it promised is there
// and verifies.
func TestKillUnderLoad(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "record")
	size := uint64(0)
	for round := range 4 {
		// Each round ends elsewhere between two checkpoints.
		promised := killAfter(t, exe, dir, 150+round*333)

		// Before anything is repaired, it verifies up to the torn end.
		r, err := Verify(context.Background(), dir, "")
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() {
			t.Fatalf("round %d: after the kill: %v", round, r.Problems)
		}
		l, err := Open(Config{Dir: dir, Origin: "sluice/killed"})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if l.Size() <= promised {
			t.Fatalf("round %d: %d events are left, entry %d was promised", round, l.Size(), promised)
		}
		if l.Size() <= size {
			t.Fatalf("round %d: the log did not grow", round)
		}
		size = l.Size()
		closeLog(t, l)
		mustVerify(t, dir, l.VerifierKey(), int(size))
	}
}

// killAfter runs a process until it has made so many promises, kills it, and
// gives the highest Seq that it promised.
func killAfter(t *testing.T, exe, dir string, promises int) uint64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	highest, n := uint64(0), 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		what, number, _ := strings.Cut(lines.Text(), " ")
		seq, err := strconv.ParseUint(number, 10, 64)
		if err != nil || what != "a" && what != "d" {
			t.Errorf("the process says %q", lines.Text())
			break
		}
		highest = max(highest, seq)
		if n++; n == promises {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL; what is in the pipe still counts
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	if n < promises {
		t.Fatalf("only %d promises before the end", n)
	}
	return highest
}

// TestVerifyAndQueryWhileWriting: readers need no help from the writer, and a
// log at work has no false alarm.
func TestVerifyAndQueryWhileWriting(t *testing.T) {
	cfg := testConfig(t)
	cfg.sealEvery = 3 * time.Millisecond
	l := openLog(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				tk, err := l.Append(numbered(1))
				if err != nil {
					t.Error(err)
					return
				}
				if err := tk.Durable(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 40 {
		r, err := Verify(ctx, cfg.Dir, l.VerifierKey())
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() {
			t.Fatalf("false alarm: %v", r.Problems)
		}
		before := l.Size()
		q, err := Query(ctx, cfg.Dir, Filter{Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		if before > 0 && (len(q.Events) == 0 || q.Events[0].Seq < before-1) {
			t.Fatalf("Query is behind: %d events, %d written", len(q.Events), before)
		}
	}
	cancel()
	wg.Wait()
	closeLog(t, l)
	mustVerify(t, cfg.Dir, "", int(l.Size()))
}
