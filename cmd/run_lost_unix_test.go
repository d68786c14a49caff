//go:build unix

package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/lineage"
	"github.com/sluicehq/sluice/lineage/store"
)

// fading is a town that notices soon that a run is lost.
type fading struct {
	*town
	sent string // OpenLineage events
}

func newFading(t *testing.T) *fading {
	t.Helper()
	l := &fading{sent: filepath.Join(t.TempDir(), "events.jsonl")}
	l.town = newTownIn(t, "dev", func(cfg *houseConfig) {
		cfg.base.RunLease = 1500 * time.Millisecond
		cfg.openLineage = &store.DeliveryConfig{File: l.sent, Make: &lineage.OpenLineage{Producer: producer()}}
	}, nil, func(*pgconn.Config) {})
	return l
}

// begin starts sluice as a process of its own, as ada.
func (l *fading) begin(args ...string) *exec.Cmd {
	l.t.Helper()
	c := l.sluice(l.home, args...)
	c.Stderr = new(bytes.Buffer)
	must(l.t, c.Start())
	return c
}

// until waits for the record to have what is wanted of runs, as "kind outcome".
func (l *fading) until(want ...string) (run string) {
	l.t.Helper()
	var have []string
	for deadline := time.Now().Add(60 * time.Second); ; <-time.After(50 * time.Millisecond) {
		have = nil
		for _, kind := range []audit.Kind{audit.RunBegan, audit.RunEnded} {
			res, err := l.house.record.Query(l.t.Context(), audit.Filter{Kind: kind})
			must(l.t, err)
			for _, ev := range slices.Backward(res.Events) {
				have, run = append(have, string(ev.Kind)+" "+ev.Outcome), ev.Run
			}
		}
		if slices.Equal(have, want) {
			return run
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the record has %q, want %q", have, want)
		}
	}
}

// delivered waits until OpenLineage was told of the run in this way, the last as it is.
func (l *fading) delivered(run string, want ...string) {
	l.t.Helper()
	var have []string
	for deadline := time.Now().Add(60 * time.Second); !slices.Equal(have, want); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("OpenLineage was told %q, want %q", have, want)
		}
		have = nil
		text, _ := os.ReadFile(l.sent) // it is made with the first event
		for line := range strings.Lines(string(text)) {
			var ev struct {
				EventType string
				Run       struct {
					RunID  string
					Facets struct{ ErrorMessage struct{ Message string } }
				}
			}
			must(l.t, json.Unmarshal([]byte(line), &ev))
			if ev.Run.RunID == run {
				have = append(have, ev.EventType)
				if ev.EventType == "ABORT" && !strings.Contains(ev.Run.Facets.ErrorMessage.Message, "nothing was heard of it for 1.5s") {
					l.t.Errorf("the reason is %q", ev.Run.Facets.ErrorMessage.Message)
				}
			}
		}
	}
}

// A run whose sluice run was killed does not stay under way: it is lost, in the record, in
// the lineage and for OpenLineage, with the reason.
func TestRunThatWasKilledIsLost(t *testing.T) {
	l := newFading(t)
	pid := filepath.Join(t.TempDir(), "pid")
	c := l.begin("run", "--job", "train", "--connection", "orders", "--", "sh", "-c", "echo $$ > "+pid+"; exec sleep 120")
	l.until("run_began ok")
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if text, err := os.ReadFile(pid); err == nil && len(bytes.TrimSpace(text)) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the program does not run")
		}
	}
	must(t, c.Process.Kill())
	text, err := os.ReadFile(pid)
	must(t, err)
	must(t, exec.Command("kill", "-9", strings.TrimSpace(string(text))).Run()) // it has the pipe of what is said
	_ = c.Wait()
	run := l.until("run_began ok", "run_ended lost")
	l.delivered(run, "START", "ABORT")
	code, out, errs := l.run(l.boss, "", "lineage", "up", "run:"+run)
	if code != 0 || !strings.Contains(out, "lost") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

// A run that was only cut off, as when a laptop sleeps, is back when it is heard again, and
// ends as if it had never been away.
func TestRunThatWasAwayIsBack(t *testing.T) {
	l := newFading(t)
	go1, model := filepath.Join(t.TempDir(), "go"), filepath.Join(t.TempDir(), "model")
	c := l.begin("run", "--job", "train", "--output", "model:m@1="+model, "--", "sh", "-c", "while ! [ -e "+go1+" ]; do sleep 0.1; done; echo made > "+model)
	l.until("run_began ok")
	must(t, c.Process.Signal(syscall.SIGSTOP))
	run := l.until("run_began ok", "run_ended lost")
	must(t, c.Process.Signal(syscall.SIGCONT))
	l.until("run_began ok", "run_began back", "run_ended lost")
	must(t, os.WriteFile(go1, nil, 0o600))
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, c.Stderr)
	}
	l.until("run_began ok", "run_began back", "run_ended lost", "run_ended ok")
	l.delivered(run, "START", "ABORT", "COMPLETE")
	code, out, errs := l.run(l.boss, "", "lineage", "up", "model:m@1")
	if code != 0 || !strings.Contains(out, "run:"+run) || strings.Contains(out, "lost") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

// Attack: keep somebody else's run alive, bring it back when it is lost, or end it.
func TestLostRunIsBackForNobodyElse(t *testing.T) {
	l := newFading(t)
	g := l.house.gateway
	ada := identity.Identity{Subject: "ada", Kind: identity.Person, Expires: time.Now().Add(time.Hour)}
	eve, agent := ada, ada
	eve.Subject = "eve"
	agent.Kind, agent.Owner = identity.Agent, "ada"
	begun, err := g.BeginJobRun(ada, api.JobRunStart{Job: "train", Beats: true})
	must(t, err)
	others := func(when string) {
		t.Helper()
		for _, who := range []identity.Identity{eve, agent} {
			if _, err := g.BeatJobRun(t.Context(), who, begun.ID); err == nil {
				t.Errorf("%s: %s %s keeps it alive", when, who.Kind, who.Subject)
			}
			if _, err := g.EndJobRun(t.Context(), who, begun.ID, api.JobRunEnd{Outcome: "ok"}); err == nil {
				t.Errorf("%s: %s %s ends it", when, who.Kind, who.Subject)
			}
		}
	}
	others("under way")
	l.until("run_began ok", "run_ended lost")
	others("lost")
	if _, err := g.EndJobRun(t.Context(), ada, begun.ID, api.JobRunEnd{Outcome: "ok"}); err != nil {
		t.Error(err)
	}
	l.until("run_began ok", "run_began back", "run_ended lost", "run_ended ok")
	if _, err := g.BeatJobRun(t.Context(), ada, begun.ID); err == nil {
		t.Error("it is back after its end")
	}
	// One that says nothing of words is of an older sluice, and is left alone.
	if old, err := g.BeginJobRun(ada, api.JobRunStart{Job: "old"}); err != nil || old.BeatMS != 0 {
		t.Errorf("%+v, %v", old, err)
	}
}

// A run that was under way when its gateway stopped, and is heard of no more, is lost at the
// next.
func TestRunOfAnEarlierGatewayIsLost(t *testing.T) {
	dir := t.TempDir()
	for turn, outcome := range []string{"", lineage.Lost} {
		h, err := (&app{now: time.Now}).openHouse(t.Context(), houseConfig{dir: dir, log: new(bytes.Buffer), base: gateway.Config{RunLease: time.Second}})
		must(t, err)
		if turn == 0 {
			_, err := h.gateway.BeginJobRun(identity.Identity{Subject: "ada", Kind: identity.Person}, api.JobRunStart{Job: "train", Beats: true})
			must(t, err)
			must(t, h.close())
			continue
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1) // one result, read below
		go func() { served <- h.serve(ctx, ln) }()
		(&fading{town: &town{t: t, house: h}}).until("run_began ok", "run_ended "+outcome)
		cancel()
		must(t, <-served)
	}
}
