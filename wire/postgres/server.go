package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgproto3/v2"

	"github.com/sluicehq/sluice/wire"
)

// mustFail is what goes to the database in place of a refused statement. It is no
// SQL in any state of a session, so it fails, the transaction with it, and the
// server's own log shows where a statement was refused.
const mustFail = "sluice refused this statement"

// Server is the side of the database. Send, Refuse and Flush are used by one
// goroutine, Receive by another. Every request that Client.Read returned is sent or
// refused before the next is read.
type Server struct {
	Settings map[string]string // ParameterStatus values at connect

	conn   net.Conn
	in     *reader
	client *Client
	ledger *ledger
	out    []byte
	cancel canceller
	tx     atomic.Int32 // last ReadyForQuery status byte

	// Owned by the goroutine of Receive.
	first    *exchange // cached head of the ledger
	passing  int       // bytes still to come of a message that is handed back as it comes
	row      [][]byte
	ready    []*wire.Reply // made
	given    int           // how many of ready were returned
	reply    wire.Reply    // reused, as the next, for the frequent kinds
	rowReply wire.Reply
	settled  int           // ends of exchanges that rename, returned since the last call
	ran      *wire.Request // last Execute of the group: what a notice at Sync is about
}

// Send puts a request on its way to the database; Flush makes it leave. skipped
// tells that the server will discard it, because of an earlier error, until Sync.
func (s *Server) Send(req *wire.Request) (skipped bool, err error) { return s.send(req, nil) }

func (s *Server) send(req *wire.Request, b *bound) (skipped bool, err error) {
	f := req.Frame.(*frame)
	if req.Oversize != nil {
		return false, errors.New("send what is too large to be decided")
	}
	x := &exchange{kind: f.kind, req: req, name: f.portal, target: f.target, renames: req.Renames, size: len(f.raw), bound: b}
	switch f.kind {
	case 'd', 'c', 'f':
		s.ledger.copied(len(f.raw), f.kind != 'd')
		return false, s.put(f.raw)
	case 'H':
		return false, s.put(f.raw)
	case 'Q':
		x.copies = mayRead(req.SQL)
	case 'P':
		x.prepared = &prepared{Prepared: req.Prepared, copies: mayRead(req.SQL), varies: mayVary(req.SQL)}
	case 'B', 'E':
		x.portal = f.at
		x.size = f.at.size() // an Execute keeps what another Bind has taken the name from
	case 'D', 'C':
		x.name, x.prepared, x.portal = f.name, f.prepared, f.at
	}
	if pass, err := s.ledger.await(x.kind, s.nudge); !pass || err != nil {
		return false, err
	}
	if err := s.ask(x, f); err != nil {
		return false, err
	}
	if x.kind == 'E' && x.portal != nil && x.portal.prepared != nil {
		x.copies = x.portal.prepared.copies
	}
	owed, err := s.ledger.enter(x)
	if err != nil {
		return s.refuseName(req, err)
	}
	return !owed, s.put(f.raw)
}

// ask puts a Describe of our own before a Bind or Execute whose rows must be seen:
// a client need not Describe, and without columns nothing could be masked.
func (s *Server) ask(x *exchange, f *frame) error {
	i := &exchange{kind: 'i'}
	target, name := byte('S'), ""
	switch {
	case x.kind == 'B' && f.prepared != nil && s.ledger.ask(f.prepared):
		i.prepared, name = f.prepared, f.prepared.Name
	case x.kind == 'E' && x.req.Look && !s.ledger.columnsKnown(x.portal):
		// A cursor made by SQL, a statement of which it was only now found that its
		// rows must be seen, or one that brings other columns than when it was parsed.
		i.runs, target, name = x, 'P', x.name
	default:
		return nil
	}
	if owed, err := s.ledger.enter(i); err != nil || !owed {
		return err
	}
	describe := append(appendHead(nil, 'D', 4+1+len(name)+1), target)
	return s.put(append(append(describe, name...), 0))
}

// mayRead reports whether a text could hold a COPY from the client. The server's
// grammar takes STDOUT for STDIN there.
func mayRead(sql string) bool {
	return holds(sql, "copy") && (holds(sql, "stdin") || holds(sql, "stdout"))
}

// mayVary reports whether a text could be a statement whose columns are those of
// what a name means when it runs: the server does not look again at what it was
// described as when it was parsed.
func mayVary(sql string) bool {
	return holds(sql, "fetch") || holds(sql, "execute") || holds(sql, "call")
}

// holds is strings.Contains without regard to the case of ASCII letters.
func holds(s, lower string) bool {
	for i := 0; i+len(lower) <= len(s); i++ {
		if s[i]|0x20 == lower[0] && strings.EqualFold(s[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}

// nudge makes the server answer what it has so far: it gets what was gathered, and
// a Flush message.
func (s *Server) nudge() error {
	if err := s.put([]byte{'H', 0, 0, 0, 4}); err != nil {
		return err
	}
	return s.Flush()
}

func (s *Server) refuseName(req *wire.Request, err error) (bool, error) {
	why := Say{Severity: "ERROR", Code: "53400", Message: err.Error(), Hint: "close prepared statements and cursors that are no longer used"}
	switch {
	case errors.Is(err, errMemory):
		why.Code = "53200"
	case errors.Is(err, errTwice):
		why = Say{Severity: "ERROR", Code: "42P05", Message: `prepared statement "` + req.Prepared.Name + `" already exists`}
	}
	return s.Refuse(req, why)
}

// Refuse sends, in place of req, a message that must fail, and swaps the error for
// why when it comes. Transactions, pipelines and the order of answers are then as
// after any error of PostgreSQL.
func (s *Server) Refuse(req *wire.Request, why Say) (skipped bool, err error) {
	f := req.Frame.(*frame)
	x := &exchange{kind: f.kind, req: req, refusal: &why}
	var raw []byte
	switch f.kind {
	case 'P':
		raw, err = (&pgproto3.Parse{Name: req.Prepared.Name, Query: mustFail}).Encode(nil)
	case 'E', 'B':
		x.kind = 'E'
		raw, err = (&pgproto3.Execute{Portal: "sluice refused " + rand.Text()}).Encode(nil)
	default: // Query, and FunctionCall: both are answered by an error and ReadyForQuery
		x.kind = 'Q'
		raw, err = (&pgproto3.Query{String: mustFail}).Encode(nil)
	}
	if err != nil {
		return false, err
	}
	if pass, err := s.ledger.await(x.kind, s.nudge); !pass || err != nil {
		return false, err
	}
	owed, err := s.ledger.enter(x)
	if err != nil {
		return false, err
	}
	return !owed, s.put(raw)
}

// Define gives SQL-level names their meaning once the server has confirmed them:
// PREPARE, and DECLARE with cursor set. Undefine drops them; name "" drops all.
func (s *Server) Define(p *wire.Prepared, cursor bool) error {
	if cursor {
		return s.ledger.definePortal(p)
	}
	return s.ledger.define(p)
}

// Undefine drops the meaning of a statement name after DEALLOCATE; "" drops all.
func (s *Server) Undefine(name string) { s.ledger.undefine(name) }

// Statement is what a prepared statement's name means; nil if it is not known.
func (s *Server) Statement(name string) *wire.Prepared {
	if p := s.ledger.statement(name); p != nil {
		return p.Prepared
	}
	return nil
}

// Cursor is what a cursor's or portal's name means; nil if it is not known.
func (s *Server) Cursor(name string) *wire.Prepared {
	if p, _ := s.ledger.portal(name); p != nil && p.prepared != nil {
		return p.prepared.Prepared
	}
	return nil
}

// put gathers bytes for the database.
func (s *Server) put(raw []byte) error {
	if len(raw) >= flushSize/2 {
		if err := s.Flush(); err != nil {
			return err
		}
		_, err := s.conn.Write(raw)
		return err
	}
	s.out = append(s.out, raw...)
	if len(s.out) >= flushSize {
		return s.Flush()
	}
	return nil
}

// Flush writes out what was gathered for the database.
func (s *Server) Flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = reuse(s.out)
	return err
}

// InTransaction reports whether the server last said that a transaction is open.
// An answer still on its way may say otherwise.
func (s *Server) InTransaction() bool {
	status := s.tx.Load()
	return status == 'T' || status == 'E'
}

// Quiet reports whether all that was sent has been answered, up to ReadyForQuery.
func (s *Server) Quiet() bool { return s.ledger.quiet() }

// Idle reports whether, besides, no transaction is open: what was done is then
// committed or undone.
func (s *Server) Idle() bool { return s.Quiet() && s.tx.Load() == 'I' }

// PID is the number of the database's process, as its pg_backend_pid() has it; 0 if it
// told none.
func (s *Server) PID() uint32 { return s.cancel.pid() }

// Cancel asks the database to stop what it runs for this session.
func (s *Server) Cancel(ctx context.Context) error { return s.cancel.send(ctx) }

// goodbyeTime bounds the last write to a server that may be gone.
const goodbyeTime = time.Second

// Close says goodbye, so that the server logs no lost connection, and ends the
// connection. A Receive under way returns.
func (s *Server) Close() error {
	s.ledger.close()
	_ = s.conn.SetWriteDeadline(time.Now().Add(goodbyeTime)) // an error means that it is closed already
	_, _ = s.conn.Write([]byte{'X', 0, 0, 0, 4})             // as above: nobody is owed this
	return s.conn.Close()
}

// Buffered reports whether Receive would return without waiting for the network.
func (s *Server) Buffered() bool {
	return s.given < len(s.ready) || s.passing == 0 && s.in.complete() || s.passing > 0 && len(s.in.rest()) > 0
}

func encodeFields(fields map[byte]string, kind byte) []byte {
	b := []byte{kind, 0, 0, 0, 0}
	for _, code := range []byte("SVCMDHPpqWstcdnFLR") {
		if v, ok := fields[code]; ok {
			b = append(append(append(b, code), v...), 0)
		}
	}
	b = append(b, 0)
	n := len(b) - 1
	b[1], b[2], b[3], b[4] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return b
}
