package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
)

// Asks lists what waits: one's own asks, and those one may answer.
func (g *Gateway) Asks(who identity.Identity) []api.Ask {
	out := []api.Ask{}
	for _, o := range g.desk.List() {
		if a, ok := g.askFor(o, who); ok {
			out = append(out, a)
		}
	}
	return append(out, g.waitingRequests(who)...)
}

// askFor is an ask as who sees it; ok is false if they do not.
func (g *Gateway) askFor(o approval.Open, who identity.Identity) (a api.Ask, ok bool) {
	now := g.cfg.Now()
	a = showAsk(o)
	a.MayAnswer = o.Ask.MayAnswer(who, now) == nil
	a.BreakGlass = o.Ask.MayBreakGlass(who, now) == nil
	return a, a.MayAnswer || owns(who, o.Ask.Who) || g.auditor(who)
}

func showAsk(o approval.Open) api.Ask {
	a := api.Ask{
		ID: o.Ask.ID, Who: whoAmI(o.Ask.Who), Connection: o.Ask.Connection, Session: o.Ask.Session, SQL: o.Ask.SQL, Params: o.Ask.Params,
		Kind: o.Ask.Kind, Rule: o.Ask.Rule, Reason: o.Ask.Reason, Created: o.Ask.Created, Deadline: o.Ask.Deadline, State: api.AskWaiting, Seal: o.Ask.Seal,
	}
	if ev := o.Ask.Evidence; ev != nil {
		a.Evidence = showEvidence(ev)
	}
	for _, q := range o.Ask.Quorum.Parts() {
		a.Groups = append(a.Groups, q.Groups...)
		a.Needed = max(a.Needed, q.Count)
		n := api.Need{Groups: q.Groups, Count: q.Count, Have: q.Have(o.Votes, o.Ask.Created)}
		if q.Escalate != nil {
			n.Later, n.From = q.Escalate.Groups, o.Ask.Created.Add(q.Escalate.After)
		}
		a.Needs = append(a.Needs, n)
	}
	for _, v := range o.Votes {
		a.Votes = append(a.Votes, api.Vote{Who: v.Who.Name(), Grant: v.Grant, Reason: v.Reason, At: v.At})
	}
	return a
}

func showEvidence(ev *approval.Evidence) *api.Evidence {
	out := &api.Evidence{
		From: ev.From, Shape: ev.Shape, Client: ev.Client, Why: ev.Why, Reads: ev.Reads, Writes: ev.Writes, Signs: ev.Signs, Masked: ev.Masked, Clear: ev.Clear,
		Done: ev.Looks.Done, Locks: ev.Looks.Locks, History: ev.Looks.History, Notes: ev.Looks.Notes,
	}
	if ev.Looks.Planned {
		out.Rows, out.Table, out.Whole = &ev.Looks.Rows, ev.Looks.Table, max(ev.Looks.Whole, 0)
	}
	return out
}

// watchAsks sends the list of asks each time it changes.
func (g *Gateway) watchAsks(w http.ResponseWriter, r *http.Request, caller func() identity.Identity) {
	w.Header().Set("Content-Type", "application/jsonl")
	flusher := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	for range g.desk.Watch(r.Context()) {
		who := caller() // who may have renewed their login meanwhile
		if g.known(who) != nil || enc.Encode(g.Asks(who)) != nil || flusher.Flush() != nil {
			return
		}
	}
}

// Answer votes on an ask. The vote is recorded when it has been counted; the
// statement itself runs only after its own record of the answer.
func (g *Gateway) Answer(who identity.Identity, id string, in api.AskDecision) (api.Ask, error) {
	if _, ok := g.book.Get(id); ok {
		return g.answerRequest(who, id, in)
	}
	ask, err := g.desk.Decide(id, approval.Vote{Who: who, Grant: in.Grant, Reason: in.Reason, Saw: in.Seal, BreakGlass: in.BreakGlass})
	if rerr := g.voted(who, id, ask, in, err); rerr != nil {
		return api.Ask{}, rerr
	}
	if err != nil {
		return api.Ask{}, answerError(id, err)
	}
	for _, o := range g.desk.List() {
		if o.Ask.ID == id { // more people must agree
			return showAsk(o), nil
		}
	}
	out := showAsk(approval.Open{Ask: ask})
	out.State, out.BreakGlass = api.AskDenied, in.BreakGlass
	if in.Grant {
		out.State = api.AskApproved
	}
	return out, nil
}

// voted records a vote, also one that did not count.
func (g *Gateway) voted(who identity.Identity, id string, ask approval.Ask, in api.AskDecision, err error) error {
	effect := policy.Deny
	if in.Grant {
		effect = policy.Allow
	}
	ev := audit.Event{
		Kind: audit.Voted, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Connection: ask.Connection,
		Session: ask.Session, Rule: ask.Rule, Reason: in.Reason, Effect: effect.String(), SQLHash: ask.Hash, Detail: "ask " + id, Outcome: "ok",
	}
	if in.BreakGlass {
		ev.Detail += breakGlassMark
	}
	if err != nil {
		ev.Outcome, ev.Error = "refused", err.Error()
	}
	return g.note(ev)
}

// breakGlassMark is what the record says of a vote and of an answer by break-glass, so
// that `sluice audit query --text break-glass` finds them all.
const breakGlassMark = " break-glass"

func answerError(id string, err error) error {
	e := &api.Error{Sentence: err.Error(), Hint: "run: sluice approvals ls", Code: api.CodeRefused}
	switch {
	case errors.Is(err, approval.ErrUnknown):
		e.Sentence, e.Code = fmt.Sprintf("no statement waits under the id %q", id), api.CodeError
	case errors.Is(err, approval.ErrUnseen):
		e.Hint = fmt.Sprintf("look at it again with sluice approvals show %s; an older sluice does not say what it showed: update it", id)
	case errors.Is(err, approval.ErrReason):
		e.Hint, e.Code = "say why with --reason", api.CodeUsage
	}
	return e
}
