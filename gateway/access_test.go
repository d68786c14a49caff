package gateway_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

func TestConnectionOfAGroupIsNotThereForOthers(t *testing.T) {
	dsn := pgtest.Database(t)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	th := startOn(t, dsn, gateway.Connection{Name: "orders", Groups: []string{"payments"}, Database: cfg}, nil)
	insider, outsider := person("ina", "payments"), person("otto", "support")
	if n := len(th.Connections(insider)); n != 1 {
		t.Errorf("a member sees %d connections, not the one", n)
	}
	if n := len(th.Connections(outsider)); n != 0 {
		t.Errorf("somebody else sees %d connections", n)
	}
	if _, err := th.Explain(t.Context(), outsider, "orders", "select 1"); err == nil {
		t.Error("somebody else may explain")
	}
	if _, err := th.Scan(t.Context(), outsider, "orders"); err == nil {
		t.Error("somebody else may scan")
	}
	connect(t, th.as(insider))
	if conn, err := pgx.Connect(t.Context(), th.as(outsider)); err == nil {
		conn.Close(t.Context())
		t.Error("somebody else is let in")
	}
}

func TestUnmaskAllShowsWhatIsNotKnownToo(t *testing.T) {
	rules, err := policy.Load("test.yaml", []byte("rules:\n  - {name: sees-all, when: '\"dba\" in who.groups', unmask: [all]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	th := start(t, "dev", people, rules)
	for who, want := range map[string]string{"dba": "ada7@example.com 7", "support": ""} {
		conn := connect(t, th.as(person(who, who)))
		if _, err := conn.Exec(t.Context(), "create temp table mine as select id, email from people"); err != nil {
			t.Fatal(err)
		}
		var email, id *string
		if err := conn.QueryRow(t.Context(), "select email, id::text from mine where id = 7").Scan(&email, &id); err != nil {
			t.Fatal(err)
		}
		got := ""
		if email != nil && id != nil {
			got = *email + " " + *id
		}
		if shown := strings.Contains(got, "ada7@example.com"); shown != (want != "") || shown && got != want {
			t.Errorf("%s sees %q", who, got)
		}
	}
}

func TestFetchMayBePreparedBeforeItsCursor(t *testing.T) {
	th := start(t, "dev", people, nil)
	conn := connect(t, th.as(person("ada")))
	if _, err := conn.Prepare(t.Context(), "f", `fetch all in later`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "begin; declare later cursor for select email from people where id = 7"); err != nil {
		t.Fatal(err)
	}
	res := conn.PgConn().ExecPrepared(t.Context(), "f", nil, nil, nil).Read()
	if res.Err != nil || len(res.Rows) != 1 {
		t.Fatalf("got %d rows, %v", len(res.Rows), res.Err)
	}
	if got := string(res.Rows[0][0]); got == "" || strings.Contains(got, "ada7") {
		t.Errorf("the address came as %q, not masked", got)
	}
}
