package gateway

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// job is one request on its way: what its statements are, what was decided, and
// what is known of the answer. up makes it; from Send on it belongs to down.
type job struct {
	runs    []*run
	gate    audit.Ticket // of the decision
	gated   bool         // gate must be on disk before anything of the answer is handed back
	held    bool         // people were asked
	renames bool         // may change what statement names mean
	opaque  bool         // messages that come with the answer may hold personal data
	at      int          // statements finished
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
		if req.Action == wire.Pass {
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

// leave tells the client what it did wrong, if that is why it goes.
func (s *session) leave(err error) error {
	var v *postgres.Violation
	switch {
	case errors.As(err, &v):
		s.client.Fatal(postgres.Say{Code: "08P01", Message: v.What, Hint: "send bulk data with COPY or in several statements"})
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// carry takes one request that would do something along the whole path.
func (s *session) carry(ctx context.Context, req *wire.Request) error {
	j := s.judge(ctx, req)
	verdict := j.verdict()
	if req.Action == wire.Prepare && verdict.Effect != policy.Deny {
		return s.prepare(req, j)
	}
	if verdict.Effect == policy.Hold && req.Again {
		verdict.Effect = policy.Allow // more rows of an execution that people have approved
	}
	s.count.Add(int64(len(j.runs)))
	if err := s.decided(ctx, j, req, verdict); err != nil {
		return s.unrecorded(err)
	}
	if verdict.Effect == policy.Hold {
		var err error
		if verdict, err = s.hold(ctx, req, j, verdict); err != nil {
			return s.unrecorded(err)
		}
	}
	if verdict.Effect != policy.Allow {
		return s.refuse(req, j, verdict)
	}
	return s.forward(req, j)
}

// unrecorded ends the session: no record, no run.
func (s *session) unrecorded(err error) error {
	s.cut(errRecord)
	return errors.Join(errRecord, err)
}

// prepare lets a statement be parsed under its name. Nothing runs yet; it is
// judged and recorded when it does.
func (s *session) prepare(req *wire.Request, j *job) error {
	for _, x := range j.runs {
		req.Prepared.Look = req.Prepared.Look || x.look
	}
	_, err := s.server.Send(req)
	return err
}

// refuse sends a statement that must fail in place of this one.
func (s *session) refuse(req *wire.Request, j *job, v policy.Verdict) error {
	say := postgres.Say{Severity: "ERROR", Code: "42501", Message: "refused by policy: " + v.Reason, Detail: "rule: " + v.Rule, Hint: "see what applies to you: sluice explain " + s.Connection}
	if v.Rule == ruleCancelled {
		say = postgres.Say{Severity: "ERROR", Code: "57014", Message: "canceling statement due to user request", Detail: "it was waiting for approval"}
	} else if j.held {
		say.Message, say.Hint = "not approved: "+v.Reason, "talk to the approvers, then run it again"
	}
	req.Data = j
	s.track(j)
	skipped, err := s.server.Refuse(req, say)
	if skipped {
		s.skip(j)
	}
	return err
}

// forward sends what was allowed.
func (s *session) forward(req *wire.Request, j *job) error {
	now := s.g.cfg.Now()
	for _, x := range j.runs {
		x.started = now
		req.Look = req.Look || x.look
		s.doubt(x)
	}
	req.Data, req.Renames = j, j.renames
	req.Gate = j.gated
	s.track(j)
	s.setState("active")
	skipped, err := s.server.Send(req)
	if skipped {
		s.skip(j)
	}
	return err
}

func (s *session) track(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[j] = struct{}{}
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
