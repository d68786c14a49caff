package cmd

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// told finds the findings of one check.
func toldOf(t *testing.T, out string) map[string]finding {
	t.Helper()
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	by := map[string]finding{}
	for _, f := range list {
		if old, ok := by[f.Check]; !ok || old.State == stateOK { // what is wrong counts
			by[f.Check] = f
		}
		if f.State != stateOK && f.Hint == "" {
			t.Errorf("%s has no hint: %s", f.Check, f.Sentence)
		}
		if strings.ToLower(f.Sentence[:1]) != f.Sentence[:1] && !strings.HasPrefix(f.Sentence, "PostgreSQL") && !strings.HasPrefix(f.Sentence, "/") {
			t.Errorf("%s is not written as a sentence of ours: %s", f.Check, f.Sentence)
		}
	}
	return by
}

func want(t *testing.T, by map[string]finding, check, state, text string) {
	t.Helper()
	if f := by[check]; f.State != state || !strings.Contains(f.Sentence, text) {
		t.Errorf("%s: %+v, want %s …%s…", check, f, state, text)
	}
}

func TestDoctorFromAPersonsSide(t *testing.T) {
	s := newSite(t, "")
	s.serve(t)
	home := map[string]string{"SLUICE_HOME": t.TempDir()}
	code, out, errs := runs(t.Context(), home, "doctor", s.addr, "-o", "json")
	by := toldOf(t, out)
	if code != exitError {
		t.Errorf("without a login: exit code %d, %s", code, errs)
	}
	want(t, by, "certificate", stateWarning, s.pin)
	want(t, by, "login", stateProblem, "not logged in")
	want(t, by, "client id", stateOK, `"sluice"`)

	s.login(t, home)
	code, out, errs = runs(t.Context(), home, "doctor", "-o", "json")
	by = toldOf(t, out)
	if code != exitOK {
		t.Errorf("with a login: exit code %d, %s\n%s", code, errs, out)
	}
	want(t, by, "port", stateOK, s.addr)
	want(t, by, "certificate", stateOK, s.pin)
	want(t, by, "clock", stateOK, "agrees")
	want(t, by, "issuer", stateOK, s.idp.Issuer())
	want(t, by, "issuer clock", stateOK, "agrees")
	want(t, by, "login", stateOK, ada.Email)
	want(t, by, "groups", stateOK, ada.Groups[0])
	if code, out, _ := runs(t.Context(), home, "doctor"); code != exitOK || !strings.Contains(out, "ok       login") {
		t.Errorf("as text: exit code %d\n%s", code, out)
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	code, out, _ = runs(t.Context(), home, "doctor", nobody, "-o", "json")
	if by := toldOf(t, out); code != exitError {
		t.Errorf("nobody there: exit code %d", code)
	} else {
		want(t, by, "port", stateProblem, "does not take connections")
	}
	code, out, _ = runs(t.Context(), home, "doctor", "gateway.invalid", "-o", "json")
	if by := toldOf(t, out); code != exitError {
		t.Errorf("no such name: exit code %d", code)
	} else {
		want(t, by, "dns", stateProblem, "is not known here")
	}
}

func TestDoctorOnTheGateway(t *testing.T) {
	s := newSite(t, "")
	s.serve(t)
	look := func(config string) (int, map[string]finding, string) {
		code, out, _ := runs(t.Context(), s.env, "doctor", "--config", config, "-o", "json")
		return code, toldOf(t, out), out
	}
	code, by, out := look(s.config)
	if code != exitOK {
		t.Errorf("exit code %d\n%s", code, out)
	}
	want(t, by, "config", stateOK, "gateway.yaml")
	want(t, by, "policy", stateOK, "built-in")
	want(t, by, "data", stateOK, "nobody else")
	want(t, by, "certificate", stateOK, s.pin)
	want(t, by, "record", stateOK, "entries are signed")
	want(t, by, "issuer", stateOK, "answers")
	want(t, by, "db orders", stateWarning, "is a superuser")

	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	variant := func(old, new string) string {
		t.Helper()
		if !strings.Contains(string(text), old) {
			t.Fatalf("%q is not in the configuration", old)
		}
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ check, old, new, sentence string }{
		{"config", "listen:", "lisen:", `did you mean "listen"?`},
		{"policy", "connections:", "policy: no-such.yaml\nconnections:", "cannot be read"},
		{"issuer", s.idp.Issuer(), "http://127.0.0.1:1", "nothing listens there"},
		{"client id", "client_id: sluice", "client_id: slice", `"slice"`},
		{"db orders", "DB_PASSWORD", "NO_PASSWORD", "NO_PASSWORD"},
		{"db orders", "  - name: orders\n", "  - name: orders\n    groups: ['*']\n    database: {host: 127.0.0.1, port: 1, name: x, user: x, password: {env: DB_PASSWORD}}\n  - name: other\n", "cannot be reached"},
	} {
		code, by, out := look(variant(c.old, c.new))
		if code != exitError {
			t.Errorf("%s: exit code %d\n%s", c.check, code, out)
		}
		want(t, by, c.check, stateProblem, c.sentence)
	}
	if runtime.GOOS != "windows" {
		data := strings.Fields(strings.SplitAfter(string(text), "data: ")[1])[0]
		if err := os.Chmod(filepath.Join(data, "authority", "client-ca.key"), 0o644); err != nil {
			t.Fatal(err)
		}
		code, by, _ := look(s.config)
		if code != exitError {
			t.Errorf("keys for everyone: exit code %d", code)
		}
		want(t, by, "data", stateProblem, "client-ca.key (mode 0644)")
	}
}

func TestClocksThatDiffer(t *testing.T) {
	for ahead, want := range map[time.Duration]struct{ state, says string }{
		0: {stateOK, ""}, 29 * time.Second: {stateOK, ""}, -29 * time.Second: {stateOK, ""}, 31 * time.Second: {stateWarning, "31s"},
		-time.Minute: {stateWarning, "1m"}, 3 * time.Minute: {stateProblem, "3m"}, -time.Hour: {stateProblem, "1h"},
	} {
		d := &diagnosis{}
		d.clock("clock", "the gateway", ahead)
		if got := d.list[0]; got.State != want.state || !strings.Contains(got.Sentence, want.says) {
			t.Errorf("%v: %+v, want %+v", ahead, got, want)
		}
	}
}
