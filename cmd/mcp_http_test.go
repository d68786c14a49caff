package cmd

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// withSecret shows a secret with each request.
type withSecret string

func (s withSecret) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(s))
	return http.DefaultTransport.RoundTrip(r)
}

// sluice is this program as a process of its own, as a client starts it.
func (w *town) sluice(home string, args ...string) *exec.Cmd {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	link := filepath.Join(w.t.TempDir(), "sluice")
	if err := os.Symlink(self, link); err != nil {
		w.t.Fatal(err)
	}
	c := exec.CommandContext(w.t.Context(), link, args...)
	c.Env = append(os.Environ(), "SLUICE_HOME="+home, "SLUICE_KEYRING=off", "SLUICE_GATEWAY="+w.addr)
	return c
}

func TestAgentOverHTTP(t *testing.T) {
	w := newTown(t)
	c := w.sluice(w.home, "mcp", "--agent", "reports", "--listen", "127.0.0.1:0")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said safeBuffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("it says no more: %s", &said)
		}
		return lines.Text()
	}
	url, secret := next(), strings.TrimPrefix(next(), "Authorization: Bearer ")
	for name, change := range map[string]func(*http.Request){
		"without the secret":  func(*http.Request) {},
		"from a page":         func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"by a name of theirs": func(r *http.Request) { r.Host = "evil.example" },
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: withSecret(secret)}}, nil)
	if err != nil {
		t.Fatalf("%v; %s", err, &said)
	}
	m := &model{ClientSession: session, t: t, said: &said}
	if r := m.query("select email from people where id = 1"); r.failed || r.Masked != 1 || strings.Contains(r.text, "ada1@") {
		t.Errorf("a query: %s", r.text)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	endedBySignal(t, c, &said)
	session.Close()
	if _, out, _ := w.run(w.home, "", "token", "ls", "-o", "csv"); strings.Contains(out, "good") {
		t.Errorf("tokens after it ended: %s", out)
	}
}

// endedBySignal waits for the end of a process that was told to end.
func endedBySignal(t *testing.T, c *exec.Cmd, said *safeBuffer) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("it ended with %v: %s", err, said)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("it is still there after 20 s: %s", said)
	}
}

// A client that ends its server by a signal, and leaves its streams open, leaves nothing
// behind at the gateway.
func TestAgentEndsWithASignal(t *testing.T) {
	w := newTown(t)
	c := w.sluice(w.home, "mcp", "--writes")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said safeBuffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &sdk.IOTransport{Reader: io.NopCloser(out), Writer: in}, nil)
	if err != nil {
		t.Fatalf("%v; %s", err, &said)
	}
	m := &model{ClientSession: session, t: t, said: &said}
	if r := m.execute("comment on table people is 'x'"); r.Status != "held" {
		t.Fatal(r.text)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	endedBySignal(t, c, &said)
	eventually(t, "nothing waits, no session is left and the token is revoked", func() bool {
		_, asks, _ := w.run(w.boss, "", "approvals", "ls", "-o", "json")
		_, sessions, _ := w.run(w.boss, "", "sessions", "ls", "-o", "json")
		_, tokens, _ := w.run(w.home, "", "token", "ls", "-o", "csv")
		return asks == "[]\n" && sessions == "[]\n" && !strings.Contains(tokens, "good")
	})
}
