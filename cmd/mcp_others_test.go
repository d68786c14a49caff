//go:build mcp

package cmd

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// others is a client that others wrote, in a process of its own.
type others struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func startOthers(t *testing.T, reach map[string]any) (*others, map[string]any) {
	t.Helper()
	if os.Getenv("MCP_MODULES") == "" {
		t.Fatal("run it with: make mcp")
	}
	c := exec.Command("node", "testdata/mcp/client.mjs")
	c.Stderr = os.Stderr
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
	t.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	o := &others{t: t, in: in, out: bufio.NewScanner(out)}
	o.out.Buffer(nil, 16<<20)
	return o, o.ask(reach)
}

func (o *others) ask(v any) map[string]any {
	o.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.in.Write(append(raw, '\n')); err != nil {
		o.t.Fatal(err)
	}
	if !o.out.Scan() {
		o.t.Fatalf("the client says no more: %v", o.out.Err())
	}
	var back map[string]any
	if err := json.Unmarshal(o.out.Bytes(), &back); err != nil {
		o.t.Fatalf("%s: %v", o.out.Text(), err)
	}
	if back["thrown"] != nil {
		o.t.Fatalf("the client threw: %v", back["thrown"])
	}
	return back
}

// call is the text of a tool's answer, and its object.
func (o *others) call(tool string, args map[string]any) (string, map[string]any) {
	o.t.Helper()
	back := o.ask(map[string]any{"tool": tool, "arguments": args})
	content := back["content"].([]any)[0].(map[string]any)
	facts, _ := back["structuredContent"].(map[string]any)
	return content["text"].(string), facts
}

// The whole of an agent's day with a client that we did not write, over both transports.
func TestClientOfOthers(t *testing.T) {
	w := newTown(t)
	c := w.sluice(w.home)
	t.Run("standard input", func(t *testing.T) {
		o, hello := startOthers(t, map[string]any{
			"command": c.Path, "args": []string{"mcp", "--agent", "claude", "--writes"},
			"env": map[string]string{"SLUICE_HOME": w.home, "SLUICE_KEYRING": "off", "PATH": os.Getenv("PATH")},
		})
		w.dayOfOthers(t, o, hello)
	})
	t.Run("HTTP", func(t *testing.T) {
		server := w.sluice(w.home, "mcp", "--agent", "claude", "--writes", "--listen", "127.0.0.1:0")
		out, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan()
		url := lines.Text()
		lines.Scan()
		o, hello := startOthers(t, map[string]any{"url": url, "secret": strings.TrimPrefix(lines.Text(), "Authorization: Bearer ")})
		w.dayOfOthers(t, o, hello)
		if err := server.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		endedBySignal(t, server, &safeBuffer{})
	})
}

func (w *town) dayOfOthers(t *testing.T, o *others, hello map[string]any) {
	if server := hello["server"].(map[string]any); server["name"] != "sluice" || !strings.Contains(hello["instructions"].(string), "You act for ada") {
		t.Errorf("it greets with %v", hello)
	}
	for _, tool := range hello["tools"].([]any) {
		tool := tool.(map[string]any)
		if schema := tool["inputSchema"].(map[string]any); schema["type"] != "object" || tool["description"] == "" || tool["annotations"] == nil {
			t.Errorf("a tool: %v", tool)
		}
	}
	if text, _ := o.call("list_connections", map[string]any{}); !strings.Contains(text, "- orders:") {
		t.Errorf("connections: %s", text)
	}
	text, facts := o.call("query", map[string]any{"connection": "orders", "sql": "select id, email from people where id = $1", "params": []any{1}})
	data, _ := facts["data"].(map[string]any)
	if facts["status"] != "done" || data == nil || strings.Contains(text, "ada1@") || !strings.Contains(text, "a•••@masked.invalid") || !strings.Contains(text, `"label":"email"`) {
		t.Errorf("a query: %s", text)
	}
	if text, facts := o.call("execute", map[string]any{"connection": "orders", "sql": "drop table people"}); facts["status"] != "refused" || facts["rule"] != "no-drop" || facts["hint"] == "" {
		t.Errorf("a refusal: %s", text)
	}
	text, facts = o.call("execute", map[string]any{"connection": "orders", "sql": "comment on table people is 'x'"})
	waits, _ := facts["waiting"].(map[string]any)
	if facts["status"] != "held" || waits == nil {
		t.Fatalf("what is held: %s", text)
	}
	w.approve(waits["approval_id"].(string), "approve")
	if text, facts := o.call("statement_status", map[string]any{"statement_id": facts["statement_id"], "wait_seconds": 20}); facts["status"] != "done" || !strings.Contains(text, "approved by") {
		t.Errorf("after approval: %s", text)
	}
}
