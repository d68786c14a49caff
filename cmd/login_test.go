package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/demo"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// lines runs a command and hands out its standard error line by line, as a person
// would read it. The command ends with the test.
func lines(t *testing.T, env map[string]string, args ...string) (next func(with string) string) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		a := &app{in: strings.NewReader(""), out: io.Discard, err: w, env: func(name string) string { return env[name] }, now: time.Now}
		a.run(ctx, args)
		w.Close()
	})
	said := make(chan string, 100) // more than a command says at its start
	group.Go(func() {
		for scan := bufio.NewScanner(r); scan.Scan(); {
			select {
			case said <- scan.Text():
			default: // nobody waits for it any more
			}
		}
		close(said)
	})
	t.Cleanup(func() { cancel(); group.Wait() })
	return func(with string) string {
		t.Helper()
		late := time.After(20 * time.Second)
		for {
			select {
			case line, ok := <-said:
				if !ok {
					t.Fatalf("%v ended without saying %q", args, with)
				}
				if strings.Contains(line, with) {
					return line
				}
			case <-late:
				t.Fatalf("%v did not say %q in time", args, with)
			}
		}
	}
}

// A whole installation: a provider, a gateway made from a file, and a person who
// logs in with a browser.
func TestLoginAtAGatewayMadeFromAFile(t *testing.T) {
	idp, err := demo.StartIDP(t.Context(), demo.Config{Users: []demo.User{ada}, ClientID: "sluice"})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	db, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := db.User.Password()
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	text := fmt.Sprintf(`listen: 127.0.0.1:0
data: %s
oidc: {issuer: %s, client_id: sluice}
connections:
  - name: orders
    groups: ["*"]
    database: {host: %s, port: %s, name: %s, user: %s, password: {env: DB_PASSWORD}, sslmode: disable}
`, t.TempDir(), idp.Issuer(), db.Hostname(), db.Port(), strings.TrimPrefix(db.Path, "/"), db.User.Username())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := lines(t, map[string]string{"DB_PASSWORD": password}, "gateway", "--config", config)
	serving := said("serving 1 connections on ")
	addr := serving[strings.LastIndex(serving, " ")+1:]
	shown := said("fingerprint")
	fingerprint := shown[strings.LastIndex(shown, " ")+1:]

	home := map[string]string{"SLUICE_HOME": t.TempDir()}
	if code, _, stderr := runs(t.Context(), home, "login", addr); code != exitUsage || !strings.Contains(stderr, "--ca-pin") {
		t.Errorf("a gateway nobody knows was trusted: exit code %d: %s", code, stderr)
	}
	if code, _, stderr := runs(t.Context(), home, "login", addr, "--ca-pin", "sha256:"+strings.Repeat("0", 64)); code != exitError || !strings.Contains(stderr, "hint:") {
		t.Errorf("a wrong fingerprint was trusted: exit code %d: %s", code, stderr)
	}

	login := lines(t, home, "login", addr, "--ca-pin", fingerprint, "--no-browser")
	link := strings.TrimSpace(login("http://127.0.0.1"))
	if err := idp.SignIn(ada.Email)(link); err != nil {
		t.Fatal(err)
	}
	login("logged in as " + ada.Email)

	code, stdout, stderr := runs(t.Context(), home, "whoami", "-o", "json")
	var me whoami
	if err := json.Unmarshal([]byte(stdout), &me); err != nil || code != exitOK || me.Email != ada.Email || !me.Valid {
		t.Errorf("whoami: exit code %d, %s %s", code, stdout, stderr)
	}
	code, stdout, stderr = runs(t.Context(), home, "exec", "orders", "-o", "csv", "-c", "select 40 + 2 as answer")
	if code != exitOK || stdout != "answer\n42\n" {
		t.Errorf("exec: exit code %d, %q %s", code, stdout, stderr)
	}
	if code, stdout, _ := runs(t.Context(), home, "ls"); code != exitOK || !strings.Contains(stdout, "orders") || !strings.Contains(stdout, "no-drop") {
		t.Errorf("ls: exit code %d, %s", code, stdout)
	}
	if code, _, stderr := runs(t.Context(), home, "logout"); code != exitOK {
		t.Errorf("logout: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := runs(t.Context(), home, "exec", "orders", "-c", "select 1"); code != exitNotLoggedIn || !strings.Contains(stderr, "sluice login") {
		t.Errorf("after logout: exit code %d, %s", code, stderr)
	}
}
