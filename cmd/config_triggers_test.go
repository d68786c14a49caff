package cmd

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
)

const (
	triggersBase = "listen: 127.0.0.1:1\ndata: d\noidc: {issuer: https://id.example.com, client_id: x}\n" +
		"connections: [{name: orders, groups: [support], database: {host: localhost, name: a, user: a}}]\n"
	hookOwner = "owner: {subject: olga, name: olga@example.com}"
	hookWhole = "{name: tidy, secret: {env: KEY}, " + hookOwner + ", groups: [support], connection: orders, runbooks: [set-flag], set: {flag: vip}, allow: [customer]}"
	hookValue = "whsec_dGhlIGtleSBvZiB0aGUgaG9vayB0aWR5LCAzMiBieXQ="
)

func TestHooksOfTheConfiguration(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"KEY": hookValue, "RAW": "a secret in plain words"}[name]
	}
	whole := func(old, new string) string { return strings.Replace(hookWhole, old, new, 1) }
	for hook, want := range map[string]string{
		hookWhole:                                                "",
		whole("secret: {env: KEY}, ", ""):                        "secret is missing",
		whole("{env: KEY}", hookValue):                           "say where it is",
		whole("env: KEY", "env: RAW"):                            "not as Standard Webhooks has it",
		whole(hookOwner+", ", ""):                                "owner is missing",
		whole("subject: olga, ", ""):                             "owner is missing",
		whole("name: tidy", "name: Tidy Up"):                     "name is",
		whole("connection: orders", "connection: others"):        "there is no connection",
		whole("connection: orders, ", ""):                        "connection is missing",
		whole("groups: [support]", "groups: [other]"):            "does not admit the hook",
		whole("runbooks: [set-flag]", "runbooks: []"):            "runbooks is missing",
		whole("runbooks: [set-flag]", "runbooks: [../set-flag]"): "no name of a runbook",
		whole("allow: [customer]", "allow: [flag]"):              "so it cannot be given",
		whole("allow:", "alow:"):                                 `did you mean "allow"`,
		hookWhole + ", " + hookWhole:                             "two hooks called",
	} {
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		must(t, os.WriteFile(path, []byte(triggersBase+"triggers: {listen: 127.0.0.1:2, runbooks: books, hooks: ["+hook+"]}\n"), 0o600))
		cfg, err := readConfig(path)
		if err == nil {
			err = cfg.triggers(t.Context(), &gateway.Config{}, env)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", hook, err)
		}
		if err != nil && (strings.Contains(err.Error(), "dGhl") || strings.Contains(err.Error(), "plain words")) {
			t.Errorf("the secret is told: %v", err)
		}
		if want == "" && cfg.Triggers.Runbooks != filepath.Join(filepath.Dir(path), "books") {
			t.Errorf("the runbooks are looked for in %s", cfg.Triggers.Runbooks)
		}
	}
	for text, want := range map[string]string{
		"triggers: {listen: 127.0.0.1:2, runbooks: books}\n":                             "has no hooks",
		"triggers: {runbooks: books, hooks: [" + hookWhole + "]}\n":                      "triggers.listen is",
		"triggers: {listen: 127.0.0.1:2, hooks: [" + hookWhole + "]}\n":                  "runbooks is missing",
		"triggers: {listen: 127.0.0.1:1, runbooks: books, hooks: [" + hookWhole + "]}\n": "a port of their own",
	} {
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		must(t, os.WriteFile(path, []byte(triggersBase+text), 0o600))
		if _, err := readConfig(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

const nameBook = `title: Another address
purpose: For tests.
connection: orders
parameters:
  id: {type: integer}
  name: {type: text}
steps:
  - {name: rename, sql: 'update people set email = :name where id = :id', expect: rows == 1}
`

// hookTown is a town with the hook tidy, which begins a runbook of books, and what posts
// signed messages to it.
func hookTown(t *testing.T, books string) (w *town, post func(path, body string) (status int, run api.HookRun)) {
	t.Helper()
	cfg := &gatewayConfig{Triggers: triggersConfig{Runbooks: books, Hooks: []triggerConfig{{
		Name: "tidy", Secret: secret{Env: "KEY"}, Owner: ownerConfig{"olga", "olga@example.com"}, Connection: "orders", Runbooks: []string{"rename"}, Set: map[string]string{"id": "1"}, Allow: []string{"name"},
	}}}}
	w = newTownIn(t, "dev", func(hc *houseConfig) {
		hc.triggers = "127.0.0.1:0"
		must(t, cfg.triggers(t.Context(), &hc.base, func(string) string { return hookValue }))
	}, nil, func(*pgconn.Config) {})
	key, _ := gateway.HookKey(hookValue)
	trust := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // clients of the gateway pin it; this test is of what is served
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	t.Cleanup(hc.CloseIdleConnections)
	n := 0
	return w, func(path, body string) (status int, run api.HookRun) {
		t.Helper()
		n++
		id := fmt.Sprint("msg_", n)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+w.house.messages.Addr().String()+path, bytes.NewBufferString(body))
		must(t, err)
		at := time.Now()
		req.Header.Set("Webhook-Id", id)
		req.Header.Set("Webhook-Timestamp", fmt.Sprint(at.Unix()))
		req.Header.Set("Webhook-Signature", gateway.SignHook(key, id, at, []byte(body)))
		res, err := hc.Do(req)
		must(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		must(t, err)
		if res.StatusCode < 300 {
			must(t, json.Unmarshal(text, &run))
		}
		return res.StatusCode, run
	}
}

// hookEnds waits for the end of a run of the hook.
func hookEnds(t *testing.T, post func(path, body string) (int, api.HookRun), run api.HookRun) api.HookRun {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); run.Ended.IsZero(); <-time.After(300 * time.Millisecond) {
		if _, run = post("/v1/hooks/tidy/status", fmt.Sprintf(`{"run": %q}`, run.Run)); time.Now().After(deadline) {
			t.Fatalf("%+v", run)
		}
	}
	return run
}

// From gateway.yaml to the database: a message over TLS begins the runbook of the file as
// it is by then, with the commit that has it.
func TestHookOverTLS(t *testing.T) {
	books := t.TempDir()
	must(t, os.WriteFile(filepath.Join(books, "rename.yaml"), []byte(nameBook), 0o600))
	w, post := hookTown(t, books)
	status, run := post("/v1/hooks/tidy", `{"parameters": {"name": "Hooked"}}`)
	if status != http.StatusAccepted {
		t.Fatal(status)
	}
	run = hookEnds(t, post, run)
	if run.Status != "done" || run.Steps[0].Rows != 1 {
		t.Errorf("%+v: %+v", run, run.Failure)
	}
	must(t, os.WriteFile(filepath.Join(books, "rename.yaml"), []byte("title: broken"), 0o600))
	if status, _ := post("/v1/hooks/tidy", `{"parameters": {"name": "Hooked"}}`); status != http.StatusInternalServerError {
		t.Errorf("a broken file: %d", status)
	}
	plain, err := http.Get("http://" + w.house.messages.Addr().String() + "/v1/hooks/tidy")
	if err == nil {
		plain.Body.Close()
		if plain.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %d", plain.StatusCode)
		}
	}
}

// Doctor says of each hook what its messages begin, and what keeps them from it.
func TestDoctorKnowsHooks(t *testing.T) {
	books := t.TempDir()
	must(t, os.WriteFile(filepath.Join(books, "rename.yaml"), []byte(nameBook), 0o600))
	for name, c := range map[string]struct{ connection, book, key, want string }{
		"all is well":         {"orders", "rename", hookValue, "begin the runbook rename on orders"},
		"another connection":  {"billing", "rename", hookValue, "is for the connection orders, not for billing"},
		"a file that is not":  {"orders", "gone", hookValue, "there is no runbook"},
		"a secret in no form": {"orders", "rename", "k", "not as Standard Webhooks has it"},
	} {
		cfg := &gatewayConfig{Triggers: triggersConfig{Listen: "127.0.0.1:2", Runbooks: books, Hooks: []triggerConfig{{Name: "tidy", Secret: secret{Env: "KEY"}, Owner: ownerConfig{"olga", "olga@example.com"}, Connection: c.connection, Runbooks: []string{c.book}}}}}
		d := &diagnosis{}
		(&app{now: time.Now, env: func(string) string { return c.key }}).examineTriggers(t.Context(), d, cfg)
		if text := fmt.Sprintf("%+v", *d); !strings.Contains(text, c.want) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
