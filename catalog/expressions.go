package catalog

import "github.com/sluicehq/sluice/query"

// expressionsSQL finds functions in what the server keeps parsed: defaults (of domains
// too), checks, indexes, policies and conditions of triggers. pg_depend does not list
// functions that came with the server, so they are looked for in the trees themselves.
const expressionsSQL = `
with kept(rel, typ, tree, why, event) as (
  select a.adrelid, 0::oid, a.adbin::text, 'default of ' || c.attname, 'w' from pg_catalog.pg_attrdef a
    join pg_catalog.pg_attribute c on c.attrelid = a.adrelid and c.attnum = a.adnum [[where a.adrelid = any ($2)]]
  union all
  select 0, t.oid, t.typdefaultbin::text, 'default of ' || t.typname, 'w' from pg_catalog.pg_type t where t.typdefaultbin is not null [[and t.oid = any ($3)]]
  union all
  select k.conrelid, k.contypid, k.conbin::text, 'check ' || k.conname, 'w' from pg_catalog.pg_constraint k where k.conbin is not null [[and (k.conrelid = any ($2) or k.contypid = any ($3))]]
  union all
  select i.indrelid, 0, concat(i.indexprs::text, i.indpred::text), 'index ' || c.relname, 'w' from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid where (i.indexprs is not null or i.indpred is not null) [[and i.indrelid = any ($2)]]
  union all
  select p.polrelid, 0, concat(p.polqual::text, p.polwithcheck::text), 'policy ' || p.polname, p.polcmd::text from pg_catalog.pg_policy p
    join pg_catalog.pg_class c on c.oid = p.polrelid and c.relrowsecurity [[where p.polrelid = any ($2)]]
  union all
  select t.tgrelid, 0, t.tgqual::text, 'condition of trigger ' || t.tgname, 'w' from pg_catalog.pg_trigger t
  where t.tgqual is not null and t.tgenabled <> 'D' [[and t.tgrelid = any ($2)]])
select distinct k.rel, k.typ, m[1]::oid, k.why, k.event
from kept k cross join lateral pg_catalog.regexp_matches(k.tree, ':funcid (\d+)', 'g') m
where m[1]::oid = any ($1)`

// strangeOnes are the server's own functions that do more than compute, as routines
// that call them.
func strangeOnes(all []*routine) map[uint32]*query.Routine {
	strange := map[uint32]*query.Routine{}
	for _, r := range all {
		if r.strange() {
			strange[r.oid] = &query.Routine{Schema: r.schema, Name: r.name, Language: "sql", Volatile: true,
				Body: "SELECT pg_catalog." + `"` + r.name + `"()`, Most: -1}
		}
	}
	return strange
}

// strange reports whether it is the server's own and does more than compute.
func (r *routine) strange() bool {
	return r.schema == "pg_catalog" && r.kind == "f" && !r.safe
}
