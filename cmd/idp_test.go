//go:build idp

package cmd

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/client"
)

// othersProvider is oidc-provider, which others wrote and had certified, in a process of
// its own.
type othersProvider struct{ issuer string }

func startOthersProvider(t *testing.T) *othersProvider {
	t.Helper()
	if os.Getenv("IDP_MODULES") == "" {
		t.Fatal("run it with: make idp")
	}
	c := exec.Command("node", "testdata/idp/provider.mjs")
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe() // its end ends the provider
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &othersProvider{strings.TrimSpace(line)}
}

// state asks for, and changes, what the provider knows.
func (p *othersProvider) state(t *testing.T, path string) (refreshed int) {
	t.Helper()
	resp, err := http.Get(p.issuer + "/test/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct{ Refreshed int }
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Refreshed
}

// visit is ada, in Chromium. The picture is kept where IDP_PICTURES says.
func (p *othersProvider) visit(t *testing.T, address, picture string) string {
	t.Helper()
	dir := os.Getenv("IDP_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	out, err := exec.Command("node", "testdata/idp/browser.mjs", address, "ada", filepath.Join(dir, picture)).CombinedOutput()
	if err != nil {
		t.Fatalf("the browser: %v\n%s", err, out)
	}
	t.Logf("the browser ends at: %s", strings.TrimSpace(string(out)))
	return string(out)
}

// A person's whole day with an identity provider that is not ours: the browser, a session
// longer than a certificate, the end of the login, and a device without a browser.
func TestProviderOfOthers(t *testing.T) {
	p := startOthersProvider(t)
	s := newSite(t, "certificate: 6s\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	// It gives no refresh token without consent, as OpenID Connect Core section 11 has it.
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), s.idp.Issuer(), p.issuer+", prompt: consent", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.serve(t)
	home := map[string]string{"SLUICE_HOME": t.TempDir()}

	start := time.Now()
	said := lines(t, home, "login", s.addr, "--ca-pin", s.pin, "--no-browser")
	address := strings.TrimSpace(said("http://127.0.0.1"))
	if u, err := url.Parse(address); err != nil || !strings.Contains(u.Query().Get("scope"), "offline_access") {
		t.Errorf("the address asks for %v, %v", u, err)
	}
	if page := p.visit(t, address, "login.png"); !strings.Contains(page, "You are logged in") || !strings.Contains(page, "ada@example.com") {
		t.Fatalf("the browser shows %s", page)
	}
	said("logged in as ada@example.com")
	t.Logf("login in a browser, all in all: %v", time.Since(start).Round(time.Millisecond))

	connect := lines(t, home, "connect", "orders", "--no-password")
	_, dsn, _ := strings.Cut(connect("psql '"), "'")
	conn, err := pgx.Connect(t.Context(), strings.TrimSuffix(dsn, "'"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	work := func() error { _, err := conn.Exec(t.Context(), "select pg_sleep(0.05)"); return err }
	for p.state(t, "look") < 3 {
		if err := work(); err != nil {
			t.Fatalf("after %d renewals: %v", p.state(t, "look"), err)
		}
	}
	if code, out, errs := runs(t.Context(), home, "whoami", "-o", "json"); code != exitOK || !strings.Contains(out, `"staff"`) {
		t.Errorf("whoami: %d, %s%s", code, out, errs)
	}
	if code, out, errs := runs(t.Context(), home, "doctor", "-o", "json"); code != exitOK {
		t.Errorf("doctor: %d, %s%s", code, out, errs)
	}
	p.state(t, "end")
	connect("your login ends at ")
	for err = work(); err == nil; err = work() {
	}
	if !strings.Contains(err.Error(), "your login has expired") {
		t.Errorf("the session ended with %v", err)
	}
}

func TestProviderOfOthersByDevice(t *testing.T) {
	p := startOthersProvider(t)
	s := newSite(t, "")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), s.idp.Issuer(), p.issuer, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.serve(t)
	home := map[string]string{"SLUICE_HOME": t.TempDir()}
	said := lines(t, home, "login", s.addr, "--ca-pin", s.pin, "--device")
	p.visit(t, strings.TrimSpace(said("user_code=")), "device.png")
	said("logged in as ada@example.com")
	c, err := client.NewStore(home["SLUICE_HOME"], time.Now).Load("")
	if err != nil || c.Refresh == "" || !c.Identity.In("dba") {
		t.Errorf("%+v, %v", c, err)
	}
	wrong := filepath.Join(t.TempDir(), "gateway.yaml")
	text, err = os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(wrong, []byte(strings.Replace(string(text), "client_id: sluice", "client_id: slice", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := runs(t.Context(), s.env, "doctor", "--config", wrong, "-o", "json")
	if by := toldOf(t, out); code != exitError {
		t.Errorf("doctor of a wrong client: exit code %d", code)
	} else {
		want(t, by, "client id", stateProblem, `"slice"`)
	}
}
