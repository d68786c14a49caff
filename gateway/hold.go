package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// progressEvery is how often a waiting client hears that it still waits, so that
// neither the person nor an idle timeout gives up.
const progressEvery = 30 * time.Second

// hold keeps a request until people have answered. The client sees at once that it
// waits; Ctrl-C, leaving and the deadline end the wait. The verdict it returns
// allows or refuses. An error means that the record failed.
func (s *session) hold(ctx context.Context, req *wire.Request, j *job, v policy.Verdict) (policy.Verdict, error) {
	j.held, j.fate = true, "cancelled"
	if err := s.server.Flush(); err != nil { // what was sent before must not wait with it
		return policy.Verdict{Rule: ruleCancelled}, nil //nolint:nilerr // the session ends by itself: down sees the same
	}
	wait, stop := context.WithCancel(ctx)
	s.holding.Store(&stop)
	defer s.holding.Store(nil)
	s.setState("waiting")
	defer s.setState("active")
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer stop()
	helpers.Go(func() {
		if s.client.Gone(req, wait.Done()) {
			stop()
		}
	})
	ask := s.ask(req, j, v)
	kept := s.hang(wait, req, j) // what is looked up for approvers is of what they see, also while it is judged again
	ask.Data = kept
	defer s.base.cases.leave(kept.looks)
	var note *askNote
	var failed error
	answer, err := s.g.desk.Wait(wait, ask, func(a approval.Ask) {
		ask = a
		note, failed = s.asked(ctx, j, a)
		if failed != nil {
			stop()
			return
		}
		s.g.tellAsked(note)
		helpers.Go(func() { s.announce(wait, a) })
		kept.looks.id, kept.looks.since = a.ID, time.Now()
		s.base.cases.add(kept.looks)
	})
	if failed != nil {
		return policy.Verdict{}, failed
	}
	if err != nil {
		return policy.Verdict{Effect: policy.Deny, Rule: v.Rule, Reason: "it could not be put before the approvers: " + err.Error()}, nil
	}
	verdict, err := s.answered(context.WithoutCancel(ctx), req, j, ask, note, answer, v)
	if verdict.Effect == policy.Allow {
		j.fate = ""
	}
	return verdict, err
}

func (s *session) ask(req *wire.Request, j *job, v policy.Verdict) approval.Ask {
	now := s.g.cfg.Now()
	why := v.Reason + j.part(true) + s.stepOf(j)
	a := approval.Ask{
		Who: s.who(), Connection: s.Connection, Session: s.id, SQL: req.SQL, Params: paramTexts(req.Params), Kind: kindName(j.runs[0].means.Kind),
		Rule: v.Rule, Reason: why, Quorum: v.Approvers, Created: now, Deadline: now.Add(s.holdTime()),
		Evidence: s.evidence(j),
	}
	if x := j.runs[0]; len(j.runs) == 1 && x.text != x.means && x.means.SQL != "" {
		a.SQL = x.text.SQL + "\n-- runs: " + x.means.SQL // an approver must see what EXECUTE comes to
	}
	a.Hash = approval.Bind(a.SQL, a.Params, a.Who, a.Session, a.Connection)
	if slices.ContainsFunc(j.runs, func(x *run) bool { return x.secret() }) {
		// An approver decides on what it does, and need not learn the password. The
		// hash is of the true text.
		var shown []string
		for _, x := range j.runs {
			shown = append(shown, x.kept)
		}
		a.SQL = strings.Join(shown, ";\n")
	}
	return a
}

// asked records that the statement waits. The note of it comes first: it is for what
// may not come to pass after.
func (s *session) asked(ctx context.Context, j *job, a approval.Ask) (*askNote, error) {
	end := s.event(audit.Answered)
	end.Of, end.Rule, end.SQLHash, end.Detail = j.gate.ID, a.Rule, a.Hash, "ask "+a.ID
	note, err := s.g.keepAsk(a, end)
	if err != nil {
		return nil, err
	}
	ev := s.event(audit.Asked)
	ev.Of, ev.Rule, ev.Reason, ev.SQLHash = j.gate.ID, a.Rule, a.Reason, a.Hash
	ev.Approvers, ev.Detail = a.Quorum.Groups, "ask "+a.ID
	if a.Evidence != nil && a.Evidence.Why != "" {
		ev.Detail += "; the caller says: " + a.Evidence.Why
	}
	_, err = s.record(ctx, ev, true)
	s.tapAsk("asked", a.SQL, "", "it waits as "+a.ID+" for "+a.Quorum.String())
	return note, err
}

// announce tells the client that it waits, now and every half minute.
func (s *session) announce(wait context.Context, a approval.Ask) {
	say := func(message, detail, hint string) {
		if err := s.client.Notice(postgres.Say{Severity: "NOTICE", Code: "01000", Message: message, Detail: detail, Hint: hint}); err != nil {
			s.g.cfg.Log.Debug("tell a client that it waits", "session", s.id, "error", err)
		}
	}
	waiting := fmt.Sprintf("waiting for approval %s by %s", a.ID, a.Quorum)
	say(waiting, fmt.Sprintf("rule %s: %s", a.Rule, a.Reason), s.whatNow(a, a.Deadline.Sub(a.Created)))
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			say(fmt.Sprintf("still %s, %s left", waiting, howlong.Text(a.Deadline.Sub(s.g.cfg.Now()).Round(time.Second))), "", "")
		case <-wait.Done():
			return
		}
	}
}

// whatNow is what a person may do while they wait.
func (s *session) whatNow(a approval.Ask, left time.Duration) string {
	hint := fmt.Sprintf("press Ctrl-C to withdraw it; it is refused if nobody answers within %s", howlong.Text(left.Round(time.Second)))
	if a.MayBreakGlass(s.Who, s.g.cfg.Now()) == nil {
		hint += fmt.Sprintf("; in an emergency, release it yourself: sluice approvals break-glass %s --reason …", a.ID)
	}
	return hint
}

// answered records the answer and makes a verdict of it. Only an answer to this
// very ask lets the statement run, and only if the policy in force by then lets it.
func (s *session) answered(ctx context.Context, req *wire.Request, j *job, a approval.Ask, note *askNote, answer approval.Answer, v policy.Verdict) (policy.Verdict, error) {
	ev := s.event(audit.Answered)
	ev.Of, ev.Rule, ev.SQLHash, ev.Reason = j.gate.ID, v.Rule, a.Hash, answer.Why
	ev.Effect = policy.Deny.String()
	result := policy.Verdict{Effect: policy.Deny, Rule: v.Rule, Reason: answer.Why}
	switch {
	case answer.Granted && answer.Hash == a.Hash:
		for _, vote := range answer.Votes {
			ev.Approvers = append(ev.Approvers, vote.Who.Name())
		}
		result = s.review(ctx, req, j, a, answer)
		if result.Effect != policy.Allow {
			ev.Rule, ev.Reason = result.Rule, result.Reason
		}
		ev.Effect = result.Effect.String()
	case answer.Why == "cancelled":
		result.Rule = ruleCancelled
	}
	ev.Detail = "ask " + a.ID
	if answer.BreakGlass {
		ev.Detail += breakGlassMark
	}
	if _, err := s.record(ctx, ev, true); err != nil {
		return policy.Verdict{}, err
	}
	s.tapAsk("answered", a.SQL, ev.Effect, ev.Reason)
	s.g.tellEnded(note, ev)
	if result.Effect == policy.Allow {
		s.tellApproved(answer)
	}
	return result, nil
}

func (s *session) tellApproved(answer approval.Answer) {
	var reasons []string
	for _, vote := range answer.Votes {
		if vote.Reason != "" {
			reasons = append(reasons, vote.Who.Name()+": "+vote.Reason)
		}
	}
	err := s.client.Notice(postgres.Say{Severity: "NOTICE", Code: "00000", Message: answer.Why, Detail: strings.Join(reasons, "\n")})
	if err != nil {
		s.g.cfg.Log.Debug("tell a client that it was approved", "session", s.id, "error", err)
	}
}

// review judges a request again that people have agreed to. What they saw was held by
// rules that may have changed since, over tables that may have: it runs only if the
// policy allows it as things stand, or holds it for no more than these votes.
func (s *session) review(ctx context.Context, req *wire.Request, j *job, a approval.Ask, answer approval.Answer) policy.Verdict {
	before := s.policy
	now := s.judge(ctx, req)
	v := now.verdict()
	changed := ""
	if s.policy != before {
		changed = ", but the policy has changed since"
	}
	switch {
	case v.Effect == policy.Deny, v.Effect == policy.Hold && !enough(v, a, answer, s.g.cfg.Now()):
		v.Reason = answer.Why + changed + ": " + v.Reason
	case !j.take(now):
		v = policy.Verdict{Rule: ruleMoved, Reason: answer.Why + ", but what it would do has changed since; run it again"}
	default:
		v = policy.Verdict{Effect: policy.Allow, Rule: v.Rule, Reason: answer.Why}
	}
	if v.Effect != policy.Hold {
		j.held = false
	}
	return v
}

// enough reports whether what holds a statement now is met by the answer to its ask.
func enough(v policy.Verdict, a approval.Ask, answer approval.Answer, now time.Time) bool {
	if answer.BreakGlass {
		a.Quorum = v.Approvers
		return slices.ContainsFunc(answer.Votes, func(vote approval.Vote) bool {
			return vote.BreakGlass && vote.Grant && a.MayBreakGlass(vote.Who, now) == nil
		})
	}
	return v.Approvers.Met(answer.Votes, a.Created)
}

// take makes j go on as it was judged now. It is false if that is something else than
// what was recorded and approved.
func (j *job) take(now *job) bool {
	if len(j.runs) != len(now.runs) {
		return false
	}
	for i, x := range now.runs {
		was := j.runs[i]
		if x.kept != was.kept || x.means.Kind != was.means.Kind || !slices.Equal(x.about.reads, was.about.reads) ||
			!slices.Equal(x.about.writes, was.about.writes) || !slices.Equal(x.about.signs, was.about.signs) {
			return false
		}
		x.event, x.veiled, x.vague = was.event, was.veiled, was.vague
	}
	j.runs, j.view, j.most, j.bare = now.runs, now.view, now.most, now.bare
	j.gated, j.opaque, j.renames = j.gated || now.gated, j.opaque || now.opaque, j.renames || now.renames
	return true
}
