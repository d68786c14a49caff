package agentconf

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var entry = Entry{Command: "/usr/local/bin/sluice", Args: []string{"mcp", "--agent", "claude"}, Env: map[string]string{"SLUICE_HOME": "/home/ada/.sluice"}}

func named(t testing.TB, name string) Client {
	t.Helper()
	for _, c := range Clients() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no client %q", name)
	return Client{}
}

// The files are of the shapes that clients and people write. want is what the changed one
// must hold; all else must be as it was, and be so again when the entry is taken out.
func TestEntryIsPutInAndTakenOut(t *testing.T) {
	for name, tt := range map[string]struct{ client, text, want string }{
		"no file":       {"claude-desktop", "", "{\n  \"mcpServers\": {\n    \"sluice\": {\n      \"command\": \"/usr/local/bin/sluice\",\n"},
		"empty object":  {"cursor", "{}", "\"sluice\": {"},
		"empty servers": {"cursor", "{\n  \"mcpServers\": {}\n}\n", "\"mcpServers\": {\n    \"sluice\": {"},
		"other servers": {"claude-desktop", "{\n  \"mcpServers\": {\n    \"files\": {\n      \"command\": \"npx\",\n      \"args\": [\"-y\", \"files\"],\n      \"env\": {\"KEY\": \"secret\"}\n    }\n  },\n  \"globalShortcut\": \"\"\n}\n", "    },\n    \"sluice\": {\n      \"command\""},
		"state of Claude Code": {"claude-code", `{
  "numStartups": 184,
  "installMethod": "native",
  "tipsHistory": {"a": 1, "b": 2},
  "projects": {"/home/ada/shop": {"mcpServers": {}, "history": [{"display": "x <b>&amp;</b>"}]}},
  "userID": "0123456789abcdef",
  "bigNumber": 9007199254740993,
  "mcpServers": {"x": {"type": "stdio", "command": "x", "args": []}}
}`, `"type": "stdio"`},
		"comments of VS Code": {"vscode", "{\n\t// servers of mine\n\t\"servers\": {\n\t\t\"github\": {\n\t\t\t\"type\": \"http\",\n\t\t\t\"url\": \"https://api.example/mcp/\", // remote\n\t\t}, // keep me\n\t\t/* no more */\n\t},\n\t\"inputs\": [],\n}\n", "\t\t\"sluice\": {\n\t\t\t\"type\": \"stdio\",\n\t\t\t\"command\""},
		"settings of Zed":     {"zed", "// Zed settings\n//\n// see docs\n{\n  \"theme\": \"One Dark\",\n  \"context_servers\": {\n    \"some\": {\n      \"command\": \"some\",\n      \"args\": []\n    }\n    // end\n  }\n}\n", "\"sluice\""},
		"one line":            {"windsurf", `{"mcpServers": {"a": {"command": "a", "args": []}}}`, "\"sluice\""},
		"four spaces":         {"cursor", "{\n    \"mcpServers\": {\n        \"a\": {\n            \"url\": \"http://localhost:1\"\n        }\n    }\n}", "        \"sluice\": {\n            \"command\""},
		"lines of Windows":    {"cursor", "{\r\n  \"mcpServers\": {\r\n    \"a\": {\"command\": \"a\"}\r\n  }\r\n}\r\n", "\"sluice\": {\r\n      \"command\""},
		"byte order mark":     {"cursor", "\ufeff{\n  \"mcpServers\": {\n    \"a\": {\"command\": \"a\"}\n  }\n}\n", "\"sluice\""},
		"null":                {"gemini", "{\"theme\": \"x\", \"mcpServers\": {\"b\": null}}", "\"sluice\""},
		"settings of Gemini":  {"gemini", "{\n  \"selectedAuthType\": \"oauth-personal\",\n  \"mcpServers\": {\n    \"a\": {\n      \"httpUrl\": \"http://x\",\n      \"trust\": false\n    }\n  }\n}\n", "\"sluice\""},
		"no TOML yet":         {"codex", "", "[mcp_servers.sluice]\ncommand = '/usr/local/bin/sluice'\n"},
		"TOML with comments":  {"codex", "# mine\nmodel = \"x\"\n\n[mcp_servers.docs] # theirs\ncommand = \"npx\"\nargs = [\"-y\", \"docs\"]\n\n# about projects\n[projects.\"/home/ada\"]\ntrust_level = \"trusted\"\n", "[mcp_servers.sluice.env]\nSLUICE_HOME = '/home/ada/.sluice'\n"},
		"TOML of Windows":     {"codex", "model = \"x\"\r\n", "[mcp_servers.sluice]\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := named(t, tt.client)
			added, err := c.Add([]byte(tt.text), "sluice", entry)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(added), tt.want) {
				t.Errorf("it has not %q:\n%s", tt.want, added)
			}
			_, have, err := c.format.read([]byte(strings.TrimPrefix(string(added), "\ufeff")), c.key, "sluice")
			if err != nil || have == nil || have.Command != entry.Command || !cmp.Equal(have.Args, entry.Args) || !cmp.Equal(have.Env, entry.Env) {
				t.Errorf("it reads as %+v, %v:\n%s", have, err, added)
			}
			for line := range strings.Lines(tt.text) { // nothing of theirs is gone, comments and order included
				if rest := strings.Trim(line, " \t\r\n,{}"); rest != "" && !strings.Contains(string(added), rest) {
					t.Errorf("%q is gone:\n%s", rest, added)
				}
			}
			if again, err := c.Add(added, "sluice", entry); err != nil || string(again) != string(added) {
				t.Errorf("put in again it is another: %v\n%s", err, cmp.Diff(string(added), string(again)))
			}
			taken, err := c.Remove(added, "sluice")
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(tt.text) {
				if i := strings.Index(line, "//"); i >= 0 && !strings.Contains(line, "://") && !strings.Contains(string(taken), strings.TrimSpace(line[i:])) {
					t.Errorf("the comment %q is gone:\n%s", line[i:], taken)
				}
			}
			before, _, err := c.format.read([]byte(strings.TrimPrefix(tt.text, "\ufeff")), c.key, "sluice")
			if err != nil {
				t.Fatal(err)
			}
			after, _, err := c.format.read([]byte(strings.TrimPrefix(string(taken), "\ufeff")), c.key, "sluice")
			without(before, c.key, "sluice")
			if err != nil || cmp.Diff(before, after) != "" {
				t.Errorf("taken out it is another: %v\n%s", err, cmp.Diff(before, after))
			}
			if name == "other servers" || name == "four spaces" || name == "byte order mark" || strings.HasPrefix(name, "settings of G") || strings.HasPrefix(name, "TOML") || name == "lines of Windows" {
				if string(taken) != tt.text {
					t.Errorf("taken out it is another:\n%s", cmp.Diff(tt.text, string(taken)))
				}
			}
		})
	}
}

// Attack on a person's patience: a file that is broken, or that another means otherwise
// than we would, is refused and stays as it is.
func TestWhatIsNotUnderstoodIsLeftAlone(t *testing.T) {
	for name, tt := range map[string]struct{ client, text, want string }{
		"cut short":                {"cursor", `{"mcpServers": {`, "not JSON"},
		"a list":                   {"cursor", `[]`, "not an object"},
		"servers are a list":       {"cursor", `{"mcpServers": []}`, "not an object"},
		"servers are text":         {"cursor", `{"mcpServers": "x"}`, "not an object"},
		"servers twice":            {"cursor", `{"mcpServers": {}, "mcpServers": {"a": {}}}`, "twice"},
		"a name twice":             {"cursor", `{"mcpServers": {"a": {}, "a": {}}}`, "twice"},
		"the name is taken":        {"cursor", `{"mcpServers": {"sluice": {"command": "other", "args": ["serve"]}}}`, ErrTaken.Error()},
		"the name is of a remote":  {"vscode", `{"servers": {"sluice": {"type": "http", "url": "https://x"}}}`, ErrTaken.Error()},
		"the name is text":         {"cursor", `{"mcpServers": {"sluice": "x"}}`, ErrTaken.Error()},
		"deep":                     {"cursor", strings.Repeat(`{"a":`, 100000), "deep"},
		"not text":                 {"cursor", "\x00\x01\x02", "not JSON"},
		"broken TOML":              {"codex", "[mcp_servers\n", "not TOML"},
		"TOML that is no table":    {"codex", "mcp_servers = 3\n", "not a table"},
		"TOML in one line":         {"codex", "mcp_servers = {a = {command = \"a\"}}\n", "would not be readable"},
		"TOML that looks like one": {"codex", "x = '''\n[mcp_servers.sluice]\n'''\n[mcp_servers.sluice]\ncommand='s'\nargs=['mcp']\n", "change"},
	} {
		c := named(t, tt.client)
		if out, err := c.Add([]byte(tt.text), "sluice", entry); err == nil || !strings.Contains(err.Error(), tt.want) || out != nil {
			t.Errorf("%s: %v, %q", name, err, out)
		}
	}
	c := named(t, "cursor")
	if _, err := c.Remove([]byte(`{"mcpServers": {"a": {"command": "a"}}}`), "sluice"); !errors.Is(err, ErrAbsent) {
		t.Errorf("nothing to take out: %v", err)
	}
	if _, err := named(t, "codex").Add(nil, "a.b", entry); err == nil {
		t.Error("a name with a dot")
	}
}

// Files of people come in any shape. What is written must mean what was there, with the
// entry and nothing else.
func FuzzEntryIsAllThatChanges(f *testing.F) {
	for _, s := range []string{
		"{}", `{"mcpServers":{"a":{"command":"x"},},}`, "// c\n{\n\t\"mcpServers\": { // d\n\t}\n}", `{"mcpServers":{/*a*/"sluice"/*b*/:/*c*/{"command":"s","args":["mcp"]}/*d*/,/*e*/}/*f*/}`,
		"{\"a\":1 // x\n}", "{\"mcpServers\":{\"sluice\":{\"command\":\"s\",\"args\":[\"mcp\"]} // y\n,\"b\":1}}", "[mcp_servers.x]\na=1\n#c\n[[y]]\n", "[ mcp_servers . sluice ]\ncommand='s'\nargs=['mcp']\n# mine\n[z]\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range []Client{named(t, "cursor"), named(t, "codex")} {
			added, err := c.Add([]byte(s), "sluice", entry)
			if err != nil {
				continue
			}
			taken, err := c.Remove(added, "sluice")
			if err != nil {
				t.Fatalf("what was put into %q is not taken out of %q: %v", s, added, err)
			}
			if _, err := c.Remove(taken, "sluice"); !errors.Is(err, ErrAbsent) {
				t.Fatalf("it is still in %q: %v", taken, err)
			}
			if c.Name == "cursor" && strings.Count(s, "/*") != strings.Count(string(added), "/*") && !strings.Contains(s, "sluice") {
				t.Fatalf("a comment of %q is not in %q", s, added)
			}
		}
	})
}

func TestFileIsReplacedInOneStepAndKept(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "dotfiles.json"), filepath.Join(dir, "home", "mcp.json")
	if err := os.WriteFile(real, []byte("{}\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	f, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	backup, err := f.Replace([]byte(`{"a": 1}`), at)
	if err != nil || !strings.HasSuffix(backup, "dotfiles.json.before-20261001-120000") {
		t.Fatalf("%q, %v", backup, err)
	}
	if was, err := os.ReadFile(backup); err != nil || string(was) != "{}\n" {
		t.Errorf("the copy: %q, %v", was, err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is a file now")
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its rights: %v", info.Mode())
	}
	if _, err := f.Replace([]byte("{}"), at.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("over a change of somebody else: %v", err)
	}
	if now, err := os.ReadFile(real); err != nil || string(now) != `{"a": 1}` {
		t.Errorf("now it is %q, %v", now, err)
	}
	fresh, err := Open(filepath.Join(dir, "new", "mcp.json"))
	if err != nil {
		t.Fatal(err)
	}
	if backup, err := fresh.Replace([]byte("{}"), at); err != nil || backup != "" {
		t.Errorf("a new file: %q, %v", backup, err)
	}
}

// Lines around a change may hold other servers' secrets.
func TestDiffShowsTheChangeAlone(t *testing.T) {
	c := named(t, "cursor")
	text := []byte("{\n  \"mcpServers\": {\n    \"a\": {\n      \"env\": {\"TOKEN\": \"hunter2\"}\n    }\n  }\n}\n")
	added, err := c.Add(text, "sluice", entry)
	if err != nil {
		t.Fatal(err)
	}
	diff := Diff(text, added)
	if strings.Contains(diff, "hunter2") || !strings.Contains(diff, "+    \"sluice\": {") {
		t.Errorf("diff:\n%s", diff)
	}
	if Diff(text, text) != "" {
		t.Error("a difference where there is none")
	}
	var back map[string]any
	if err := json.Unmarshal(added, &back); err != nil {
		t.Error(err)
	}
}

func TestPlacesOfConfigurations(t *testing.T) {
	p := Place{Home: "/home/ada", Config: "/home/ada/.config", System: "linux", Env: func(string) string { return "" }}
	mac := Place{Home: "/Users/ada", Config: "/Users/ada/Library/Application Support", System: "darwin", Env: p.Env}
	moved := p
	moved.Env = func(name string) string {
		return map[string]string{"CLAUDE_CONFIG_DIR": "/x", "CODEX_HOME": "/y"}[name]
	}
	for _, tt := range []struct {
		client string
		place  Place
		dir    string
		want   string
	}{
		{"claude-code", p, "", "/home/ada/.claude.json"}, {"claude-code", moved, "", "/x/.claude.json"}, {"claude-code", p, "/src/shop", "/src/shop/.mcp.json"},
		{"claude-desktop", mac, "", "/Users/ada/Library/Application Support/Claude/claude_desktop_config.json"}, {"claude-desktop", p, "/src/shop", ""},
		{"vscode", p, "", "/home/ada/.config/Code/User/mcp.json"}, {"cursor", p, "/src/shop", "/src/shop/.cursor/mcp.json"},
		{"codex", moved, "", "/y/config.toml"}, {"codex", p, "", "/home/ada/.codex/config.toml"},
		{"zed", mac, "", "/Users/ada/.config/zed/settings.json"}, {"zed", p, "", "/home/ada/.config/zed/settings.json"},
		{"windsurf", p, "", "/home/ada/.codeium/windsurf/mcp_config.json"}, {"gemini", p, "", "/home/ada/.gemini/settings.json"},
	} {
		if got := filepath.ToSlash(named(t, tt.client).File(tt.place, tt.dir)); got != tt.want {
			t.Errorf("%s in %q: %q, want %q", tt.client, tt.dir, got, tt.want)
		}
	}
}
