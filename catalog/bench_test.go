package catalog

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/query"
)

// large makes a database of ten thousand tables with eight columns each, a hundred
// views and five hundred functions. One block makes them: a statement each would take longer than
// all that is measured.
const large = `do $$ begin
  for i in 1..10000 loop
    execute format('create table t%s (id bigint, customer_id bigint, email text, full_name varchar(80), amount numeric(12,2), created_at timestamptz, notes text, state int)', i);
    if i % 1000 = 0 then commit; end if;
  end loop;
  for i in 1..100 loop
    execute format('create view v%1$s as select a.id, a.email, b.amount from t%1$s a join t%2$s b on a.id = b.customer_id', i, i + 1);
  end loop;
  for i in 1..500 loop
    execute format('create function f%1$s(n int) returns bigint language plpgsql as $f$ begin return (select count(*) from t%1$s where id < n); end $f$', i);
  end loop;
end $$`

func BenchmarkLarge(b *testing.B) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.Database(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, large); err != nil {
		b.Fatal(err)
	}
	snap, err := Load(ctx, conn, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, ok := snap.Relation("public", "t10000"); !ok {
		b.Fatal("the last table is not there")
	}
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Load(ctx, conn, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		r := &Reader{Conn: conn}
		last, err := r.Read(ctx, nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if next, err := r.Read(ctx, last); err != nil || next != last {
				b.Fatal(err)
			}
		}
	})
	b.Run("sample", func(b *testing.B) {
		for b.Loop() {
			if _, err := Sample(ctx, conn, snap, Budget{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFollow is a statement that was never seen, without and with what it sets
// off: nine tables by foreign keys, triggers and rules.
func BenchmarkFollow(b *testing.B) {
	conn, err := pgx.Connect(b.Context(), pgtest.Database(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.Context(), `create table plain (id int primary key, name text); create table customers (id int primary key, name text);
create table audit_log (at timestamptz, what text);
create function audited() returns trigger language plpgsql as $$ begin insert into audit_log values (now(), row_to_json(old)::text); return old; end $$;
do $$ begin for i in 1..8 loop
  execute format('create table t%s (id int primary key, c int references customers on delete cascade)', i);
  execute format('create trigger a before delete on t%s for each row execute function audited()', i);
end loop; end $$;`); err != nil {
		b.Fatal(err)
	}
	snap, err := Load(b.Context(), conn, nil)
	if err != nil {
		b.Fatal(err)
	}
	s := snap.InPath([]string{"public"})
	for _, table := range []string{"plain", "customers"} {
		b.Run(table, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				query.Analyze("delete from "+table+" where id = 1", s)
			}
		})
	}
}

// medium makes two thousand tables with keys, checks and defaults, two hundred views, and
// four hundred functions, half of them of triggers.
const medium = `do $$ begin
  create table base (id bigint primary key, name text);
  for i in 1..2000 loop
    execute format('create table t%s (id bigint primary key, customer_id bigint references base, email text default ''x'' || now(), full_name varchar(80), amount numeric(12,2) check (amount > 0), created_at timestamptz default now(), notes text, state int)', i);
    if i % 500 = 0 then commit; end if;
  end loop;
  for i in 1..200 loop
    execute format('create view v%1$s as select a.id, a.email, b.amount from t%1$s a join t%2$s b on a.id = b.customer_id', i, i + 1);
    execute format('create function f%1$s(n int) returns bigint language plpgsql as $f$ begin return (select count(*) from t%1$s where id < n); end $f$', i);
    execute format('create function g%1$s() returns trigger language plpgsql as $f$ begin return new; end $f$', i);
    execute format('create trigger tr before insert on t%1$s for each row execute function g%1$s()', i);
  end loop;
end $$`

// BenchmarkRefresh is reading the catalogue of two thousand tables again after one
// ALTER TABLE: only what changed, and everything, in turn.
func BenchmarkRefresh(b *testing.B) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.Database(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range []string{medium, "analyze"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	r := &Reader{Conn: conn}
	last, err := r.Read(ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	var some, whole time.Duration
	for i := 0; b.Loop(); i++ {
		if _, err := conn.Exec(ctx, fmt.Sprintf("alter table t%d add column c%d text", 1+i%2000, i)); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		next, err := r.Read(ctx, last)
		some += time.Since(start)
		if err != nil || next == last || r.whole != 1 {
			b.Fatalf("everything was read %d times, %v", r.whole, err)
		}
		start = time.Now()
		if _, err = Load(ctx, conn, last); err != nil {
			b.Fatal(err)
		}
		whole += time.Since(start)
		last = next
	}
	b.ReportMetric(float64(some.Milliseconds())/float64(b.N), "ms/changed")
	b.ReportMetric(float64(whole.Milliseconds())/float64(b.N), "ms/whole")
	b.ReportMetric(float64(some)/float64(whole), "changed/whole")
}
