package cmd

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodConfig = `listen: 127.0.0.1:0
data: DATA
oidc: {issuer: https://id.example.com, client_id: sluice}
connections:
  - name: orders
    env: prod
    database: {host: db.internal, name: orders, user: sluice, password: {env: ORDERS_PASSWORD}}
`

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DATA", t.TempDir())), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigMistakesAreSaidWithTheirLine(t *testing.T) {
	tests := []struct {
		name, from, to string
		want           []string
	}{
		{"typo in a key", "listen:", "lisen:", []string{"line 1", `unknown key "lisen"`, `did you mean "listen"?`}},
		{"key of nothing we know", "env: prod", "colour: blue", []string{"line 6", `unknown key "colour"`}},
		{"password written out", "{env: ORDERS_PASSWORD}", "hunter2", []string{"line 7", "a password is not written here", "{env: NAME}"}},
		{"no connections", "connections:", "connections: []\nhosts:", []string{"line"}},
		{"no issuer", "issuer: https://id.example.com, ", "", []string{"oidc needs issuer"}},
		{"name with a space", "name: orders\n", "name: or ders\n", []string{"needs a name without spaces"}},
		{"no host", "host: db.internal, ", "", []string{`connection "orders" needs database.host`}},
		{"not YAML", "oidc: {", "oidc: {{", []string{"line"}},
		{"two mistakes at once", "env: prod\n    database:", "evn: prod\n    databse:", []string{`"evn"`, `did you mean "env"?`, `"databse"`, `did you mean "database"?`}},
		{"bad durability", "data:", "record: {durability: sometimes}\ndata:", []string{"balanced or strict"}},
		{"bad duration", "data:", "certificate: soon\ndata:", []string{"line 2", "is not a duration"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(goodConfig, tt.from, tt.to, 1)
			if text == goodConfig {
				t.Fatal("the case changes nothing")
			}
			_, err := readConfig(writeConfig(t, text))
			if err == nil {
				t.Fatal("the mistake went unnoticed")
			}
			sentence, hint, code := explainError(err)
			for _, want := range tt.want {
				if !strings.Contains(sentence, want) {
					t.Errorf("%q does not say %q", sentence, want)
				}
			}
			if hint == "" || code != exitUsage {
				t.Errorf("hint %q, exit code %d", hint, code)
			}
			if strings.Contains(sentence, "hunter2") {
				t.Error("the password is repeated")
			}
		})
	}
}

func TestGoodConfigIsRead(t *testing.T) {
	cfg, err := readConfig(writeConfig(t, goodConfig))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := cfg.Connections[0].connection(t.Context(), func(name string) string { return "value of " + name })
	if err != nil {
		t.Fatal(err)
	}
	if conn.Name != "orders" || conn.Env != "prod" || conn.Database.Password != "value of ORDERS_PASSWORD" {
		t.Errorf("got %+v", conn)
	}
	if conn.Database.TLSConfig == nil || conn.Database.TLSConfig.InsecureSkipVerify || conn.Database.TLSConfig.ServerName != "db.internal" {
		t.Error("a database elsewhere must be verified in full by default")
	}
}

func TestNamesCannotAddConnectionParameters(t *testing.T) {
	for _, name := range []string{"orders?sslmode=disable", "orders host=evil.example", "a&b='", "/tmp", "host=evil.example"} {
		c := connectionConfig{Name: "x", Database: databaseConfig{Host: "db.internal", Name: name, User: name}}
		conn, err := c.connection(t.Context(), os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		if conn.Database.Database != name || conn.Database.User != name || conn.Database.Host != "db.internal" || conn.Database.TLSConfig == nil {
			t.Errorf("name %q became %q at %q", name, conn.Database.Database, conn.Database.Host)
		}
	}
}

func TestEmptySecretIsNotAPassword(t *testing.T) {
	_, err := secret{Env: "NOT_SET_ANYWHERE"}.read(t.Context(), func(string) string { return "" })
	if err == nil {
		t.Fatal("an empty variable was taken for a password")
	}
	got, err := secret{Exec: []string{"printf", "from a program\n"}}.read(t.Context(), os.Getenv)
	if err != nil || got != "from a program" {
		t.Errorf("got %q, %v", got, err)
	}
}

// runs calls the command line as a person would.
func runs(ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs, env: func(name string) string { return env[name] }, now: time.Now}
	code = a.run(ctx, args)
	return code, out.String(), errs.String()
}

func TestGatewayOnATakenPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	path := writeConfig(t, strings.Replace(goodConfig, "127.0.0.1:0", ln.Addr().String(), 1))
	code, _, stderr := runs(t.Context(), map[string]string{"ORDERS_PASSWORD": "x"}, "gateway", "--config", path)
	if code != exitError || !strings.Contains(stderr, "is taken by another program") || !strings.Contains(stderr, "hint: choose another port") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestGatewayWithoutAConfiguration(t *testing.T) {
	code, _, stderr := runs(t.Context(), nil, "gateway", "--config", filepath.Join(t.TempDir(), "none.yaml"))
	if code != exitUsage || !strings.Contains(stderr, "hint:") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestUnknownCommandAndFlag(t *testing.T) {
	for _, args := range [][]string{{"frobnicate"}, {"dev", "--frobnicate"}, {"dev"}, {"version", "extra"}, {"version", "-o", "xml"}, {"dev", "--dsn", "x", "--kind", "robot"}} {
		code, stdout, stderr := runs(t.Context(), nil, args...)
		if code != exitUsage || !strings.HasPrefix(stderr, "error: ") || stdout != "" {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}
