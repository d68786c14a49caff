package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
)

const hookBook = `title: Rename somebody
purpose: Gives one person another name.
connection: orders
parameters:
  id: {type: integer, min: 1}
  name: {type: text, max_length: 40, pattern: '[A-Za-z'';-]+( [A-Za-z'';-]+)*'}
APPROVALS
steps:
  - {name: find, sql: 'select count(*) as there from people where id = :id', expect: row.there == 1}
  - {name: rename, sql: 'update people set name = :name where id = :id', expect: rows == 1}
`

var hookKey = []byte("the key of the hook tidy, 32 byt")

// hookWorld is a gateway with a hook, and what calls it.
type hookWorld struct {
	*through
	t     *testing.T
	url   string
	key   []byte
	clock time.Time // what messages are signed with, if it is set
	log   *lockedBuffer
	dir   string // of the state
	n     int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// hookedBook is a gateway whose hook "tidy" may begin the runbook rename for the person with
// the id 1, and give them a name.
func hookedBook(t *testing.T, env, approvals string, rules *policy.Rules, change ...func(*gateway.Config)) *hookWorld {
	t.Helper()
	w := &hookWorld{t: t, key: hookKey, log: &lockedBuffer{}, dir: t.TempDir()}
	text := strings.Replace(hookBook, "APPROVALS\n", approvals, 1)
	w.through = start(t, env, village, rules, append([]func(*gateway.Config){func(c *gateway.Config) {
		c.StateDir = w.dir
		c.Log = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Book = func(_ context.Context, name string) (gateway.BookFile, error) {
			if name != "rename" {
				return gateway.BookFile{}, fmt.Errorf("no such file: %s", name)
			}
			return gateway.BookFile{File: "rename.yaml", Text: text, Commit: "c0ffee"}, nil
		}
		c.Triggers = []gateway.Trigger{{
			Name: "tidy", Key: hookKey, Owner: "olga", OwnerName: "olga@example.com", Groups: []string{"support"}, Connection: "orders",
			Runbooks: []string{"rename"}, Fixed: map[string]string{"id": "1"}, Allow: []string{"name"},
		}}
	}}, change...)...)
	w.listen()
	return w
}

// listen serves the gateway that there is now.
func (w *hookWorld) listen() {
	server := httptest.NewServer(w.Hooks())
	w.t.Cleanup(server.Close)
	w.url = server.URL
}

// hookAnswer is what a hook said.
type hookAnswer struct {
	status int
	text   string
	run    api.HookRun
	err    api.Error
}

// sign signs a message as its sender does.
func (w *hookWorld) sign(id, body string) http.Header {
	at := w.clock
	if at.IsZero() {
		at = time.Now()
	}
	h := http.Header{}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", fmt.Sprint(at.Unix()))
	h.Set("Webhook-Signature", gateway.SignHook(w.key, id, at, []byte(body)))
	return h
}

func (w *hookWorld) post(path, body string, h http.Header) hookAnswer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header = h
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := hookAnswer{status: res.StatusCode, text: string(text)}
	if res.StatusCode < 300 {
		err = json.Unmarshal(text, &a.run)
	} else {
		err = json.Unmarshal(text, &a.err)
	}
	if err != nil {
		w.t.Fatalf("%d %s: %v", res.StatusCode, text, err)
	}
	return a
}

// call sends a message that is as it should be.
func (w *hookWorld) call(body string) hookAnswer {
	w.t.Helper()
	w.n++
	id := fmt.Sprintf("msg_%d_%d", w.n, time.Now().UnixNano())
	return w.post("/v1/hooks/tidy", body, w.sign(id, body))
}

func (w *hookWorld) status(run string) hookAnswer {
	w.t.Helper()
	w.n++
	body := fmt.Sprintf(`{"run": %q}`, run)
	return w.post("/v1/hooks/tidy/status", body, w.sign(fmt.Sprintf("ask_%d_%d", w.n, time.Now().UnixNano()), body))
}

// ends waits until the record has how a run ended, and asks the hook.
func (w *hookWorld) ends(run string) api.HookRun {
	w.t.Helper()
	eventually(w.t, "the run has ended", func() bool {
		return slices.ContainsFunc(w.events(audit.Ran), func(ev audit.Event) bool {
			return ev.RunbookRun == run && ev.Outcome != "called" && ev.Outcome != "began"
		})
	})
	a := w.status(run)
	if a.status != http.StatusOK || a.run.Ended.IsZero() {
		w.t.Fatalf("%d %s", a.status, a.text)
	}
	return a.run
}

// waiting is what a run waits for; it is asked once in a while, as a hook may be.
func (w *hookWorld) waiting(run string) string {
	<-time.After(100 * time.Millisecond)
	return w.status(run).run.Waiting
}

// outcomes are the entries about runs, in their order.
func (w *hookWorld) outcomes() (list []string) {
	w.t.Helper()
	for _, ev := range w.events(audit.Ran) {
		list = append(list, ev.Outcome)
	}
	return list
}

const goodCall = `{"parameters": {"name": "Ada'; drop table people --"}, "reason": "ticket 7"}`

// A signed message begins a run: as the hook, with its values bound, and all of it is in
// the record.
func TestHookBeginsARunbook(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	a := w.call(goodCall)
	if a.status != http.StatusAccepted || a.run.Run == "" || a.run.Runbook != "rename" || !strings.HasPrefix(a.run.Hash, "sha256:") {
		t.Fatalf("%d %s", a.status, a.text)
	}
	r := w.ends(a.run.Run)
	if r.Status != "done" || r.Failure != nil || len(r.Steps) != 2 || r.Steps[1].Rows != 1 {
		t.Fatalf("%+v", r)
	}
	if names(t, w.through, "Ada''; drop table people --") != 1 {
		t.Error("the value was not bound")
	}
	if got := w.outcomes(); !slices.Equal(got, []string{"called", "began", "done"}) {
		t.Errorf("recorded as %q", got)
	}
	for _, ev := range w.events(audit.Ran) {
		if ev.Who != "hook:tidy" || ev.CallerKind != "job" || ev.Owner != "olga" || ev.RunbookRun != a.run.Run {
			t.Errorf("%+v", ev)
		}
	}
	called := w.events(audit.Ran)[0]
	if called.From == "" || !strings.HasPrefix(called.Detail, "message msg_1_") || called.Reason != "ticket 7" {
		t.Errorf("%+v", called)
	}
	found := 0
	for _, ev := range w.events(audit.Decided) {
		if ev.RunbookStep == "rename" && ev.Who == "hook:tidy" && ev.Purpose == "ticket 7" && ev.Connection == "orders" && strings.Contains(ev.SQL, "$1") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d statements are the step of the run", found)
	}
}

// What fails says why, and leaves the database as the runbook says.
func TestHookSaysWhatBecameOfItsRun(t *testing.T) {
	w := hookedBook(t, "dev", "", nil, func(c *gateway.Config) { c.Triggers[0].Fixed["id"] = "7777" })
	body, id := `{"parameters": {"name": "Ada"}}`, "msg_to_be_asked"
	a := w.post("/v1/hooks/tidy", body, w.sign(id, body))
	r := w.ends(a.run.Run)
	if r.Status != "unchanged" || r.Failure == nil || r.Failure.Cause != "unexpected" || r.Failure.Step != "find" {
		t.Errorf("%+v %+v", r, r.Failure)
	}
	byID := fmt.Sprintf(`{"id": %q}`, id)
	if b := w.post("/v1/hooks/tidy/status", byID, w.sign("ask_by_id", byID)); b.run.Run != a.run.Run {
		t.Errorf("by the id of its message: %d %s", b.status, b.text)
	}
	for _, bad := range []string{`{}`, `{"run": "rb-other"}`, `{"id": "x", "more": 1}`, `[]`} {
		w.n++
		if b := w.post("/v1/hooks/tidy/status", bad, w.sign(fmt.Sprint("ask", w.n), bad)); b.status != http.StatusNotFound && b.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, b.status, b.text)
		}
	}
}

// Attack: whoever cannot sign is told the same, whatever it is that is wrong, and begins
// nothing.
func TestHookUnsignedChangedOrForAnotherIsTheSame(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	good := func() http.Header { return w.sign("msg_x", goodCall) }
	with := func(name, value string) http.Header { h := good(); h.Set(name, value); return h }
	without := func(name string) http.Header { h := good(); h.Del(name); return h }
	wrong := *w
	wrong.key = []byte("another key that somebody guessed")
	sig := good().Get("Webhook-Signature")
	late := with("Webhook-Timestamp", fmt.Sprint(time.Now().Add(-time.Hour).Unix()))
	twice := good()
	twice.Add("Webhook-Id", "msg_y")
	want := ""
	for name, try := range map[string]struct {
		path, body string
		header     http.Header
	}{
		"nothing":                 {"tidy", goodCall, http.Header{}},
		"another secret":          {"tidy", goodCall, wrong.sign("msg_x", goodCall)},
		"a changed body":          {"tidy", strings.Replace(goodCall, "Ada", "Eve", 1), good()},
		"a space more":            {"tidy", goodCall + " ", good()},
		"another id":              {"tidy", goodCall, with("Webhook-Id", "msg_y")},
		"an id in parts":          {"tidy", goodCall, with("Webhook-Id", "msg.x")},
		"another time":            {"tidy", goodCall, late},
		"no id":                   {"tidy", goodCall, without("Webhook-Id")},
		"no time":                 {"tidy", goodCall, without("Webhook-Timestamp")},
		"no signature":            {"tidy", goodCall, without("Webhook-Signature")},
		"an empty signature":      {"tidy", goodCall, with("Webhook-Signature", "v1,")},
		"no version":              {"tidy", goodCall, with("Webhook-Signature", strings.TrimPrefix(sig, "v1,"))},
		"another scheme":          {"tidy", goodCall, with("Webhook-Signature", "v1a,"+strings.TrimPrefix(sig, "v1,"))},
		"a signature too far":     {"tidy", goodCall, with("Webhook-Signature", strings.Repeat("v1,AAAA ", 8)+sig)},
		"two ids":                 {"tidy", goodCall, twice},
		"a hook that is not":      {"other", goodCall, good()},
		"nobody's key":            {"other", goodCall, func() http.Header { n := *w; n.key = make([]byte, 32); return n.sign("msg_x", goodCall) }()},
		"a question, unsigned":    {"tidy/status", `{"run": "rb-x"}`, http.Header{}},
		"a call sent as question": {"tidy/status", `{"run": "rb-x"}`, good()},
	} {
		a := w.post("/v1/hooks/"+try.path, try.body, try.header)
		if want == "" {
			want = a.text
		}
		if a.status != http.StatusUnauthorized || a.text != want {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+"/v1/hooks/tidy", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
	if names(t, w.through, "Eve") != 0 || slices.Contains(w.outcomes(), "began") {
		t.Error("something ran")
	}
	// The sender of all that is not shut out by it: two signatures, as while a secret changes.
	both := good()
	both.Set("Webhook-Signature", "v1,AAAA "+both.Get("Webhook-Signature"))
	if a := w.post("/v1/hooks/tidy", goodCall, both); a.status != http.StatusAccepted {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// Attack: send a message again that was signed once, at once, later, and to the gateway
// after a restart.
func TestReplayedMessageRunsOnce(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	h := w.sign("msg_once", goodCall)
	a := w.post("/v1/hooks/tidy", goodCall, h)
	if a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.text)
	}
	w.ends(a.run.Run)
	again := func(when string) {
		t.Helper()
		if b := w.post("/v1/hooks/tidy", goodCall, h); b.status != http.StatusConflict {
			t.Errorf("%s: %d %s", when, b.status, b.text)
		}
	}
	again("at once")
	var all sync.WaitGroup
	for range 8 { // and many at a time
		all.Go(func() { again("with others") })
	}
	all.Wait()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.again(t)
	w.listen()
	again("after a restart")
	w.clock = time.Now()
	fresh := w.sign("msg_once", goodCall) // the sender itself tries again, later
	if b := w.post("/v1/hooks/tidy", goodCall, fresh); b.status != http.StatusConflict {
		t.Errorf("signed anew: %d %s", b.status, b.text)
	}
	if got := w.status(a.run.Run); got.run.Status != "done" {
		t.Errorf("after the restart: %d %s", got.status, got.text)
	}
	if n := howMany(w.outcomes(), "began"); n != 1 {
		t.Errorf("it began %d times", n)
	}
}

// A message that comes before the gateway is quite there begins one run, not two.
func TestMessageWhileTheGatewayStartsRunsOnce(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.Gateway, err = gateway.New(w.cfg); err != nil {
		t.Fatal(err)
	}
	w.listen()
	answer := make(chan hookAnswer, 1)
	go func() { answer <- w.call(goodCall) }()
	eventually(t, "the run is kept", func() bool {
		found, err := filepath.Glob(filepath.Join(w.dir, "hooks", "rb-*"))
		return err == nil && len(found) == 1
	})
	w.through.run(t)
	w.ends((<-answer).run.Run)
	if n := howMany(w.outcomes(), "began"); n != 1 {
		t.Errorf("it began %d times", n)
	}
}

func howMany(list []string, want string) (n int) {
	for _, s := range list {
		if s == want {
			n++
		}
	}
	return n
}

// Attack: send what was signed long ago, or for later.
func TestStaleMessageIsRefused(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	for _, off := range []time.Duration{-5*time.Minute - 2*time.Second, 5*time.Minute + 2*time.Second, -24 * time.Hour} {
		w.clock = time.Now().Add(off)
		if a := w.call(goodCall); a.status != http.StatusBadRequest || !strings.Contains(a.err.Sentence, "the time of the message") {
			t.Errorf("%s: %d %s", off, a.status, a.text)
		}
	}
	for _, off := range []time.Duration{-4*time.Minute - 55*time.Second, 4*time.Minute + 55*time.Second} {
		w.clock = time.Now().Add(off)
		if a := w.call(goodCall); a.status != http.StatusAccepted {
			t.Errorf("%s: %d %s", off, a.status, a.text)
		}
	}
}

// Attack: who has the secret asks for more than the hook may do.
func TestHookDoesNoMoreThanItIsConfiguredTo(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	for body, status := range map[string]int{
		`{"parameters": {"name": "Eve", "id": 2}}`:                           http.StatusForbidden, // fixed
		`{"parameters": {"name": "Eve", "other": 1}}`:                        http.StatusForbidden,
		`{"runbook": "erase", "parameters": {"name": "Eve"}}`:                http.StatusForbidden,
		`{"runbook": "../rename", "parameters": {"name": "Eve"}}`:            http.StatusForbidden,
		`{"runbook": "/etc/passwd", "parameters": {"name": "Eve"}}`:          http.StatusForbidden,
		`{"parameters": {"name": "Eve"}, "connection": "billing"}`:           http.StatusBadRequest,
		`{"parameters": {"name": "Eve"}, "groups": ["admin"]}`:               http.StatusBadRequest,
		`{"parameters": {"name": ""}}`:                                       http.StatusBadRequest, // its pattern
		`{"parameters": {"name": "Eve\u202e"}}`:                              http.StatusBadRequest,
		`{"parameters": {"name": ["Eve"]}}`:                                  http.StatusBadRequest,
		`{"parameters": {}}`:                                                 http.StatusBadRequest,
		`{"parameters": {"name": "Eve"}} {}`:                                 http.StatusBadRequest,
		`not JSON`:                                                           http.StatusBadRequest,
		`{"parameters": {"name": "` + strings.Repeat("x", 70<<10) + `"}}`:    http.StatusRequestEntityTooLarge,
		`{"parameters": {"name": "` + strings.Repeat("x", 60<<10) + `"}}`:    http.StatusBadRequest,
		strings.Repeat(`[`, 60<<10):                                          http.StatusBadRequest,
		`{"reason": "x", "parameters": null, "runbook": "rename"}`:           http.StatusBadRequest,
		`{"reason": "x", "parameters": {"name": "Eve"}, "runbook": "erase"}`: http.StatusForbidden,
	} {
		if a := w.call(body); a.status != status || a.err.Sentence == "" {
			t.Errorf("%.60s: %d %s", body, a.status, a.text)
		}
	}
	if slices.Contains(w.outcomes(), "began") || names(t, w.through, "Eve") != 0 {
		t.Error("something ran")
	}
}

// Attack: find the secret, or a signature, in what the gateway writes down or says.
func TestHookSecretIsWrittenNowhere(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	h := w.sign("msg_seen", goodCall)
	said := w.post("/v1/hooks/tidy", goodCall, h).text
	said += w.post("/v1/hooks/tidy", goodCall, h).text
	h.Set("Webhook-Signature", "v1,"+string(hookKey))
	said += w.post("/v1/hooks/tidy", goodCall, h).text
	w.ends(w.call(goodCall).run.Run)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	written := said + w.log.String()
	for _, dir := range []string{w.dir, w.record} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if info, err := d.Info(); err != nil || strings.HasPrefix(path, w.dir) && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s is %v: %v", path, info.Mode(), err)
			}
			text, err := os.ReadFile(path)
			written += string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, secret := range []string{string(hookKey), "dGhlIGtleSBvZiB0aGUgaG9vayB0aWR5", strings.TrimPrefix(w.sign("msg_seen", goodCall).Get("Webhook-Signature"), "v1,")} {
		if strings.Contains(written, secret) {
			t.Errorf("%q is written down", secret)
		}
	}
}

// Attack: call a hook so often that the record or the database drowns.
func TestFloodOfMessagesIsBounded(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	for range 200 {
		if a := w.post("/v1/hooks/tidy", goodCall, http.Header{}); a.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.status, a.text)
		}
	}
	statuses := map[int]int{}
	for range 60 {
		statuses[w.call(`{"parameters": {"other": 1}}`).status]++
	}
	if statuses[http.StatusForbidden] != 30 || statuses[http.StatusTooManyRequests] != 30 {
		t.Errorf("%v", statuses)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	evs := w.events(audit.Ran)
	if n := len(evs); n > 25 || n < 21 { // a minute may have ended meanwhile
		t.Errorf("%d entries", n)
	}
	if last := evs[len(evs)-1]; !strings.Contains(last.Error, "more messages to hooks were not accepted") {
		t.Errorf("%+v", last)
	}
}

// Attack: begin so many runs that wait for people that nobody else gets anything done.
func TestHookHasFewRunsAtOnce(t *testing.T) {
	w := hookedBook(t, "dev", "", heldBy(t, "{groups: [dba]}"), func(c *gateway.Config) { c.HoldTransaction = time.Minute })
	for i := range 6 {
		a := w.call(goodCall)
		if want := map[bool]int{true: http.StatusAccepted, false: http.StatusTooManyRequests}[i < 4]; a.status != want {
			t.Errorf("call %d: %d %s", i+1, a.status, a.text)
		}
	}
}

// Holds and approvals are as for anyone, but for the owner, who does not approve what
// their own hook asks for.
func TestOwnerDoesNotApproveWhatTheirHookDoes(t *testing.T) {
	w := hookedBook(t, "prod", "", heldBy(t, "{groups: [dba]}"))
	a := w.call(goodCall)
	ask := w.held(t, 1)[0]
	if ask.Who.Name != "hook:tidy" || ask.Who.OwnerName != "olga@example.com" || !strings.Contains(ask.Reason, "runbook rename, rename, run "+a.run.Run) {
		t.Errorf("%+v", ask)
	}
	eventually(t, "the run says that it waits", func() bool { return strings.Contains(w.waiting(a.run.Run), ask.ID) })
	elsewhere := person("someone", "dba")
	elsewhere.Email = "Olga@Example.com" // the same address, known to another provider
	for _, olga := range []identity.Identity{person("olga", "dba"), elsewhere} {
		if _, err := w.Answer(olga, ask.ID, w.yes(ask.ID)); err == nil {
			t.Errorf("%s approved it", olga.Subject)
		}
	}
	w.approve(t, ask.ID)
	if r := w.ends(a.run.Run); r.Status != "done" {
		t.Errorf("%+v %+v", r, r.Failure)
	}
	// And what is denied leaves nothing.
	a = w.call(`{"parameters": {"name": "Eve"}}`)
	ask = w.held(t, 1)[0]
	if _, err := w.Answer(approver, ask.ID, api.AskDecision{Seal: ask.Seal, Reason: "not today"}); err != nil {
		t.Fatal(err)
	}
	if r := w.ends(a.run.Run); r.Status != "unchanged" || r.Failure == nil || r.Failure.Cause != "denied" {
		t.Errorf("%+v %+v", r, r.Failure)
	}
	if names(t, w.through, "Eve") != 0 {
		t.Error("it ran")
	}
}

// A run that waits for people when the gateway stops goes on at the next, with the same
// approval.
func TestHookRunGoesOnAtTheNextGateway(t *testing.T) {
	w := hookedBook(t, "prod", "approvals: {ahead: true}\n", heldBy(t, "{groups: [dba]}"))
	a := w.call(goodCall)
	ask := w.held(t, 1)[0]
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.again(t)
	w.listen()
	if still := w.held(t, 1)[0]; still.ID != ask.ID {
		t.Errorf("it is asked for again, as %s", still.ID)
	}
	w.approve(t, ask.ID)
	r := w.ends(a.run.Run)
	if r.Status != "done" || names(t, w.through, "Ada''; drop table people --") != 1 {
		t.Errorf("%+v %+v", r, r.Failure)
	}
	// One whose hook was taken out of the configuration does not.
	a = w.call(`{"parameters": {"name": "Eve"}}`)
	w.held(t, 1)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.again(t, func(c *gateway.Config) {
		c.Triggers[0].Name, c.Triggers[0].Key = "other", []byte("another key, with bytes enough..")
	})
	eventually(t, "its end is in the record", func() bool { return slices.Contains(w.outcomes(), "unchanged") })
	if names(t, w.through, "Eve") != 0 {
		t.Error("it ran")
	}
}

// Attack: go on by a hook after its owner was locked.
func TestHookEndsWithItsOwner(t *testing.T) {
	var standing *identity.Standing
	w := hookedBook(t, "prod", "", heldBy(t, "{groups: [dba]}"), func(c *gateway.Config) {
		var err error
		if standing, err = identity.OpenStanding(filepath.Join(t.TempDir(), "standing.json"), time.Now); err != nil {
			t.Fatal(err)
		}
		c.Standing = standing
	})
	a := w.call(goodCall)
	w.held(t, 1)
	if _, err := w.Lock(person("root", "admin"), api.UserLock{Name: "olga@example.com", Reason: "left"}); err != nil {
		t.Fatal(err)
	}
	if r := w.ends(a.run.Run); r.Status != "unchanged" || r.Failure == nil {
		t.Errorf("%+v", r)
	}
	if b := w.call(goodCall); b.status != http.StatusForbidden || strings.Contains(b.text, "left") {
		t.Errorf("%d %s", b.status, b.text)
	}
}

// Two hooks with one secret would let a message for one begin what the other may; that,
// and what else would make a hook that is nobody's, does not start.
func TestHooksThatCannotBeDoNotStart(t *testing.T) {
	w := hookedBook(t, "dev", "", nil)
	good := w.cfg.Triggers[0]
	for name, change := range map[string]func(*gateway.Trigger){
		"no owner":           func(h *gateway.Trigger) { h.Owner = "" },
		"no owner's name":    func(h *gateway.Trigger) { h.OwnerName = "" },
		"a short key":        func(h *gateway.Trigger) { h.Key = []byte("short") },
		"no runbook":         func(h *gateway.Trigger) { h.Runbooks = nil },
		"another connection": func(h *gateway.Trigger) { h.Connection = "billing" },
		"a path for a name":  func(h *gateway.Trigger) { h.Name = "../x" },
		"fixed and allowed":  func(h *gateway.Trigger) { h.Allow = []string{"id"} },
		"the same secret":    func(h *gateway.Trigger) { h.Name = "other" },
		"the same name":      func(h *gateway.Trigger) { h.Key = []byte("another key, with bytes enough..") },
	} {
		bad := good
		change(&bad)
		cfg := w.cfg
		cfg.StateDir, cfg.Triggers = t.TempDir(), []gateway.Trigger{good, bad}
		if _, err := gateway.New(cfg); err == nil {
			t.Errorf("%s: it starts", name)
		}
	}
	cfg := w.cfg
	cfg.Connections = slices.Clone(cfg.Connections)
	cfg.Connections[0].Groups, cfg.StateDir = []string{"dba"}, t.TempDir()
	if _, err := gateway.New(cfg); err == nil {
		t.Error("a hook that the connection does not admit starts")
	}
}

// The signature is that of the specification: its own example.
func TestHookSignatureIsThatOfTheStandard(t *testing.T) {
	key, ok := gateway.HookKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if !ok {
		t.Fatal("the secret is not read")
	}
	got := gateway.SignHook(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
	for _, bad := range []string{"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA", "whsec_not base64 of anything at all!"} {
		if _, ok := gateway.HookKey(bad); ok {
			t.Errorf("%q is a secret", bad)
		}
	}
}
