package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/pgcluster"
)

// psql runs commands in the client that most people use, and returns what it prints.
func psql(t *testing.T, dsn string, commands ...string) (string, error) {
	t.Helper()
	dir, err := pgcluster.Find()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "psql")
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("psql"); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-X", "-v", "ON_ERROR_STOP=1", "-d", dsn}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8", "PAGER=", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What psql says of the database is the same as without a gateway.
func TestPsqlDescribesAsIfDirect(t *testing.T) {
	th := start(t, "dev", shop+"create type mood as enum ('calm', 'busy'); create function twice(int) returns int language sql as 'select $1 * 2';"+
		"create index on cities (name); comment on table cities is 'where shops are'", nil)
	port := th.as(person("ada"))
	for _, command := range []string{
		`\d`, `\d+`, `\d people`, `\d+ people`, `\d cities`, `\d contacts`, `\d+ contacts`, `\dt`, `\dt+ cities`, `\di`, `\dv`, `\dn`, `\df`,
		`\dT`, `\l`, `\du`, `\dp`, `\dx`, `\dd`,
	} {
		t.Run(command, func(t *testing.T) {
			want, err := psql(t, th.direct, command)
			if err != nil {
				t.Fatalf("directly: %v: %s", err, want)
			}
			got, err := psql(t, port, command)
			if err != nil || got != want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

// \copy is COPY TO STDOUT and COPY FROM STDIN.
func TestPsqlCopies(t *testing.T) {
	th := start(t, "dev", shop, nil)
	port := th.as(person("ada"))
	out := filepath.Join(t.TempDir(), "cities.csv")
	for name, command := range map[string]string{
		"rows": `\copy (select id, name from cities order by id) to stdout csv header`, "table": `\copy cities to stdout`,
	} {
		want, err := psql(t, th.direct, command)
		if err != nil || strings.Count(want, "\n") < 300 {
			t.Fatalf("%s directly: %v: %.200s", name, err, want)
		}
		if got, err := psql(t, port, command); err != nil || got != want {
			t.Errorf("%s: %v: %.200s", name, err, got)
		}
	}
	got, err := psql(t, port, `\copy (select id, email from people order by id) to stdout`)
	if err != nil || strings.Count(got, "\n") != 500 || strings.Contains(got, "ada7@") || !strings.HasPrefix(got, "1\t") {
		t.Errorf("personal: %v: %.200s", err, got)
	}
	if err := os.WriteFile(out, []byte("1001,Köln\n1002,\"a, b\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := psql(t, port, `\copy cities from '`+out+`' csv`); err != nil || strings.TrimSpace(got) != "COPY 2" {
		t.Errorf("from a file: %v: %s", err, got)
	}
	if n := count(t, th, "select count(*) from cities where (id, name) in ((1001, 'Köln'), (1002, 'a, b'))"); n != 2 {
		t.Errorf("%d rows came in", n)
	}
	th.balanced()
}

const clean = `
create type mood as enum ('calm', 'busy');
create domain small as int check (value < 100);
create table things (id int primary key, ok bool, f8 float8, f4 float4, amount numeric(20,6), at timestamptz, day date, span interval,
	key uuid, doc json, docb jsonb, tags text[], counts int[], state mood, few small, raw bytea, big bigint, nothing text);
insert into things select i, i % 2 = 0, i / 3.0, i / 7.0, i * 1234567.654321, timestamptz '2024-02-29 12:34:56.789+02' + i * interval '1 hour',
	date '1999-12-31' + i, i * interval '1 day 02:03:04.5', ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, json_build_object('n', i, 'a', array[1, null]),
	jsonb_build_object('n', i), array['red', 'a"b', null], array[i, null, -i], (array['calm', 'busy'])[1 + i % 2]::mood, i % 100,
	decode(lpad(to_hex(i), 8, '0'), 'hex'), i * 10000000000, null from generate_series(1, 400) i;
insert into things (id, ok, f8, f4, amount, at) values (1000, null, 'NaN', 'Infinity', 'NaN', '-infinity');
analyze things;`

// Values that are not personal pass byte for byte, in both formats, whatever their type.
func TestCleanValuesAreUntouched(t *testing.T) {
	th := start(t, "dev", clean, nil)
	direct, through := connect(t, th.direct), connect(t, th.as(person("ada")))
	// The type of an enum is not known outside its database, so that its binary form
	// cannot be read: it passes as text, as drivers ask for it unless told otherwise.
	const columns = "id, ok, f8, f4, amount, at, day, span, key, doc, docb, tags, counts, few, raw, big, nothing"
	for name, format := range map[string][]int16{"text": {0}, "binary": {1}} {
		all := map[string]string{"text": "*", "binary": columns}[name]
		for _, sql := range []string{
			"select " + all + " from things order by id", "select id, tags, raw, doc from things where state = 'busy' order by id",
			"select ok, count(*), sum(amount), avg(f8), max(at) from things group by ok order by ok",
		} {
			want := rowsOf(t, direct, sql, format)
			got := rowsOf(t, through, sql, format)
			if len(want) == 0 || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: %s", name, sql, firstDifference(got, want))
			}
		}
	}
	for _, sql := range []string{"copy things to stdout", "copy things to stdout (format csv, header)", "copy things (" + columns + ") to stdout (format binary)"} {
		var got, want bytes.Buffer
		if _, err := direct.PgConn().CopyTo(context.Background(), &want, sql); err != nil {
			t.Fatal(err)
		}
		if _, err := through.PgConn().CopyTo(context.Background(), &got, sql); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: %v, %s", sql, err, firstDifference(got.Bytes(), want.Bytes()))
		}
	}
}

// rowsOf are the descriptions and values of a result, as they came.
func rowsOf(t *testing.T, conn *pgx.Conn, sql string, format []int16) []byte {
	t.Helper()
	var b bytes.Buffer
	rr := conn.PgConn().ExecParams(context.Background(), sql, nil, nil, nil, format)
	for _, f := range rr.FieldDescriptions() {
		b.WriteString(f.Name)
		b.WriteByte(byte(f.Format))
		b.WriteByte('\n')
	}
	for rr.NextRow() {
		for _, v := range rr.Values() {
			if v == nil {
				b.WriteString("\\N")
			}
			b.Write(v)
			b.WriteByte(0)
		}
	}
	tag, err := rr.Close()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	b.WriteString(tag.String())
	return b.Bytes()
}

func firstDifference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	from := max(0, i-40)
	return string(got[from:min(len(got), i+40)]) + " / " + string(want[from:min(len(want), i+40)])
}

// raw takes a connection after its login, to write messages as they come.
func raw(t *testing.T, dsn string) *pgproto3.Frontend {
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
	if err := h.Conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // an answer that never comes is a failure
		t.Fatal(err)
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
		_, err := run(conn, "do $$ begin raise notice 'found %', (select email from people where id = 7) using detail = (select email from people where id = 8); end $$")
		done <- err
	}()
	select {
	case <-notices: // it waits
	case err := <-done:
		t.Fatalf("it was not held: %v", err)
	}
	if _, err := th.Answer(person("bob", "dba"), th.Asks(person("bob", "dba"))[0].ID, api.AskDecision{Grant: true}); err != nil {
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
