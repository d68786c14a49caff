package cmd

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

const goodConfig = `listen: 127.0.0.1:0
data: DATA
oidc: {issuer: https://id.example.com, client_id: sluice}
connections:
  - name: orders
    env: prod
    groups: ["*"]
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
		{"typo in a key", "listen:", "lisen:", []string{`:1: unknown key "lisen", did you mean "listen"?`}},
		{"key of nothing we know", "env: prod", "colour: blue", []string{`:6: unknown key "colour"; known are name, env, groups or database`}},
		{"key of another mapping", "env: prod", "listen: x", []string{`:6: unknown key "listen"; known are name, env`}},
		{"key nearest among its siblings", "host: db.internal", "hosts: db.internal", []string{`:8: unknown key "hosts", did you mean "host"?`}},
		{"key twice", "data:", "listen: 127.0.0.1:1\ndata:", []string{`:2: the key "listen" is there twice`}},
		{"key without a value", "env: prod", "env:", []string{":6: env has no value"}},
		{"nobody's groups", `groups: ["*"]`, "groups: []", []string{":7: groups is empty, which lets in nobody", `write ["*"]`}},
		{"nobody may open anything", "    groups: [\"*\"]\n", "", []string{":4: no connection says who may open it", "give it groups: [NAME"}},
		{"password written out", "{env: ORDERS_PASSWORD}", "hunter2", []string{":8: a password is not written here", "{env: NAME}"}},
		{"password of a mistyped source", "{env: ORDERS_PASSWORD}", "{envv: X}", []string{`:8: unknown key "envv", did you mean "env"?`}},
		{"connections twice", "connections:", "connections: []\nconnections:", []string{`:5: the key "connections" is there twice`}},
		{"connections as a mapping", "  - name: orders\n    env: prod\n    groups: [\"*\"]\n    database:", "  name: orders\n  env: prod\n  database:", []string{":5: connections must be a list, not keys"}},
		{"no issuer", "issuer: https://id.example.com, ", "", []string{":3: oidc needs issuer"}},
		{"issuer without a scheme", "https://id.example.com", "id.example.com", []string{`:3: issuer is "id.example.com", must be a URL`}},
		{"groups parted by what we do not know", "client_id: sluice", "client_id: sluice, groups_split: semicolon", []string{`:3: groups_split is "semicolon", must be`, "space", "comma"}},
		{"groups parted by a list", "client_id: sluice", "client_id: sluice, groups_split: [space]", []string{":3: groups_split must be one text, not a list"}},
		{"domain with an address", "client_id: sluice", "client_id: sluice, domains: {ada@example.com: [staff]}", []string{`:3: domains: "ada@example.com" is not a domain in lower case`}},
		{"domain in capitals", "client_id: sluice", "client_id: sluice, domains: {Example.com: [staff]}", []string{`:3: domains: "Example.com" is not a domain in lower case`}},
		{"every domain", "client_id: sluice", "client_id: sluice, domains: {'*': [staff]}", []string{`:3: domains: "*" is not a domain`}},
		{"domain without groups", "client_id: sluice", "client_id: sluice, domains: {example.com: []}", []string{":3: domains", "example.com"}},
		{"domain with a nameless group", "client_id: sluice", "client_id: sluice, domains: {example.com: ['']}", []string{":3: domains: a group has no name"}},
		{"domains that are a list", "client_id: sluice", "client_id: sluice, domains: [example.com]", []string{":3: domains must"}},
		{"scopes without openid", "client_id: sluice", "client_id: sluice, scopes: [email, groups]", []string{":3: scopes needs openid among them"}},
		{"scopes in one text", "client_id: sluice", "client_id: sluice, scopes: openid email", []string{`:3: scopes must be a list, not "openid email"`}},
		{"prompt that providers do not know", "client_id: sluice", "client_id: sluice, prompt: none", []string{`:3: prompt is "none", must be`, "consent"}},
		{"prompt mistyped", "client_id: sluice", "client_id: sluice, promt: consent", []string{`:3: unknown key "promt", did you mean "prompt"?`}},
		{"name with a space", "name: orders\n", "name: or ders\n", []string{":5: connection 1 needs a name without spaces"}},
		{"no host", "host: db.internal, ", "", []string{`:8: connection "orders" needs database.host`}},
		{"port in the host", "db.internal", "'db.internal:5433'", []string{":8: host has a port in it; write host: db.internal, port: 5433"}},
		{"port of letters", "host: db.internal", "host: db.internal, port: five", []string{`:8: port must be a whole number, not "five"`}},
		{"port of 0", "host: db.internal", "host: db.internal, port: 0", []string{":8: port is 0, must be from 1 to 65535"}},
		{"port too large", "host: db.internal", "host: db.internal, port: 99999", []string{":8: port is 99999"}},
		{"port beyond numbers", "host: db.internal", "host: db.internal, port: 99999999999999999999", []string{":8: port must be a whole number"}},
		{"sslmode mistyped", "host: db.internal", "host: db.internal, sslmode: verify-ful", []string{`:8: sslmode is "verify-ful", did you mean "verify-full"?`}},
		{"listen without a port", "listen: 127.0.0.1:0", "listen: 8443", []string{`:1: listen is "8443", must be an address and a port`}},
		{"listen on a port too large", "listen: 127.0.0.1:0", "listen: 127.0.0.1:70000", []string{":1: listen is"}},
		{"not YAML", "oidc: {", "oidc: {{", []string{":3: this is not YAML"}},
		{"tab", "    env: prod", "\tenv: prod", []string{":6: the line is indented with a tab"}},
		{"two mistakes at once", "env: prod\n    groups: [\"*\"]\n    database:", "evn: prod\n    databse:", []string{"has 2 mistakes", `:6: unknown key "evn", did you mean "env"?`, `:7: unknown key "databse", did you mean "database"?`}},
		{"bad durability", "data:", "record: {durability: sometimes}\ndata:", []string{":2: durability is", "balanced or strict"}},
		{"bad duration", "data:", "certificate: soon\ndata:", []string{`:2: certificate must be a time such as 30s, 15m or 8h, not "soon"`}},
		{"duration without a unit", "data:", "approvals: {wait: 15}\ndata:", []string{":2: wait must be a time"}},
		{"negative duration", "data:", "approvals: {wait: -15m}\ndata:", []string{":2: wait must be a time"}},
		{"truth of another kind", "client_id: sluice", "client_id: sluice, require_groups: sometimes", []string{`:3: require_groups must be true or false, not "sometimes"`}},
		{"list that is a word", "data:", "admins: dba\ndata:", []string{`:2: admins must be a list, not "dba"`}},
		{"exports that go nowhere", "data:", "exports: [{name: A b, to: 'ftp://x'}, {name: a, to: 'syslog+tcp://x', format: otlp}, {name: a, to: stdout, from: later}, {name: c}]\ndata:",
			[]string{`name is "A b"`, "neither stdout", "otlp goes to an https address", "two exports called", "from is", "to is missing"}},
		{"a record that is not kept for a day", "data:", "record: {keep: 2h, pack: 30d}\ndata:", []string{`:2: keep is 2h, must be a day at least`}},
		{"a wrong word for literals", "data:", "record: {literals: forget}\ndata:", []string{`:2: literals is "forget", must be`}},
		{"mapping that is a word", "data:", "record: strict\ndata:", []string{`:2: record must have keys such as durability, pack or keep, not "strict"`}},
		{"text that is a list", "env: prod", "env: [prod]", []string{":6: env must be one text, not a list"}},
		{"anchor", "env: prod", "env: &e prod", []string{":6: anchors and aliases are not allowed"}},
		{"alias", "env: prod", "env: *e", []string{":6: anchors and aliases are not allowed"}},
		{"merge key", "env: prod", "<<: {env: prod}", []string{":6: anchors and aliases are not allowed"}},
		{"tag", "env: prod", "env: !!str prod", []string{":6: env has the tag !!str"}},
		{"second document", "env: prod\n", "env: prod\n---\n", []string{"a second document begins before this line"}},
		{"Latin-1", "env: prod", "env: caf\xe9", []string{":6: this is not UTF-8 text"}},
		{"control character", "env: prod", "env: a\x00b", []string{":6: a control character (0x00)"}},
		{"half a certificate", "data:", "tls: {cert: /x}\ndata:", []string{":2: tls needs cert and key"}},
		{"no sessions at all", "data:", "limits: {sessions: 0}\ndata:", []string{":2: sessions is 0, must be from 1"}},
		{"a caller with more than all", "data:", "limits: {sessions: 10, sessions_each: 11}\ndata:", []string{":2: sessions_each is 11, more than the 10 sessions in all"}},
		{"memory without a unit", "data:", "limits: {memory: 536870912}\ndata:", []string{`:2: memory must be a size such as 512MiB or 2GiB, not "536870912"`}},
		{"memory of another unit", "data:", "limits: {memory: 512MB}\ndata:", []string{`:2: memory must be a size such as`, `not "512MB"`}},
		{"memory below nothing", "data:", "limits: {memory: -1GiB}\ndata:", []string{`:2: memory must be a size such as`}},
		{"memory beyond numbers", "data:", "limits: {memory: 99999999999999999999GiB}\ndata:", []string{`:2: memory must be a size such as`}},
		{"memory in a list", "data:", "limits: {memory: [512MiB]}\ndata:", []string{`:2: memory must be a size such as 512MiB or 2GiB, not a list`}},
		{"no memory at all", "data:", "limits: {memory: 0MiB}\ndata:", []string{":2: memory is 0GiB, must be from 16MiB to 1024GiB"}},
		{"too little memory", "data:", "limits: {memory: 1000KiB}\ndata:", []string{":2: memory is 1000KiB, must be from 16MiB"}},
		{"more memory than there is", "data:", "limits: {memory: 1025 GiB}\ndata:", []string{":2: memory is 1025GiB, must be from"}},
		{"memory mistyped", "data:", "limits: {memroy: 1GiB}\ndata:", []string{`:2: unknown key "memroy", did you mean "memory"?`}},
		{"everything after a document", goodConfig, goodConfig + "---\nlisten: x\n", []string{":10: a second document"}},
		{"empty", goodConfig, "", []string{":1: the file is empty"}},
		{"only comments", goodConfig, "# nothing\n", []string{":1: the file has nothing but comments"}},
		{"only a separator", goodConfig, "---\n", []string{":1: the file has no keys"}},
		{"a word", goodConfig, "gateway\n", []string{`:1: the file must have keys such as listen, data or hosts, not "gateway"`}},
		{"a list", goodConfig, "- listen\n", []string{":1: the file must have keys", "not a list"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(goodConfig, tt.from, tt.to, 1)
			if text == goodConfig {
				t.Fatal("the case changes nothing")
			}
			path := writeConfig(t, text)
			_, err := readConfig(path)
			if err == nil {
				t.Fatal("the mistake went unnoticed")
			}
			sentence, hint, code := explainError(err)
			for _, want := range tt.want {
				if strings.HasPrefix(want, ":") {
					want = path + want
				}
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

// Whatever the file has, reading it ends, with a configuration or with mistakes.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{goodConfig, "", "---\n", "a: *a", "? [a]\n: b", "oidc: {{", "connections: [{name: [], database: {password: {exec: [a]}}}]", "<<: *x", "!!set {a}", "\xff", "listen: &a [*a]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, cfg := &sheet{}, &gatewayConfig{}
		s.read(data, cfg)
		cfg.check(s)
		lines := bytes.Count(data, []byte("\n")) + 2
		for _, p := range s.Problems {
			if p.Line < 1 || p.Line > lines || p.Text == "" {
				t.Errorf("line %d of %d: %q", p.Line, lines, p.Text)
			}
		}
	})
}

// What never ends must not be read for ever, nor a directory be opened as a file.
func TestConfigThatIsNoFile(t *testing.T) {
	for path, want := range map[string]string{"/dev/zero": "more than 1024 KiB", t.TempDir(): "is a directory", "/none/at/all": "no such file or directory"} {
		code, _, stderr := runs(t.Context(), nil, "gateway", "--config", path)
		if code != exitUsage || !strings.Contains(stderr, "error: the configuration "+path+" cannot be read: ") || !strings.Contains(stderr, want) || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%s: exit code %d: %s", path, code, stderr)
		}
	}
}

func TestLimitsOfSessions(t *testing.T) {
	for text, want := range map[string][2]int{
		"":                             {5000, 2500},
		"limits: {sessions: 10}\n":     {10, 5},
		"limits: {sessions: 1}\n":      {1, 1},
		"limits: {sessions_each: 9}\n": {5000, 9},
		"limits: {sessions: 8, sessions_each: 8}\n": {8, 8},
	} {
		cfg, err := readConfig(writeConfig(t, text+goodConfig))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int{cfg.Limits.inAll(), cfg.Limits.each()}; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// What the file says of memory is what the gateway takes for large messages.
func TestLimitOfMemory(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "limits: {memory: 16MiB}\n": 16 << 20, "limits: {memory: 2 GiB}\n": 2 << 30, "limits: {memory: 1024GiB}\n": 1 << 40} {
		cfg, err := readConfig(writeConfig(t, text+goodConfig))
		if err != nil {
			t.Fatal(err)
		}
		c := &cobra.Command{}
		c.SetContext(t.Context())
		hc, err := (&app{env: func(string) string { return "x" }}).houseOf(c, cfg)
		if err != nil || hc.base.Memory != want {
			t.Errorf("%q: %d bytes, %v; want %d", text, hc.base.Memory, err, want)
		}
	}
}

func TestUnreadableRootsOfADatabase(t *testing.T) {
	for path, want := range map[string]string{"/none": "cannot be read: no such file or directory", writeConfig(t, goodConfig): "there is no certificate in sslrootcert"} {
		c := connectionConfig{Name: "orders", Database: databaseConfig{Host: "db.internal", Name: "x", User: "x", SSLRootCert: path}}
		_, err := c.connection(t.Context(), os.Getenv)
		if sentence, hint, _ := explainError(err); !strings.Contains(sentence, want) || !strings.HasPrefix(sentence, "connection orders: ") || hint == "" {
			t.Errorf("%s: %q, hint %q", path, sentence, hint)
		}
	}
}

// The issuer is asked when the gateway starts: whoever starts it sees why nobody
// could log in.
func TestGatewayWithoutItsIssuer(t *testing.T) {
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>\nhello</html>") }))
	defer html.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer untrusted.Close()
	for issuer, want := range map[string]string{
		"http://127.0.0.1:1":              "the identity provider http://127.0.0.1:1 cannot be reached: nothing listens there",
		"https://nobody.invalid":          "the name nobody.invalid is not known here",
		html.URL:                          "the identity provider " + html.URL + " cannot be used",
		untrusted.URL:                     "has a certificate that this machine does not trust",
		"http://127.0.0.1:1/a/b?c=d#e fg": "cannot",
	} {
		text := strings.Replace(goodConfig, "issuer: https://id.example.com", "issuer: '"+issuer+"'", 1)
		code, _, stderr := runs(t.Context(), map[string]string{"ORDERS_PASSWORD": "x"}, "gateway", "--config", writeConfig(t, text))
		if code != exitError || !strings.Contains(stderr, want) || !strings.Contains(stderr, "\nhint: ") || strings.Count(stderr, "\n") != 2 {
			t.Errorf("%s: exit code %d: %s", issuer, code, stderr)
		}
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
	_, err := secret{Env: "NOT_SET_ANYWHERE"}.read(t.Context(), "x", "password", func(string) string { return "" })
	if err == nil {
		t.Fatal("an empty variable was taken for a password")
	}
	got, err := secret{Exec: []string{"printf", "from a program\n"}}.read(t.Context(), "x", "password", os.Getenv)
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

func TestGatewayOnAnAddressOfAnother(t *testing.T) {
	for listen, want := range map[string]string{"192.0.2.1:8443": "192.0.2.1:8443 is not an address of this machine", "nobody.invalid:1": "the name in nobody.invalid:1 is not known here"} {
		path := writeConfig(t, strings.Replace(goodConfig, "127.0.0.1:0", listen, 1))
		code, _, stderr := runs(t.Context(), map[string]string{"ORDERS_PASSWORD": "x"}, "gateway", "--config", path)
		if code != exitError || !strings.Contains(stderr, want) || !strings.Contains(stderr, "hint: take an address of this machine") {
			t.Errorf("%s: exit code %d: %s", listen, code, stderr)
		}
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
