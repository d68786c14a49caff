package gateway_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

const ruled = `create table parts (id int, code text, name text);
	insert into parts select i, 'P' || i || '@' || 'example.org', 'box ' || i from generate_series(1, 100) i; analyze`

var boss = person("boss", "admin")

// with starts a gateway on a database, with a file of labels.
func with(t *testing.T, dsn, file string) *through {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, dsn, gateway.Connection{Name: "orders", Env: "dev", Database: cfg}, nil, func(c *gateway.Config) { c.Labels = file })
}

func (th *through) scanned(t *testing.T, column string) gateway.Scanned {
	t.Helper()
	columns, err := th.Scan(t.Context(), person("ada"), "orders")
	if err != nil {
		t.Fatal(err)
	}
	return columns[column]
}

func (th *through) say(t *testing.T, who identity.Identity, column, as string) error {
	t.Helper()
	_, err := th.Label(t.Context(), who, api.LabelRequest{Connection: "orders", Column: column, As: as, Reason: "numbers of parts"})
	return err
}

func (th *through) shows(t *testing.T, sql, text string) bool {
	t.Helper()
	n, rows := leaks(connect(t, th.as(person("ada"))), pgx.QueryExecModeSimpleProtocol, sql, text)
	if rows != 100 {
		t.Errorf("%s: %d rows", sql, rows)
	}
	return n > 0
}

// What a person says of a column once is in force at once, recorded, and stays through
// restarts and renames.
func TestLabelOfAPersonStays(t *testing.T) {
	dsn, file := pgtest.Database(t), filepath.Join(t.TempDir(), "labels.json")
	pgtest.Exec(t, dsn, ruled)
	th := with(t, dsn, file)
	if s := th.scanned(t, "public.parts.code"); !s.PII || th.shows(t, "select code from parts", "P7@") {
		t.Fatalf("at first: %+v", s)
	}
	if err := errors.Join(th.say(t, boss, "public.parts.code", "none"), th.say(t, boss, "public.parts.name", "person")); err != nil {
		t.Fatal(err)
	}
	if !th.shows(t, "select code from parts", "P7@") || th.shows(t, "select name from parts", "box 7") {
		t.Error("what was said is not in force")
	}
	var recorded int
	for _, ev := range th.events(audit.Admin) {
		if ev.Subject == "boss" && strings.Contains(ev.Detail, "public.parts.code") && ev.Reason == "numbers of parts" {
			recorded++
		}
	}
	if recorded != 1 {
		t.Errorf("recorded %d times", recorded)
	}
	for _, change := range []string{"alter table parts rename column code to mark", "alter table parts rename to bits", "create schema s; alter table bits set schema s"} {
		pgtest.Exec(t, dsn, change)
		th = with(t, dsn, file) // as after a restart
		for name, want := range map[string]string{"mark": "clean", "name": "personal", "code": "clean"} {
			for _, table := range []string{"public.parts.", "public.bits.", "s.bits."} {
				if s := th.scanned(t, table+name); s.Evidence != "" && (s.State != want || !s.Overruled || !strings.Contains(s.Evidence, "numbers of parts")) {
					t.Errorf("after %q: %s%s: %+v", change, table, name, s)
				}
			}
		}
	}
	if !th.shows(t, "select mark from s.bits", "P7@") || th.shows(t, "select name from s.bits", "box 7") {
		t.Error("what was said is not in force after all that")
	}
	if err := th.say(t, boss, "s.bits.mark", "auto"); err != nil {
		t.Fatal(err)
	}
	if s := th.scanned(t, "s.bits.mark"); !s.PII || s.Overruled || th.shows(t, "select mark from s.bits", "P7@") {
		t.Errorf("taken back: %+v", s)
	}
}

func TestDoorLabelByOneWhoMayNot(t *testing.T) {
	th := start(t, "dev", ruled, nil)
	err := th.say(t, person("ada"), "public.parts.code", "none")
	if e, ok := api.AsError(err); !ok || e.Code != api.CodeRefused || e.Hint == "" {
		t.Errorf("got %v", err)
	}
	if th.shows(t, "select code from parts", "P7@") {
		t.Error("it is in force")
	}
	var refused bool
	for _, ev := range th.events(audit.Admin) {
		refused = refused || ev.Subject == "ada" && ev.Outcome == "refused"
	}
	if !refused {
		t.Error("the attempt is not in the record")
	}
}

// A column that takes the place of another, and its name, has not been spoken of.
func TestDoorLabelOfAColumnThatIsGone(t *testing.T) {
	dsn, file := pgtest.Database(t), filepath.Join(t.TempDir(), "labels.json")
	pgtest.Exec(t, dsn, ruled)
	th := with(t, dsn, file)
	if err := th.say(t, boss, "public.parts.code", "none"); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"alter table parts drop column code; alter table parts add column code text; update parts set code = 'P' || id || '@example.org'", "drop table parts; " + ruled} {
		pgtest.Exec(t, dsn, change+"; analyze parts")
		th = with(t, dsn, file)
		if s := th.scanned(t, "public.parts.code"); s.State == "clean" || th.shows(t, "select code from parts", "P7@") {
			t.Errorf("after %.30q: %+v", change, s)
		}
	}
}

func TestLabelThatIsNone(t *testing.T) {
	th := start(t, "dev", ruled, nil)
	for name, in := range map[string]api.LabelRequest{
		"no such column": {Column: "public.parts.nothing", As: "none", Reason: "x"},
		"no such type":   {Column: "public.parts.code", As: "colour", Reason: "x"},
		"no reason":      {Column: "public.parts.code", As: "none"},
		"of the system":  {Column: "pg_catalog.pg_authid.rolpassword", As: "none", Reason: "x"},
	} {
		in.Connection = "orders"
		_, err := th.Label(t.Context(), boss, in)
		if e, ok := api.AsError(err); !ok || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that cannot be read is not an empty one: what it says to hide would pass.
func TestDoorLabelsThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"{", `[{"as":"none"}]`} {
		file := filepath.Join(t.TempDir(), "labels.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := audit.Open(audit.Config{Dir: t.TempDir(), Origin: "sluice/test", Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { log.Close() })
		_, err = gateway.New(gateway.Config{Record: log, Rules: policy.Builtin(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Labels: file})
		if err == nil || !strings.Contains(err.Error(), "labels") {
			t.Errorf("%q was taken: %v", text, err)
		}
	}
}
