package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/wire"
)

const (
	ruleRunbook = "runbook-steps-only" // no policy file states it
	kindRunbook = "runbook"            // of a request

	// maxRunsEach bounds the runs of one caller that are kept: more than a person or a
	// job has at once. The oldest goes first.
	maxRunsEach = 50
)

// running is a run of a runbook: what its sessions may send, and how far they are.
type running struct {
	id, owner  string // whose
	connection string
	bound      *runbook.Bound
	list       []runbook.Statement
	began      time.Time
	request    string // granted ahead of time, for one session; "" if nothing was

	mu    sync.Mutex // guards what follows
	in    string     // id of the session that has used the request
	next  int        // of list: what comes before it may no longer run
	turns int        // of list[next]
}

// runs are those of all callers.
type runs struct {
	mu   sync.Mutex
	list []*running
}

func (r *runs) get(owner, id string) *running {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.list {
		if run.owner == owner && run.id == id {
			return run
		}
	}
	return nil
}

// put keeps a run in place of one by its name, and drops what is too old to go on.
func (r *runs) put(run *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := 0
	for i := len(r.list) - 1; i >= 0; i-- {
		have := r.list[i]
		if have.owner == run.owner {
			own++
		}
		if have.owner == run.owner && (have.id == run.id || own >= maxRunsEach) || run.began.Sub(have.began) > 2*runbook.MaxTime {
			r.list = slices.Delete(r.list, i, i+1)
		}
	}
	r.list = append(r.list, run)
}

var runForm = regexp.MustCompile(`^[a-zA-Z0-9-]{4,40}$`)

// BeginRun reads a runbook and lets who run it: a session that takes the run sends its
// steps, bound to these values, and nothing else. If people must agree ahead of time it
// asks them, and the run begins when it is begun again with what they granted.
func (g *Gateway) BeginRun(ctx context.Context, who identity.Identity, in api.NewRun) (api.Run, error) {
	base := g.open(who, in.Connection)
	if base == nil {
		return api.Run{}, noConnection(in.Connection)
	}
	if !runForm.MatchString(in.Run) {
		return api.Run{}, &api.Error{Sentence: "the id of a run is 4 to 40 letters, digits and -", Hint: "update sluice on this machine", Code: api.CodeUsage}
	}
	bound, err := boundOf(in)
	if err != nil {
		return api.Run{}, err
	}
	if err := mayRun(who, bound.Book, in.Connection); err != nil {
		return api.Run{}, err
	}
	run := &running{id: in.Run, owner: who.Key(), connection: in.Connection, bound: bound, list: bound.Statements(), began: g.cfg.Now(), request: in.Request}
	out := api.Run{Run: run.id, Runbook: bound.Book.Name, Hash: bound.Book.Hash}
	if in.Goes == "settle" { // it asks what became of a transaction, and does nothing
		run.list, run.request = nil, ""
	} else if in.Request != "" || bound.Book.Approvals.Ahead || in.Ahead {
		r, err := g.runAhead(ctx, base, who, run, in)
		if err != nil || r != nil {
			out.Request = r
			return out, err
		}
	}
	g.runs.put(run)
	ev := g.runEvent(who, run, "began")
	ev.Reason, ev.Detail, ev.Params = cutText(in.Reason, maxWhy), ranDetail(in), g.valuesOf(bound)
	return out, g.note(ev)
}

func ranDetail(in api.NewRun) string {
	detail := map[string]string{"on": "it goes on; ", "back": "what was done is taken back; ", "settle": "it is asked what became of it; "}[in.Goes]
	if in.Commit == "" {
		return detail + "no commit is known"
	}
	return detail + "commit " + cutText(in.Commit, 80) + ", as the caller says"
}

// valuesOf are the parameters as the record keeps them. Which of them tell of people
// each statement's own entry knows; here all may that are no choice of the file's.
func (g *Gateway) valuesOf(b *runbook.Bound) (list []string) {
	for _, p := range b.Book.Parameters {
		v := "NULL"
		if given := b.Values[p.Name]; given != nil {
			if v = *given; len(p.Choices) == 0 && p.Type != runbook.Boolean {
				v = g.kept(v)
			}
		}
		list = append(list, p.Name+"="+v)
	}
	return list
}

// kept is what the record keeps of a value that may tell of a person.
func (g *Gateway) kept(value string) string {
	if l := g.cfg.Literals; l.Mode != "" && l.Mode != KeepLiterals {
		return l.stands(value)
	}
	return value
}

func (g *Gateway) runEvent(who identity.Identity, run *running, outcome string) audit.Event {
	return audit.Event{
		Kind: audit.Ran, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Owner: who.Owner, Groups: who.Groups, Connection: run.connection,
		Credential: who.Credential, Outcome: outcome, Runbook: run.bound.Book.Name, RunbookHash: run.bound.Book.Hash, RunbookRun: run.id,
	}
}

func boundOf(in api.NewRun) (*runbook.Bound, error) {
	book, err := runbook.Load(in.File, []byte(in.Text))
	if err != nil {
		return nil, &api.Error{Sentence: err.Error(), Hint: "run: sluice runbook lint", Code: api.CodeUsage}
	}
	given := make(map[string]any, len(in.Values))
	for name, v := range in.Values {
		given[name] = nil
		if v != nil {
			given[name] = *v
		}
	}
	bound, err := book.Bind(given)
	if err != nil {
		return nil, &api.Error{Sentence: err.Error(), Hint: "run: sluice runbook show " + book.Name, Code: api.CodeUsage}
	}
	return bound, nil
}

// mayRun is nil if the runbook lets who run it there.
func mayRun(who identity.Identity, b *runbook.Runbook, connection string) error {
	switch {
	case b.Connection != connection:
		return &api.Error{Sentence: fmt.Sprintf("the runbook %s is for the connection %s, not for %s", b.Name, b.Connection, connection), Hint: "change connection: in a copy of its own", Code: api.CodeRefused}
	case len(b.Who.Groups) > 0 && !inAny(who, b.Who.Groups):
		return &api.Error{Sentence: fmt.Sprintf("the runbook %s is for members of %s", b.Name, strings.Join(b.Who.Groups, " or ")), Hint: "ask one of them to run it", Code: api.CodeRefused}
	case len(b.Who.Kinds) > 0 && !slices.Contains(b.Who.Kinds, string(who.Kind)):
		return &api.Error{Sentence: fmt.Sprintf("the runbook %s is not for %s", b.Name, map[identity.Kind]string{identity.Person: "people", identity.Job: "jobs", identity.Agent: "agents"}[who.Kind]), Hint: "it says under who: whom it is for", Code: api.CodeRefused}
	}
	return nil
}

// runAhead finds what was granted for a run, or asks for it. Nothing and no error means
// that the run may begin.
func (g *Gateway) runAhead(ctx context.Context, base *database, who identity.Identity, run *running, in api.NewRun) (*api.Request, error) {
	text := shownRun(run, in.Commit, func(v string) string { return v })
	if in.Request != "" {
		r, err := g.book.Script(in.Request, who, in.Connection)
		switch {
		case err != nil && r.State == approval.Waiting:
			return nil, &api.Error{Sentence: in.Request + " still waits for approval", Hint: "run: sluice request ls", Code: api.CodeNotApproved}
		case err != nil:
			return nil, &api.Error{Sentence: fmt.Sprintf("%s: %v", in.Request, err), Hint: "run: sluice request ls", Code: api.CodeRefused}
		case r.Kind != kindRunbook || r.SQL != text:
			return nil, &api.Error{Sentence: in.Request + " was approved for something else than this run", Hint: "give the same file and the same values, or ask again", Code: api.CodeRefused}
		}
		return nil, nil
	}
	if strings.TrimSpace(in.Reason) == "" {
		return nil, &api.Error{Sentence: "what is asked for ahead of time needs a reason", Hint: "say why with --reason", Code: api.CodeUsage}
	}
	r := approval.Request{}
	r.Who, r.Connection, r.SQL, r.Kind = who, in.Connection, text, kindRunbook
	needed, err := g.judgeRun(ctx, base, &r, run)
	if err != nil || !needed {
		return nil, err
	}
	r.Evidence.Why = cutText(in.Reason, maxWhy)
	if r, err = g.book.Add(r); err != nil {
		return nil, &api.Error{Sentence: "it could not be asked for: " + err.Error(), Hint: "run: sluice request ls", Code: api.CodeRefused}
	}
	ev := g.requestEvent(audit.Asked, who, r)
	ev.SQL, ev.Reason, ev.Approvers = g.unread(shownRun(run, in.Commit, g.kept)), r.Evidence.Why, r.Quorum.Groups
	ev.Runbook, ev.RunbookHash, ev.RunbookRun = run.bound.Book.Name, run.bound.Book.Hash, run.id
	if err := g.note(ev); err != nil {
		return nil, err
	}
	g.tellRequest(r, approval.Waiting)
	shown := showRequest(r)
	return &shown, nil
}

// judgeRun works out who must agree to all statements of a run, and keeps in r what
// each would do. needed is false if nobody has to.
func (g *Gateway) judgeRun(ctx context.Context, base *database, r *approval.Request, run *running) (needed bool, err error) {
	if err := base.ready(ctx); err != nil {
		return false, err
	}
	s := &session{Caller: Caller{Who: r.Who, Connection: base.Name}, g: g, base: base}
	s.follow()
	v := fresh(base, base.fresh(ctx))
	all, moved := &job{}, false
	for _, st := range run.list {
		j, _ := s.explain(st.SQL, v)
		effect := effectOf(j)
		if moved { // what an earlier step changes decides what this one means
			effect = ""
		}
		r.Effects = append(r.Effects, effect)
		for _, x := range j.runs {
			moved = moved || changes(x.text) || opaque(x.text)
			if x.kept == "" {
				x.kept = x.about.redacted
			}
			if x.secret() {
				return false, &api.Error{Sentence: "step " + st.Step + " holds a password", Hint: "make that a statement of its own, so that it is kept nowhere", Code: api.CodeRefused}
			}
		}
		all.runs = append(all.runs, j.runs...)
	}
	verdict := all.verdict()
	if verdict.Effect == policy.Deny {
		return false, &api.Error{Sentence: "refused by policy: " + verdict.Reason + " (rule: " + verdict.Rule + ")", Hint: "see what applies to you: sluice explain " + base.Name, Code: api.CodeRefused}
	}
	own := run.bound.Book.Approvals
	switch wants := (approval.Quorum{Groups: own.Groups, Count: own.Count}); {
	case len(own.Groups) == 0 && verdict.Effect == policy.Allow:
		return false, nil
	case verdict.Effect == policy.Allow:
		r.Quorum, r.Rule, r.Reason = wants, "runbook "+run.bound.Book.Name, "the runbook itself wants people to agree"
	case len(own.Groups) > 0:
		r.Quorum, r.Rule, r.Reason = verdict.Approvers.Plus(wants), verdict.Rule, verdict.Reason
	default:
		r.Quorum, r.Rule, r.Reason = verdict.Approvers, verdict.Rule, verdict.Reason
	}
	r.Evidence = s.evidence(all)
	return true, nil
}

// effectOf is one digest of what a statement of a run would do.
func effectOf(j *job) string { return strings.Join(effectsOf(j), " ") }

// shownRun is a whole run as approvers read it, and what their answer is bound to:
// statements, values, conditions, and what is undone with what.
func shownRun(run *running, commit string, value func(string) string) string {
	var b strings.Builder
	book := run.bound.Book
	line := func(format string, args ...any) {
		b.WriteString("-- " + strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n-- ") + "\n")
	}
	line("runbook %s: %s", book.Name, book.Title)
	line("%s", book.Purpose)
	line("%s", book.Hash)
	if commit != "" {
		line("commit %s, as the caller says", cutText(commit, 80))
	}
	if book.Transaction == runbook.One {
		line("one transaction: all of it, or nothing")
	} else {
		line("each step in a transaction of its own")
	}
	for i, st := range run.list {
		b.WriteByte('\n')
		title := "step " + strconv.Itoa(i+1) + ": " + st.Step
		if st.Undo {
			title = "if a later step fails, taking back " + st.Step
		}
		if st.When != "" {
			title += ", if " + st.When
		}
		if st.While != "" {
			title += fmt.Sprintf(", again while %s, at most %d times", st.While, st.Most)
		}
		line("%s", title)
		if st.Note != "" {
			line("%s", st.Note)
		}
		b.WriteString(strings.TrimSpace(st.SQL) + ";\n")
		for n, p := range st.Params {
			v := "NULL"
			if p != nil {
				v = strconv.Quote(value(*p)) // on one line, whatever it holds
			}
			line("$%d = %s", n+1, v)
		}
		if st.Expect != "" {
			line("expects %s", st.Expect)
		}
	}
	return b.String()
}

// EndRun records how a run ended, as who ran it says.
func (g *Gateway) EndRun(who identity.Identity, id string, in api.RunEnd) (api.Run, error) {
	run := g.runs.get(who.Key(), id)
	if run == nil {
		return api.Run{}, &api.Error{Sentence: "there is no such run of yours", Hint: "it may have been begun at another gateway, or before this one was restarted", Code: api.CodeError}
	}
	status := runbook.Status(in.Status)
	if !slices.Contains([]runbook.Status{runbook.Done, runbook.Unchanged, runbook.Undone, runbook.Stopped, runbook.Broken, runbook.Stuck, runbook.Doubtful}, status) {
		return api.Run{}, &api.Error{Sentence: "a run does not end like that", Hint: "update sluice on one of the two sides", Code: api.CodeUsage}
	}
	ev := g.runEvent(who, run, string(status))
	ev.Detail = cutText(in.Detail, 4096)
	return api.Run{Run: run.id, Runbook: run.bound.Book.Name, Hash: run.bound.Book.Hash}, g.note(ev)
}

// takeRun binds a new session to a run. As with a script, only one in which nothing was
// sent yet may: what the steps say must mean what it says.
func (s *session) takeRun(id string) policy.Verdict {
	no := func(why string) policy.Verdict {
		return policy.Verdict{Effect: policy.Deny, Rule: ruleRunbook, Reason: why}
	}
	ok := policy.Verdict{Effect: policy.Allow, Rule: ruleOurs, Reason: "it speaks to Sluice"}
	have := s.running.Load()
	if have != nil && have.id == id {
		return ok // parsed before, and now run
	}
	if s.count.Load() > 0 && !s.onlySaid || s.movedNames() || have != nil || s.script != nil || s.server.InTransaction() {
		return no("a runbook runs in a session of its own, before anything else is sent")
	}
	run := s.g.runs.get(s.owner(), id)
	if run == nil || run.connection != s.Connection {
		return no("there is no such run of yours here; begin it first")
	}
	s.running.Store(run)
	return ok
}

// stepped is the verdict on what is sent in a session of a run: its steps, in their
// order, with their values, and what frames them. The policy decides on each as ever.
func (s *session) stepped(run *running, req *wire.Request, j *job, v policy.Verdict) policy.Verdict {
	no := func(why string) policy.Verdict {
		return j.refuseAll(policy.Verdict{Effect: policy.Deny, Rule: ruleRunbook, Reason: why})
	}
	if len(j.runs) == 1 && j.runs[0].text.Kind == query.Empty || framed(req) {
		return v
	}
	if v.Effect == policy.Deny {
		return v
	}
	if req.Action == wire.Prepare {
		if slices.ContainsFunc(run.list, func(st runbook.Statement) bool { return st.SQL == req.SQL }) {
			return v
		}
		return no("this session runs the runbook " + run.bound.Book.Name + ", and this is none of its steps")
	}
	at, why := run.take(s.id, req)
	if why != "" {
		return no(why)
	}
	st := run.list[at]
	j.step = st.Step
	if st.Undo {
		j.step = "undo: " + st.Step
	}
	if column := s.maskedOf(j.runs[0], run.bound.Book.Sees(st.Step)); column != "" && !st.Undo {
		return no("a condition of the runbook looks at " + column + ", which may be masked for you; have it look at a count or another column")
	}
	if run.request == "" {
		return v
	}
	return s.answeredAhead(run, at, j, v)
}

// maskedOf is one of these result columns that may not be shown as it is; "" is that all
// are: a condition must not take a mask for what was masked.
func (s *session) maskedOf(x *run, columns []string) string {
	if len(columns) == 0 {
		return ""
	}
	masks := s.masks(x)
	if x.blind != "" {
		return columns[0]
	}
	for _, m := range masks {
		if m.Column == query.Star || slices.Contains(columns, m.Column) || slices.Contains(columns, runbook.AnyColumn) {
			return m.Column
		}
	}
	return ""
}

// framed reports whether a request is one of the runner's own.
func framed(req *wire.Request) bool {
	switch req.SQL {
	case runbook.Begin, runbook.Commit, runbook.Rollback, runbook.TransactionID:
		return len(req.Params) == 0
	case runbook.TransactionEnd:
		return req.Action == wire.Prepare || len(req.Params) == 1
	}
	return false
}

// take finds the step that a request is, among those that may come now.
func (r *running) take(session string, req *wire.Request) (at int, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in != "" && r.in != session {
		return 0, r.request + ": " + errUsed.Error()
	}
	if req.Again {
		return r.next, ""
	}
	past := -1
	for i, st := range r.list {
		if req.Action != wire.Run || st.SQL != req.SQL || !sameParams(st.Params, req.Params) {
			continue
		}
		if past = i; !r.due(i) {
			continue
		}
		if r.next != i {
			r.next, r.turns = i, 0
		}
		r.turns++
		return i, ""
	}
	switch {
	case past < 0:
		return 0, "this session runs the runbook " + r.bound.Book.Name + ", and this is none of its steps with its values"
	case r.request == "": // each step is decided on by itself, whenever it comes
		return past, ""
	}
	return 0, "it is not this step's turn: it has run as often as was approved, or one before it has not"
}

// due reports whether step i may come now: not again, and not past one that no condition
// leaves out. The lock is held.
func (r *running) due(i int) bool {
	if i < r.next || i == r.next && r.turns >= r.list[i].Most {
		return false
	}
	from := r.next
	if r.turns > 0 {
		from++
	}
	for k := from; k < i; k++ {
		if !r.list[k].Skip && !r.list[i].Undo {
			return false
		}
	}
	return true
}

func sameParams(want []*string, have []wire.Param) bool {
	return slices.EqualFunc(want, have, func(w *string, h wire.Param) bool {
		if w == nil || h.Value == nil {
			return w == nil && h.Value == nil
		}
		return !h.Binary && *w == string(h.Value)
	})
}

// answeredAhead has a step run by what was granted for its run, which one session uses
// up with its first step.
func (s *session) answeredAhead(run *running, at int, j *job, v policy.Verdict) policy.Verdict {
	no := func(why string) policy.Verdict {
		return j.refuseAll(policy.Verdict{Effect: policy.Deny, Rule: ruleRunbook, Reason: why})
	}
	r, err := s.granted(run)
	if err != nil {
		return no(fmt.Sprintf("%s: %v", run.request, err))
	}
	if at >= len(r.Effects) || r.Effects[at] != "" && r.Effects[at] != effectOf(j) {
		return no("what this step would do has changed since " + r.ID + " was approved; ask again")
	}
	if v.Effect != policy.Hold {
		return v
	}
	if !enough(v, r.Ask, approval.Answer{Granted: true, BreakGlass: brokeGlass(r), Votes: r.Votes}, s.g.cfg.Now()) {
		return no(r.Why + ", but by now it needs " + v.Approvers.String())
	}
	return j.granted(v, "as "+r.ID+", "+r.Why)
}

// errUsed says that another session had the one run.
var errUsed = errors.New("it was used by another session; ask again")

// granted is the request of a run, used up on disk before the first step leaves.
func (s *session) granted(run *running) (approval.Request, error) {
	run.mu.Lock()
	defer run.mu.Unlock()
	switch run.in {
	case "":
		r, err := s.g.book.Use(run.request, s.who(), s.Connection)
		if err == nil {
			run.in = s.id
		}
		return r, err
	case s.id:
		r, ok := s.g.book.Get(run.request)
		if !ok {
			return r, approval.ErrNoRequest
		}
		if r.State != approval.Used {
			return r, fmt.Errorf("%w: it is %s", approval.ErrNotOpen, r.State)
		}
		return r, nil
	}
	return approval.Request{}, errUsed
}

// stepOf says to approvers which step a held statement is.
func (s *session) stepOf(j *job) string {
	run := s.running.Load()
	if run == nil || j.step == "" {
		return ""
	}
	return fmt.Sprintf(" (runbook %s, %s, run %s, %s)", run.bound.Book.Name, j.step, run.id, run.bound.Book.Hash[:19])
}

// runbookRoutes are the control messages of runbooks.
func (g *Gateway) runbookRoutes(mux *http.ServeMux, who identity.Identity) {
	g.closed(mux, who, "POST "+api.RunbookPath, with(func(r *http.Request, in api.NewRun) (any, error) {
		return g.BeginRun(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.RunbookEndPath, with(func(r *http.Request, in api.RunEnd) (any, error) {
		return g.EndRun(who, r.PathValue("id"), in)
	}))
	g.closed(mux, who, "GET "+api.HookRunsPath, func(*http.Request) (any, error) { return g.HookRuns(who), nil })
	g.closed(mux, who, "GET "+api.HookRunPath, func(r *http.Request) (any, error) { return g.HookRun(who, r.PathValue("id")) })
	g.closed(mux, who, "POST "+api.HookRunPath, with(func(r *http.Request, in api.HookResume) (any, error) {
		return g.ResumeHookRun(r.Context(), who, r.RemoteAddr, r.PathValue("id"), in)
	}))
}
