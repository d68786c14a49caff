package postgres

import (
	"bytes"
	"crypto/rand"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgproto3/v2"

	"github.com/sluicehq/sluice/wire"
)

// bound limits how many rows a statement may change, and gathers what came of it.
// Receive fills it in; SendBounded reads it once done is set. Guarded by the ledger's
// mutex until then.
type bound struct {
	most   int64
	block  bool  // a transaction block of our own is around it
	rows   int64 // changed; below 0 if the database did not say
	failed bool
	done   bool // answered, ReadyForQuery included if it has one

	end *wire.Reply     // of a statement in our block: told when the block has ended
	why map[byte]string // the error of a Query of our own
}

// over reports whether more rows were changed than may be.
func (b *bound) over() bool { return !b.failed && (b.rows > b.most || b.rows < 0) }

// tooMany says why a statement was undone.
type tooMany func(rows int64) Say

// SendBounded is Send for a statement that changes rows and may not change more than
// most of them, or of which the database does not say how many: then it is undone, and the client gets say for it, as the error that
// ended it. It returns when that is settled, before anything else can be sent.
//
// The database tells how many rows a statement changed when it has ended, so it must
// not be committed by then. One of the extended protocol is committed at Sync, which
// has not been sent; one in a transaction block by COMMIT. Around a Query of its own a
// transaction block is put, of which the client sees nothing.
func (s *Server) SendBounded(req *wire.Request, most int64, say tooMany) (skipped bool, err error) {
	if req.Frame.(*frame).kind == 'Q' {
		return s.boundQuery(req, most, say)
	}
	if limited(req.Frame.(*frame).raw) {
		// The rows it returns come in portions, and with them their number.
		return s.Refuse(req, Say{Severity: "ERROR", Code: "0A000", Message: "a rule limits how many rows this may change, and they cannot be counted if they are fetched in portions",
			Hint: "run it without a row limit (fetch size)"})
	}
	b := &bound{most: most}
	skipped, err = s.send(req, b)
	if skipped || err != nil {
		return skipped, err
	}
	if err := s.nudge(); err != nil {
		return false, err
	}
	if err := s.ledger.settled(b); err != nil || !b.over() {
		return false, err
	}
	x := &exchange{kind: 'E', req: req, refusal: new(say(b.rows)), rows: b.rows}
	return s.fail(x, &pgproto3.Execute{Portal: "sluice refused " + rand.Text()})
}

// limited reports whether an Execute asks for some of the rows only.
func limited(raw []byte) bool {
	return len(raw) < 4 || !bytes.Equal(raw[len(raw)-4:], make([]byte, 4))
}

// fail sends what must fail in place of x.
func (s *Server) fail(x *exchange, m interface{ Encode([]byte) ([]byte, error) }) (skipped bool, err error) {
	raw, err := m.Encode(nil)
	if err != nil {
		return false, err
	}
	owed, err := s.ledger.enter(x)
	if err != nil {
		return false, err
	}
	return !owed, s.put(raw)
}

// boundQuery is SendBounded for the simple protocol.
func (s *Server) boundQuery(req *wire.Request, most int64, say tooMany) (skipped bool, err error) {
	between, err := s.calm()
	switch {
	case err != nil:
		return false, err
	case !between: // after messages of the extended protocol, and before their Sync
		return s.Refuse(req, Say{Severity: "ERROR", Code: "0A000", Message: "a rule limits how many rows this may change, and it comes before the Sync of what was sent before it",
			Hint: "send Sync first"})
	}
	b := &bound{most: most, block: s.tx.Load() == 'I'}
	if b.block {
		begin := &bound{}
		if err := s.own("BEGIN", begin); err != nil {
			return false, err
		}
		if err := s.answered(begin); err != nil {
			return false, err
		}
		if begin.failed { // it was cancelled, most likely
			return s.Refuse(req, Say{Severity: "ERROR", Code: begin.why['C'], Message: begin.why['M'], Theirs: true})
		}
	}
	if _, err := s.send(req, b); err != nil {
		return false, err
	}
	if err := s.answered(b); err != nil {
		return false, err
	}
	switch {
	case b.block && b.over():
		why := say(b.rows)
		b.end.Failed, b.end.Refused, b.end.Fields, b.end.Frame = true, true, why.fields(), why.encode(nil, false)
		return false, s.own("ROLLBACK", &bound{end: b.end})
	case b.block && b.failed:
		return false, s.own("ROLLBACK", &bound{block: true})
	case b.block:
		return false, s.own("COMMIT", &bound{end: b.end})
	case b.over():
		return s.fail(&exchange{kind: 'Q', req: req, refusal: new(say(b.rows)), rows: b.rows}, &pgproto3.Query{String: mustFail})
	}
	return false, nil
}

// own sends a Query of our own. Nothing of its answer is the client's, but for the one
// that ends the block around a statement: b.end is then told, and ReadyForQuery.
func (s *Server) own(sql string, b *bound) error {
	_, err := s.fail(&exchange{kind: 'b', bound: b}, &pgproto3.Query{String: sql})
	return err
}

// answered makes what was sent leave, and waits until b was answered.
func (s *Server) answered(b *bound) error {
	if err := s.Flush(); err != nil {
		return err
	}
	return s.ledger.settled(b)
}

// fields are those of the message, as Reply has them.
func (s Say) fields() map[byte]string {
	return map[byte]string{'S': s.Severity, 'V': s.Severity, 'C': s.Code, 'M': s.Message}
}

// settled waits until a statement with a bound was answered.
func (l *ledger) settled(b *bound) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !b.done && !l.closed {
		l.changed.Wait()
	}
	if !b.done {
		return net.ErrClosed
	}
	return nil
}

// calm is the ledger's, for which what was sent before must leave.
func (s *Server) calm() (between bool, err error) {
	if err := s.Flush(); err != nil {
		return false, err
	}
	return s.ledger.calm()
}

// calm waits until nothing is owed. between is false if that does not come before a
// Sync that the client has not sent.
func (l *ledger) calm() (between bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && slices.ContainsFunc(l.list, func(x *exchange) bool { return syncs(x.kind) }) {
		l.changed.Wait()
	}
	if l.closed {
		return false, net.ErrClosed
	}
	return !l.partial && !l.skipping, nil
}

// syncs reports whether ReadyForQuery answers a message.
func syncs(kind byte) bool { return kind == 'S' || kind == 'Q' || kind == 'F' || kind == 'b' }

// bounded deals with the end of a statement that may have a bound: true if it is not
// to be told, or not yet.
func (s *Server) bounded(x *exchange, r *wire.Reply) (untold bool) {
	b := x.bound
	if b == nil {
		return false
	}
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	b.rows = r.Rows
	if verb, _, _ := strings.Cut(r.Tag, " "); !slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "MERGE"}, verb) {
		b.rows = -1 // EXPLAIN ANALYZE, say
	}
	b.failed = b.failed || r.Failed
	if x.kind == 'E' {
		b.done = true
		s.ledger.changed.Broadcast()
	}
	if b.block && !r.Failed {
		r.Frame = bytes.Clone(r.Frame) // it outlives the reader's buffer
		b.end = r
		return true
	}
	return b.over()
}

// boundedReady is ReadyForQuery after a Query with a bound, or one of our own: true if
// it is not to be told.
func (s *Server) boundedReady(b *bound) (untold bool) {
	if b == nil {
		return false
	}
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	b.done = true
	s.ledger.changed.Broadcast()
	return b.end == nil && b.most == 0 && !b.block || b.most > 0 && (b.block || b.over())
}

// owned deals with the answer to a Query of our own.
func (s *Server) owned(x *exchange, kind byte, msg []byte) (fate, error) {
	b := x.bound
	switch kind {
	case '1', '3': // of a Check
		if b.end == nil {
			return swallow, nil
		}
	case 'C':
		if b.end == nil {
			return swallow, nil
		}
		s.tell(b.end)
		return tell, nil
	case 'E':
		fields, err := decodeFields(msg[header:])
		if err != nil {
			return 0, err
		}
		b.failed, b.why = true, fields
		if b.end == nil {
			return swallow, nil
		}
		if !b.end.Refused { // COMMIT: a deferred constraint, most likely
			b.end.Failed, b.end.Fields, b.end.Frame = true, fields, bytes.Clone(msg)
		}
		s.tell(b.end)
		return tell, nil
	}
	return 0, violation("message %q from the server out of turn", kind)
}
