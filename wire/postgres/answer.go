package postgres

import (
	"github.com/sluicehq/sluice/wire"
)

// step deals with a whole message other than row and COPY data.
func (s *Server) step(kind byte, msg []byte) (fate, error) {
	switch kind {
	case 'N', 'A', 'S':
		if x := s.current(); x != nil && kind != 'A' && s.gated(x) {
			s.begin(x)
		}
		return s.aside(kind, msg)
	case 'K', 'R', 'v', 'W':
		return 0, violation("unexpected message %q from the server", kind)
	}
	x := s.current()
	if x == nil {
		if kind == 'E' {
			return s.lastWords(msg)
		}
		return 0, violation("message %q from the server answers nothing", kind)
	}
	if kind == 'Z' {
		return s.readyForQuery(x, msg)
	}
	if !s.gated(x) {
		return s.answer(x, kind, msg)
	}
	s.begin(x)
	done, err := s.answer(x, kind, msg)
	if err == nil && done == keep {
		s.tell(&wire.Reply{Kind: wire.Raw, Frame: msg})
	}
	return tell, err
}

// gated reports whether the decider must be told before anything of x's answer.
func (s *Server) gated(x *exchange) bool {
	return (x.kind == 'Q' || x.kind == 'E' || x.kind == 'F') && x.req.Gate && !x.begun
}

// answer deals with a whole message that answers x.
func (s *Server) answer(x *exchange, kind byte, msg []byte) (fate, error) {
	if x.kind == 'b' {
		return s.owned(x, kind, msg)
	}
	switch kind {
	case 'E':
		return s.failed(x, msg)
	case 'C', 'I', 's':
		return s.ended(x, kind, msg)
	case 'T':
		return s.described(x, msg)
	case 'V':
		return s.returned(x, msg)
	case '1', '2', '3', 'n', 't':
		return s.bookkeeping(x, kind, msg)
	case 'G', 'H', 'c':
		return s.copying(x, kind, msg)
	}
	return 0, violation("unexpected message %q from the server", kind)
}

// readyForQuery ends a Sync or a Query.
func (s *Server) readyForQuery(x *exchange, msg []byte) (fate, error) {
	if !syncs(x.kind) || len(msg) != header+1 {
		return 0, violation("ReadyForQuery from the server out of turn")
	}
	if x.renames {
		s.ledger.dealt(1) // its Done was returned before
	}
	s.tx.Store(int32(msg[header]))
	s.ledger.ready(x, msg[header])
	s.first, s.ran = nil, nil
	if s.boundedReady(x.bound) {
		return swallow, nil
	}
	return keep, nil
}

// ended deals with CommandComplete, EmptyQueryResponse and PortalSuspended.
func (s *Server) ended(x *exchange, kind byte, msg []byte) (fate, error) {
	if x.kind != 'Q' && x.kind != 'E' || x.kind == 'Q' && kind == 's' || x.copyOut {
		return 0, violation("end of a statement from the server out of turn")
	}
	r := s.done(x, msg)
	r.Suspended = kind == 's'
	if kind == 'C' {
		d := body{b: msg[header:]}
		r.Tag = d.text()
		if n := tagRows(r.Tag); n > r.Rows {
			r.Rows = n
		}
	}
	untold := s.bounded(x, r)
	x.index++
	x.rows, x.bytes, x.described = 0, 0, false
	if x.kind == 'E' {
		if x.portal != nil {
			s.ledger.suspended(x.portal, r.Suspended)
		}
		s.ran = x.req
		s.settles(x)
		s.pop()
	}
	if untold {
		return swallow, nil
	}
	s.tell(r)
	return tell, nil
}

// returned deals with what a function that was called by number gave back. That is
// all of its answer: no CommandComplete follows.
func (s *Server) returned(x *exchange, msg []byte) (fate, error) {
	if x.kind != 'F' {
		return 0, violation("FunctionCallResponse from the server out of turn")
	}
	value, err := decodeReturned(msg[header:])
	if err != nil {
		return 0, err
	}
	x.bytes = int64(len(value))
	s.tell(&wire.Reply{Kind: wire.Result, Of: x.req, Data: value, Frame: msg})
	s.tell(s.done(x, nil))
	return tell, nil
}

// Returning puts NULL in place of what a function returned.
func Returning(r *wire.Reply) {
	r.Data = nil
	r.Frame = append(appendHead(nil, 'V', 8), 0xff, 0xff, 0xff, 0xff)
}

// done is the end of a statement, as far as every end is alike.
func (s *Server) done(x *exchange, msg []byte) *wire.Reply {
	return &wire.Reply{Kind: wire.Done, Of: x.req, Index: x.index, Bytes: x.bytes + x.taken.Swap(0), Rows: x.rows, Frame: msg}
}

// settles notes that whoever decides learns with the next replies how x ended.
func (s *Server) settles(x *exchange) {
	if x.renames {
		s.settled++
	}
}

// failed deals with an error: it ends the exchange, and in the extended protocol
// all that follows it up to Sync.
func (s *Server) failed(x *exchange, msg []byte) (fate, error) {
	fields, err := decodeFields(msg[header:])
	if err != nil {
		return 0, err
	}
	r := s.done(x, msg)
	r.Failed, r.Fields = true, fields
	if x.refusal != nil && !fatal(fields) {
		r.Refused = true
		r.Fields = map[byte]string{'S': x.refusal.Severity, 'V': x.refusal.Severity, 'C': x.refusal.Code, 'M': x.refusal.Message}
		r.Frame = x.refusal.encode(nil, false)
	}
	s.tell(r)
	s.bounded(x, r)
	x.copyOut = false
	switch x.kind {
	case 'S':
		if s.ran != nil {
			r.Of = s.ran // what Sync could not commit
		}
		return tell, nil // ReadyForQuery follows
	case 'Q', 'F':
		s.ledger.uncopy(x)
		return tell, nil
	}
	s.settles(x)
	for _, y := range s.ledger.fail(x) {
		s.bounded(y, &wire.Reply{Failed: true})
		if y.req != nil {
			s.tell(&wire.Reply{Kind: wire.Done, Of: y.req, Failed: true, Skipped: true})
		}
	}
	s.first = nil
	return tell, nil
}

// fatal reports whether an error ends the session. Servers before 9.6 send no V.
func fatal(fields map[byte]string) bool {
	severity := fields['V']
	if severity == "" {
		severity = fields['S']
	}
	return severity == "FATAL" || severity == "PANIC"
}

// lastWords is an error that answers nothing: the server ends the session.
func (s *Server) lastWords(msg []byte) (fate, error) {
	fields, err := decodeFields(msg[header:])
	if err != nil {
		return 0, err
	}
	s.tell(&wire.Reply{Kind: wire.Message, Fields: fields, Failed: true, Frame: msg})
	return tell, nil
}

// described deals with RowDescription: of a Query's result, or of a Describe.
func (s *Server) described(x *exchange, msg []byte) (fate, error) {
	switch x.kind {
	case 'D':
		if err := s.compare(x, msg); err != nil {
			return 0, err
		}
		s.pop()
		return keep, nil
	case 'i':
		columns, err := decodeColumns(msg[header:])
		if err != nil {
			return 0, err
		}
		s.told(x, columns)
		return swallow, nil
	case 'Q':
		x.described = true
		if !x.req.Look && x.req.Strange == nil {
			return keep, nil
		}
		columns, err := decodeColumns(msg[header:])
		if err != nil {
			return 0, err
		}
		if !x.req.Look && !x.req.Strange(x.index, columns) {
			return keep, nil
		}
		x.req.Look = true
		s.tell(&wire.Reply{Kind: wire.Columns, Of: x.req, Index: x.index, Columns: columns, Frame: msg})
		return tell, nil
	}
	return 0, violation("RowDescription from the server out of turn")
}

// compare looks at what the client's own Describe brings: if a statement's columns are
// not those that were decided on, its rows are not shown.
func (s *Server) compare(x *exchange, msg []byte) error {
	p := x.prepared
	if p == nil && x.portal != nil {
		p = x.portal.prepared
	}
	if p == nil || p.Prepared == nil || p.Strange == nil {
		return nil
	}
	columns, err := decodeColumns(msg[header:])
	if err == nil && p.Strange(columns) {
		p.strange.Store(true)
	}
	return err
}

// told ends our own Describe.
func (s *Server) told(x *exchange, columns []wire.Column) {
	if x.runs != nil {
		x.runs.columns = columns
	} else {
		s.ledger.told(x.prepared, columns)
	}
	s.pop()
}

// bookkeeping deals with the short answers of the extended protocol.
func (s *Server) bookkeeping(x *exchange, kind byte, msg []byte) (fate, error) {
	switch {
	case kind == 't' && (x.kind == 'D' && x.target == 'S' || x.kind == 'i' && x.prepared != nil):
		types, err := decodeTypes(msg[header:])
		if err != nil {
			return 0, err
		}
		if x.prepared != nil {
			s.ledger.typed(x.prepared, types)
		}
		if x.kind == 'i' { // RowDescription or NoData follows
			return swallow, nil
		}
		return keep, nil
	case kind == 'n' && x.kind == 'i':
		s.told(x, nil)
		return swallow, nil
	case kind == '3' && x.kind == 'C':
		s.ledger.forget(x)
	case kind == '1' && x.kind == 'P', kind == '2' && x.kind == 'B', kind == 'n' && x.kind == 'D':
	default:
		return 0, violation("message %q from the server out of turn", kind)
	}
	s.pop()
	return keep, nil
}

// copying deals with the beginning and end of COPY data.
func (s *Server) copying(x *exchange, kind byte, msg []byte) (fate, error) {
	switch {
	case x.kind != 'Q' && x.kind != 'E', (kind == 'c') != x.copyOut:
		return 0, violation("COPY from the server out of turn")
	case kind == 'G':
		if !s.ledger.reading(x) {
			return 0, violation("COPY from the server, of a statement that is none")
		}
	case kind == 'c':
		x.copyOut = false
	case kind == 'H':
		x.copyOut = true
		if !x.req.Look {
			return keep, nil
		}
		d := body{b: msg[header:]}
		binary := d.byte() == 1
		s.tell(&wire.Reply{Kind: wire.Copy, Of: x.req, Index: x.index, Binary: binary, Frame: msg})
		return tell, nil
	}
	return keep, nil
}
