package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// Rules that no policy file states, of what was asked for ahead of time.
const (
	ruleScript = "approved-script-only"
)

// windowsEvery is how often it is looked whether a window has ended.
const windowsEvery = 250 * time.Millisecond

// script is what a session runs that was approved ahead of time.
type script struct {
	approval.Request
	list    []string // its statements
	next    int      // of them, if they are sent one by one
	started bool
	whole   bool // sent in one message
}

// Request asks ahead of time, for a script or for a window.
func (g *Gateway) Request(ctx context.Context, who identity.Identity, in api.NewRequest) (api.Request, error) {
	base := g.open(who, in.Connection)
	if base == nil {
		return api.Request{}, noConnection(in.Connection)
	}
	if strings.TrimSpace(in.Reason) == "" {
		return api.Request{}, &api.Error{Sentence: "a request needs a reason", Hint: "say why with --reason", Code: api.CodeUsage}
	}
	r := approval.Request{For: time.Duration(in.Seconds) * time.Second}
	r.Who, r.Connection, r.SQL = who, in.Connection, in.SQL
	r.Evidence = &approval.Evidence{Why: cutText(in.Reason, maxWhy)}
	var err error
	if r.Window() && in.SQL == "" {
		err = g.askWindow(base, &r)
	} else {
		err = g.askScript(ctx, base, &r)
	}
	if err != nil {
		return api.Request{}, err
	}
	if r, err = g.book.Add(r); err != nil {
		return api.Request{}, &api.Error{Sentence: "it could not be asked for: " + err.Error(), Hint: "run: sluice request ls", Code: api.CodeRefused}
	}
	ev := g.requestEvent(audit.Asked, who, r)
	ev.SQL, ev.Reason, ev.Approvers = g.unread(r.SQL), r.Evidence.Why, r.Quorum.Groups
	if err := g.note(ev); err != nil {
		return api.Request{}, err
	}
	g.tellRequest(r, approval.Waiting)
	return showRequest(r), nil
}

func cutText(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

func (g *Gateway) requestEvent(kind audit.Kind, who identity.Identity, r approval.Request) audit.Event {
	return audit.Event{
		Kind: kind, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Owner: who.Owner, Groups: who.Groups, Connection: r.Connection,
		Rule: r.Rule, SQLHash: r.Hash, Statement: r.Kind, Detail: "request " + r.ID + " for " + requestWhat(r), Outcome: "ok",
	}
}

func requestWhat(r approval.Request) string {
	if r.Window() {
		return "a window of " + howlong.Text(r.For)
	}
	return "a script"
}

func (g *Gateway) askWindow(base *database, r *approval.Request) error {
	q, rules, ok := g.policies.now.Load().Rules.Windows(r.Who, policy.Connection{Name: base.Name, Env: base.Env}, g.cfg.Now())
	if !ok {
		return &api.Error{Sentence: "no rule lets a window answer what it holds here", Hint: "ask for a script with -f, or have a rule say window: true", Code: api.CodeRefused}
	}
	r.Kind, r.Quorum, r.Rule = "window", q, strings.Join(rules, ", ")
	r.Reason = fmt.Sprintf("for %s, what these rules hold runs without being asked about", howlong.Text(r.For))
	return nil
}

func (g *Gateway) askScript(ctx context.Context, base *database, r *approval.Request) error {
	if err := base.ready(ctx); err != nil {
		return err
	}
	s := &session{Caller: Caller{Who: r.Who, Connection: base.Name}, g: g, base: base}
	s.follow()
	j, _ := s.explain(r.SQL, fresh(base, base.fresh(ctx)))
	if len(scriptList(j)) == 0 {
		return &api.Error{Sentence: "there is no statement in the script", Hint: "give a file with statements", Code: api.CodeUsage}
	}
	for _, x := range j.runs {
		if x.kept == "" {
			x.kept = x.about.redacted
		}
		if x.secret() {
			return &api.Error{Sentence: "the script holds a password", Hint: "run that statement by itself, so that it is kept nowhere", Code: api.CodeRefused}
		}
		if x.text.Kind == query.CopyFrom || x.text.Kind == query.CopyTo {
			return &api.Error{Sentence: "a script cannot carry COPY data", Hint: "use sluice connect NAME -- psql", Code: api.CodeUsage}
		}
	}
	v := j.verdict()
	switch v.Effect {
	case policy.Deny:
		return &api.Error{Sentence: "refused by policy: " + v.Reason + " (rule: " + v.Rule + ")", Hint: "see what applies to you: sluice explain " + base.Name, Code: api.CodeRefused}
	case policy.Allow:
		return &api.Error{Sentence: "nobody needs to approve this script", Hint: "run it: sluice exec " + base.Name, Code: api.CodeUsage}
	}
	r.Kind, r.Quorum, r.Rule, r.Reason, r.Effects = "script", v.Approvers, v.Rule, v.Reason, effectsOf(j)
	ev := s.evidence(j)
	ev.Why, r.Evidence = r.Evidence.Why, ev
	return nil
}

func scriptList(j *job) (list []string) {
	for _, x := range j.runs {
		if x.text.Kind != query.Empty {
			list = append(list, x.text.SQL)
		}
	}
	return list
}

// effectsOf is a digest of what each statement would do, as it is analysed.
func effectsOf(j *job) (list []string) {
	for _, x := range j.runs {
		h := sha256.New()
		fmt.Fprintf(h, "%q %q %q %q %q", x.text.SQL, x.means.Kind, x.about.reads, x.about.writes, x.about.signs)
		list = append(list, hex.EncodeToString(h.Sum(nil)))
	}
	return list
}

// Requests lists one's own requests, and those one may answer.
func (g *Gateway) Requests(who identity.Identity) []api.Request {
	out := []api.Request{}
	for _, r := range g.book.List() {
		if mine := r.Who.Subject == who.Subject; mine || r.MayAnswer(who, g.cfg.Now()) == nil || g.auditor(who) {
			out = append(out, showRequest(r))
		}
	}
	return out
}

func showRequest(r approval.Request) api.Request {
	return api.Request{Ask: showAsk(approval.Open{Ask: r.Ask, Votes: r.Votes}), State: r.State, Why: r.Why, Seconds: int64(r.For / time.Second), Until: r.Until}
}

// waitingRequests are those that wait for people, as asks.
func (g *Gateway) waitingRequests(who identity.Identity) (out []api.Ask) {
	for _, r := range g.book.List() {
		if r.State != approval.Waiting {
			continue
		}
		if a, ok := g.askFor(approval.Open{Ask: r.Ask, Votes: r.Votes}, who); ok {
			out = append(out, a)
		}
	}
	return out
}

// answerRequest votes on a request. The grant is on disk before its vote is recorded:
// it lets nothing run by itself.
func (g *Gateway) answerRequest(who identity.Identity, id string, in api.AskDecision) (api.Ask, error) {
	r, err := g.book.Decide(id, approval.Vote{Who: who, Grant: in.Grant, Reason: in.Reason, Saw: in.Seal, BreakGlass: in.BreakGlass})
	if rerr := g.voted(who, id, r.Ask, in, err); rerr != nil {
		return api.Ask{}, rerr
	}
	if err != nil {
		return api.Ask{}, answerError(id, err)
	}
	out := showAsk(approval.Open{Ask: r.Ask, Votes: r.Votes})
	switch r.State {
	case approval.Granted:
		out.State, out.BreakGlass = api.AskApproved, in.BreakGlass
	case approval.Denied:
		out.State = api.AskDenied
	case approval.Cancelled:
		out.State = api.AskCancelled
		g.endWindows()
	}
	if r.State == approval.Waiting {
		return out, nil
	}
	ev := g.requestEvent(audit.Answered, r.Who, r)
	ev.Reason, ev.Effect = r.Why, policy.Deny.String()
	if r.State == approval.Granted {
		ev.Effect = policy.Allow.String()
	}
	for _, v := range r.Votes {
		if v.Grant {
			ev.Approvers = append(ev.Approvers, v.Who.Name())
		}
	}
	if err := g.note(ev); err != nil {
		return api.Ask{}, err
	}
	g.tellRequest(r, r.State)
	return out, nil
}

// EndRequest takes a request back, by who made it; a window ends at once.
func (g *Gateway) EndRequest(who identity.Identity, id string) (api.Request, error) {
	r, err := g.book.Cancel(id, who)
	if err != nil {
		return api.Request{}, &api.Error{Sentence: err.Error(), Hint: "run: sluice request ls", Code: api.CodeError}
	}
	ev := g.requestEvent(audit.Answered, who, r)
	ev.Reason, ev.Effect, ev.Outcome = r.Why, policy.Deny.String(), "cancelled"
	if err := g.note(ev); err != nil {
		return api.Request{}, err
	}
	g.tellRequest(r, r.State)
	g.endWindows()
	return showRequest(r), nil
}

// takeScript binds a new session to a script that was approved. Only a session in which
// nothing was sent yet may: what the script says must mean what was approved.
func (s *session) takeScript(id string) policy.Verdict {
	no := func(why string) policy.Verdict {
		return policy.Verdict{Effect: policy.Deny, Rule: ruleScript, Reason: why}
	}
	if k := s.script; k != nil && k.ID == id && !k.started {
		return policy.Verdict{Effect: policy.Allow, Rule: ruleOurs, Reason: "it speaks to Sluice"} // parsed before, and now run
	}
	if s.count.Load() > 0 && !s.onlySaid || s.movedNames() || s.script != nil || s.server.InTransaction() {
		return no("an approved script runs in a session of its own, before anything else is sent")
	}
	r, err := s.g.book.Script(id, s.Who, s.Connection)
	if err != nil {
		return no(fmt.Sprintf("%s: %v", id, err))
	}
	if r.Kind == kindRunbook {
		return no(id + " is for a run of a runbook: sluice runbook run --request " + id)
	}
	s.script = &script{Request: r}
	for _, st := range query.Analyze(r.SQL, nil) {
		if st.Kind != query.Empty {
			s.script.list = append(s.script.list, st.SQL)
		}
	}
	return policy.Verdict{Effect: policy.Allow, Rule: ruleOurs, Reason: "it speaks to Sluice"}
}

// ahead answers what a request would be held for by what was approved ahead of time. In
// a session that runs a script nothing else runs.
func (s *session) ahead(req *wire.Request, j *job, v policy.Verdict) policy.Verdict {
	ours := len(j.runs) > 0 && !slices.ContainsFunc(j.runs, func(x *run) bool { _, _, ok := said(x.text); return !ok })
	s.onlySaid = (s.count.Load() == 0 || s.onlySaid) && ours
	if ours {
		return v
	}
	if run := s.running.Load(); run != nil {
		return s.stepped(run, req, j, v)
	}
	if s.script != nil {
		return s.scripted(req, j, v)
	}
	if v.Effect != policy.Hold || !v.Window || req.Action == wire.Prepare {
		return v
	}
	for _, w := range s.g.book.Windows(s.Who, s.Connection) {
		if enough(v, w.Ask, approval.Answer{Granted: true, BreakGlass: brokeGlass(w), Votes: w.Votes}, s.g.cfg.Now()) {
			s.window.Store(&w.ID)
			return j.granted(v, "in the window "+w.ID+", "+w.Why)
		}
	}
	return v
}

func brokeGlass(r approval.Request) bool {
	return slices.ContainsFunc(r.Votes, func(v approval.Vote) bool { return v.BreakGlass })
}

// granted makes what would be held run, as approved ahead of time.
func (j *job) granted(v policy.Verdict, why string) policy.Verdict {
	for _, x := range j.runs {
		if x.verdict.Effect == policy.Hold {
			x.verdict.Effect, x.verdict.Reason = policy.Allow, why
		}
	}
	v.Effect, v.Reason = policy.Allow, why
	j.gated = true
	return v
}

// scripted is the verdict on what is sent in a session that runs a script.
func (s *session) scripted(req *wire.Request, j *job, v policy.Verdict) policy.Verdict {
	no := func(why string) policy.Verdict {
		return j.refuseAll(policy.Verdict{Effect: policy.Deny, Rule: ruleScript, Reason: why})
	}
	k := s.script
	whole := req.SQL == k.SQL && !k.started
	one := !k.whole && k.next < len(k.list) && req.SQL == k.list[k.next]
	switch {
	case req.Action != wire.Run || len(req.Params) > 0 || !whole && !one:
		return no("this session runs what was approved as " + k.ID + ", and this is not it")
	case v.Effect == policy.Deny:
		return v
	// Behind a statement that changes the catalogue, one that is sent by itself is
	// read better than when it was approved; the policy says whether it may run.
	case whole && !slices.Equal(effectsOf(j), k.Effects):
		return no("what " + k.ID + " would do has changed since it was approved; ask again")
	case v.Effect == policy.Hold && !enough(v, k.Ask, approval.Answer{Granted: true, BreakGlass: brokeGlass(k.Request), Votes: k.Votes}, s.g.cfg.Now()):
		return no(k.Why + ", but by now it needs " + v.Approvers.String())
	}
	if !k.started {
		if _, err := s.g.book.Use(k.ID, s.Who, s.Connection); err != nil {
			return no(fmt.Sprintf("%s: %v", k.ID, err))
		}
	}
	k.started, k.whole = true, whole
	k.next++
	if v.Effect == policy.Hold {
		return j.granted(v, "as "+k.ID+", "+k.Why)
	}
	return v
}

// errWindow ends the sessions that a window let do what would have been held.
var errWindow = errors.New("the access window has ended")

// endWindows ends the sessions whose window is no longer open.
func (g *Gateway) endWindows() {
	for _, s := range g.sessions.all() {
		id := s.window.Load()
		if id == nil {
			continue
		}
		open := g.book.Windows(s.Who, s.Connection)
		if !slices.ContainsFunc(open, func(r approval.Request) bool { return r.ID == *id }) {
			s.cut(fmt.Errorf("%w: %s", errWindow, *id))
		}
	}
}

// watchWindows ends what windows let in, and requests that nobody answered, until ctx is
// done.
func (g *Gateway) watchWindows(ctx context.Context) {
	tick := time.NewTicker(windowsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.endWindows()
			for _, r := range g.book.Lapse() {
				g.tellRequest(r, r.State)
			}
		case <-ctx.Done():
			return
		}
	}
}

// requestRoutes are the control messages of requests and previews.
func (g *Gateway) requestRoutes(mux *http.ServeMux, who identity.Identity) {
	g.closed(mux, who, "POST "+api.PreviewPath, func(r *http.Request) (any, error) {
		return g.Preview(r.Context(), who, r.PathValue("id"))
	})
	g.closed(mux, who, "GET "+api.RequestsPath, func(*http.Request) (any, error) { return g.Requests(who), nil })
	g.closed(mux, who, "POST "+api.RequestsPath, func(r *http.Request) (any, error) {
		var in api.NewRequest
		if err := read(r, &in); err != nil {
			return nil, err
		}
		return g.Request(r.Context(), who, in)
	})
	g.runbookRoutes(mux, who)
	g.closed(mux, who, "POST "+api.RequestEndPath, func(r *http.Request) (any, error) { return g.EndRequest(who, r.PathValue("id")) })
}
