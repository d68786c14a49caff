package gateway_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
)

// named opens a connection that calls itself app.
func (th *through) named(t *testing.T, dsn, app string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if app != "" {
		cfg.RuntimeParams["application_name"] = app
	}
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// shown is what the database has in pg_stat_activity for a session.
func (th *through) shown(t *testing.T, conn *pgx.Conn) (name string) {
	t.Helper()
	var pid int
	if err := conn.QueryRow(context.Background(), "select pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	direct, err := pgx.Connect(context.Background(), th.direct)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	if err := direct.QueryRow(context.Background(), "select application_name from pg_stat_activity where pid = $1", pid).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

// own is what a client sees of its name: reported, and asked for in both protocols.
func own(t *testing.T, conn *pgx.Conn) (reported, simple, extended string) {
	t.Helper()
	ctx := context.Background()
	if err := conn.QueryRow(ctx, "show application_name", pgx.QueryExecModeSimpleProtocol).Scan(&simple); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(ctx, "show application_name").Scan(&extended); err != nil {
		t.Fatal(err)
	}
	return conn.PgConn().ParameterStatus("application_name"), simple, extended
}

// The database shows who asks, whatever the client calls itself; the client sees its
// own name as directly.
func TestApplicationNameCarriesTheCaller(t *testing.T) {
	th := start(t, "dev", "", nil)
	port := th.as(person("ada"))
	for _, app := range []string{"", "psql", "DBeaver 25.1 - Main", "zoë's über-tool", strings.Repeat("long ", 30), strings.Repeat("ü", 50), `back\slash 'quote'`} {
		conn, direct := th.named(t, port, app), th.named(t, th.direct, app)
		got := th.shown(t, conn)
		if len(got) > 63 || !strings.HasSuffix(strings.TrimSuffix(got, ")"), "ada@example.com via sluice") || app != "" && !strings.HasPrefix(got, app[:2]) && app[0] < 0x80 {
			t.Errorf("%q: the database shows %q", app, got)
		}
		r1, s1, e1 := own(t, conn)
		r2, s2, e2 := own(t, direct)
		if r1 != r2 || s1 != s2 || e1 != e2 {
			t.Errorf("%q: the client sees %q %q %q, directly %q %q %q", app, r1, s1, e1, r2, s2, e2)
		}
	}
}

// Drivers and pools change the name after the login, in either protocol.
func TestApplicationNameThatIsChangedKeepsTheCaller(t *testing.T) {
	ctx := context.Background()
	th := start(t, "dev", "", nil)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
		conn := th.named(t, th.as(person("ada")), "start")
		for _, c := range []struct{ sql, shown, own string }{
			{"SET application_name = 'Job''s One'", "Job's One (ada@example.com via sluice)", "Job's One"},
			{"set /* c */ session application_name to pool;", "pool (ada@example.com via sluice)", "pool"},
			{"set application_name = E'esc\\x41ped'", "escAped (ada@example.com via sluice)", "escAped"},
			{"set application_name = ''", "ada@example.com via sluice", ""},
			{"set application_name = 7", "7 (ada@example.com via sluice)", "7"},
			{"reset application_name", "start (ada@example.com via sluice)", "start"},
			{"set application_name = 'Mixed Case'", "Mixed Case (ada@example.com via sluice)", "Mixed Case"},
			{"set application_name to default", "start (ada@example.com via sluice)", "start"},
			{"set application_name = 'again'", "again (ada@example.com via sluice)", "again"},
			{"discard all", "start (ada@example.com via sluice)", "start"},
			{"begin", "start (ada@example.com via sluice)", "start"},
			{"set local application_name = 'inside'", "inside (ada@example.com via sluice)", "inside"},
			{"commit", "start (ada@example.com via sluice)", "start"},
			{"begin", "start (ada@example.com via sluice)", "start"},
			{"set application_name = 'undone'", "undone (ada@example.com via sluice)", "undone"},
			{"rollback", "start (ada@example.com via sluice)", "start"},
		} {
			if c.sql == "discard all" {
				if err := conn.DeallocateAll(ctx); err != nil { // the driver keeps statements that go with it
					t.Fatal(err)
				}
			}
			if _, err := conn.Exec(ctx, c.sql, mode); err != nil {
				t.Fatalf("%s: %v", c.sql, err)
			}
			if got := th.shown(t, conn); got != c.shown {
				t.Errorf("%v: %s: the database shows %q, want %q", mode, c.sql, got, c.shown)
			}
			if r, s, e := own(t, conn); r != c.own || s != c.own || e != c.own {
				t.Errorf("%v: %s: the client sees %q %q %q, want %q", mode, c.sql, r, s, e, c.own)
			}
			if c.sql == "discard all" {
				if err := conn.DeallocateAll(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// The record has what was sent.
	if !slices.ContainsFunc(th.events(audit.Decided), func(ev audit.Event) bool { return ev.SQL == "SET application_name = 'Job''s One'" }) {
		t.Error("the record does not have what was sent")
	}
}

// Attack: pass for someone else in pg_stat_activity.
func TestApplicationNameThatPosesAsSomeoneElse(t *testing.T) {
	th := start(t, "dev", "", nil)
	port := th.as(person("mallory"))
	for _, app := range []string{
		"psql (boss@example.com via sluice)", "boss@example.com via sluice", "boss@example.com VIA\tSluice", "boss via via sluice sluice",
		"boss@example.com via sluice)" + strings.Repeat(" ", 40), "x (boss@example.com via sluice" + strings.Repeat("ü", 40), "boss viavia  sluice sluice",
	} {
		conn := th.named(t, port, app)
		changed := th.named(t, port, "")
		if _, err := changed.Exec(context.Background(), "set application_name = '"+app+"'"); err != nil {
			t.Fatal(err)
		}
		for _, got := range []string{th.shown(t, conn), th.shown(t, changed)} {
			if len(got) > 63 || strings.Count(strings.ToLower(got), "sluice)") != 1 || strings.Count(got, "(") != 1 || !strings.HasSuffix(got, " (mallory@example.com via sluice)") {
				t.Errorf("%q is shown as %q", app, got)
			}
			if rest := strings.TrimSuffix(got, "(mallory@example.com via sluice)"); strings.Contains(strings.ToLower(strings.Join(strings.Fields(rest), " ")), "via sluice") {
				t.Errorf("%q is shown as %q", app, got)
			}
		}
	}
}

// Attack: a name so long, or so written, that it is cut to another's.
func TestLongIdentitiesAreToldApart(t *testing.T) {
	th := start(t, "dev", "", nil)
	long := strings.Repeat("team.", 12)
	seen := map[string]string{}
	for _, who := range []string{long + "a", long + "b", "zoë", "zoü", "zo?", "a (b via sluice)", "a ?b via sluice?"} {
		conn := th.named(t, th.as(person(who)), "app")
		got := th.shown(t, conn)
		if len(got) > 63 || !strings.HasSuffix(got, " via sluice)") || !strings.HasPrefix(got, "app (") || seen[got] != "" {
			t.Errorf("%q is shown as %q, as is %q", who, got, seen[got])
		}
		seen[got] = who
	}
}

// What cannot be renamed must still work: the name is a convenience.
func TestApplicationNameSetUnseenBreaksNothing(t *testing.T) {
	th := start(t, "dev", "", nil)
	conn := th.named(t, th.as(person("ada")), "start")
	if _, err := conn.Exec(context.Background(), "set application_name = 'one'; select 1", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if r, s, e := own(t, conn); r != "one" || s != "one" || e != "one" {
		t.Errorf("the client sees %q %q %q", r, s, e)
	}
	if out, err := psql(t, th.as(person("ada")), "show application_name"); err != nil || !strings.Contains(out, " psql\n") {
		t.Errorf("psql: %v\n%s", err, out)
	}
}
