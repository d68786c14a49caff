package catalog

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// expressionsSQL finds functions in what the server keeps parsed: defaults (of domains
// too), checks, indexes, policies and conditions of triggers. pg_depend does not list
// functions that came with the server, so they are looked for in the trees themselves.
const expressionsSQL = `
with kept(rel, typ, tree, why, event) as (
  select a.adrelid, 0::oid, a.adbin::text, 'default of ' || c.attname, 'w' from pg_catalog.pg_attrdef a
    join pg_catalog.pg_attribute c on c.attrelid = a.adrelid and c.attnum = a.adnum
  union all
  select 0, t.oid, t.typdefaultbin::text, 'default of ' || t.typname, 'w' from pg_catalog.pg_type t where t.typdefaultbin is not null
  union all
  select k.conrelid, k.contypid, k.conbin::text, 'check ' || k.conname, 'w' from pg_catalog.pg_constraint k where k.conbin is not null
  union all
  select i.indrelid, 0, concat(i.indexprs::text, i.indpred::text), 'index ' || c.relname, 'w' from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid where i.indexprs is not null or i.indpred is not null
  union all
  select p.polrelid, 0, concat(p.polqual::text, p.polwithcheck::text), 'policy ' || p.polname, p.polcmd::text from pg_catalog.pg_policy p
    join pg_catalog.pg_class c on c.oid = p.polrelid and c.relrowsecurity
  union all
  select t.tgrelid, 0, t.tgqual::text, 'condition of trigger ' || t.tgname, 'w' from pg_catalog.pg_trigger t
  where t.tgqual is not null and t.tgenabled <> 'D')
select distinct k.rel, k.typ, m[1]::oid, k.why, k.event
from kept k cross join lateral pg_catalog.regexp_matches(k.tree, ':funcid (\d+)', 'g') m
where m[1]::oid = any ($1) order by 1, 2, 3, 4, 5`

// expressions notes what relations call in what is kept parsed.
func (at *attachments) expressions(ctx context.Context, tx pgx.Tx) error {
	oids := slices.AppendSeq(slices.Collect(maps.Keys(at.strange)), maps.Keys(at.routines))
	var rel, typ, fn uint32
	var why, when string
	rows, err := tx.Query(ctx, expressionsSQL, oids)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&rel, &typ, &fn, &why, &when}, func() error {
			at.hooked(rel, typ, fn, why, when)
			return nil
		})
	}
	return wrapRead("defaults and checks", err)
}

// strangeOnes are the server's own functions that do more than compute, as routines
// that call them.
func strangeOnes(all []routine) map[uint32]*query.Routine {
	strange := map[uint32]*query.Routine{}
	for _, r := range all {
		if r.schema == "pg_catalog" && r.kind == "f" && !builtInHarmless(r) {
			strange[r.oid] = &query.Routine{Schema: r.schema, Name: r.name, Language: "sql", Volatile: true,
				Body: "SELECT pg_catalog." + `"` + r.name + `"()`, Most: -1}
		}
	}
	return strange
}
