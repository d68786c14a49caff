package catalog

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// hangs is true of the rows of pg_depend that are read.
const hangs = `refclassid in ('pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_extension'::pg_catalog.regclass)
    and deptype in ('n', 'a', 'i', 'e')`

// hangingSQL are the relations, types and routines that depend on types, routines and
// extensions. What belongs to a relation (a default, a check, an index, a trigger, a
// policy, what a view says) counts as the relation.
const hangingSQL = `
with d as (
  select d.refclassid as rc, d.refobjid as ro, d.classid as c, d.objid as o from pg_catalog.pg_depend d
  where ` + hangs + ` [[and (d.classid, d.objid) in (select * from unnest($1::oid[], $2::oid[]))]])
select d.c, d.o, case d.rc when 'pg_catalog.pg_type'::pg_catalog.regclass then 'type' when 'pg_catalog.pg_proc'::pg_catalog.regclass then 'routine' else 'extension' end,
       d.ro, coalesce(x.kind, ''), coalesce(x.oid, 0)
from d left join lateral (
  select 'type' as kind, d.o as oid where d.c = 'pg_catalog.pg_type'::pg_catalog.regclass
  union all select 'routine', d.o where d.c = 'pg_catalog.pg_proc'::pg_catalog.regclass
  union all select 'relation', coalesce((select i.indrelid from pg_catalog.pg_index i where i.indexrelid = d.o), d.o) where d.c = 'pg_catalog.pg_class'::pg_catalog.regclass
  union all select 'relation', a.adrelid from pg_catalog.pg_attrdef a where d.c = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and a.oid = d.o
  union all select 'relation', r.ev_class from pg_catalog.pg_rewrite r where d.c = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.o
  union all select 'relation', k.conrelid from pg_catalog.pg_constraint k where d.c = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.o and k.conrelid <> 0
  union all select 'type', k.contypid from pg_catalog.pg_constraint k where d.c = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.o and k.contypid <> 0
  union all select 'relation', t.tgrelid from pg_catalog.pg_trigger t where d.c = 'pg_catalog.pg_trigger'::pg_catalog.regclass and t.oid = d.o
  union all select 'relation', p.polrelid from pg_catalog.pg_policy p where d.c = 'pg_catalog.pg_policy'::pg_catalog.regclass and p.oid = d.o
) x on true`

const typeOwnersSQL = `
select t.oid, n.nspname, t.typname from unnest($1::oid[]) x(oid) join pg_catalog.pg_type t on t.oid = x.oid
join pg_catalog.pg_namespace n on n.oid = t.typnamespace`

// node is one object by its kind, since OIDs are unique within a kind only.
type node struct {
	kind query.ObjectKind
	oid  uint32
}

// object is one by its name.
type object struct {
	kind         query.ObjectKind
	schema, name string
}

// hanging notes which relations go, or lose a part, with what they depend on.
func (at *attachments) hanging(ctx context.Context, tx pgx.Tx) error {
	edges := map[node][]node{}
	for _, list := range at.rows.edges {
		for _, e := range list {
			if e.counts.kind != "" {
				edges[e.on] = append(edges[e.on], e.counts)
			}
		}
	}
	at.s.dependents, at.s.extensions = map[object][]query.Ref{}, map[string]bool{}
	note := func(o object, n node) {
		if refs := at.reach(edges, n); len(refs) > 0 {
			at.s.dependents[o] = sorted(append(at.s.dependents[o], refs...))
		}
	}
	for _, x := range at.rows.extensions {
		at.s.extensions[x.name] = true
		note(object{kind: query.ExtensionObject, name: x.name}, node{query.ExtensionObject, x.oid})
	}
	var types []uint32
	for n := range edges {
		switch n.kind {
		case query.RoutineObject:
			if list := at.rows.routines[n.oid]; list != nil {
				note(object{n.kind, list[0].schema, list[0].name}, n)
			}
		case query.TypeObject:
			if len(at.reach(edges, n)) > 0 {
				types = append(types, n.oid)
			}
		}
	}
	var oid uint32
	o := object{kind: query.TypeObject}
	return each(ctx, tx, "names of types that relations depend on", typeOwnersSQL, []any{&oid, &o.schema, &o.name}, func() {
		note(o, node{query.TypeObject, oid})
	}, types)
}

func (at *attachments) reach(edges map[node][]node, from node) (refs []query.Ref) {
	seen := map[node]bool{from: true}
	for todo := []node{from}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n.kind == query.RelationObject {
			if x := at.byOID[n.oid]; x != nil {
				refs = append(refs, x.Ref)
			}
			continue
		}
		for _, next := range edges[n] {
			if !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	return refs
}

func sorted(refs []query.Ref) []query.Ref {
	slices.SortFunc(refs, compareRefs)
	return slices.Compact(refs)
}

// Dependents implements query.Attacher.
func (s *Snapshot) Dependents(of query.ObjectKind, schema, name string) (refs []query.Ref) {
	if s == nil {
		return nil
	}
	if of == query.SchemaObject {
		for ref := range s.attached {
			if ref.Schema == name {
				refs = append(refs, ref)
			}
		}
		for o, list := range s.dependents {
			if o.schema == name {
				refs = append(refs, list...)
			}
		}
		return sorted(refs)
	}
	for o, list := range s.dependents {
		if o.kind == of && o.name == name && (schema == "" || o.schema == schema) {
			refs = append(refs, list...)
		}
	}
	return sorted(refs)
}

// Extension implements query.Attacher.
func (s *Snapshot) Extension(name string) bool { return s != nil && s.extensions[name] }
