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
		if !x.fits(b) || x.kind == 'E' && x.portal != nil && x.portal.prepared != nil && x.portal.prepared.strange.Load() {
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
