package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/demo"
)

// killed is a gateway in a process of its own, which can be killed, and an address that
// it tells.
type killed struct {
	*day
	process *exec.Cmd
	log     string
	told    chan hookMessage
}

// hookMessage is a message that the address took.
type hookMessage struct {
	delivery string
	gateway.Told
}

// mute has the address take no message: calls of it do not end.
func (k *killed) address(t *testing.T) (at string, mute *atomic.Bool) {
	k.told, mute = make(chan hookMessage, 100), &atomic.Bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // else the end of the caller goes unseen
		if mute.Load() {
			<-r.Context().Done()
			return
		}
		m := hookMessage{delivery: r.Header.Get("Sluice-Delivery")}
		if err != nil || json.Unmarshal(body, &m.Told) != nil {
			t.Errorf("told %s, %v", body, err)
		}
		k.told <- m
	}))
	t.Cleanup(srv.Close)
	return srv.URL, mute
}

// run starts the gateway's program, and waits until it serves.
func (k *killed) run() {
	k.t.Helper()
	k.process = exec.CommandContext(context.Background(), filepath.Join(k.bin, "sluice"), "gateway", "--config", filepath.Join(k.dir, "gateway.yaml"))
	k.process.Env = append(os.Environ(), "HOOK_KEY=k")
	log, err := os.Create(k.log)
	must(k.t, err)
	defer log.Close()
	k.process.Stdout, k.process.Stderr = log, log
	must(k.t, k.process.Start())
	k.t.Cleanup(k.kill)
	if !k.until(func() bool { b, _ := os.ReadFile(k.log); return strings.Contains(string(b), "serving") }) {
		b, _ := os.ReadFile(k.log)
		k.t.Fatalf("it does not serve:\n%s", b)
	}
}

// kill is SIGKILL: the process does nothing more.
func (k *killed) kill() {
	if k.process != nil {
		_ = k.process.Process.Kill()
		_ = k.process.Wait()
		k.process = nil
	}
}

// sluice runs the program for somebody.
func (k *killed) sluice(who string, args ...string) *exec.Cmd {
	c := exec.CommandContext(k.t.Context(), filepath.Join(k.bin, "sluice"), args...)
	c.Env = append(os.Environ(), "SLUICE_HOME="+k.homes[who], "SLUICE_KEYRING=off", "HOME="+k.homes[who], "PATH="+k.bin+":"+os.Getenv("PATH"))
	return c
}

func (k *killed) says(who string, args ...string) string {
	k.t.Helper()
	out, err := k.sluice(who, args...).CombinedOutput()
	if err != nil {
		k.t.Fatalf("sluice %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// waits are the asks that wait.
func (k *killed) waits() (list []api.Ask) {
	k.t.Helper()
	out, err := k.sluice("bob", "approvals", "ls", "-o", "json").Output()
	if err != nil || json.Unmarshal(out, &list) != nil {
		k.t.Fatalf("%s, %v", out, err)
	}
	return list
}

// hears waits for n messages, and gives them by what they are about.
func (k *killed) hears(n int) map[string]string {
	k.t.Helper()
	out := map[string]string{}
	seen := map[string]bool{}
	for len(seen) < n {
		select {
		case m := <-k.told:
			if !seen[m.delivery] {
				out[m.ID] += strings.TrimSpace(fmt.Sprintf("%s %t %s", m.Event, m.Granted, m.Why)) + "; "
			}
			seen[m.delivery] = true
		case <-time.After(30 * time.Second):
			k.t.Fatalf("told only %v", out)
		}
	}
	return out
}

// Attack, or an accident: kill the gateway before a webhook has taken the first message of
// what waits. The next gateway tells what was asked and what became of it, each message at
// least once.
func TestWebhookIsToldAcrossAKill(t *testing.T) {
	k := &killed{day: newDay(t)}
	k.bin, k.log = programsIn(t), filepath.Join(k.dir, "log")
	k.stop()
	k.stop = func() {}
	address, mute := k.address(t)
	put(t, filepath.Join(k.dir, "hook"), address)
	db := k.conn.Database
	idp, err := demo.StartIDP(t.Context(), demo.Config{Users: []demo.User{ada}, ClientID: "sluice"})
	must(t, err)
	t.Cleanup(func() { idp.Close() })
	put(t, filepath.Join(k.dir, "gateway.yaml"), fmt.Sprintf(`listen: %s
data: %s
oidc: {issuer: %s, client_id: sluice}
policy: policy.yaml
approvals: {webhooks: [{url: {file: %s}, secret: {env: HOOK_KEY}}]}
connections: [{name: orders, env: prod, groups: ["*"], database: {host: %q, port: %d, name: %s, user: %s, password: {file: %s}}}]
`, k.addr, filepath.Join(k.dir, "gateway"), idp.Issuer(), filepath.Join(k.dir, "hook"), db.Host, db.Port, db.Database, db.User, filepath.Join(k.dir, "password")))
	put(t, filepath.Join(k.dir, "password"), db.Password)

	mute.Store(true)
	k.run()
	held := k.sluice("ada", "exec", "orders", "-c", "update people set age = 1 where id = 7")
	var said bytes.Buffer
	held.Stdout, held.Stderr = &said, &said
	must(t, held.Start())
	var requests []string
	for i := range 2 {
		script := filepath.Join(k.dir, fmt.Sprint(i, ".sql"))
		put(t, script, fmt.Sprintf("update people set age = %d where id = 9", i))
		out := k.says("ada", "request", "orders", "-f", script, "--reason", "release 42")
		requests = append(requests, regexp.MustCompile(`r-\w+`).FindString(out))
	}
	var ask string
	if !k.until(func() bool {
		list := k.waits()
		for _, a := range list {
			if a.Session != "" {
				ask = a.ID
			}
		}
		return len(list) == 3
	}) {
		t.Fatalf("what waits is %v\n%s", k.waits(), said.String())
	}
	k.says("bob", "approvals", "approve", requests[0])
	k.kill()
	if err := held.Wait(); err == nil {
		t.Errorf("what waited ran: %s", said.String())
	}

	mute.Store(false)
	k.run()
	got := k.hears(5)
	want := map[string]string{
		ask:         "asked false; answered false the gateway stopped while it waited, so it never ran; ",
		requests[0]: "asked false release 42; answered true approved by bob; ",
		requests[1]: "asked false release 42; ",
	}
	for id, text := range want {
		if got[id] != text {
			t.Errorf("of %s it was told %q, want %q", id, got[id], text)
		}
	}

	// What still stands goes on: its end is told by the third gateway. What was told is not
	// told again, once that is noted.
	if !k.until(func() bool {
		b, err := os.ReadFile(filepath.Join(k.dir, "gateway", "asks", "requests.json"))
		notes, _ := filepath.Glob(filepath.Join(k.dir, "gateway", "asks", "*.ask.json"))
		return err == nil && !strings.Contains(string(b), "Untold") && len(notes) == 0
	}) {
		t.Error("something stays untold")
	}
	mute.Store(true)
	k.says("bob", "approvals", "deny", requests[1], "--reason", "not now")
	k.kill()
	mute.Store(false)
	k.run()
	if got := k.hears(1); got[requests[1]] != "answered false denied by bob: not now; " || len(got) != 1 {
		t.Errorf("at last it was told %q", got)
	}
}
