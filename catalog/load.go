package catalog

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// Load reads the catalogue of the database that conn is connected to. Labels of
// previous, which may be nil, are kept for columns that are still there, found by
// relation and attribute number, so that a rename does not lose them; what was
// known to be clean is kept only if name and type are the same. If nothing changed
// the answer is previous itself.
func Load(ctx context.Context, conn *pgx.Conn, previous *Snapshot) (*Snapshot, error) {
	return (&Reader{Conn: conn}).Read(ctx, previous)
}

// assemble puts a snapshot together from rows. Names of what few relations depend on are
// read here, since only now it is known of what.
func assemble(ctx context.Context, tx pgx.Tx, r *rows, database, identity string, previous *Snapshot) (*Snapshot, error) {
	types := pgTypes(r.types)
	s := &Snapshot{Database: database, Identity: identity, Version: 1}
	s.base, s.enums = types.bases(), types.enums()
	at := &attachments{s: s, rows: r, rels: make(map[uint32]*entry, len(r.relations))}
	s.relate(types, r, at)
	s.limit(r, at, previous)
	s.callable(at)
	if err := s.attach(ctx, tx, at); err != nil {
		return nil, err
	}
	s.sum = s.digest()
	return s, nil
}

// after is the snapshot as one that follows previous.
func (s *Snapshot) after(previous *Snapshot) *Snapshot {
	if previous == nil {
		return s
	}
	if previous.sum == s.sum && previous.Database == s.Database {
		return previous
	}
	s.Version = previous.Version + 1
	s.keepLabels(previous)
	s.shareLabels()
	return s
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

// pgType is a domain, an enum or a base type.
type pgType struct {
	name, schema string
	kind         byte // pg_type.typtype
	base         uint32
}

type pgTypes group[uint32, pgType]

const typesSQL = `
select t.oid, pg_catalog.format_type(t.oid, null), n.nspname, t.typtype::text, t.typbasetype, t.typname = 'citext'
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typtype in ('d', 'e', 'b') [[and t.oid = any ($1)]]`

// resolve follows domains to their base. Domains over domains are not deep; the
// bound keeps a damaged catalogue from holding us.
func (t pgTypes) resolve(oid uint32) uint32 {
	for range 32 {
		x, ok := t[oid]
		if !ok || x[0].kind != 'd' || x[0].base == 0 {
			break
		}
		oid = x[0].base
	}
	return oid
}

func (t pgTypes) name(oid uint32) string {
	if x, ok := t[oid]; ok {
		return x[0].name
	}
	return ""
}

// under is the type that a domain is over; 0 if it is none.
func (t pgTypes) under(oid uint32) uint32 {
	if x, ok := t[oid]; ok && x[0].kind == 'd' {
		return x[0].base
	}
	return 0
}

func (t pgTypes) enums() map[uint32]bool {
	m := map[uint32]bool{}
	for oid, x := range t {
		if x[0].kind == 'e' {
			m[oid] = true
		}
	}
	return m
}

func (t pgTypes) bases() map[uint32]uint32 {
	m := map[uint32]uint32{}
	for oid, x := range t {
		if x[0].kind == 'd' {
			m[oid] = t.resolve(oid)
		}
	}
	return m
}

const relationsSQL = `
select c.oid, n.nspname, c.relname, c.relkind::text, c.reltuples::float8,
       coalesce((select array_agg(i.inhparent order by i.inhseqno, i.inhparent) from pg_catalog.pg_inherits i where i.inhrelid = c.oid), '{}'),
       case when c.relkind in ('v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
            then coalesce(pg_catalog.pg_get_viewdef(c.oid), '') else '' end
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S', 't') [[and c.oid = any ($1)]]`

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
where a.attnum > 0 and not a.attisdropped [[and a.attrelid = any ($1)]]`

// relate makes the relations with their columns, of those that the reader made before
// where nothing changed.
func (s *Snapshot) relate(types pgTypes, r *rows, at *attachments) {
	s.ordered = make([]*entry, 0, len(r.relations))
	for oid, row := range r.relations {
		made := r.made[oid]
		if made == nil {
			made = relationOf(oid, row[0], r.columns[oid], types)
			r.made[oid] = made
		}
		e := *made
		e.rows, e.rel.Rows = row[0].tuples, max(row[0].tuples, 0)
		at.rels[oid] = &e
		s.ordered = append(s.ordered, &e)
	}
	slices.SortFunc(s.ordered, compareEntries)
	s.index()
}

func relationOf(oid uint32, row relationRow, columns []columnRow, types pgTypes) *entry {
	e := &entry{
		rel:         query.Relation{Schema: row.schema, Name: row.name, Kind: relationKind(row.kind), Definition: row.definition},
		oid:         oid,
		parents:     row.parents,
		system:      isSystem(row.schema) || row.kind == "S",
		stored:      row.kind == "r" || row.kind == "m",
		partitioned: row.kind == "p",
	}
	if e.system && row.kind == "v" {
		// What a system view shows is said by its own labels: it counts as a table.
		e.rel.Kind = query.Table
	}
	n := len(columns)
	e.columns, e.rel.Columns, e.rel.Types = make([]Column, 0, n), make([]string, 0, n), make([]string, 0, n)
	for _, row := range columns {
		c := Column{Name: row.name, Type: row.typeName, TypeOID: types.resolve(row.typ), Comment: row.comment, num: row.num, from: row.from}
		if c.TypeOID != row.typ && c.TypeOID != 25 {
			c.Type = types.name(c.TypeOID)
		} else if c.TypeOID != row.typ {
			c.Type = "text"
		}
		if l, ok := builtInLabel(e, row.name); ok {
			c.Label = l
		}
		e.columns = append(e.columns, c)
		e.rel.Columns = append(e.rel.Columns, row.name)
		e.rel.Types = append(e.rel.Types, c.Type)
		if row.required {
			e.rel.Required = append(e.rel.Required, row.name)
		}
	}
	e.sum = e.digest()
	return e
}

// withType are the relations with a column of a type, or of a domain over it.
func (at *attachments) withType(typ uint32) []uint32 {
	if at.columns != nil {
		return at.columns[typ]
	}
	at.columns = map[uint32][]uint32{}
	types := pgTypes(at.rows.types)
	for _, oid := range sortedKeys(at.rows.columns) {
		if e := at.rels[oid]; e == nil || e.system {
			continue
		}
		for _, row := range at.rows.columns[oid] {
			for t, depth := row.typ, 0; t != 0 && depth < 32; t, depth = types.under(t), depth+1 {
				at.columns[t] = append(at.columns[t], oid)
			}
		}
	}
	return at.columns[typ]
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
	for _, e := range s.ordered {
		was := previous.byOID[e.oid]
		if e.system || was == nil {
			continue
		}
		if was.sum == e.sum { // nothing but labels could differ
			e.columns = was.columns
			continue
		}
		for i, c := range e.columns {
			old := was.numbered(c.num)
			if old != nil && old.Label != (Label{}) && (old.Label.PII || old.Name == c.Name && old.TypeOID == c.TypeOID) {
				e.relabel(i, old.Label)
			}
		}
	}
}

// numbered finds a column by its number, in whose order they are.
func (e *entry) numbered(num int16) *Column {
	if i := int(num) - 1; i >= 0 && i < len(e.columns) && e.columns[i].num == num { // none before it was dropped
		return &e.columns[i]
	}
	i, ok := slices.BinarySearchFunc(e.columns, num, func(c Column, num int16) int { return int(c.num) - int(num) })
	if !ok {
		return nil
	}
	return &e.columns[i]
}

// digest changes when anything changes that a statement's meaning or a column's
// label may depend on. The planner's row counts are not among these.
func (s *Snapshot) digest() uint64 {
	d := newDigester()
	d.put(s.Identity)
	for _, e := range s.entries() {
		d.num(e.sum)
		d.put(e.rel.Limited...)
		d.put(e.rel.Fresh...)
	}
	d.bag(func(item func(func(*digester))) {
		for name, ok := range s.harmless {
			item(func(d *digester) { d.put(name); d.flag(ok) })
		}
		for oid, f := range s.functions {
			item(func(d *digester) { d.put(f.Schema, f.Name); d.num(uint64(oid), uint64(f.Returns)) })
		}
		for oid, base := range s.base {
			item(func(d *digester) { d.put("base"); d.num(uint64(oid), uint64(base)) })
		}
		for oid := range s.enums {
			item(func(d *digester) { d.put("enum"); d.num(uint64(oid)) })
		}
	})
	s.digestBodies(d.put)
	s.digestAttached(d)
	return d.sum()
}

// digest is of the relation and its columns.
func (e *entry) digest() uint64 {
	d := newDigester()
	d.put(e.rel.Schema, e.rel.Name, string(e.rel.Kind), e.rel.Definition)
	d.num(uint64(e.oid), uint64(len(e.parents)))
	for _, oid := range e.parents {
		d.num(uint64(oid))
	}
	d.flag(e.partitioned)
	for _, c := range e.columns {
		d.put(c.Name, c.Type, c.Comment)
		d.put(c.from...)
		d.num(uint64(c.TypeOID), uint64(c.num))
	}
	d.put(e.rel.Required...)
	return d.sum()
}
