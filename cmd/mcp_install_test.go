package cmd

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// configured runs a command as somebody whose directory is home.
func configured(t *testing.T, home, store string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	a := &app{in: strings.NewReader(""), out: &o, err: &e, now: time.Now, env: func(name string) string {
		return map[string]string{"HOME": home, "SLUICE_HOME": store, "APPDATA": filepath.Join(home, "AppData")}[name]
	}}
	code = a.run(t.Context(), append([]string{"mcp"}, args...))
	return code, o.String(), e.String()
}

// What install writes into a client's configuration starts an agent that works, and
// uninstall leaves what was there before.
func TestInstalledAgentWorks(t *testing.T) {
	w := newTown(t)
	home := t.TempDir()
	path := filepath.Join(home, ".cursor", "mcp.json")
	const before = "{\n  // mine\n  \"mcpServers\": {\n    \"files\": {\n      \"command\": \"npx\",\n      \"args\": []\n    }\n  }\n}\n"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := configured(t, home, w.home, "install", "cursor", "--connection", "orders", "--print"); code != exitOK || !strings.Contains(out, `+    "sluice": {`) || errs != "" {
		t.Fatalf("print: %d %s %s", code, out, errs)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != before {
		t.Errorf("--print wrote %s, %v", text, err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if _, out, _ := configured(t, home, w.home, "install", "cursor", "--runbooks", "shelf", "--print"); !strings.Contains(out, `"`+strings.ReplaceAll(filepath.Join(here, "shelf"), `\`, `\\`)+`"`) {
		t.Errorf("the client starts it elsewhere: %s", out)
	}
	code, out, errs := configured(t, home, w.home, "install", "cursor", "--connection", "orders")
	if code != exitOK || !strings.Contains(out, `+    "sluice": {`) || !strings.Contains(errs, ".before-") || !strings.Contains(errs, "restart it") {
		t.Fatalf("install: %d %s %s", code, out, errs)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "// mine") || strings.Contains(string(text), "sluice_token_") {
		t.Fatalf("it wrote %s, %v", text, err)
	}
	var conf struct {
		Servers map[string]struct {
			Args []string          `json:"args"`
			Env  map[string]string `json:"env"`
		} `json:"mcpServers"`
	}
	if err := json.Unmarshal([]byte(strings.Replace(string(text), "// mine", "", 1)), &conf); err != nil {
		t.Fatal(err)
	}
	entry := conf.Servers["sluice"]
	if entry.Env["SLUICE_HOME"] != w.home {
		t.Fatalf("entry: %+v", entry)
	}
	c := w.sluice(entry.Env["SLUICE_HOME"], entry.Args...)
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &sdk.CommandTransport{Command: c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{ClientSession: session, t: t, said: &safeBuffer{}}
	if r := m.query("select age from people where id = 1"); r.failed || r.Rows != 1 {
		t.Errorf("a query: %s", r.text)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	_, who, _ := w.run(w.boss, "", "audit", "query", "--kind", "decided", "-o", "json")
	if !strings.Contains(who, `"who": "cursor for ada"`) {
		t.Errorf("the record has %s", who)
	}
	if code, _, errs := configured(t, home, w.home, "install", "cursor", "--connection", "orders"); code != exitOK || !strings.Contains(errs, "has it already") {
		t.Errorf("again: %d %s", code, errs)
	}
	if code, _, errs := configured(t, home, w.home, "uninstall", "cursor"); code != exitOK {
		t.Errorf("uninstall: %d %s", code, errs)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != before {
		t.Errorf("after uninstall: %s, %v", text, err)
	}
	if kept, err := filepath.Glob(path + ".before-*"); err != nil || len(kept) != 2 {
		t.Errorf("kept: %v, %v", kept, err)
	}
}

func TestInstallLeavesBrokenConfigurationsAlone(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "mcp.json")
	for name, tt := range map[string]struct {
		text string
		args []string
		code int
		want string
	}{
		"broken":              {`{"mcpServers": `, []string{"install", "cursor", "--file", path}, exitError, "was left alone"},
		"taken":               {`{"mcpServers": {"sluice": {"command": "x"}}}`, []string{"install", "cursor", "--file", path}, exitError, "another server"},
		"not ours to remove":  {`{"mcpServers": {"sluice": {"command": "x"}}}`, []string{"uninstall", "cursor", "--file", path}, exitError, "another server"},
		"nothing to remove":   {`{}`, []string{"uninstall", "cursor", "--file", path}, exitError, "no server called"},
		"unknown client":      {`{}`, []string{"install", "curser"}, exitUsage, `did you mean "cursor"`},
		"no project":          {`{}`, []string{"install", "claude-desktop", "--project"}, exitUsage, "no configuration in projects"},
		"a name with a quote": {"", []string{"install", "codex", "--name", `a"]`, "--file", path}, exitError, "letters, digits"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := configured(t, home, home, tt.args...)
		if code != tt.code || !strings.Contains(errs, tt.want) || !strings.Contains(errs, "hint:") || out != "" {
			t.Errorf("%s: %d %q %s", name, code, out, errs)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != tt.text {
			t.Errorf("%s: the file is %q, %v", name, text, err)
		}
	}
	if runtime.GOOS != "windows" {
		if err := os.Mkdir(filepath.Join(home, ".claude.json"), 0o700); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := configured(t, home, home, "install", "claude-code"); code != exitError || !strings.Contains(errs, "cannot be read") {
			t.Errorf("a directory: %d %s", code, errs)
		}
	}
}

// A server over standard input says nothing there that is not the protocol.
func TestNothingButTheProtocolIsOnStandardOutput(t *testing.T) {
	w := newTown(t)
	c := w.sluice(w.home, "mcp")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`+"\n"); err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	text := first + string(rest)
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(text) {
		var msg struct{ JSONRPC string }
		if err := json.Unmarshal([]byte(line), &msg); err != nil || msg.JSONRPC != "2.0" {
			t.Errorf("%q is no message", line)
		}
	}
	if !strings.Contains(text, `"serverInfo"`) {
		t.Errorf("it answered %q", text)
	}
}
