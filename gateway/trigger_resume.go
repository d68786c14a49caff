package gateway

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/runbook"
)

// A run of a hook that broke is gone on with from where it stands, with the file and the
// values that it began with: by the hook, when a message says so, or by a person who may
// run its runbook, who then is the one whose statements they are.

// resumedBy is who went on with a run, as the record names them.
type resumedBy struct {
	Name    string   `json:"name"`
	Subject string   `json:"subject"`
	Kind    string   `json:"kind"`
	Owner   string   `json:"owner,omitempty"`
	Groups  []string `json:"groups,omitempty"`
}

func byOf(who identity.Identity) *resumedBy {
	return &resumedBy{who.Name(), who.Subject, string(who.Kind), who.Owner, who.Groups}
}

// resuming is how somebody goes on with a run.
type resuming struct {
	as           *identity.Identity // a person; nil is the hook
	from, detail string             // of the entry in the record
	reason       string             // "" is that of the run
	undo         bool
	take         runbook.Taken
}

// goesOn reports whether a run broke and all is there to go on with it. The lock is held.
func (k *hookRun) goesOn() bool {
	return !k.kept.Ended.IsZero() && k.kept.State != nil && k.kept.State.Resumable() && k.kept.Text != ""
}

// toHook is the run as its hook is told of it: what a person was told who went on with it
// is theirs.
func (k *hookRun) toHook() api.HookRun {
	out := k.shown()
	if out.By == "" {
		return out
	}
	out.By = "a person"
	if out.Failure != nil {
		out.Failure = &api.HookFailure{Cause: out.Failure.Cause, Step: out.Failure.Step, Sentence: "it went wrong for a person who went on with it"}
	}
	return out
}

// find is a run that is still known; nil if there is none.
func (t *triggers) find(id string) *hookRun {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.runs[id]
}

// callAgain has a hook go on with a run of its own.
func (t *triggers) callAgain(ctx context.Context, h *inbound, m signedMessage, in api.HookCall) (int, any, *hookError) {
	if in.Resume == "" || in.Runbook != "" || in.Parameters != nil {
		return 0, nil, hookFail(http.StatusBadRequest, api.CodeUsage, `send {"resume": "rb-…"}, with "undo": true to take back what it did`, "a run is gone on with as it was begun")
	}
	k := t.find(in.Resume)
	if k == nil || k.hook != h {
		return 0, nil, hookFail(http.StatusNotFound, api.CodeError, "the record has it, if there ever was: sluice audit query --kind ran", "this hook has no such run that is still known")
	}
	if no := t.resume(ctx, k, resuming{from: m.from, detail: "message " + m.id + ", to go on with it", reason: saidWhy(in.Reason), undo: in.Undo}); no != nil {
		return 0, nil, no
	}
	return http.StatusAccepted, k.shown(), nil
}

// resume has a run go on, if whoever wants it may.
func (t *triggers) resume(ctx context.Context, k *hookRun, c resuming) *hookError {
	k.mu.Lock()
	kept, goes := k.kept, k.goesOn()
	k.mu.Unlock()
	if !goes {
		return k.cannot(&kept)
	}
	bound, err := k.bound()
	if err == nil && bound.Book.Hash != kept.Hash {
		err = fmt.Errorf("the runbook %s is read otherwise than when the run %s began", kept.Runbook, kept.Run)
	}
	if err != nil {
		return hookFail(http.StatusConflict, api.CodeError, "look at the database, and undo by hand what was done", "%s", err)
	}
	if c.as == nil {
		if no := t.mayGoOn(k.hook, bound, &kept); no != nil {
			return no
		}
	}
	if _, f := runbook.GoOn(bound, kept.State, c.undo); f != nil {
		return hookFail(http.StatusConflict, api.CodeError, f.Hint, "%s", f.Sentence)
	}
	if no := t.claim(k, c); no != nil {
		return no
	}
	if err := t.start(ctx, k, c.detail); err != nil {
		t.g.cfg.Log.Error("go on with a run of a hook", "hook", kept.Hook, "run", kept.Run, "error", err)
		t.release(k, kept)
		return notBegun(err)
	}
	return nil
}

// cannot says why there is nothing to go on with.
func (k *hookRun) cannot(kept *keptHookRun) *hookError {
	if kept.Ended.IsZero() {
		return hookFail(http.StatusConflict, api.CodeError, "wait until it has ended", "the run %s is under way", kept.Run)
	}
	status := runbook.Unchanged
	if kept.State != nil {
		status = kept.State.Status
	}
	return hookFail(http.StatusConflict, api.CodeError, "begin it anew", "the run %s is %s, there is nothing to go on with", kept.Run, status)
}

// mayGoOn is nil if the hook may begin this run today: its configuration may say less than
// when it did.
func (t *triggers) mayGoOn(h *inbound, bound *runbook.Bound, kept *keptHookRun) *hookError {
	who := h.who(t.g.cfg.Now())
	if no := t.g.barred(who); no != nil {
		e := hookFail(http.StatusForbidden, api.CodeRefused, "ask whoever runs the gateway", "this hook, or its owner, is locked")
		e.why = no.Sentence
		return e
	}
	no := func(format string, args ...any) *hookError {
		return hookFail(http.StatusForbidden, api.CodeRefused, "a person who may run the runbook can go on with it: sluice runbook resume "+kept.Run, format, args...)
	}
	if !slices.Contains(h.Runbooks, kept.Runbook) {
		return no("this hook may no longer begin the runbook %q", kept.Runbook)
	}
	if err := mayRun(who, bound.Book, h.Connection); err != nil {
		return no("%s", err)
	}
	given := map[string]any{}
	for name, v := range kept.Values {
		if slices.Contains(h.Allow, name) {
			given[name] = nil
			if v != nil {
				given[name] = *v
			}
		}
	}
	for name, v := range h.Fixed {
		given[name] = v
	}
	today, err := bound.Book.Bind(given)
	if err != nil || !maps.EqualFunc(today.Values, kept.Values, func(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }) {
		return no("the run %s has values that this hook may no longer give", kept.Run)
	}
	return nil
}

// claim takes a run for going on with it, on disk first: of many who want to, one does.
func (t *triggers) claim(k *hookRun, c resuming) *hookError {
	t.mu.Lock()
	defer t.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.goesOn() {
		kept := k.kept
		return k.cannot(&kept)
	}
	if k.hook.running >= runsAtOnce {
		return hookFail(http.StatusTooManyRequests, api.CodeRefused, "wait until one has ended, or was answered", "%d runs of this hook are under way, which is the most", runsAtOnce)
	}
	next := k.kept
	next.Ended, next.Resumed, next.Request, next.Undo, next.By, next.From = time.Time{}, t.g.cfg.Now().UTC(), "", c.undo, nil, c.from
	if c.as != nil {
		next.By = byOf(*c.as)
	}
	if c.reason != "" {
		next.Reason = c.reason
	}
	if err := t.file(next.Run+hookRunFile, "a run of a hook").Write(next); err != nil {
		t.g.cfg.Log.Error("keep a run of a hook", "run", next.Run, "error", err)
		return notBegun(err)
	}
	k.kept, k.as, k.take = next, c.as, c.take
	k.hook.running++
	return nil
}

// release gives a run back that did not go on.
func (t *triggers) release(k *hookRun, kept keptHookRun) {
	t.mu.Lock()
	k.hook.running--
	t.mu.Unlock()
	k.mu.Lock()
	k.kept, k.as = kept, nil
	k.mu.Unlock()
	if err := k.keep(); err != nil {
		t.g.cfg.Log.Error("keep a run of a hook", "run", kept.Run, "error", err)
	}
}

// yours is a run of a hook that who may run: a person whom its runbook and its connection
// admit. Others are not told that it is there.
func (g *Gateway) yours(who identity.Identity, k *hookRun) bool {
	if k == nil || who.Kind != identity.Person {
		return false
	}
	bound, err := k.bound()
	return err == nil && g.open(who, bound.Book.Connection) != nil && mayRun(who, bound.Book, bound.Book.Connection) == nil
}

func noHookRun(id string) error {
	return &api.Error{Sentence: fmt.Sprintf("there is no run %q of a hook that you can go on with", cutName(id)), Hint: "run: sluice runbook runs --hooks", Code: api.CodeUsage}
}

// HookRuns are the runs of hooks that broke, and that who may go on with. What the hook
// was told of them is not theirs to see.
func (g *Gateway) HookRuns(who identity.Identity) []api.HookRun {
	out := []api.HookRun{}
	if g.triggers == nil {
		return out
	}
	g.triggers.mu.Lock()
	var list []*hookRun
	for _, k := range g.triggers.runs {
		list = append(list, k)
	}
	g.triggers.mu.Unlock()
	for _, k := range list {
		if shown := k.shown(); shown.GoesOn && g.yours(who, k) {
			out = append(out, api.HookRun{Run: shown.Run, Runbook: shown.Runbook, Hash: shown.Hash, Status: shown.Status, Began: shown.Began, Ended: shown.Ended, Hook: k.hook.Name, By: shown.By, GoesOn: true})
		}
	}
	slices.SortFunc(out, func(a, b api.HookRun) int { return b.Began.Compare(a.Began) })
	return out
}

// HookRun is how a run stands that who went on with.
func (g *Gateway) HookRun(who identity.Identity, id string) (api.HookRun, error) {
	k := g.triggers.find(id)
	if k == nil || !k.of(who) {
		return api.HookRun{}, noHookRun(id)
	}
	return k.shown(), nil
}

// of reports whether it was who that went on with a run last.
func (k *hookRun) of(who identity.Identity) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.as != nil && k.as.Key() == who.Key()
}

// ResumeHookRun has a person go on with a run of a hook, as themselves.
func (g *Gateway) ResumeHookRun(ctx context.Context, who identity.Identity, from, id string, in api.HookResume) (api.HookRun, error) {
	k := g.triggers.find(id)
	if !g.yours(who, k) {
		return api.HookRun{}, noHookRun(id)
	}
	take := runbook.Taken(in.Take)
	if take != "" && take != runbook.TakenDone && take != runbook.TakenNotDone {
		return api.HookRun{}, &api.Error{Sentence: "what became of a transaction is done or not-done", Hint: "say what you found in the database", Code: api.CodeUsage}
	}
	detail := "to go on with a run of hook:" + k.hook.Name
	if no := g.triggers.resume(ctx, k, resuming{as: &who, from: from, detail: detail, reason: saidWhy(in.Reason), undo: in.Undo, take: take}); no != nil {
		if no.said.Code == api.CodeError && strings.TrimSpace(no.said.Hint) == "" {
			no.said.Hint = "look at: sluice audit query --run " + k.kept.Run
		}
		return api.HookRun{}, &no.said
	}
	return k.shown(), nil
}
