package postgres

import (
	"context"
	"crypto/rand"
	"net"
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
// goroutine, Receive by another.
type Server struct {
	Settings map[string]string // ParameterStatus values at connect

	conn   net.Conn
	in     *reader
	client *Client
	names  *names
	queue  *queue
	out    []byte
	cancel canceller
	tx     atomic.Int32 // last ReadyForQuery status byte
	begun  atomic.Bool  // something was sent after the last Sync, Query or FunctionCall

	// Owned by the goroutine of Receive.
	head    *exchange // cached head of the queue
	passing int       // bytes still to come of a message that is handed back as it comes
	row     [][]byte
	ready   []*wire.Reply // made, not yet returned
	reply   wire.Reply    // reused for the frequent kinds
}

// Send puts a request on its way to the database; Flush makes it leave. skipped
// tells that the server will discard it, because of an earlier error, until Sync.
func (s *Server) Send(req *wire.Request) (skipped bool, err error) {
	f := req.Frame.(*frame)
	x := &exchange{kind: f.kind, req: req, group: f.group, name: f.portal, target: f.target}
	if req.Renames {
		s.names.renames()
	}
	switch f.kind {
	case 'd':
		s.queueBytes(len(f.raw))
		return false, s.put(f.raw)
	case 'H':
		return false, s.put(f.raw)
	case 'c', 'f':
		x.kind = '.'
	case 'P':
		if x.prepared, x.old, err = s.names.prepare(req.Prepared); err != nil {
			return s.refuseName(req, err)
		}
	case 'B':
		return s.sendBind(req, f, x)
	case 'E':
		if x.portal = f.at; f.at != nil {
			f.at.ran = true
		}
	case 'C':
		x.name, x.prepared, x.portal = f.name, f.prepared, f.at
	}
	return s.push(x, f.raw)
}

func (s *Server) push(x *exchange, raw []byte) (skipped bool, err error) {
	s.begun.Store(x.kind != 'S' && x.kind != 'Q' && x.kind != 'F')
	owed, err := s.queue.push(x, s.Flush)
	if err != nil {
		return false, err
	}
	if !owed {
		s.undo(x)
	}
	return !owed, s.put(raw)
}

// sendBind asks for the statement's columns first if its rows must be seen: a
// client need not Describe, and without columns nothing could be masked.
func (s *Server) sendBind(req *wire.Request, f *frame, x *exchange) (bool, error) {
	x.portal = f.at
	if f.prepared != nil && s.names.ask(f.prepared) {
		describe := appendHead(nil, 'D', 4+1+len(f.prepared.Name)+1)
		describe = append(append(append(describe, 'S'), f.prepared.Name...), 0)
		if _, err := s.push(&exchange{kind: 'i', prepared: f.prepared}, describe); err != nil {
			return false, err
		}
	}
	if err := s.names.bind(f.portal, f.at); err != nil {
		return s.refuseName(req, err)
	}
	return s.push(x, f.raw)
}

func (s *Server) refuseName(req *wire.Request, err error) (bool, error) {
	why := Say{Severity: "ERROR", Code: "53400", Message: err.Error(), Hint: "close prepared statements and cursors that are no longer used"}
	if err == errTwice {
		why = Say{Severity: "ERROR", Code: "42P05", Message: `prepared statement "` + req.Prepared.Name + `" already exists`}
	}
	return s.Refuse(req, why)
}

// Refuse sends, in place of req, a message that must fail, and swaps the error for
// why when it comes. Transactions, pipelines and the order of answers are then as
// after any error of PostgreSQL.
func (s *Server) Refuse(req *wire.Request, why Say) (skipped bool, err error) {
	f := req.Frame.(*frame)
	x := &exchange{kind: f.kind, req: req, group: f.group, refusal: &why}
	var raw []byte
	switch f.kind {
	case 'P':
		raw, err = (&pgproto3.Parse{Name: req.Prepared.Name, Query: mustFail}).Encode(nil)
		x.prepared = &prepared{Prepared: req.Prepared}
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
	return s.push(x, raw)
}

// Define gives SQL-level names their meaning once the server has confirmed them:
// PREPARE, and DECLARE with cursor set. Undefine drops them; name "" drops all.
func (s *Server) Define(p *wire.Prepared, cursor bool) error {
	if cursor {
		return s.names.definePortal(p.Name, p)
	}
	return s.names.define(p)
}

// Undefine drops the meaning of a statement name after DEALLOCATE; "" drops all.
func (s *Server) Undefine(name string) { s.names.undefine(name) }

// Statement is what a prepared statement's name means; nil if it is not known.
func (s *Server) Statement(name string) *wire.Prepared {
	if p := s.names.statement(name); p != nil {
		return p.Prepared
	}
	return nil
}

// Cursor is what a cursor's or portal's name means; nil if it is not known.
func (s *Server) Cursor(name string) *wire.Prepared {
	if p := s.names.portal(name); p != nil && p.prepared != nil {
		return p.prepared.Prepared
	}
	return nil
}

func (s *Server) queueBytes(n int) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if len(s.queue.list) > 0 {
		s.queue.list[0].taken.Add(int64(n))
	}
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
	s.out = s.out[:0]
	return err
}

// InTransaction reports whether the server last said that a transaction is open.
// An answer still on its way may say otherwise.
func (s *Server) InTransaction() bool {
	status := s.tx.Load()
	return status == 'T' || status == 'E'
}

// Quiet reports whether all that was sent has been answered, up to ReadyForQuery.
func (s *Server) Quiet() bool { return !s.begun.Load() && s.queue.head() == nil }

// Idle reports whether, besides, no transaction is open: what was done is then
// committed or undone.
func (s *Server) Idle() bool { return s.Quiet() && s.tx.Load() == 'I' }

// undo takes back what a skipped or failed exchange would have done to names.
func (s *Server) undo(x *exchange) { s.unname(x, true) }

func (s *Server) unname(x *exchange, skipped bool) {
	switch x.kind {
	case 'P':
		s.names.unprepare(x.prepared, x.old, skipped)
	case 'B':
		s.names.forget('P', x.name, nil, x.portal)
	case 'i':
		s.names.told(x.prepared, nil, false)
	}
}

// Cancel asks the database to stop what it runs for this session.
func (s *Server) Cancel(ctx context.Context) error { return s.cancel.send(ctx) }

// goodbyeTime bounds the last write to a server that may be gone.
const goodbyeTime = time.Second

// Close says goodbye, so that the server logs no lost connection, and ends the
// connection. A Receive under way returns.
func (s *Server) Close() error {
	s.names.close()
	s.queue.wake()
	_ = s.conn.SetWriteDeadline(time.Now().Add(goodbyeTime)) // an error means that it is closed already
	_, _ = s.conn.Write([]byte{'X', 0, 0, 0, 4})             // as above: nobody is owed this
	return s.conn.Close()
}

// Open lists the requests that were sent and never answered; for the end of a
// session, after which nothing can be sent.
func (s *Server) Open() (open []*wire.Request) {
	for _, x := range s.queue.close() {
		if x.req != nil && x.req.Data != nil {
			open = append(open, x.req)
		}
	}
	return open
}

// Buffered reports whether Receive would return without waiting for the network.
func (s *Server) Buffered() bool {
	return len(s.ready) > 0 || s.passing == 0 && s.in.complete() || s.passing > 0 && len(s.in.rest()) > 0
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
