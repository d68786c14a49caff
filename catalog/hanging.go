package catalog

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// hangingSQL are the relations, types and routines that depend on types, routines and
// extensions. What belongs to a relation (a default, a check, an index, a trigger, a
// policy, what a view says) counts as the relation.
const hangingSQL = `
with d as (
  select d.refclassid as rc, d.refobjid as ro, d.classid as c, d.objid as o from pg_catalog.pg_depend d
  where d.refclassid in ('pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_extension'::pg_catalog.regclass)
    and d.deptype in ('n', 'a', 'i', 'e'))
select case d.rc when 'pg_catalog.pg_type'::pg_catalog.regclass then 'type' when 'pg_catalog.pg_proc'::pg_catalog.regclass then 'routine' else 'extension' end,
       d.ro, x.kind, x.oid
from d cross join lateral (
  select 'type' as kind, d.o as oid where d.c = 'pg_catalog.pg_type'::pg_catalog.regclass
  union all select 'routine', d.o where d.c = 'pg_catalog.pg_proc'::pg_catalog.regclass
  union all select 'relation', coalesce((select i.indrelid from pg_catalog.pg_index i where i.indexrelid = d.o), d.o) where d.c = 'pg_catalog.pg_class'::pg_catalog.regclass
  union all select 'relation', a.adrelid from pg_catalog.pg_attrdef a where d.c = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and a.oid = d.o
  union all select 'relation', r.ev_class from pg_catalog.pg_rewrite r where d.c = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.o
  union all select 'relation', k.conrelid from pg_catalog.pg_constraint k where d.c = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.o and k.conrelid <> 0
  union all select 'type', k.contypid from pg_catalog.pg_constraint k where d.c = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.o and k.contypid <> 0
  union all select 'relation', t.tgrelid from pg_catalog.pg_trigger t where d.c = 'pg_catalog.pg_trigger'::pg_catalog.regclass and t.oid = d.o
  union all select 'relation', p.polrelid from pg_catalog.pg_policy p where d.c = 'pg_catalog.pg_policy'::pg_catalog.regclass and p.oid = d.o
) x`

const ownersSQL = `
select 'type', t.oid, n.nspname, t.typname from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace where t.oid = any ($1)
union all
select 'routine', p.oid, n.nspname, p.proname from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where p.oid = any ($1)
union all
select 'extension', e.oid, '', e.extname from pg_catalog.pg_extension e`

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

// hanging reads which relations go, or lose a part, with what they depend on.
func (at *attachments) hanging(ctx context.Context, tx pgx.Tx) error {
	edges := map[node][]node{}
	var from, to node
	err := each(ctx, tx, "what depends on types and functions", hangingSQL, []any{&from.kind, &from.oid, &to.kind, &to.oid}, func() {
		edges[from] = append(edges[from], to)
	})
	if err != nil {
		return err
	}
	reach := map[node][]query.Ref{}
	var oids []uint32
	for n := range edges {
		if refs := at.reach(edges, n); len(refs) > 0 || n.kind == query.ExtensionObject {
			reach[n] = refs
			oids = append(oids, n.oid)
		}
	}
	at.s.dependents, at.s.extensions = map[object][]query.Ref{}, map[string]bool{}
	var n node
	var o object
	rows, err := tx.Query(ctx, ownersSQL, oids)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&n.kind, &n.oid, &o.schema, &o.name}, func() error {
			o.kind = n.kind
			if o.kind == query.ExtensionObject {
				at.s.extensions[o.name] = true
			}
			if len(reach[n]) == 0 {
				return nil
			}
			at.s.dependents[o] = sorted(append(at.s.dependents[o], reach[n]...))
			return nil
		})
	}
	return wrapRead("names of what relations depend on", err)
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
