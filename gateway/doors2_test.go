package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// raw takes a connection after its login, to write messages as they come.
func raw(t *testing.T, dsn string) *pgproto3.Frontend {
	t.Helper()
	return rawOf(t, dsn, 20*time.Second) // an answer that never comes is a failure
}

func rawOf(t testing.TB, dsn string, patience ...time.Duration) *pgproto3.Frontend {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	h, err := conn.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Conn.Close() })
	for _, d := range patience {
		if err := h.Conn.SetDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	return h.Frontend
}

// say writes messages and returns the answers up to the one of type last, as text:
// the type of each, the values of rows and the codes of errors.
func say(t *testing.T, f *pgproto3.Frontend, last byte, messages ...pgproto3.FrontendMessage) (out []string) {
	t.Helper()
	for _, m := range messages {
		f.Send(m)
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := f.Receive()
		if err != nil {
			t.Fatalf("after %q: %v", out, err)
		}
		kind := byte(0)
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			kind, out = 'Z', append(out, "Z"+string(m.TxStatus))
		case *pgproto3.ErrorResponse:
			kind, out = 'E', append(out, "E"+m.Code)
		case *pgproto3.DataRow:
			kind, out = 'D', append(out, "D"+string(bytes.Join(m.Values, []byte("|"))))
		case *pgproto3.CommandComplete:
			kind, out = 'C', append(out, "C"+string(m.CommandTag))
		case *pgproto3.EmptyQueryResponse:
			kind, out = 'I', append(out, "I")
		}
		if kind == last {
			return out
		}
	}
}

func has(out []string, want string) bool {
	for _, s := range out {
		if s == want {
			return true
		}
	}
	return false
}

// A function called by its number could be any.
func TestFunctionCallMessageIsRefused(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	out := say(t, f, 'Z', &pgproto3.FunctionCall{Function: 1299, ResultFormatCode: 0}) // now()
	if len(out) != 2 || out[0] != "E42501" && out[0] != "E0A000" || out[1] != "ZI" {
		t.Errorf("got %q", out)
	}
	if out := say(t, f, 'Z', &pgproto3.Query{String: "select 1"}); !has(out, "D1") {
		t.Errorf("afterwards: %q", out)
	}
	th.balanced()
}

// A portal or statement that was never made here is not asked of the server.
func TestUnknownPortalIsRefused(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	for name, messages := range map[string][]pgproto3.FrontendMessage{
		"portal":    {&pgproto3.Execute{Portal: "nothing"}, &pgproto3.Sync{}},
		"statement": {&pgproto3.Bind{PreparedStatement: "nothing"}, &pgproto3.Execute{}, &pgproto3.Sync{}},
		"unnamed":   {&pgproto3.Execute{}, &pgproto3.Sync{}},
	} {
		out := say(t, f, 'Z', messages...)
		if len(out) != 2 || !strings.HasPrefix(out[0], "E") || out[1] != "ZI" {
			t.Errorf("%s: got %q", name, out)
		}
	}
	if out := say(t, f, 'Z', &pgproto3.Query{String: "select 1"}); !has(out, "D1") {
		t.Errorf("afterwards: %q", out)
	}
	th.balanced()
}

// After an error the server passes over all until Sync: a statement closed and
// parsed anew there is still the old one, and its rows must be masked as such.
func TestNameReusedAfterAnErrorIsStillTheOldStatement(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	say(t, f, 'Z', &pgproto3.Parse{Name: "s", Query: "select email from people where id = 7"}, &pgproto3.Sync{})
	out := say(t, f, 'Z', // the pipeline goes out at once, both Syncs with it
		&pgproto3.Parse{Query: "select 1/0"}, &pgproto3.Bind{}, &pgproto3.Execute{},
		&pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Parse{Name: "s", Query: "select name from cities where id = 7"}, &pgproto3.Sync{},
		&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if !has(out, "E22012") {
		t.Errorf("got %q", out)
	}
	out = append(out, say(t, f, 'Z')...)
	if strings.Contains(strings.Join(out, " "), "ada7@") {
		t.Errorf("the address came through: %q", out)
	}
	out = say(t, f, 'Z', &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if text := strings.Join(out, " "); !has(out, "CSELECT 1") || strings.Contains(text, "ada7@") || strings.Contains(text, "Town") {
		t.Errorf("the statement of that name now: %q", out)
	}
	// The other way round: a name whose Parse was passed over is free.
	out = say(t, f, 'Z', &pgproto3.Parse{Query: "selec"}, &pgproto3.Parse{Name: "n", Query: "select email from people where id = 7"}, &pgproto3.Sync{},
		&pgproto3.Parse{Name: "n", Query: "select name from cities where id = 7"}, &pgproto3.Bind{PreparedStatement: "n"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if out = append(out, say(t, f, 'Z')...); !has(out, "DTown 7") {
		t.Errorf("a name that was not taken: %q", out)
	}
	th.balanced()
}

// Drivers that flush and wait for each answer must hear of a refusal before Sync.
func TestRefusalComesAfterFlush(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	out := say(t, f, 'E', &pgproto3.Parse{Query: "delete from cities"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Flush{})
	if !has(out, "E42501") {
		t.Errorf("got %q", out)
	}
	if out := say(t, f, 'Z', &pgproto3.Sync{}); len(out) != 1 || out[0] != "ZI" {
		t.Errorf("after Sync: %q", out)
	}
	if n := count(t, th, "select count(*) from cities"); n != 300 {
		t.Errorf("%d cities", n)
	}
	th.balanced()
}

// What one session tells another by NOTIFY is an answer too.
func TestNotificationIsScanned(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	if _, err := run(conn, "listen news"); err != nil {
		t.Fatal(err)
	}
	pgtestExec(t, th, "select pg_notify('news', 'written to ada7@example.com')")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n, err := conn.WaitForNotification(ctx)
	if err != nil || n.Channel != "news" || strings.Contains(n.Payload, "ada7@") || !strings.Contains(n.Payload, "written to ") {
		t.Errorf("got %+v, %v", n, err)
	}
}

// Code that people approved may still say more than they saw.
func TestNoticeOfAnApprovedBlockIsScanned(t *testing.T) {
	th := start(t, "prod", shop, nil)
	cfg, err := pgx.ParseConfig(th.as(person("ada")))
	if err != nil {
		t.Fatal(err)
	}
	notices := make(chan string, 10)
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices <- n.Message + n.Detail + n.Hint }
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := run(conn, "do $$ begin execute format('select 1'); raise notice 'found %', (select email from people where id = 7) using detail = (select email from people where id = 8); end $$")
		done <- err
	}()
	select {
	case <-notices: // it waits
	case err := <-done:
		t.Fatalf("it was not held: %v", err)
	}
	waits := th.Asks(person("bob", "dba"))[0].ID
	if _, err := th.Answer(person("bob", "dba"), waits, th.yes(waits)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	close(notices)
	var all string
	for text := range notices {
		all += text + "\n"
	}
	if !strings.Contains(all, "the server sent a notice") || strings.Contains(all, "ada7@") || strings.Contains(all, "ada8@") {
		t.Errorf("got %s", all)
	}
}

// A session may not begin in a state in which statements mean something else.
func TestStartupParameters(t *testing.T) {
	th := start(t, "dev", shop+"create schema other; create table other.cities as select id, email as name from people", nil)
	port := th.as(person("ada"))
	for name, tt := range map[string]struct{ param, value, code string }{
		"replication":          {"replication", "database", "0A000"},
		"physical replication": {"replication", "true", "0A000"},
		"unknown":              {"row_security", "off", "42501"},
		"role":                 {"role", "postgres", "42501"},
		"role in options":      {"options", "-c role=postgres", "42501"},
		"unknown in options":   {"options", "-c session_preload_libraries=x", "42501"},
		"debugging options":    {"options", "-f s", ""},
		"encoding":             {"client_encoding", "SJIS", "22023"},
		"encoding in options":  {"options", "-c client_encoding=SJIS", "22023"},
		"strings in options":   {"options", "--standard-conforming-strings=off", "22023"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := pgconn.ParseConfig(port)
			if err != nil {
				t.Fatal(err)
			}
			cfg.RuntimeParams[tt.param] = tt.value
			_, err = pgconn.ConnectConfig(context.Background(), cfg)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || tt.code != "" && pg.Code != tt.code || pg.Severity != "FATAL" || pg.Hint == "" {
				t.Errorf("got %v, %+v", err, pg)
			}
		})
	}
	cfg, err := pgx.ParseConfig(port)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["options"] = "-c search_path=other,public -c statement_timeout=12345"
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if out, err := run(conn, "show statement_timeout"); err != nil || out != "12345ms\n" {
		t.Errorf("statement_timeout: %q, %v", out, err)
	}
	out, err := run(conn, "select name from cities")
	if err != nil || strings.Count(out, "\n") != 500 || strings.Contains(out, "ada7@") {
		t.Errorf("the table that search_path names: %v, %.100q", err, out)
	}
}
