package query

import "testing"

// What keeps others waiting, or runs long, is seen; what looks like it is not.
func TestHeavy(t *testing.T) {
	s := newSchema(map[string][]string{"big": {"id"}, "large": {"id"}, "small": {"id"}})
	s.rels[[2]string{"public", "big"}].Rows = 1e6
	s.rels[[2]string{"public", "large"}].Rows = 1e5
	s.rels[[2]string{"public", "small"}].Rows = 10
	for sign, tests := range map[Sign]map[string]bool{
		TableLock: {
			"lock table big": true, "lock table big in exclusive mode": true, "lock table big in access share mode": false,
			"select * from big for update": true, "select * from big where id = 1 for update": false,
			"select * from big order by id limit 1 for update skip locked": false, "select * from big": false,
			"with q as (select * from big for share) select 1": true,
			"create index on big (id)":                         true, "create index concurrently on big (id)": false,
			"alter table big alter id type bigint": true, "alter table big add x int": false, "alter table big add x int default 1": false,
			"alter table big add x int generated always as (id) stored": true, "alter table big add check (id > 0)": true,
			"alter table big add check (id > 0) not valid": false, "alter table big alter id set not null": true, "alter table big set logged": true,
			"vacuum full big": true, "vacuum (full) big": true, "vacuum (full off) big": false, "vacuum big": false, "analyze big": false,
			"reindex table big": true, "reindex table concurrently big": false, "cluster big": true,
			"refresh materialized view v": true, "refresh materialized view concurrently v": false,
			"do 'begin lock table big; end'": true,
			"lock table big in share mode":   true, "lock table big in share update exclusive mode": false, "lock table big in row exclusive mode": false,
			"select * from big where 1 = 1 for update": true, "select * from big where id = id or id is null for update": true,
			"select * from big limit all for update": true, "select * from big for key share": false, "select * from big, small where true for update": true,
			"select * from big b join small s on b.id = s.id where s.id = 3 for update": false,
		},
		RowLock: {
			"select * from big where id = 1 for update": true, "select * from big where id = 1 for key share": true, "select * from big where id = 1": false,
			"with q as (select * from big where id = 1 for share) select 1": true, "explain select * from big where id = 1 for update": false,
			"do $$ begin perform 1 from big where id = 1 for no key update; end $$": true,
		},
		AdvisoryLock: {
			"select pg_advisory_lock(1)": true, "select pg_try_advisory_xact_lock(1, 2)": true, "select pg_advisory_unlock(1)": false,
			"select pg_advisory_unlock_all()": false,
		},
		LongRunning: {
			"select pg_sleep(60)": true, "select pg_sleep(0.1)": false, "select pg_sleep(id) from small": true, "select pg_sleep_for('1 s')": true,
			"select 1 where pg_sleep(9) is null": true, "explain select pg_sleep(60)": false, "explain analyze select pg_sleep(60)": true,
			"select * from generate_series(1, 1000000000)": true, "select * from generate_series(1, 100)": false,
			"select * from generate_series(1, 1000000000, 1000)": false, "select * from generate_series(1::bigint, 100000000::bigint)": true,
			"select * from generate_series(100000000, 1, -1)": true, "select * from generate_series(100000000, 1)": false,
			"with recursive r as (select 1 as n union all select n + 1 from r) select * from r":                       true,
			"with recursive r as (select 1 as n union all select n + 1 from r where n < 9) select * from r":           false,
			"with recursive r as (select 1 as n union all select n + 1 from r) select * from r limit 9":               false,
			"with recursive r as (select 1 as n union select n from r) select * from r":                               false,
			"with recursive r as (select id from small union all select s.id from small s join r using (id)) table r": false,
			"with recursive r as (select id from small union all select s.id from small s, r) table r":                true,
			"select * from big, large": true, "select count(*) from big cross join large": true, "select * from big join large on true": true,
			"select * from big, large where big.id = large.id": false, "select * from big join large using (id)": false,
			"select * from big, small": false, "select * from big natural join large": false, "select * from big": false,
			"insert into small select b.id from big b, large": true,
			"select pg_sleep(1) from small":                   true, "select pg_sleep(1)": false, "select 1 from generate_series(1, 100) where pg_sleep(1) is null": true,
			"select repeat(repeat('x', 1000000), 1000)": true, "select repeat('x', 1000)": false, "select repeat('ab', 100000000)": true,
			"do 'begin loop null; end loop; end'":                                            true,
			"do 'begin while true loop null; end loop; end'":                                 true,
			"do 'declare i int := 0; begin loop i := i + 1; exit when i > 9; end loop; end'": false,
			"do 'begin perform pg_sleep(3600); end'":                                         true,
		},
	} {
		for sql, want := range tests {
			if st := Analyze(sql, s)[0]; st.Has(sign) != want || st.Kind == Unknown {
				t.Errorf("%s: %s is %v, want %v (%v %s)", sql, sign, !want, want, st.Signs, st.Problem)
			}
		}
	}
}
