package cmd

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

const patience = 20 * time.Second

// eventually waits until cond holds; when all is well nobody waits long.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// denying is a policy with one rule of that name.
func denying(name string) string {
	return "rules: [{name: " + name + ", when: statement.ddl, effect: deny}]\n"
}

// following is a gateway whose policy is at path, with no database behind it.
func following(t *testing.T, path string) (*house, *town) {
	t.Helper()
	a := &app{now: time.Now}
	h, err := a.openHouse(t.Context(), houseConfig{
		dir: filepath.Join(t.TempDir(), "data"), hosts: []string{"127.0.0.1"}, policy: path, log: new(bytes.Buffer),
		base: gateway.Config{Auditors: []string{"boss"}},
	})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-served)
	})
	w := &town{t: t, home: t.TempDir()}
	must(t, h.admit(client.NewStore(w.home, time.Now), ln.Addr().String(), identity.Identity{Subject: "ada", Kind: identity.Person, Method: "test"}, time.Hour))
	return h, w
}

// rule is the first of the policy in force.
func (h *house) rule() string {
	_, name, _ := strings.Cut(h.gateway.PolicyStatus().Text, "name: ")
	name, _, _ = strings.Cut(name, ",")
	return name
}

// The file is noticed however it is replaced, and a bad one changes nothing.
func TestPolicyFollowsItsFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "v1"), 0o700))
	must(t, os.Symlink("v1", filepath.Join(dir, "..data")))
	path := filepath.Join(dir, "policy.yaml")
	must(t, os.Symlink(filepath.Join("..data", "policy.yaml"), path))
	put(t, path, denying("first"))
	h, w := following(t, path)
	becomes := func(want string) {
		t.Helper()
		eventually(t, "the policy is "+want, func() bool { return h.rule() == want && h.gateway.PolicyStatus().Refused == nil })
	}
	refused := func(why, stays string) {
		t.Helper()
		var s api.Policy
		eventually(t, "it is refused: "+why, func() bool {
			s = h.gateway.PolicyStatus()
			return s.Refused != nil && strings.Contains(s.Refused.Problem, why)
		})
		if h.rule() != stays {
			t.Errorf("in force is %s", h.rule())
		}
		code, out, errs := w.run(w.home, "", "policy", "status")
		if code != exitError || !strings.Contains(out, "refused") || !strings.Contains(errs, why) {
			t.Errorf("status: %d, %s%s", code, out, errs)
		}
	}
	becomes("first")
	put(t, path, denying("write"))
	becomes("write")
	// As editors do: a new file in place of the old one.
	put(t, filepath.Join(dir, "v1", "new"), denying("moved"))
	must(t, os.Rename(filepath.Join(dir, "v1", "new"), filepath.Join(dir, "v1", "policy.yaml")))
	becomes("moved")
	// As Kubernetes does: a link on the way leads elsewhere.
	must(t, os.Mkdir(filepath.Join(dir, "v2"), 0o700))
	put(t, filepath.Join(dir, "v2", "policy.yaml"), denying("swapped"))
	must(t, os.Symlink("v2", filepath.Join(dir, "..tmp")))
	must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	becomes("swapped")

	put(t, path, "rules:\n  - {name: bad, when: statement.writs, effect: deny}\n")
	refused(`policy.yaml: line 2:23: unknown name "statement.writs", did you mean "statement.writes"?`, "swapped")
	must(t, os.Truncate(path, 0))
	refused("it is empty", "swapped")
	must(t, os.Remove(filepath.Join(dir, "v2", "policy.yaml")))
	refused("it cannot be read: no such file", "swapped")
	put(t, path, denying("swapped"))
	becomes("swapped")
	if code, out, errs := w.run(w.home, "", "policy", "status"); code != 0 || !strings.Contains(out, path) {
		t.Errorf("status: %d, %s%s", code, out, errs)
	}
	put(t, path, denying("last"))
	becomes("last")
	res, err := h.record.Query(t.Context(), audit.Filter{Kind: audit.Admin})
	must(t, err)
	var outcomes []string
	for _, ev := range res.Events {
		outcomes = append(outcomes, ev.Outcome)
	}
	if got := strings.Join(outcomes, " "); got != "ok refused refused refused ok ok ok" {
		t.Errorf("on the record, the newest first: %s", got)
	}
}

// A file that keeps its size and time stamp is read when the gateway is told to.
func TestPolicyIsReadAtOnceWhenAsked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	put(t, path, denying("aaa"))
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(path, old, old))
	a := &app{now: time.Now}
	h, err := a.openHouse(t.Context(), houseConfig{dir: filepath.Join(t.TempDir(), "data"), policy: path, log: new(bytes.Buffer)})
	must(t, err)
	hup := make(chan os.Signal, 1)
	h.policy.hup = hup
	must(t, h.policy.glance())
	put(t, path, denying("bbb"))
	must(t, os.Chtimes(path, old, old))
	for range 3 {
		must(t, h.policy.glance())
	}
	if h.rule() != "aaa" {
		t.Fatal("this file cannot show what the signal does")
	}
	hup <- syscall.SIGHUP
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.policy.follow(ctx) }()
	eventually(t, "the new one is in force", func() bool { return h.rule() == "bbb" })
	stop()
	must(t, <-done)
	must(t, h.record.Close())
}

// A half-written file is not judged: what counts was there twice.
func TestPolicyThatIsBeingWrittenWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	put(t, path, denying("a"))
	f := &policyFile{path: path, now: time.Now, seen: offered{text: denying("a")}}
	for i := range 5 {
		put(t, path, strings.Repeat("#", i+1))
		must(t, f.glance()) // judging would need a gateway, and there is none
	}
	if f.pending == nil || f.pending.text != "#####" {
		t.Errorf("waiting: %+v", f.pending)
	}
}

// SIGHUP ends every command but the gateway.
func TestEndings(t *testing.T) {
	if n := len(endings([]string{"gateway"})); n != 2 {
		t.Errorf("%d signals end a gateway", n)
	}
	if n := len(endings([]string{"dev", "--dsn", "x"})); n != 3 {
		t.Errorf("%d signals end dev", n)
	}
}
