package catalog

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// Load reads the catalogue of the database that conn is connected to. Labels of
// previous, which may be nil, are kept for columns that are still there, found by
// relation and attribute number, so that a rename does not lose them; what was
// known to be clean is kept only if name and type are the same. If nothing changed
// the answer is previous itself.
func Load(ctx context.Context, conn *pgx.Conn, previous *Snapshot) (*Snapshot, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin reading the catalogue: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written

	s := &Snapshot{Version: 1, relations: map[string][]*entry{}}
	// An empty path makes format_type and pg_get_viewdef print every schema, so that
	// a view's text means the same whoever reads it.
	if _, err := tx.Exec(ctx, "set local search_path = ''"); err != nil {
		return nil, fmt.Errorf("empty the search path: %w", err)
	}
	if err := tx.QueryRow(ctx, "select pg_catalog.current_database()").Scan(&s.Database); err != nil {
		return nil, fmt.Errorf("ask for the database's name: %w", err)
	}
	if s.Identity, err = identify(ctx, tx); err != nil {
		return nil, err
	}
	types, err := loadTypes(ctx, tx)
	if err != nil {
		return nil, err
	}
	s.base, s.enums = types.bases(), types.enums()
	at := &attachments{rels: map[uint32]*entry{}, columns: map[uint32][]uint32{}}
	if err := s.loadRelations(ctx, tx, types, at); err != nil {
		return nil, err
	}
	if err = s.loadRoutines(ctx, tx, at); err != nil {
		return nil, err
	}
	if err := s.attach(ctx, tx, at); err != nil {
		return nil, err
	}
	s.sum = s.digest()
	if previous == nil {
		return s, nil
	}
	if previous.sum == s.sum && previous.Database == s.Database {
		return previous, nil
	}
	s.Version = previous.Version + 1
	s.keepLabels(previous)
	s.shareLabels()
	return s, nil
}

// identify says which database it is, whatever name and address it was reached by. A
// copy of the files of a cluster is taken for the cluster.
func identify(ctx context.Context, tx pgx.Tx) (identity string, err error) {
	const may = `select pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')`
	const which = `select s.system_identifier::text || '/' || d.oid::text
		from pg_catalog.pg_control_system() s, pg_catalog.pg_database d where d.datname = pg_catalog.current_database()`
	var ok bool
	if err = tx.QueryRow(ctx, may).Scan(&ok); err == nil && ok {
		err = tx.QueryRow(ctx, which).Scan(&identity)
	}
	if err != nil {
		return "", fmt.Errorf("ask which database it is: %w", err)
	}
	return identity, nil
}

type pgType struct {
	name string
	kind byte // pg_type.typtype
	base uint32
}

type pgTypes map[uint32]pgType

func loadTypes(ctx context.Context, tx pgx.Tx) (pgTypes, error) {
	rows, err := tx.Query(ctx, `select oid, format_type(oid, null), typtype::text, typbasetype, typname = 'citext'
		from pg_catalog.pg_type where typtype in ('d', 'e', 'b')`)
	if err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	types := pgTypes{}
	var oid, base uint32
	var name, kind string
	var citext bool
	_, err = pgx.ForEachRow(rows, []any{&oid, &name, &kind, &base, &citext}, func() error {
		if citext { // same values as text, in both formats
			kind, base = "d", 25
		}
		types[oid] = pgType{name, kind[0], base}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	return types, nil
}

// resolve follows domains to their base. Domains over domains are not deep; the
// bound keeps a damaged catalogue from holding us.
func (t pgTypes) resolve(oid uint32) uint32 {
	for range 32 {
		x, ok := t[oid]
		if !ok || x.kind != 'd' || x.base == 0 {
			break
		}
		oid = x.base
	}
	return oid
}

// under is the type that a domain is over; 0 if it is none.
func (t pgTypes) under(oid uint32) uint32 {
	if x, ok := t[oid]; ok && x.kind == 'd' {
		return x.base
	}
	return 0
}

func (t pgTypes) enums() map[uint32]bool {
	m := map[uint32]bool{}
	for oid, x := range t {
		if x.kind == 'e' {
			m[oid] = true
		}
	}
	return m
}

func (t pgTypes) bases() map[uint32]uint32 {
	m := map[uint32]uint32{}
	for oid, x := range t {
		if x.kind == 'd' {
			m[oid] = t.resolve(oid)
		}
	}
	return m
}

const relationsSQL = `
select c.oid, n.nspname, c.relname, c.relkind::text, c.reltuples::float8,
       coalesce((select array_agg(i.inhparent) from pg_catalog.pg_inherits i where i.inhrelid = c.oid), '{}'),
       case when c.relkind in ('v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
            then coalesce(pg_catalog.pg_get_viewdef(c.oid), '') else '' end
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S', 't')
order by c.oid`

const columnsSQL = `
select a.attrelid, a.attnum, a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, coalesce(d.description, ''),
       case when a.attgenerated = '' then '{}' else coalesce(
         (select array_agg(distinct s.attname::text) from pg_catalog.pg_attrdef f
          join pg_catalog.pg_depend p on p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and p.objid = f.oid and p.refobjid = a.attrelid
          join pg_catalog.pg_attribute s on s.attrelid = a.attrelid and s.attnum = p.refobjsubid and s.attnum <> a.attnum
          where f.adrelid = a.attrelid and f.adnum = a.attnum), '{}') end
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'f', 'v', 'm', 'S', 't')
left join pg_catalog.pg_description d
       on d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objoid = a.attrelid and d.objsubid = a.attnum
where a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum`

func (s *Snapshot) loadRelations(ctx context.Context, tx pgx.Tx, types pgTypes, at *attachments) error {
	rows, err := tx.Query(ctx, relationsSQL)
	if err != nil {
		return fmt.Errorf("read relations: %w", err)
	}
	var oid uint32
	var schema, name, kind, definition string
	var tuples float64
	var parents []uint32
	_, err = pgx.ForEachRow(rows, []any{&oid, &schema, &name, &kind, &tuples, &parents, &definition}, func() error {
		e := &entry{
			rel:         query.Relation{Schema: schema, Name: name, Kind: relationKind(kind), Definition: strings.TrimSuffix(definition, ";"), Rows: max(tuples, 0)},
			oid:         oid,
			rows:        tuples,
			parents:     slices.Clone(parents),
			system:      isSystem(schema) || kind == "S",
			stored:      kind == "r" || kind == "m",
			partitioned: kind == "p",
		}
		if e.system && kind == "v" {
			// What a system view shows is said by its own labels: it counts as a table.
			e.rel.Kind = query.Table
		}
		at.rels[oid] = e
		s.relations[name] = append(s.relations[name], e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read relations: %w", err)
	}
	return loadColumns(ctx, tx, types, at)
}

func loadColumns(ctx context.Context, tx pgx.Tx, types pgTypes, at *attachments) error {
	rows, err := tx.Query(ctx, columnsSQL)
	if err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	var rel, typ uint32
	var num int16
	var name, typeName, comment string
	var from []string
	var required bool
	_, err = pgx.ForEachRow(rows, []any{&rel, &num, &name, &typ, &typeName, &required, &comment, &from}, func() error {
		e := at.rels[rel]
		if e == nil {
			return nil
		}
		if !e.system {
			for t, depth := typ, 0; t != 0 && depth < 32; t, depth = types.under(t), depth+1 {
				at.columns[t] = append(at.columns[t], rel)
			}
		}
		c := Column{Name: name, Type: typeName, TypeOID: types.resolve(typ), Comment: comment, num: num, from: slices.Clone(from)}
		if c.TypeOID != typ && c.TypeOID != 25 {
			c.Type = types[c.TypeOID].name
		} else if c.TypeOID != typ {
			c.Type = "text"
		}
		if l, ok := builtInLabel(e, name); ok {
			c.Label = l
		}
		e.columns = append(e.columns, c)
		e.rel.Columns = append(e.rel.Columns, name)
		e.rel.Types = append(e.rel.Types, c.Type)
		if required {
			e.rel.Required = append(e.rel.Required, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	return nil
}

func relationKind(relkind string) query.RelationKind {
	switch relkind {
	case "v":
		return query.View
	case "m":
		return query.MaterializedView
	case "f":
		return query.ForeignTable
	}
	return query.Table
}

// keepLabels takes over what previous knew.
func (s *Snapshot) keepLabels(previous *Snapshot) {
	type key struct {
		rel uint32
		num int16
	}
	known := map[key]Column{}
	for _, e := range previous.entries() {
		for _, c := range e.columns {
			if c.Label != (Label{}) {
				known[key{e.oid, c.num}] = c
			}
		}
	}
	for _, list := range s.relations {
		for _, e := range list {
			if e.system {
				continue
			}
			for i := range e.columns {
				c := &e.columns[i]
				old, ok := known[key{e.oid, c.num}]
				if ok && (old.Label.PII || old.Name == c.Name && old.TypeOID == c.TypeOID) {
					c.Label = old.Label
				}
			}
		}
	}
}

// digest changes when anything changes that a statement's meaning or a column's
// label may depend on. The planner's row counts are not among these.
func (s *Snapshot) digest() uint64 {
	h := fnv.New64a()
	put := func(parts ...string) {
		for _, p := range parts {
			io.WriteString(h, p) //nolint:errcheck // a hash takes everything
			h.Write([]byte{0})   //nolint:errcheck // as above
		}
	}
	for _, e := range s.entries() {
		put(e.rel.Schema, e.rel.Name, string(e.rel.Kind), e.rel.Definition, strconv.Itoa(int(e.oid)), fmt.Sprint(e.parents, e.partitioned))
		for _, c := range e.columns {
			put(c.Name, c.Type, c.Comment, fmt.Sprint(c.from), strconv.Itoa(int(c.TypeOID)), strconv.Itoa(int(c.num)))
		}
	}
	names := make([]string, 0, len(s.harmless))
	for name, ok := range s.harmless {
		names = append(names, name+strconv.FormatBool(ok))
	}
	slices.Sort(names)
	put(names...)
	s.digestBodies(put)
	s.digestAttached(put)
	return h.Sum64()
}

// changedSQL sums the transactions that last wrote each row of the tables that DDL
// changes. Temporary objects are left out: they come and go with sessions, and a
// snapshot does not resolve them. ANALYZE and VACUUM overwrite rows in place.
const changedSQL = `
with rels as materialized (
  select oid, xmin::text::bigint as x from pg_catalog.pg_class
  where relpersistence <> 't' and relkind in ('r', 'p', 'f', 'v', 'm', 'S')),
parts(part, n, x) as (
  select 'class', count(*), sum(x) from rels
  union all select 'attribute', count(*), sum(a.xmin::text::bigint)
    from pg_catalog.pg_attribute a join rels on rels.oid = a.attrelid where a.attnum > 0
  union all select 'proc', count(*), sum(xmin::text::bigint) from pg_catalog.pg_proc
  union all select 'namespace', count(*), sum(xmin::text::bigint) from pg_catalog.pg_namespace
    where nspname !~ '^pg_(toast_)?temp_'
  union all select 'rewrite', count(*), sum(r.xmin::text::bigint)
    from pg_catalog.pg_rewrite r join rels on rels.oid = r.ev_class
  union all select 'type', count(*), sum(xmin::text::bigint) from pg_catalog.pg_type where typtype in ('d', 'e', 'b') and typelem = 0
  union all select 'inherits', count(*), sum(i.xmin::text::bigint)
    from pg_catalog.pg_inherits i join rels on rels.oid = i.inhrelid
  union all select 'trigger', count(*), sum(t.xmin::text::bigint)
    from pg_catalog.pg_trigger t join rels on rels.oid = t.tgrelid where not t.tgisinternal
  union all select 'constraint', count(*), sum(k.xmin::text::bigint)
    from pg_catalog.pg_constraint k left join rels on rels.oid = k.conrelid where k.contype in ('f', 'c') and (rels.oid is not null or k.contypid <> 0)
  union all select 'default', count(*), sum(f.xmin::text::bigint) from pg_catalog.pg_attrdef f join rels on rels.oid = f.adrelid
  union all select 'index', count(*), sum(i.xmin::text::bigint)
    from pg_catalog.pg_index i join rels on rels.oid = i.indrelid where i.indexprs is not null or i.indpred is not null
  union all select 'policy', count(*), sum(xmin::text::bigint) from pg_catalog.pg_policy
  union all select 'event', count(*), sum(xmin::text::bigint) from pg_catalog.pg_event_trigger
  union all select 'cast', count(*), sum(xmin::text::bigint) from pg_catalog.pg_cast
  union all select 'operator', count(*), sum(xmin::text::bigint) from pg_catalog.pg_operator
  union all select 'description', count(*), sum(xmin::text::bigint) from pg_catalog.pg_description
    where classoid = 'pg_catalog.pg_class'::pg_catalog.regclass)
select pg_catalog.string_agg(part || ':' || n || ':' || coalesce(x, 0), ' ' order by part) from parts`

// Changed returns a fingerprint of the database's structure: if it differs from the
// one before, Load will find something new.
func Changed(ctx context.Context, conn *pgx.Conn) (fingerprint string, err error) {
	if err := conn.QueryRow(ctx, changedSQL).Scan(&fingerprint); err != nil {
		return "", fmt.Errorf("ask whether the catalogue changed: %w", err)
	}
	return fingerprint, nil
}
