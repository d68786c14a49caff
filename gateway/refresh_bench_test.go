package gateway_test

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// twoThousand are tables as services have them, with some views and functions.
const twoThousand = `do $$ begin
  create table base (id bigint primary key, name text);
  for i in 1..2000 loop
    execute format('create table t%s (id bigint primary key, customer_id bigint references base, email text, full_name varchar(80), amount numeric(12,2) check (amount > 0), created_at timestamptz default now(), notes text, state int)', i);
    if i % 500 = 0 then commit; end if;
  end loop;
  for i in 1..200 loop
    execute format('create view v%1$s as select a.id, a.email, b.amount from t%1$s a join t%2$s b on a.id = b.customer_id', i, i + 1);
    execute format('create function f%1$s(n int) returns bigint language plpgsql as $f$ begin return (select count(*) from t%1$s where id < n); end $f$', i);
  end loop;
end $$`

// BenchmarkAfterDDL is the statement that follows an ALTER TABLE at two thousand tables,
// which waits until the catalogue is known again: with what changed read, and with
// everything read, in turn.
func BenchmarkAfterDDL(b *testing.B) {
	th := start(b, "dev", twoThousand, nil)
	conn := connect(b, th.as(person("ada")))
	run := func(sql string) time.Duration {
		begun := time.Now()
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
		return time.Since(begun)
	}
	run("select id from t1")
	var some, whole, still time.Duration
	for i := 0; b.Loop(); i++ {
		run(fmt.Sprintf("alter table t%d add column some%d int", 1+i%2000, i))
		some += run(fmt.Sprintf("select some%d from t%d", i, 1+i%2000))
		still += run(fmt.Sprintf("select some%d, id from t%d", i, 1+i%2000))
		run(fmt.Sprintf("alter table t%d add column whole%d int", 1+i%2000, i))
		th.ForgetRows()
		whole += run(fmt.Sprintf("select whole%d from t%d", i, 1+i%2000))
	}
	b.ReportMetric(float64(some.Milliseconds())/float64(b.N), "ms/changed")
	b.ReportMetric(float64(whole.Milliseconds())/float64(b.N), "ms/whole")
	b.ReportMetric(float64(still.Milliseconds())/float64(b.N), "ms/no-ddl")
	b.ReportMetric(float64(some)/float64(whole), "changed/whole")
}
