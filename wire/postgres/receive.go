package postgres

import (
	"encoding/binary"

	"github.com/sluicehq/sluice/wire"
)

// fate is what becomes of a message from the server.
type fate int

const (
	keep    fate = iota // handed back as it is, together with its neighbours
	swallow             // answers something the client did not ask
	tell                // whoever decides must see it: it is in s.ready
)

// Receive returns the next step of an answer. Messages that need no look are
// returned together, as one Raw reply of the bytes that are at hand. What it
// returns is valid until the next call.
func (s *Server) Receive() (*wire.Reply, error) {
	for {
		if s.given < len(s.ready) {
			s.given++
			return s.ready[s.given-1], nil
		}
		s.ready, s.given = s.ready[:0], 0
		if s.passing > 0 {
			return s.pass()
		}
		if s.settled > 0 {
			s.ledger.dealt(s.settled)
			s.settled = 0
		}
		s.in.dealt()
		r, err := s.scan()
		if r != nil || err != nil {
			return r, err
		}
	}
}

// pass hands back more of a message whose beginning was already handed back.
func (s *Server) pass() (*wire.Reply, error) {
	if err := s.in.fill(1); err != nil {
		return nil, err
	}
	n := min(s.passing, len(s.in.rest()))
	s.passing -= n
	return s.raw(s.in.take(n)), nil
}

func (s *Server) raw(b []byte) *wire.Reply {
	s.reply = wire.Reply{Kind: wire.Raw, Frame: b, Open: s.passing > 0}
	return &s.reply
}

// scan walks over the messages at hand. It returns those that pass as one reply,
// and stops before the first that does not.
func (s *Server) scan() (*wire.Reply, error) {
	if first, total, err := s.in.peek(); err != nil {
		return nil, err
	} else if first == 'D' {
		if err := s.in.fill(min(total, rowHead)); err != nil {
			return nil, err
		}
	}
	b := s.in.rest()
	pos := 0
	for len(b)-pos >= header {
		kind, total, err := head(b[pos:])
		if err != nil {
			return nil, err
		}
		if kind == 'D' || kind == 'd' {
			if len(b)-pos < min(total, rowHead) && kind == 'D' {
				break // how many columns it has is not at hand yet
			}
			pass, err := s.data(kind, total, b[pos:])
			if err != nil {
				return nil, err
			}
			if !pass {
				break
			}
			if len(b)-pos < total {
				s.passing = total - (len(b) - pos)
				pos = len(b)
				break
			}
			pos += total
			continue
		}
		if len(b)-pos < total {
			break
		}
		done, err := s.step(kind, b[pos:pos+total])
		if err != nil {
			return nil, err
		}
		if done == keep {
			pos += total
			continue
		}
		// What came before it is handed back first.
		before := s.in.take(pos)
		s.in.take(total)
		if pos > 0 || done == swallow {
			// Also with nothing to hand back: what was gathered may have to leave
			// before the network is waited for.
			return s.raw(before), nil
		}
		return nil, nil
	}
	if pos > 0 {
		return s.raw(s.in.take(pos)), nil
	}
	return nil, s.whole()
}

// data counts a row or a piece of COPY data; it returns false if it must be looked
// at, or if the decider must be told first that the answer begins. Data that nothing
// asked for must not pass: nobody has decided what may be seen of it.
func (s *Server) data(kind byte, total int, b []byte) (pass bool, err error) {
	x := s.current()
	switch {
	case x == nil || x.kind != 'Q' && x.kind != 'E',
		kind == 'd' && !x.copyOut, kind == 'D' && (x.copyOut || x.kind == 'Q' && !x.described):
		return false, violation("data from the server out of turn")
	case x.req.Look || x.req.Gate && !x.begun:
		return false, nil
	}
	if kind == 'D' {
		if !x.fits(b) {
			x.req.Look = true // its table has changed: nobody has decided on these columns
			return false, nil
		}
		x.rows++
		if x.req.Peek != nil && wire.Peeks(x.rows) && len(b) >= total {
			if err := s.peek(x, b[header:total]); err != nil {
				return false, err
			}
		}
	}
	x.begun = true
	x.bytes += int64(total)
	return true, nil
}

// rowHead is a row's header and the number of its columns.
const rowHead = header + 2

// fits says whether a row has as many columns as were decided on. b begins with the
// row, and holds at least rowHead bytes of it.
func (x *exchange) fits(b []byte) bool {
	if len(x.req.Widths) == 0 {
		return true
	}
	w := x.req.Widths[min(x.index, len(x.req.Widths)-1)]
	return w < 0 || int(binary.BigEndian.Uint16(b[header:])) == w
}

func (s *Server) peek(x *exchange, msg []byte) error {
	row, err := decodeRow(s.row, msg)
	if err != nil {
		return err
	}
	s.row = row
	x.req.Peek(x.index, row)
	return nil
}

// whole reads the message at the start to its end and deals with it.
func (s *Server) whole() error {
	kind, total, err := s.in.peek()
	if err != nil {
		return err
	}
	limit := maxControl
	if kind == 'D' || kind == 'd' {
		limit = maxRow
	}
	if total > limit {
		return tooLarge("select fewer columns, or parts of the values", "message %q of %d bytes from the database is larger than the limit of %d that can be read whole", kind, total, limit)
	}
	if err := s.in.fill(total); err != nil {
		return err
	}
	if kind == 'D' || kind == 'd' {
		return s.look(kind, total)
	}
	return nil // scan sees it whole now
}

// look makes replies of a row or a piece of COPY data that must be seen.
func (s *Server) look(kind byte, total int) error {
	x := s.current()
	if x.req.Gate && !x.begun {
		s.begin(x)
		return nil
	}
	if !x.req.Look {
		return nil
	}
	x.begun = true
	msg := s.in.take(total)[header:]
	x.bytes += int64(total)
	if kind == 'd' {
		s.tell(&wire.Reply{Kind: wire.CopyRow, Of: x.req, Index: x.index, Data: msg})
		return nil
	}
	x.rows++
	if x.kind == 'E' && !x.described {
		x.described = true
		s.tell(&wire.Reply{Kind: wire.Columns, Of: x.req, Columns: s.columns(x)})
	}
	row, err := decodeRow(s.row, msg)
	if err != nil {
		return err
	}
	s.row = row
	s.rowReply = wire.Reply{Kind: wire.Row, Of: x.req, Index: x.index, Row: row}
	s.tell(&s.rowReply)
	return nil
}

// columns are those of a portal, in the formats its Bind asked for.
func (s *Server) columns(x *exchange) []wire.Column {
	if x.columns != nil || x.portal == nil || x.portal.prepared == nil {
		return x.columns
	}
	told := s.ledger.columnsOf(x.portal.prepared)
	columns := make([]wire.Column, len(told))
	for i, c := range told {
		c.Binary = formatOf(x.portal.formats, i)
		columns[i] = c
	}
	return columns
}

func (s *Server) tell(r *wire.Reply) { s.ready = append(s.ready, r) }

func (s *Server) begin(x *exchange) {
	x.begun = true
	s.tell(&wire.Reply{Kind: wire.Begin, Of: x.req})
}

// current is the exchange that the next message answers.
func (s *Server) current() *exchange {
	if s.first == nil {
		s.first = s.ledger.head()
	}
	return s.first
}

func (s *Server) pop() {
	s.ledger.pop()
	s.first = nil
}

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
		if !x.req.Look {
			return keep, nil
		}
		columns, err := decodeColumns(msg[header:])
		if err != nil {
			return 0, err
		}
		s.tell(&wire.Reply{Kind: wire.Columns, Of: x.req, Index: x.index, Columns: columns, Frame: msg})
		return tell, nil
	}
	return 0, violation("RowDescription from the server out of turn")
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

// aside deals with messages that answer no request.
func (s *Server) aside(kind byte, msg []byte) (fate, error) {
	switch kind {
	case 'S':
		name, value, err := decodePair(msg[header:])
		if err != nil {
			return 0, err
		}
		s.tell(&wire.Reply{Kind: wire.Setting, Name: name, Value: value, Frame: msg})
	case 'A':
		pid, channel, payload, err := decodeNotification(msg[header:])
		if err != nil {
			return 0, err
		}
		s.tell(&wire.Reply{Kind: wire.Notify, Rows: int64(pid), Name: channel, Value: payload, Frame: msg})
	case 'N':
		fields, err := decodeFields(msg[header:])
		if err != nil {
			return 0, err
		}
		r := &wire.Reply{Kind: wire.Message, Fields: fields, Frame: msg}
		if x := s.current(); x != nil {
			r.Of, r.Index = x.req, x.index
			if x.kind == 'S' && s.ran != nil {
				r.Of = s.ran // deferred triggers speak at the end of a transaction
			}
		}
		s.tell(r)
	}
	return tell, nil
}

// Reword puts changed fields in place of those an error or notice came with.
func Reword(r *wire.Reply) {
	kind := byte('N')
	if r.Failed {
		kind = 'E'
	}
	r.Frame = encodeFields(r.Fields, kind)
}

// Renotify puts a changed payload in place of the one a notification came with.
func Renotify(r *wire.Reply) {
	b := appendHead(nil, 'A', 4+4+len(r.Name)+1+len(r.Value)+1)
	b = append(b, byte(r.Rows>>24), byte(r.Rows>>16), byte(r.Rows>>8), byte(r.Rows))
	b = append(append(b, r.Name...), 0)
	r.Frame = append(append(b, r.Value...), 0)
}

// Resetting puts a changed value in place of the one a setting was reported with.
func Resetting(r *wire.Reply) {
	b := appendHead(nil, 'S', 4+len(r.Name)+1+len(r.Value)+1)
	b = append(append(b, r.Name...), 0)
	r.Frame = append(append(b, r.Value...), 0)
}
