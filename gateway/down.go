package gateway

import (
	"context"
	"strings"

	"github.com/sluicehq/sluice/internal/pace"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// down carries answers from the database to the client. What is known to be clean
// passes as bytes; everything else goes through egress first.
func (s *session) down(ctx context.Context) error {
	var p pace.Stream
	n := 0
	for {
		r, err := s.server.Receive()
		if err != nil {
			return s.lost(ctx, err)
		}
		n += len(r.Frame)
		if err := s.egress(ctx, r); err != nil {
			return s.withheld(err)
		}
		if r.Frame != nil || r.Kind == wire.Row || r.Kind == wire.CopyRow {
			if err := s.client.Write(r); err != nil {
				return err
			}
		}
		if !s.server.Buffered() {
			if err := s.client.Flush(); err != nil {
				return err
			}
			p.Got(n, s.count.Load())
			n = 0
		}
	}
}

// egress is the one place through which all that leaves passes. It changes r in
// place; an error ends the session.
func (s *session) egress(ctx context.Context, r *wire.Reply) error {
	switch r.Kind {
	case wire.Raw:
		s.caughtUp()
		return nil // bytes of answers that were found clean, and protocol bookkeeping
	case wire.Begin:
		return s.release(ctx, r)
	case wire.Columns:
		s.describe(r)
	case wire.Row:
		s.row(r)
	case wire.Result:
		s.returned(r)
	case wire.Copy:
		s.beginCopy(r)
	case wire.CopyRow:
		return s.copyRow(r)
	case wire.Done:
		if err := s.endCopy(r); err != nil {
			return err
		}
		s.done(r)
	case wire.Message:
		s.message(r, jobOf(r))
	case wire.Notify:
		if name, value := mask.EgressName(r.Name), scanned(r.Value); name != r.Name || value != r.Value {
			r.Name, r.Value = name, value
			postgres.Renotify(r)
		}
	case wire.Setting:
		s.setting(r)
	}
	return nil
}

func scanned(text string) string {
	text, _ = mask.ScanText(text)
	return text
}

func jobOf(r *wire.Reply) *job {
	if r.Of == nil {
		return nil
	}
	j, _ := r.Of.Data.(*job)
	return j
}

// runOf is the statement a reply belongs to. The server may make one statement into
// several (a rule); what it adds counts to the last.
func runOf(r *wire.Reply) (*job, *run) {
	j := jobOf(r)
	if j == nil || len(j.runs) == 0 {
		return j, nil
	}
	return j, j.runs[min(r.Index, len(j.runs)-1)]
}

// release waits until the decision is on disk.
func (s *session) release(ctx context.Context, r *wire.Reply) error {
	j := jobOf(r)
	if j == nil {
		return nil
	}
	if err := s.client.Flush(); err != nil { // earlier answers need not wait
		return err
	}
	if err := j.gate.Durable(ctx); err != nil {
		s.cut(errRecord)
		return err
	}
	return nil
}

// describe makes the plan of a result once its columns are known.
func (s *session) describe(r *wire.Reply) {
	j, x := runOf(r)
	if x == nil {
		return
	}
	own := j.view.owns()
	columns := s.cross(x, x.columns(r.Columns, s.base.snapshot()), r.Columns, own)
	x.plan = mask.NewPlan(s.named(x, columns))
	x.hidden = hiddenColumns(x.plan)
	s.planSample(x, r.Columns, own)
}

// row masks one row. Without a plan, or with one for another number of columns,
// nothing of the row is shown.
func (s *session) row(r *wire.Reply) {
	_, x := runOf(r)
	if x == nil || x.plan == nil || len(x.plan.Columns()) != len(r.Row) {
		for i := range r.Row {
			r.Row[i] = nil
		}
		s.base.stale() // its table may have changed elsewhere
		return
	}
	if x.rows++; len(x.about.watch) > 0 && wire.Peeks(x.rows) {
		s.base.peek(x.about.watch, r.Row)
	}
	if asks(x.text) {
		s.calls.correct(r.Row)
	}
	x.sampleRow(r.Row)
	x.masked += int64(x.plan.Apply(r.Row))
}

// done records how a statement ended, and what it did to names and catalogue.
func (s *session) done(r *wire.Reply) {
	j, x := runOf(r)
	if r.Failed && r.Frame != nil && !r.Refused {
		s.message(r, j)
	}
	if j == nil || x == nil {
		return
	}
	outcome := outcomeOf(r, j)
	s.tellMasks(x)
	if r.Suspended {
		s.finish(j, x, r, "ok")
		return
	}
	if outcome == "ok" {
		s.effects(x, r.Tag)
	}
	s.finish(j, x, r, outcome)
	if r.Failed { // the rest of the message never ran
		for _, rest := range j.runs {
			s.finish(j, rest, &wire.Reply{Failed: true, Skipped: true}, restOutcome(outcome))
		}
	}
}

func outcomeOf(r *wire.Reply, j *job) string {
	switch {
	case r.Skipped:
		return "skipped"
	case r.Refused && r.Fields['C'] == "57014", r.Failed && r.Fields['C'] == "57014":
		return "cancelled"
	case r.Refused && j.wrong:
		return "error"
	case r.Refused:
		return "refused"
	case r.Failed:
		return "error"
	}
	return "ok"
}

func restOutcome(first string) string {
	if first == "refused" || first == "cancelled" {
		return first
	}
	return "skipped"
}

// effects notes what a statement that succeeded has changed for later ones.
func (s *session) effects(x *run, tag string) {
	var err error
	switch x.text.Kind {
	case query.CopyFrom:
		s.copied(x.text.Targets)
	case query.Transaction:
		s.ended(x.text.Tag, tag)
	case query.Prepare:
		err = s.server.Define(prepared(x.text), false)
	case query.Declare:
		err = s.server.Define(prepared(x.text), true)
	case query.Deallocate:
		s.server.Undefine(x.text.Name)
	case query.Set:
		if x.text.Tag == "DISCARD" && x.text.SetName == "all" {
			s.server.Undefine("")
		}
	}
	if err != nil {
		s.g.cfg.Log.Warn("a name made by SQL is not kept", "session", s.id, "error", err)
	}
	s.settled(x.means)
}

func prepared(st *query.Statement) *wire.Prepared {
	p := &wire.Prepared{Name: st.Name}
	if st.Inner != nil {
		p.SQL = st.Inner.SQL
	}
	return p
}

// message hides what an error or notice may carry.
func (s *session) message(r *wire.Reply, j *job) {
	s.parted = s.parted || r.Failed && fatal(r.Fields)
	if j != nil && j.bare {
		return
	}
	opaque := j != nil && j.opaque
	if fields, changed := mask.Egress(r.Fields, opaque, s.base.snapshot().Wrote, s.texts(j)...); changed {
		r.Fields = fields
		postgres.Reword(r)
	}
}

// texts are what the client, and Sluice in its place, have told the server.
func (s *session) texts(j *job) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := j.texts()
	if s.failing != "" {
		list = append(list, s.failing)
		s.failing = ""
	}
	return list
}

// setting watches session settings on which the reading of statements rests.
func (s *session) setting(r *wire.Reply) {
	name := strings.ToLower(r.Name)
	if name == "standard_conforming_strings" && r.Value != "on" || name == "client_encoding" && !strings.EqualFold(r.Value, "UTF8") {
		s.misread(name)
	}
	value := r.Value
	if name == programName {
		var ok bool
		if value, ok = s.calls.told(value); !ok {
			s.g.cfg.Log.Warn("application_name was set unseen: the database no longer shows who asks", "session", s.id)
		}
	}
	if value = scanned(value); value != r.Value {
		r.Value = value
		postgres.Resetting(r)
	}
}
