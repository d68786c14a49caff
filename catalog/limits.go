package catalog

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// limitRow is something that the server holds against a row which is written: k a key, c
// what says a condition, m what only its maker knows to be one. No columns are all. What
// it is, is said by what is stored of it, which no other name of anything changes.
type limitRow struct {
	kind, what string
	numbers    []int16
}

var limitsSQL = strings.NewReplacer("hash(", "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(E'\\n', ", ")hash",
	"), pg_catalog.getdatabaseencoding())), 'hex')").Replace(`
select k.conrelid, case when k.contype in ('u', 'p') then 'k' else 'c' end, k.conkey,
       hash(k.contype::text, k.conkey::text, k.confrelid::text, k.confkey::text, k.conexclop::text, k.conbin::text)hash
from pg_catalog.pg_constraint k where k.conrelid <> 0 and k.contype in ('c', 'u', 'p', 'x', 'f') [[and k.conrelid = any ($1)]]
union all
select i.indrelid, case when i.indexprs is null and i.indpred is null then 'k' else 'c' end, i.indkey::int2[],
       hash('index', i.indisunique::text, i.indkey::text, i.indexprs::text, i.indpred::text)hash
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indrelid and c.relkind in ('r', 'p', 'm')
where (i.indisunique or i.indexprs is not null or i.indpred is not null) and c.relnamespace <> 'pg_catalog'::pg_catalog.regnamespace
  [[and i.indrelid = any ($1)]]
union all
select p.partrelid, 'c', p.partattrs::int2[], hash('partitioned', p.partstrat::text, p.partattrs::text, p.partclass::text, p.partexprs::text)hash
from pg_catalog.pg_partitioned_table p where true [[and p.partrelid = any ($1)]]
union all
select c.oid, 'c', '{}', hash('partition', c.relpartbound::text)hash
from pg_catalog.pg_class c where c.relispartition and c.relkind in ('r', 'p', 'f') [[and c.oid = any ($1)]]
union all
select d.adrelid, 'c', '{}', hash('generated', d.adnum::text, d.adbin::text)hash from pg_catalog.pg_attrdef d
join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum and a.attgenerated <> '' where true [[and d.adrelid = any ($1)]]
union all
select a.attrelid, 'c', array[a.attnum], hash('domain', a.attnum::text, a.atttypid::text,
  (select pg_catalog.string_agg(k.conbin::text, ' ' order by k.oid) from pg_catalog.pg_constraint k where k.contypid = a.atttypid))hash
from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid and t.typtype = 'd'
join pg_catalog.pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'f')
where a.attnum > 0 and not a.attisdropped and c.relnamespace not in ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
  [[and a.attrelid = any ($1)]]
union all
select a.attrelid, 'm', array[a.attnum], pg_catalog.concat_ws(' ', 'type', a.attnum, a.atttypid, a.atttypmod)
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'f')
where a.attnum > 0 and not a.attisdropped and a.atttypmod >= 0
  and (a.atttypid in (1042, 1043, 1560, 1562) and a.atttypmod < 68 or a.atttypid = 1700 and ((a.atttypmod - 4) >> 16) - ((a.atttypmod - 4) & 65535) < 10)
  and c.relnamespace not in ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace) [[and a.attrelid = any ($1)]]
union all
select t.tgrelid, 'm', '{}', hash('trigger', t.tgfoid::text, t.tgtype::text, t.tgattr::text, pg_catalog.encode(t.tgargs, 'hex'), t.tgqual::text)hash
from pg_catalog.pg_trigger t where not t.tgisinternal and t.tgenabled <> 'D' [[and t.tgrelid = any ($1)]]
union all
select r.ev_class, 'm', '{}', hash('rule', r.ev_type::text, r.is_instead::text, r.ev_qual::text, r.ev_action::text)hash
from pg_catalog.pg_rewrite r join pg_catalog.pg_class c on c.oid = r.ev_class
where r.ev_type <> '1' and r.ev_enabled <> 'D' and c.relnamespace not in ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
  [[and r.ev_class = any ($1)]]`)

func (r *rows) readLimits(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var rel uint32
	var x limitRow
	return of(ctx, tx, "constraints", limitsSQL, some, []any{&rel, &x.kind, &x.numbers, &x.what}, func() {
		row := x
		row.numbers = slices.Clone(x.numbers)
		r.limits[rel] = append(r.limits[rel], row)
	})
}

// limit is one of these, by what tells it from all others.
type limit struct {
	relation   uint32
	kind, what string
}

// limit notes which columns a write may fail by. What was not there when a gateway first
// looked may have been made to tell something of what is written.
func (s *Snapshot) limit(r *rows, at *attachments, previous *Snapshot) {
	if previous != nil {
		s.limits = previous.limits
	} else {
		s.limits = map[limit]bool{}
		for rel, list := range r.limits {
			for _, row := range list {
				s.limits[limit{rel, row.kind, row.what}] = true
			}
		}
	}
	for rel, list := range r.limits {
		if e := at.rels[rel]; e != nil && !e.system {
			e.limit(rel, list, s.limits)
		}
	}
}

func (e *entry) limit(oid uint32, list []limitRow, old map[limit]bool) {
	for _, row := range list {
		columns := []string{query.Star}
		if len(row.numbers) > 0 && !slices.Contains(row.numbers, 0) {
			columns = e.named(row.numbers)
		}
		if row.kind != "m" {
			e.rel.Limited = append(e.rel.Limited, columns...)
		}
		if row.kind != "k" && !old[limit{oid, row.kind, row.what}] {
			e.rel.Fresh = append(e.rel.Fresh, columns...)
		}
	}
	for _, list := range []*[]string{&e.rel.Limited, &e.rel.Fresh} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// named are the names of columns by their numbers.
func (e *entry) named(numbers []int16) (out []string) {
	for _, c := range e.columns {
		if slices.Contains(numbers, c.num) {
			out = append(out, c.Name)
		}
	}
	return out
}
