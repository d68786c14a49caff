package catalog

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/query"
)

// Which columns a write may fail by, and which of these were made since the first look.
func TestLimitsOfColumns(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, `create domain positive as int check (value > 0); create table plain (id int primary key, n int not null, s text);
		create table old (id int primary key, n int check (n > 0), d positive, v varchar(20), w varchar(255), u int unique, x text);
		create table refers (o int references old (id), n int); create table parts (k int, v text) partition by range (k)`)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	load := func(previous *Snapshot) *Snapshot {
		t.Helper()
		s, err := Load(t.Context(), conn, previous)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	check := func(s *Snapshot, table, limited, fresh string) {
		t.Helper()
		rel := s.InPath([]string{"public"}).Lookup("", table)[0]
		if l, f := strings.Join(rel.Limited, " "), strings.Join(rel.Fresh, " "); l != limited || f != fresh {
			t.Errorf("%s: limited %q, fresh %q, want %q, %q", table, l, f, limited, fresh)
		}
	}
	first := load(nil)
	check(first, "plain", "id", "")
	check(first, "old", "d id n u", "")
	check(first, "refers", "o", "")
	check(first, "parts", "k", "")

	pgtest.Exec(t, dsn, "alter table plain add unique (n)")
	if load(first) == first {
		t.Error("a key that was added is not seen")
	}
	pgtest.Exec(t, dsn, `alter table plain add check (s <> ''); alter table old alter column x type varchar(9);
		create table made (id int primary key, n int check (n < 9), v varchar(20), w varchar(255), p numeric(7), q numeric(12,2), d positive);
		create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger t before insert on refers for each row execute function f();
		create index on parts ((1 / k))`)
	second := load(first)
	check(second, "plain", "id n s", "s")
	check(second, "old", "d id n u", "x")
	check(second, "made", "d id n", "d n p v")
	check(second, "refers", "o", query.Star)
	check(second, "parts", "* k", query.Star)
	if third := load(second); !slices.Equal(third.InPath([]string{"public"}).Lookup("", "made")[0].Fresh, []string{"d", "n", "p", "v"}) {
		t.Error("what is new does not stay so")
	}
}
