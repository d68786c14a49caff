package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// ending reads what a client is told until the connection ends.
func ending(t *testing.T, f *pgproto3.Frontend) *pgproto3.ErrorResponse {
	t.Helper()
	var last *pgproto3.ErrorResponse
	for {
		m, err := f.Receive()
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Errorf("it ended with %v", err)
			}
			return last
		}
		if e, ok := m.(*pgproto3.ErrorResponse); ok {
			e := *e
			last = &e
		}
	}
}

// What is no message of a session is told to the client, behind a large one too.
func TestProtocolViolationIsTold(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	f.Send(&pgproto3.Bind{Parameters: make([][]byte, 65535)})
	f.Send(&pgproto3.SASLResponse{Data: []byte("no message of a session")})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if e := ending(t, f); e == nil || e.Severity != "FATAL" || e.Code != "08P01" || e.Hint == "" {
		t.Errorf("told %+v", e)
	}
	th.balanced()
}

// verbatim is bytes that no driver would send.
type verbatim string

func (verbatim) Frontend()                           {}
func (verbatim) Decode([]byte) error                 { return errors.New("only sent") }
func (v verbatim) Encode(dst []byte) ([]byte, error) { return append(dst, v...), nil }

// A length that none may have is told to its sender at once, and the session beside it
// goes on.
func TestFalseLengthIsToldAndHarmsNoOtherSession(t *testing.T) {
	th := start(t, "dev", shop, nil)
	port := th.as(person("ada"))
	honest := connect(t, port)
	for name, length := range map[string]verbatim{
		"0": "\x00\x00\x00\x00", "3": "\x00\x00\x00\x03", "2^31-1": "\x7f\xff\xff\xff", "2^31": "\x80\x00\x00\x00", "2^32-1": "\xff\xff\xff\xff",
	} {
		for _, kind := range []verbatim{"Q", "B", "d", "S", "?"} {
			t.Run(string(kind)+" of "+name, func(t *testing.T) {
				f := raw(t, port)
				f.Send(kind + length + "select 1\x00")
				if err := f.Flush(); err != nil {
					t.Fatal(err)
				}
				if e := ending(t, f); e == nil || e.Severity != "FATAL" || e.Code != "08P01" || e.Hint == "" {
					t.Errorf("told %+v", e)
				}
				if out, err := run(honest, "select count(*) from cities"); err != nil || out != "300\n" {
					t.Errorf("the session beside it: %q, %v", out, err)
				}
			})
		}
	}
	th.balanced()
}

// A database that ends the session is heard in its own words.
func TestDatabaseThatEndsTheSessionIsHeard(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	pgtest.Exec(t, th.direct, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and application_name <> 'sluice catalogue'")
	if e := ending(t, f); e == nil || e.Severity != "FATAL" || e.Code != "57P01" {
		t.Errorf("told %+v", e)
	}
	th.balanced()
}

// detail is what the record says of the end of a session.
func (th *through) detail(name string) (detail string) {
	eventually(th.t.(*testing.T), "the session is over in the record", func() bool {
		for _, ev := range th.events(audit.Closed) {
			if ev.Subject == name {
				detail = ev.Detail
				return true
			}
		}
		return false
	})
	return detail
}

// encoded is a message of the database in bytes; nil if it is none.
func encoded(m pgproto3.BackendMessage) []byte {
	b, err := m.Encode(nil)
	if err != nil {
		return nil
	}
	return b
}

// A database that goes without a word is told in ours.
func TestDatabaseThatGoesWithoutAWordIsTold(t *testing.T) {
	th, line := between(t, "dev", shop)
	g := &guest{t: t, th: th, name: "ada", left: -1}
	line.plan("ada", &fault{how: "close"})
	g.conn, g.ended = th.dial(t, g.name)
	if err := g.play(scripts["simple"]); err == nil {
		t.Fatal("it was answered")
	}
	g.conn.Close()
	if g.told['S'] != "FATAL" || g.told['C'] != "08006" || g.told['M'] != "the database closed the connection" || g.told['H'] == "" {
		t.Errorf("told %q", g.told)
	}
	if why := th.detail("ada"); why != "the database closed the connection" {
		t.Errorf("the record says %q", why)
	}
}

// COPY data that is cut short, as if the rest of a row would come in another shape,
// could be anything: it is not shown, and the client does not take it for all.
func TestCopyThatEndsWithinARowIsWithheld(t *testing.T) {
	for name, edit := range map[string]func(byte, []byte) []byte{
		"last row without its end": func(kind byte, msg []byte) []byte {
			if kind != 'd' {
				return msg
			}
			return encoded(&pgproto3.CopyData{Data: msg[5 : len(msg)-1]})
		},
		"more columns than the statement has": func(kind byte, msg []byte) []byte {
			if kind != 'd' {
				return msg
			}
			return encoded(&pgproto3.CopyData{Data: append([]byte("ada9@example.com\t"), msg[5:]...)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			th, line := between(t, "dev", shop)
			g := &guest{t: t, th: th, name: "ada", left: -1}
			line.plan("ada", &fault{edit: edit})
			g.conn, g.ended = th.dial(t, g.name)
			if err := g.play([]step{{send: query("copy (select id, email from people where id = 1) to stdout"), until: 'Z'}}); err == nil {
				t.Fatal("it went on")
			}
			g.conn.Close()
			if g.told['S'] != "FATAL" || g.told['C'] != "0A000" || g.told['H'] == "" {
				t.Errorf("told %q", g.told)
			}
			within(t, g.ended, "the session")
			if bytes.Contains(g.heard, []byte("@example.com")) {
				t.Errorf("it heard %q", g.heard)
			}
			if why := th.detail("ada"); !strings.Contains(why, "cannot be shown") {
				t.Errorf("the record says %q", why)
			}
			th.left(t, "ada", name)
		})
	}
}

// Closing a connection on which bytes wait to be read resets it: a client that is
// still sending must hear all the same why its session ends.
func TestClientThatIsSendingHearsWhyItsSessionEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		code string
		end  func(*through, *faulty)
	}{
		"killed": {"57P01", func(th *through, _ *faulty) {
			if _, err := th.Kill(person("ada"), th.Sessions(person("ada"))[0].ID); err != nil {
				t.Error(err)
			}
		}},
		"database lost": {"08006", func(_ *through, line *faulty) { close(line.planned([]byte("ada")).now) }},
	} {
		t.Run(name, func(t *testing.T) {
			th, line := between(t, "dev", shop)
			g := &guest{t: t, th: th, name: "ada", left: -1}
			line.plan("ada", &fault{now: make(chan struct{})})
			g.conn, g.ended = th.dial(t, g.name)
			if err := g.play([]step{{send: query("do $$ begin execute format('select 1'); end $$"), until: 'N'}}); err != nil {
				t.Fatal(err)
			}
			sent := make(chan struct{})
			go func() { // far more than is taken in behind a held statement
				defer close(sent)
				_, _ = g.conn.Write(bytes.Repeat([]byte("Q\x00\x00\x00\x0dselect 1\x00"), 80_000)) // until the end
			}()
			tt.end(th, line)
			err := g.hear(0)
			if g.told['S'] != "FATAL" || g.told['C'] != tt.code || g.told['H'] == "" {
				t.Errorf("told %q, and %v", g.told, err)
			}
			g.conn.Close()
			<-sent
			within(t, g.ended, "the session")
			th.left(t, "ada", name)
		})
	}
}
