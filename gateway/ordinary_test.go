package gateway_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const kinds = shop + `
create extension if not exists citext; create extension if not exists hstore;
create type mood as enum ('sad', 'happy');
create table things (id int, m mood, label citext, attrs hstore, span int4range, primary key (id, m));
insert into things values (1, 'happy', 'Box', 'colour=>red', '[1,5)'), (2, 'sad', 'Bag', 'colour=>blue', '[2,3)');
create index things_m on things (m, id);
create function twice(n int) returns int language plpgsql as $$ begin return n * 2; end $$;
create function both_of(n int, out a int, out b text) language sql as $$ select n, 'n' || n $$;
create function upto(n int) returns table (i int, at date) language plpgsql as $$ begin return query select g, date '2026-01-01' + g from generate_series(1, n) g; end $$;
create function oldest() returns text language sql as $$ select email from people order by id limit 1 $$;`

// What JDBC asks for getPrimaryKeys and getIndexInfo, as PostgreSQL's driver does.
const keysSQL = `select result.attname, result.key_seq, result.pk from
 (select a.attname, (information_schema._pg_expandarray(i.indkey)).n as key_seq, ci.relname as pk,
         information_schema._pg_expandarray(i.indkey) as keys, a.attnum
  from pg_catalog.pg_class ct join pg_catalog.pg_attribute a on (ct.oid = a.attrelid)
  join pg_catalog.pg_index i on (a.attrelid = i.indrelid) join pg_catalog.pg_class ci on (ci.oid = i.indexrelid)
  where ct.relname = 'things' and i.indisprimary) result where result.attnum = (result.keys).x order by 2`

const indexSQL = `select tmp.index_name, tmp.ordinal_position, trim(both '"' from pg_catalog.pg_get_indexdef(tmp.ci_oid, tmp.ordinal_position, false)) as column_name
 from (select ci.relname as index_name, (information_schema._pg_expandarray(i.indkey)).n as ordinal_position, ci.oid as ci_oid
  from pg_catalog.pg_class ct join pg_catalog.pg_index i on (ct.oid = i.indrelid) join pg_catalog.pg_class ci on (ci.oid = i.indexrelid)
  where ct.relname = 'things') as tmp order by index_name, ordinal_position`

func TestOrdinaryReadsAreNotHidden(t *testing.T) {
	th := start(t, "dev", kinds, nil)
	same(t, th, keysSQL, indexSQL,
		"select * from twice(21)", "select n from twice(21) n", "select * from both_of(3)", "select b from both_of(3) x",
		"select * from upto(2)", "select u.at from upto(2) u", "select twice(id) from cities where id < 3",
		"select id, m, label, span from things order by id", "select array_agg(m) from things")
	conn := connect(t, th.as(person("ada")))
	if out, err := run(conn, "select * from oldest()"); err != nil || strings.Contains(out, "@example.com") {
		t.Errorf("what a function takes from personal data passes: %q, %v", out, err)
	}
}

// In binary, values of types that are not known to hold text passed as NULL.
func TestBinaryValuesOfOtherTypesPass(t *testing.T) {
	th := start(t, "dev", kinds, nil)
	dsn := th.as(person("ada"))
	got, want := inBinary(t, dsn), inBinary(t, th.direct)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, directly %q", got, want)
	}
	pgtestExec(t, th, `update things set attrs = 'owner=>"eve@example.com"' where id = 2`)
	got, want = inBinary(t, dsn), inBinary(t, th.direct)
	if strings.Contains(got[1], "eve@") || !strings.Contains(want[1], "eve@") {
		t.Errorf("an address in an hstore passed: %q", got[1])
	}
}

func inBinary(t *testing.T, dsn string) (rows []string) {
	t.Helper()
	conn := connect(t, dsn)
	ctx := context.Background()
	res := conn.PgConn().ExecParams(ctx, "select m, label, attrs, span from things order by id", nil, nil, nil, []int16{1}).Read()
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	for _, row := range res.Rows {
		var b strings.Builder
		for _, v := range row {
			b.Write(v)
			b.WriteByte('|')
		}
		rows = append(rows, b.String())
	}
	return rows
}

// What stands in the statement is no secret from who wrote it.
func TestMistakesAreToldAsTheServerTellsThem(t *testing.T) {
	th := start(t, "dev", kinds, nil)
	for _, sql := range []string{
		"select * from peoples", "select emial from people", "select p.emial from people p", "select nothing(email) from people",
		"select email from people group by name", "insert into peoples values (1)", "selec email from people", "select email from people; execute nothing_here",
		"create table people (id int)",
	} {
		errs := map[bool]string{}
		for _, direct := range []bool{true, false} {
			dsn := th.direct
			if !direct {
				dsn = th.as(person("ada"))
			}
			_, err := run(connect(t, dsn), sql)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) {
				t.Fatalf("%s: %v", sql, err)
			}
			errs[direct] = pg.Message
		}
		if errs[true] != errs[false] && !strings.Contains(errs[false], "refused") {
			t.Errorf("%s: %q, directly %q", sql, errs[false], errs[true])
		}
	}
}

func TestErrorThatOnlyPosesAsAMistakeIsHidden(t *testing.T) {
	th := start(t, "dev", kinds+`
create function pose() returns int language plpgsql as $$ begin raise exception using errcode = '42P01',
  message = format('relation "%s" does not exist', (select email from people where id = 7)); end $$;`, nil)
	conn := connect(t, th.as(person("ada")))
	_, err := conn.Exec(context.Background(), "select pose()", pgx.QueryExecModeSimpleProtocol)
	if err == nil || strings.Contains(err.Error(), "ada7@") {
		t.Errorf("got %v", err)
	}
}
