package gateway_test

import (
	"context"
	"encoding/binary"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/audit"
)

// A statement that is not UTF-8 could mean one thing here and another there: it is an
// error at once, for which nobody is asked, and the session goes on.
func TestStatementThatIsNotUTF8IsRefused(t *testing.T) {
	th := start(t, "prod", shop, nil)
	port := th.as(person("ada"))
	beside := connect(t, port)
	f := raw(t, port)
	for name, sql := range map[string]string{
		"a byte that is none": "select '\xff'", "Latin-1": "select 'caf\xe9'", "an overlong quote": "select '\xc0\xa7'", "half a character": "select '\xe2\x82'",
		"in a comment": "select 1 -- \xff", "in a name": "select 1 as \"\xff\"", "a surrogate": "select '\xed\xa0\x80'", "all of it": "\xfe\xff\x00s"[:2],
	} {
		for mode, messages := range map[string][]pgproto3.FrontendMessage{
			"query": query(sql), "parse": append(extended(sql), &pgproto3.Sync{}), "named": {&pgproto3.Parse{Name: "n", Query: sql}, &pgproto3.Sync{}},
		} {
			if out := say(t, f, 'Z', messages...); len(out) != 2 || out[0] != "E22021" || out[1] != "ZI" {
				t.Errorf("%s, %s: %q", name, mode, out)
			}
		}
		if out := say(t, f, 'Z', query("select 1")...); !has(out, "D1") {
			t.Errorf("the session after %s: %q", name, out)
		}
		if out, err := run(beside, "select count(*) from cities"); err != nil || out != "300\n" {
			t.Errorf("the session beside %s: %q, %v", name, out, err)
		}
	}
	if asks := th.Asks(approver); len(asks) != 0 {
		t.Errorf("people are asked: %v", asks)
	}
	refused := 0
	for _, ev := range th.events(audit.Decided) {
		if !utf8.ValidString(ev.SQL) {
			t.Errorf("the record has %q", ev.SQL)
		}
		if ev.Rule == "text-is-utf8" && ev.Effect == "deny" {
			refused++
		}
	}
	if refused != 8*3 {
		t.Errorf("%d refusals in the record", refused)
	}
	th.balanced()
}

// Parameters that are not UTF-8 are the database's to refuse; the record shows their
// bytes, and the session goes on.
func TestParametersThatAreNotUTF8(t *testing.T) {
	th := start(t, "prod", shop, nil)
	conn := connect(t, th.as(person("ada")))
	for _, value := range []string{"\xff", "caf\xe9", "a\x00b"} {
		res := conn.PgConn().ExecParams(context.Background(), "select $1::text", [][]byte{[]byte(value)}, nil, nil, nil).Read()
		wantCode(t, res.Err, "22021")
		decided := th.events(audit.Decided)
		if got := decided[len(decided)-1].Params; len(got) != 1 || !utf8.ValidString(got[0]) {
			t.Errorf("%q is recorded as %q", value, got)
		}
	}
	if out, err := run(conn, "select 1"); err != nil || out != "1\n" {
		t.Errorf("the session after it: %q, %v", out, err)
	}
	th.balanced()
}

// Names that are not UTF-8, given at the start, are answered in UTF-8, or make a
// session that works.
func TestStartupThatIsNotUTF8(t *testing.T) {
	th := start(t, "prod", shop, nil)
	beside := connect(t, th.as(person("ada")))
	for name, params := range map[string]map[string]string{
		"user": {"user": "\xff\xfe", "database": "orders"}, "database": {"user": "me", "database": "\xff\xfe"}, "application": {"user": "me", "database": "orders", "application_name": "psql\xff"},
		"setting": {"user": "me", "database": "orders", "DateStyle": "\xff"}, "name of a setting": {"user": "me", "database": "orders", "\xff": "x"}, "options": {"user": "me", "database": "orders", "options": "-c \xff=\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, ended := th.dial(t, "ada")
			defer within(t, ended, "the session")
			defer conn.Close()
			f := pgproto3.NewFrontend(conn, conn)
			f.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: params})
			if err := f.Flush(); err != nil {
				t.Fatal(err)
			}
			for {
				m, err := f.Receive()
				if err != nil {
					t.Fatalf("it ended without a word: %v", err)
				}
				switch m := m.(type) {
				case *pgproto3.ErrorResponse:
					if !utf8.ValidString(m.Message+m.Hint) || m.Severity != "FATAL" || m.Hint == "" {
						t.Errorf("told %+v", m)
					}
					return
				case *pgproto3.ParameterStatus:
					if !utf8.ValidString(m.Value) {
						t.Errorf("%s is %q", m.Name, m.Value)
					}
				case *pgproto3.ReadyForQuery:
					if out := say(t, f, 'Z', query("select 1")...); !has(out, "D1") {
						t.Errorf("it was let in, and told %q", out)
					}
					return
				}
			}
		})
		if out, err := run(beside, "select count(*) from cities"); err != nil || out != "300\n" {
			t.Errorf("the session beside %s: %q, %v", name, out, err)
		}
	}
	for _, ev := range th.events(audit.Connected) {
		if !utf8.ValidString(ev.Client + ev.Error) {
			t.Errorf("the record has %q, %q", ev.Client, ev.Error)
		}
	}
}

// Lengths inside of a message that are larger than it, or none, take no memory, and
// their sender is told; the session beside it goes on.
func TestFalseLengthsInsideAreTold(t *testing.T) {
	th := start(t, "dev", shop, nil)
	port := th.as(person("ada"))
	honest := connect(t, port)
	message := func(kind, body string) verbatim {
		return verbatim(string(binary.BigEndian.AppendUint32([]byte(kind), uint32(4+len(body)))) + body)
	}
	before := inUse()
	for name, message := range map[string]verbatim{
		"a value of 2^31-1":              message("B", "\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff1\x00\x00"),
		"a value of 2^31":                message("B", "\x00\x00\x00\x00\x00\x01\x80\x00\x00\x001\x00\x00"),
		"a value of -2":                  message("B", "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe1\x00\x00"),
		"65535 values":                   message("B", "\x00\x00\x00\x00\xff\xff\x00\x00\x00\x011\x00\x00"),
		"65535 formats":                  message("B", "\x00\x00\xff\xff\x00\x00\x00\x00"),
		"65535 types":                    message("P", "\x00select 1\x00\xff\xff"),
		"65535 arguments":                message("F", "\x00\x00\x00\x01\x00\x00\xff\xff\x00\x00"),
		"an argument of 2^31":            message("F", "\x00\x00\x00\x01\x00\x00\x00\x01\x80\x00\x00\x00\x00\x00"),
		"a text without its end":         message("Q", "select 1"),
		"more behind the end of a text":  message("Q", "select 1\x00select 2\x00"),
		"a name without its end":         message("E", "portal"),
		"a row limit cut short":          message("E", "\x00\x00\x00"),
		"a kind that there is not":       message("D", "Xname\x00"),
		"a query of nothing, not a NUL":  message("Q", ""),
		"a statement without its types":  message("P", "\x00select 1\x00"),
		"a close without what is closed": message("C", ""),
	} {
		t.Run(name, func(t *testing.T) {
			f := raw(t, port)
			f.Send(message)
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
	if used := inUse(); used > before+64<<20 {
		t.Errorf("the heap grew from %d to %d", before, used)
	}
	th.balanced()
}
