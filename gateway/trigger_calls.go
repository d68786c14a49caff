package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/runbook"
)

// The paths of hooks. They are served apart from control messages, to programs that have
// no certificate but sign what they send.
const (
	hookPath       = "/v1/hooks/{name}"        // POST api.HookCall: 202 api.HookRun
	hookStatusPath = "/v1/hooks/{name}/status" // POST api.HookQuestion: api.HookRun
)

// Bounds of what hooks take of a gateway.
const (
	maxHookBody     = 64 << 10 // bytes of a message: parameters, not data
	callsPerMinute  = 30       // of one hook: each may be a run, and waits for the disk
	asksPerMinute   = 120      // questions of one hook: four runs asked about every two seconds
	runsAtOnce      = 4        // of one hook, with those that wait for people
	refusedToRecord = 20       // entries in a minute of calls that were not accepted, of all hooks; the others are counted
)

// triggers are the hooks of a gateway. serve owns the goroutines of their runs.
type triggers struct {
	g    *Gateway
	list map[string]*inbound
	work chan *hookRun // runs to serve, without room: who sends one knows that it is taken
	old  []*hookRun    // what an earlier gateway left under way, for serve to begin with

	mu      sync.Mutex           // guards what follows
	runs    map[string]*hookRun  // by id
	used    map[string]time.Time // messages that were taken, as "HOOK ID", and until when they could be sent again; on disk before anything runs
	seen    map[string]time.Time // questions, likewise, in memory
	refused perMinute
	left    int // refused calls that have no entry yet
}

// inbound is one hook.
type inbound struct {
	Trigger
	calls, asks perMinute // guarded by triggers.mu
	running     int       // likewise
}

// perMinute counts what happens within a minute.
type perMinute struct {
	since time.Time
	n     int
}

// take counts one more; false if there were as many as may be.
func (p *perMinute) take(now time.Time, most int) bool {
	if d := now.Sub(p.since); d >= time.Minute || d < 0 {
		*p = perMinute{since: now}
	}
	p.n++
	return p.n <= most
}

// signedMessage is one that was signed as it is, came in time and for the first time.
type signedMessage struct {
	id, from string
	body     []byte
}

// hookError is an answer that is no run. why is for the record, if that is to say more.
type hookError struct {
	status int
	said   api.Error
	why    string
}

func hookFail(status, code int, hint, format string, args ...any) *hookError {
	return &hookError{status: status, said: api.Error{Sentence: fmt.Sprintf(format, args...), Hint: hint, Code: code}}
}

// notAccepted is all that is said to who has not signed: not whether there is such a hook.
func notAccepted() *hookError {
	return hookFail(http.StatusUnauthorized, api.CodeNotLoggedIn, "sign it as Standard Webhooks has it, with the secret of the hook", "the message was not accepted")
}

// Hooks serves the hooks of the configuration: nothing else, and to nobody who cannot sign.
func (g *Gateway) Hooks() http.Handler {
	mux := http.NewServeMux()
	if g.triggers != nil {
		mux.HandleFunc("POST "+hookPath, g.triggers.serveHTTP(false, g.triggers.call))
		mux.HandleFunc("POST "+hookStatusPath, g.triggers.serveHTTP(true, g.triggers.status))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answerHook(w, http.StatusNotFound, hookFail(0, api.CodeUsage, "POST to /v1/hooks/NAME", "there is nothing here").said)
	})
	return mux
}

// serveHTTP has f answer a message, if it is one.
func (t *triggers) serveHTTP(asks bool, f func(context.Context, *inbound, signedMessage) (int, any, *hookError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		status, out, no := 0, any(nil), (*hookError)(nil)
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHookBody))
		if err != nil {
			no = hookFail(http.StatusRequestEntityTooLarge, api.CodeUsage, "", "the message is longer than %d KiB, or did not come whole", maxHookBody>>10)
		} else {
			m := signedMessage{from: r.RemoteAddr, body: body}
			var h *inbound
			if h, no = t.receive(name, r.Header, &m, asks); no == nil {
				status, out, no = f(r.Context(), h, m)
			}
		}
		if no != nil {
			t.note(name, r, no)
			if no.status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "60")
			}
			answerHook(w, no.status, no.said)
			return
		}
		answerHook(w, status, out)
	}
}

func answerHook(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // a caller that left misses nothing
}

// nobodysKey is what messages for hooks that are not there are compared with, so that they
// take as long as others.
var nobodysKey = make([]byte, 32)

// receive lets through a message that the holder of the hook's secret sent just now, and
// each one once.
func (t *triggers) receive(name string, header http.Header, m *signedMessage, asks bool) (*inbound, *hookError) {
	h, key := t.list[name], nobodysKey
	if h != nil {
		key = h.Key
	}
	id, at, ok := signed(key, header, m.body)
	if !ok || h == nil {
		return nil, notAccepted()
	}
	m.id = id
	now := t.g.cfg.Now()
	if d := now.Sub(at); d > hookTolerance || d < -hookTolerance {
		return nil, hookFail(http.StatusBadRequest, api.CodeUsage, "set the clock of the sender, and sign each try anew", "the time of the message is more than %s from the gateway's", howlong.Text(hookTolerance))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	memory, most, p := t.used, callsPerMinute, &h.calls
	if asks {
		memory, most, p = t.seen, asksPerMinute, &h.asks
	}
	forget(memory, now)
	again := name + " " + id
	if _, twice := memory[again]; twice {
		return nil, hookFail(http.StatusConflict, api.CodeRefused, "ask what became of it: POST its id to /v1/hooks/"+name+"/status, as a message of its own", "a message with this id has been taken already")
	}
	if !p.take(now, most) {
		return nil, hookFail(http.StatusTooManyRequests, api.CodeRefused, "send it again in a minute", "the hook is called more than %d times a minute", most)
	}
	memory[again] = at.Add(hookTolerance + time.Second)
	if asks {
		return h, nil
	}
	if err := t.usedFile().Write(t.used); err != nil {
		delete(t.used, again)
		t.g.cfg.Log.Error("keep the ids of messages", "error", err)
		return nil, hookFail(http.StatusServiceUnavailable, api.CodeError, "send it again", "the message could not be noted, so it was not taken")
	}
	return h, nil
}

// forget drops what is too old to be taken.
func forget(memory map[string]time.Time, now time.Time) {
	for id, until := range memory {
		if now.After(until) {
			delete(memory, id)
		}
	}
}

// note records a call that began nothing. Who floods the gateway does not flood the record:
// beyond some in a minute, calls are counted.
func (t *triggers) note(name string, r *http.Request, no *hookError) {
	now := t.g.cfg.Now()
	t.mu.Lock()
	room := t.refused.take(now, refusedToRecord)
	if !room {
		t.left++
	}
	t.mu.Unlock()
	if !room {
		return
	}
	ev := audit.Event{Kind: audit.Ran, Outcome: "refused", From: r.RemoteAddr, Error: no.said.Sentence}
	if no.why != "" {
		ev.Error += ": " + no.why
	}
	if h := t.list[name]; h != nil {
		who := h.who(now)
		ev.Who, ev.Subject, ev.CallerKind, ev.Owner, ev.Groups, ev.Connection = who.Name(), who.Subject, string(who.Kind), who.Owner, who.Groups, h.Connection
	} else {
		ev.Detail = "there is no hook " + strconv.Quote(cutName(name))
	}
	t.g.log(t.g.note(ev))
}

// noteLeft records how many calls were refused without an entry of their own.
func (t *triggers) noteLeft() {
	t.mu.Lock()
	n := t.left
	t.left = 0
	t.mu.Unlock()
	if n > 0 {
		t.g.log(t.g.note(audit.Event{Kind: audit.Ran, Outcome: "refused", Error: fmt.Sprintf("%d more messages to hooks were not accepted within a minute or so", n)}))
	}
}

// read reads the body of a message, which was written for this.
func (m *signedMessage) read(in any) *hookError {
	dec := json.NewDecoder(bytes.NewReader(m.body))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	err := dec.Decode(in)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return hookFail(http.StatusBadRequest, api.CodeUsage, `send {"runbook": "NAME", "parameters": {…}, "reason": "…"}`, "the body is not the JSON that was expected: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// call begins a run.
func (t *triggers) call(ctx context.Context, h *inbound, m signedMessage) (int, any, *hookError) {
	var in api.HookCall
	if no := m.read(&in); no != nil {
		return 0, nil, no
	}
	if in.Resume != "" || in.Undo {
		return t.callAgain(ctx, h, m, in)
	}
	values, no := h.values(&in)
	if no != nil {
		return 0, nil, no
	}
	k, no := t.prepare(ctx, h, m, in, values)
	if no != nil {
		return 0, nil, no
	}
	if no := t.begin(ctx, k); no != nil {
		return 0, nil, no
	}
	return http.StatusAccepted, k.shown(), nil
}

// values are those of a run: what is fixed, and what may be given. The runbook is filled
// in.
func (h *inbound) values(in *api.HookCall) (map[string]any, *hookError) {
	if in.Runbook == "" && len(h.Runbooks) == 1 {
		in.Runbook = h.Runbooks[0]
	}
	if !slices.Contains(h.Runbooks, in.Runbook) {
		return nil, hookFail(http.StatusForbidden, api.CodeRefused, "the gateway's configuration says which it may", "this hook may not begin the runbook %q", cutName(in.Runbook))
	}
	values := map[string]any{}
	for name, v := range in.Parameters {
		if !slices.Contains(h.Allow, name) {
			return nil, hookFail(http.StatusForbidden, api.CodeRefused, "the gateway's configuration says which may", "the parameter %q may not be given to this hook", cutName(name))
		}
		values[name] = v
	}
	for name, v := range h.Fixed {
		values[name] = v
	}
	return values, nil
}

// prepare reads the runbook as it is now, and binds the values.
func (t *triggers) prepare(ctx context.Context, h *inbound, m signedMessage, in api.HookCall, values map[string]any) (*hookRun, *hookError) {
	now := t.g.cfg.Now()
	if no := t.g.barred(h.who(now)); no != nil {
		e := hookFail(http.StatusForbidden, api.CodeRefused, "ask whoever runs the gateway", "this hook, or its owner, is locked")
		e.why = no.Sentence
		return nil, e
	}
	unread := func(err error) *hookError {
		t.g.cfg.Log.Error("read a runbook for a hook", "runbook", in.Runbook, "error", err)
		e := hookFail(http.StatusInternalServerError, api.CodeError, "ask whoever runs the gateway", "the runbook %s cannot be used", in.Runbook)
		e.why = cutText(err.Error(), maxWhy)
		return e
	}
	file, err := t.g.cfg.Book(ctx, in.Runbook)
	if err != nil {
		return nil, unread(err)
	}
	book, err := runbook.Load(file.File, []byte(file.Text))
	if err != nil {
		return nil, unread(err)
	}
	bound, err := book.Bind(values)
	if err != nil {
		return nil, hookFail(http.StatusBadRequest, api.CodeUsage, "the runbook says what its parameters may be", "%s", err)
	}
	if err := mayRun(h.who(now), book, h.Connection); err != nil {
		e := hookFail(http.StatusForbidden, api.CodeRefused, "", "%s", err)
		if said, ok := api.AsError(err); ok {
			e.said.Hint = said.Hint
		}
		return nil, e
	}
	reason := saidWhy(in.Reason)
	if reason == "" {
		reason = "begun by the hook " + h.Name
	}
	k := &hookRun{t: t, hook: h}
	k.kept = keptHookRun{
		Hook: h.Name, Message: m.id, From: m.from, Run: runbook.NewRunID(), BookFile: file, Reason: reason, Began: now.UTC(),
		Values: bound.Values, Runbook: book.Name, Hash: book.Hash,
	}
	return k, nil
}

// saidWhy is a reason in a line that people read.
func saidWhy(reason string) string {
	return cutText(strings.TrimSpace(strings.Map(visible, reason)), maxWhy)
}

// visible drops what is not for a line that people read.
func visible(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
		return ' '
	}
	return r
}

// begin records the call and has the run go on by itself.
func (t *triggers) begin(ctx context.Context, k *hookRun) *hookError {
	if !t.enter(k) {
		return hookFail(http.StatusTooManyRequests, api.CodeRefused, "wait until one has ended, or was answered", "%d runs of this hook are under way, which is the most", runsAtOnce)
	}
	err := k.keep()
	if err == nil {
		err = t.start(ctx, k, "message "+k.kept.Message)
	}
	if err == nil {
		return nil
	}
	t.g.cfg.Log.Error("begin a run of a hook", "hook", k.hook.Name, "run", k.kept.Run, "error", err)
	t.drop(k)
	return notBegun(err)
}

// start records that somebody has a run begin, or go on, and hands it to serve.
func (t *triggers) start(ctx context.Context, k *hookRun, detail string) error {
	ev := k.event("called")
	ev.From, ev.Detail, ev.Reason = k.kept.From, detail, k.kept.Reason
	if err := t.g.note(ev); err != nil {
		return err
	}
	select {
	case t.work <- k:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func notBegun(err error) *hookError {
	later := hookFail(http.StatusServiceUnavailable, api.CodeError, "send it again, as a message of its own", "the run could not be begun")
	later.why = err.Error()
	return later
}

// status says what became of a run of this hook.
func (t *triggers) status(_ context.Context, h *inbound, m signedMessage) (int, any, *hookError) {
	var in api.HookQuestion
	if no := m.read(&in); no != nil {
		no.said.Hint = `send {"run": "…"}, or {"id": "…"} of the message that began it`
		return 0, nil, no
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.runs {
		if k.hook == h && (in.Run != "" && k.kept.Run == in.Run || in.Run == "" && in.ID != "" && k.kept.Message == in.ID) {
			return http.StatusOK, k.toHook(), nil
		}
	}
	return 0, nil, hookFail(http.StatusNotFound, api.CodeError, "the record has it, if there ever was: sluice audit query --kind ran", "this hook has no such run that is still known")
}
