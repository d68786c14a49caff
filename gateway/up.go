package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// job is one request on its way: what its statements are, what was decided, and
// what is known of the answer. up makes it; from Send on it belongs to down.
type job struct {
	runs    []*run
	view    view         // in which they were judged
	gate    audit.Ticket // of the decision
	gated   bool         // gate must be on disk before anything of the answer is handed back
	held    bool         // people were asked, and have not agreed
	wrong   bool         // it failed with an error that the database has for its text
	renames bool         // may change what statement names mean
	bare    bool         // the caller may see all of the answer in the clear
	opaque  bool         // messages that come with the answer may hold personal data
	most    int64        // rows it may change; 0 is no limit
	step    string       // of a runbook that it is
	fate    string       // outcome of what was refused, if its answer never comes; "" is lost
	at      int          // statements finished
}

// texts are the statements as the client sent them; none if one of them runs code that
// nobody has read, which may say what it likes in the words of the server.
func (j *job) texts() []string {
	if j == nil || slices.ContainsFunc(j.runs, func(x *run) bool { return runsUnseen(x.means) }) {
		return nil
	}
	return j.sent()
}

// sent are the statements as the client sent them.
func (j *job) sent() (list []string) {
	for _, x := range j.runs {
		list = append(list, x.text.SQL)
	}
	return list
}

// up carries requests from the client to the database: each is read, decided,
// recorded, and only then sent.
func (s *session) up(ctx context.Context) error {
	for {
		if !s.client.Complete() {
			if err := s.server.Flush(); err != nil {
				return err
			}
		}
		req, err := s.client.Read()
		if err != nil {
			return s.leave(err)
		}
		if s.given.any() && s.server.Quiet() {
			s.given = given{} // answered: the names are confirmed, or were never given
		}
		if req.Unnamed && req.Void {
			continue // it does not run, and what stopped it is on the record
		}
		if req.Action == wire.Pass {
			if err := s.load(ctx, req); err != nil {
				return err
			}
			if _, err := s.server.Send(req); err != nil {
				return err
			}
			continue
		}
		if err := s.carry(ctx, req); err != nil {
			return err
		}
	}
}

// carry takes one request that would do something along the whole path.
func (s *session) carry(ctx context.Context, req *wire.Request) error {
	j := s.judge(ctx, req)
	verdict := s.ahead(req, j, j.verdict())
	// A FETCH may be prepared before its cursor is there: what it comes to is settled
	// when it runs.
	if req.Action == wire.Prepare && (verdict.Effect != policy.Deny || verdict.Rule == ruleName) {
		return s.prepare(req, j)
	}
	if verdict.Effect == policy.Hold && req.Again {
		verdict.Effect = policy.Allow // more rows of an execution that people have approved
	}
	if verdict.Effect == policy.Allow && moved(req, j) {
		verdict = j.refuseAll(policy.Verdict{Rule: ruleMoved, Reason: movedReason})
	}
	s.count.Add(int64(len(j.runs)))
	if err := s.decided(ctx, j, req, verdict); err != nil {
		return s.unrecorded(err)
	}
	if verdict.Effect == policy.Hold {
		// Nobody is asked about what the database would not run anyway.
		wrong, err := s.server.Check(req)
		if err != nil {
			return err
		}
		if wrong != nil {
			return s.fail(ctx, req, j, wrong)
		}
	}
	for verdict.Effect == policy.Hold { // again if other people are asked by then
		var err error
		if verdict, err = s.hold(ctx, req, j, verdict); err != nil {
			return s.unrecorded(err)
		}
	}
	if verdict.Effect == policy.Allow && moved(req, j) { // while it waited
		verdict = j.refuseAll(policy.Verdict{Rule: ruleMoved, Reason: movedReason})
	}
	if verdict.Effect == policy.Allow {
		var err error
		if verdict, err = s.forewarn(ctx, j, verdict); err != nil {
			return s.unlabelled(err)
		}
	}
	if verdict.Effect != policy.Allow {
		return s.refuse(ctx, req, j, verdict)
	}
	return s.forward(req, j)
}

const movedReason = "what its columns hold, or who may see it, has changed since it was prepared; run it again"

// moved reports whether a statement was prepared when its rows could pass unseen,
// and they no longer can. Bind did not ask for its columns then; the next will.
func moved(req *wire.Request, j *job) bool {
	p := req.Prepared
	if p == nil || p.Look || !slices.ContainsFunc(j.runs, func(x *run) bool { return x.look }) {
		return false
	}
	p.Look = true
	return true
}

// refuseAll makes v the verdict of every statement.
func (j *job) refuseAll(v policy.Verdict) policy.Verdict {
	for _, x := range j.runs {
		x.verdict = v
	}
	return v
}

// unrecorded ends the session: no record, no run.
func (s *session) unrecorded(err error) error {
	s.cut(errRecord)
	return errors.Join(errRecord, err)
}

// tellBlind tells a person why nothing of a result is shown.
func (s *session) tellBlind(x *run) {
	err := s.client.Notice(postgres.Say{
		Severity: "NOTICE", Code: "01000",
		Message: fmt.Sprintf("the result is hidden: it is searched or sorted by more than whole values of %s, which holds personal data", x.blind),
		Hint:    "compare it with = or IN, leave it out, or ask for a rule that unmasks it",
	})
	if err != nil {
		s.g.cfg.Log.Debug("tell a client why its result is hidden", "session", s.id, "error", err)
	}
}

// unlabelled ends the session: personal data does not go where its label cannot.
func (s *session) unlabelled(err error) error {
	s.g.cfg.Log.Error("keep the labels of what is written", "session", s.id, "error", err)
	return s.unrecorded(err)
}

// prepare lets a statement be parsed under its name. Nothing runs yet; it is
// judged and recorded when it does.
func (s *session) prepare(req *wire.Request, j *job) error {
	for _, x := range j.runs {
		// What FETCH and EXECUTE bring may differ each time.
		req.Prepared.Look = req.Prepared.Look || x.look || x.text.Kind == query.Fetch || x.text.Kind == query.Execute
	}
	if len(j.runs) == 1 && !req.Prepared.Look {
		x, own := j.runs[0], j.view.owns()
		req.Prepared.Strange = func(told []wire.Column) bool { return s.strange(x, told, own) }
	}
	s.calls.rename(req, j)
	_, err := s.server.Send(req)
	return err
}

// refuse sends a statement that must fail in place of this one.
func (s *session) refuse(ctx context.Context, req *wire.Request, j *job, v policy.Verdict) error {
	fate := "refused"
	if v.Rule == ruleCancelled {
		fate = "cancelled"
	}
	return s.instead(ctx, req, j, s.sayWhy(req, j, v), fate)
}

// fail has a statement fail with the error that the database has for its text, of which
// nothing has run.
func (s *session) fail(ctx context.Context, req *wire.Request, j *job, wrong map[byte]string) error {
	if !j.bare {
		wrong, _ = mask.Egress(wrong, j.opaque, s.base.snapshot().Wrote, j.sent()...)
	}
	j.wrong = true
	return s.instead(ctx, req, j, postgres.SayOf(wrong), "error")
}

// instead sends a statement that must fail, which the client is told as say.
func (s *session) instead(ctx context.Context, req *wire.Request, j *job, say postgres.Say, fate string) error {
	req.Data, j.fate = j, fate
	// A refusal is on disk before anyone hears of it (decision 6).
	if err := j.gate.Durable(ctx); err != nil {
		return s.unrecorded(err)
	}
	skipped, err := s.server.Refuse(req, say)
	if skipped {
		s.skip(j)
	}
	return err
}

// sayWhy is what the client is told of a statement that does not run.
func (s *session) sayWhy(req *wire.Request, j *job, v policy.Verdict) postgres.Say {
	say := postgres.Say{Severity: "ERROR", Code: "42501", Message: "refused by policy: " + v.Reason + j.part(false), Detail: "rule: " + v.Rule, Hint: "see what applies to you: sluice explain " + s.Connection}
	switch {
	case req.Oversize != nil:
		return sayOversize(req.Oversize, v)
	case v.Rule == ruleEncoding:
		return postgres.Say{Severity: "ERROR", Code: "22021", Message: v.Reason, Hint: "convert it to UTF-8, which is what the session speaks"}
	case v.Rule == ruleCancelled:
		return postgres.Say{Severity: "ERROR", Code: "57014", Message: "canceling statement due to user request", Detail: "it was waiting for approval"}
	case j.held:
		say.Message, say.Hint = "not approved: "+v.Reason, "talk to the approvers, then run it again"
	}
	return say
}

// forward sends what was allowed.
func (s *session) forward(req *wire.Request, j *job) error {
	if err := s.searched(j, paramTexts(req.Params)); err != nil {
		return s.unrecorded(err)
	}
	now := s.g.cfg.Now()
	for _, x := range j.runs {
		x.started = now
		req.Look = req.Look || x.look
		s.doubt(x.means, j.view)
		s.given.add(x.text)
		if x.means.Kind == query.CopyFrom {
			s.incoming = incomingOf(x, j.view)
		}
		if x.blind != "" {
			s.tellBlind(x)
		}
		s.hear(x.text)
	}
	req.Look = req.Look || s.watchable(req)
	req.Data, req.Renames = j, j.renames
	req.Gate = j.gated
	if j.gated {
		j.gate.Hurry() // the disk and the database work at the same time
	}
	s.unseenRows(req, j)
	own := j.view.owns()
	req.Strange = func(i int, told []wire.Column) bool {
		return i < len(j.runs) && s.strange(j.runs[i], told, own)
	}
	s.block.sent(j)
	s.setState("active")
	s.calls.rename(req, j)
	skipped, err := s.send(req, j)
	s.sent()
	if skipped {
		s.skip(j)
	}
	return err
}

// unseenRows says what rows must be like to pass unseen, and has some of them peeked at.
func (s *session) unseenRows(req *wire.Request, j *job) {
	req.Widths, req.Peek = make([]int, len(j.runs)), nil
	peek := false
	for i, x := range j.runs {
		req.Widths[i] = -1
		if !x.look && !x.bare() && x.about.known && len(x.about.result) > 0 {
			req.Widths[i] = len(x.about.result)
			peek = peek || len(x.about.watch) > 0
		}
	}
	if peek {
		req.Peek = func(i int, row [][]byte) {
			if i < len(j.runs) {
				s.base.peek(j.runs[i].about.watch, row)
			}
		}
	}
}

func (s *session) send(req *wire.Request, j *job) (skipped bool, err error) {
	if j.most > 0 {
		return s.server.SendBounded(req, j.most, j.tooMany)
	}
	return s.server.Send(req)
}

func (s *session) track(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[j] = struct{}{}
	s.latest(j)
}

// skip ends the statements of a request that the server passes over.
func (s *session) skip(j *job) {
	for _, x := range j.runs {
		s.finish(j, x, &wire.Reply{Skipped: true, Failed: true}, "skipped")
	}
}

// holdTime is how long people may take.
func (s *session) holdTime() time.Duration {
	if s.server.InTransaction() {
		return s.g.cfg.HoldTransaction
	}
	return s.g.cfg.Hold
}
