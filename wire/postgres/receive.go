package postgres

import (
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
		if len(s.ready) > 0 {
			r := s.ready[0]
			s.ready = s.ready[1:]
			return r, nil
		}
		if s.passing > 0 {
			return s.pass()
		}
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
	if _, _, err := s.in.peek(); err != nil {
		return nil, err
	}
	b := s.in.rest()
	pos := 0
	for len(b)-pos >= header {
		kind, total, err := head(b[pos:])
		if err != nil {
			return nil, err
		}
		if kind == 'D' || kind == 'd' {
			if !s.data(total) {
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
		if pos > 0 {
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
// at, or if the decider must be told first that the answer begins.
func (s *Server) data(total int) bool {
	x := s.current()
	if x == nil {
		return true // the client will make of it what it would without us
	}
	if x.req != nil && (x.req.Look || x.req.Gate && !x.begun) {
		return false
	}
	x.begun = true
	x.rows++
	x.bytes += int64(total)
	return true
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
		return violation("message %q of %d bytes from the server is larger than the limit of %d", kind, total, limit)
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
	if x.kind == 'E' && !x.shown {
		x.shown = true
		s.tell(&wire.Reply{Kind: wire.Columns, Of: x.req, Columns: s.columns(x)})
	}
	row, err := decodeRow(s.row, msg)
	if err != nil {
		return err
	}
	s.row = row
	s.tell(&wire.Reply{Kind: wire.Row, Of: x.req, Index: x.index, Row: row})
	return nil
}

// columns are those of a portal, in the formats its Bind asked for.
func (s *Server) columns(x *exchange) []wire.Column {
	if x.portal == nil || x.portal.prepared == nil {
		return nil
	}
	told := s.names.columnsOf(x.portal.prepared)
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
	if s.head == nil {
		s.head = s.queue.head()
	}
	return s.head
}

func (s *Server) pop() {
	s.queue.pop()
	s.head = nil
}

// step deals with a whole message other than row and COPY data.
func (s *Server) step(kind byte, msg []byte) (fate, error) {
	switch kind {
	case 'N', 'A', 'S':
		return s.aside(kind, msg)
	case 'K', 'R', 'v', 'W', 'V':
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
	if x.req != nil && x.req.Gate && !x.begun && (x.kind == 'Q' || x.kind == 'E') {
		s.begin(x)
		// Tell first; the message itself is looked at again after that.
		return s.again(msg)
	}
	switch kind {
	case 'E':
		return s.failed(x, msg)
	case 'C', 'I', 's':
		return s.ended(x, kind, msg)
	case 'T':
		return s.described(x, msg)
	case '1', '2', '3', 'n', 't':
		return s.bookkeeping(x, kind, msg)
	case 'G', 'H', 'c':
		return s.copying(x, kind, msg)
	}
	return 0, violation("unexpected message %q from the server", kind)
}

// again puts a message back so that scan meets it once more, now that the decider
// was told.
func (s *Server) again(msg []byte) (fate, error) {
	s.tell(&wire.Reply{Kind: wire.Raw, Frame: nil})
	return s.stepAfterBegin(msg)
}

func (s *Server) stepAfterBegin(msg []byte) (fate, error) {
	done, err := s.step(msg[0], msg)
	if err == nil && done == keep {
		s.tell(&wire.Reply{Kind: wire.Raw, Frame: msg})
	}
	return tell, err
}

// readyForQuery ends a Sync or a Query.
func (s *Server) readyForQuery(x *exchange, msg []byte) (fate, error) {
	if x.kind != 'S' && x.kind != 'Q' || len(msg) != header+1 {
		return 0, violation("ReadyForQuery from the server out of turn")
	}
	s.tx.Store(int32(msg[header]))
	s.names.answer(x.group)
	s.pop()
	return keep, nil
}

// ended deals with CommandComplete, EmptyQueryResponse and PortalSuspended.
func (s *Server) ended(x *exchange, kind byte, msg []byte) (fate, error) {
	if x.kind != 'Q' && x.kind != 'E' {
		return 0, violation("end of a statement from the server out of turn")
	}
	r := &wire.Reply{Kind: wire.Done, Of: x.req, Index: x.index, Bytes: x.bytes + x.taken.Load(), Rows: x.rows, Suspended: kind == 's', Frame: msg}
	if kind == 'C' {
		d := body{b: msg[header:]}
		r.Tag = d.text()
		if n := tagRows(r.Tag); n > r.Rows {
			r.Rows = n
		}
	}
	x.index++
	x.rows, x.bytes = 0, 0
	x.taken.Store(0)
	if x.kind == 'E' {
		s.pop()
	}
	s.tell(r)
	return tell, nil
}

// failed deals with an error: it ends the exchange, and in the extended protocol
// all that follows it up to Sync.
func (s *Server) failed(x *exchange, msg []byte) (fate, error) {
	fields, err := decodeFields(msg[header:])
	if err != nil {
		return 0, err
	}
	r := &wire.Reply{Kind: wire.Done, Of: x.req, Index: x.index, Bytes: x.bytes + x.taken.Load(), Rows: x.rows, Failed: true, Fields: fields, Frame: msg}
	if fatal := fields['V'] == "FATAL" || fields['V'] == "PANIC"; x.refusal != nil && !fatal {
		r.Refused = true
		r.Fields = map[byte]string{'S': x.refusal.Severity, 'V': x.refusal.Severity, 'C': x.refusal.Code, 'M': x.refusal.Message}
		r.Frame = x.refusal.encode(nil, false)
	}
	s.unname(x, false)
	s.tell(r)
	if x.kind == 'Q' || x.kind == 'S' {
		return tell, nil // ReadyForQuery follows
	}
	s.pop()
	for _, y := range s.queue.skip() {
		s.undo(y)
		if y.req != nil {
			s.tell(&wire.Reply{Kind: wire.Done, Of: y.req, Failed: true, Skipped: true})
		}
	}
	s.head = nil
	return tell, nil
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
		s.names.told(x.prepared, columns, true)
		s.pop()
		return swallow, nil
	case 'Q':
		if x.req == nil || !x.req.Look {
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

// bookkeeping deals with the short answers of the extended protocol.
func (s *Server) bookkeeping(x *exchange, kind byte, msg []byte) (fate, error) {
	expected := map[byte]string{'1': "P", '2': "B", '3': "C", 'n': "Di", 't': "Di"}[kind]
	fits := false
	for i := range len(expected) {
		fits = fits || expected[i] == x.kind
	}
	if !fits {
		return 0, violation("message %q from the server out of turn", kind)
	}
	if kind == 't' { // ParameterDescription; RowDescription or NoData follows
		if x.kind == 'i' {
			return swallow, nil
		}
		return keep, nil
	}
	switch x.kind {
	case 'i':
		s.names.told(x.prepared, nil, true)
	case 'C':
		s.names.forget(x.target, x.name, x.prepared, x.portal)
	}
	s.pop()
	if x.kind == 'i' {
		return swallow, nil
	}
	return keep, nil
}

// copying deals with the beginning and end of COPY data.
func (s *Server) copying(x *exchange, kind byte, msg []byte) (fate, error) {
	if x.kind != 'Q' && x.kind != 'E' {
		return 0, violation("COPY from the server out of turn")
	}
	switch {
	case kind == 'G':
		if x.kind == 'E' {
			s.queue.beginCopy()
		}
	case kind == 'H' && x.req != nil && x.req.Look:
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
