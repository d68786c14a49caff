package catalog

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// The numbers of catalogues, which are the same in every database.
const (
	typeCatalogue     = 1247
	routineCatalogue  = 1255
	relationCatalogue = 1259
)

// change is what has to be read again.
type change struct {
	relations, types, routines map[uint32]bool
	touched                    []node        // of which a row is not as it was
	temporary                  map[node]bool // what only one session sees
	differs                    bool          // something that counts is not as it was
}

// patch brings rows up to date by reading what may have changed; ok is false if that
// cannot be told, and everything must be read.
func (r *Reader) patch(ctx context.Context, tx pgx.Tx, l *looked) (differs, ok bool, err error) {
	if !r.followed(l) {
		return false, false, nil
	}
	c := &change{relations: map[uint32]bool{}, types: map[uint32]bool{}, routines: map[uint32]bool{}, temporary: map[node]bool{}}
	for _, find := range []func(context.Context, pgx.Tx, *looked, *change) error{r.findParts, r.findTallies, r.findRelations, r.findRoutines} {
		if err := find(ctx, tx, l, c); err != nil {
			return false, false, err
		}
	}
	r.rows.unsettled(c)
	if len(c.relations)+len(c.types)+len(c.routines) > 0 {
		if c.ofSystem(r.rows) {
			return false, false, nil
		}
		for _, step := range []func(context.Context, pgx.Tx, *change) (bool, error){r.outside, r.follow} {
			if ok, err := step(ctx, tx, c); !ok || err != nil {
				return false, false, err
			}
		}
	}
	if err := r.reread(ctx, tx, c); err != nil {
		return false, false, err
	}
	r.keep(l)
	if !r.complete(l) {
		return false, false, nil
	}
	return c.differs, true, nil
}

// followed reports whether nothing changed of which it is not followed what depends on
// it. Fresh rows may have been seen already, while an older transaction goes on. A schema
// with another name is in the names of all that is in it.
func (r *Reader) followed(l *looked) bool {
	for _, part := range general {
		seen := func(row string) bool { return slices.Contains(r.versions[part], row) }
		if l.count[part] != r.count[part] || !all(l.versions[part], seen) {
			return false
		}
	}
	for oid, name := range r.namespaces {
		if now, ok := l.namespaces[oid]; ok && now != name {
			return false
		}
	}
	return true
}

func all(list []string, is func(string) bool) bool {
	return !slices.ContainsFunc(list, func(x string) bool { return !is(x) })
}

// findParts reads again what depends on types, routines and extensions. What was
// dropped leaves fewer rows than there were: then all are counted.
func (r *Reader) findParts(ctx context.Context, tx pgx.Tx, l *looked, c *change) error {
	fresh := map[part]bool{}
	for i, catalogue := range l.fresh["depend"] {
		fresh[part{catalogue, l.freshTypes["depend"][i]}] = true
	}
	if err := r.rereadParts(ctx, tx, c, fresh); err != nil || r.rows.edges.size() == l.count["depend"] {
		return err
	}
	gone := map[part]bool{}
	for p := range r.rows.edges {
		gone[p] = true
	}
	n, now := int64(0), map[part]int{}
	var p part
	err := each(ctx, tx, "what depends on types and functions", "select classid, objid, count(*) from pg_catalog.pg_depend where "+hangs+" group by 1, 2",
		[]any{&p.catalogue, &p.oid, &n}, func() { now[p] = int(n) })
	if err != nil {
		return err
	}
	for p := range gone {
		if now[p] == len(r.rows.edges[p]) {
			delete(gone, p)
		}
	}
	return r.rereadParts(ctx, tx, c, gone)
}

func (r *Reader) rereadParts(ctx context.Context, tx pgx.Tx, c *change, parts map[part]bool) error {
	if len(parts) == 0 {
		return nil
	}
	old := make(map[part][]edge, len(parts))
	for p := range parts {
		old[p] = r.rows.edges[p]
	}
	changed, err := renew(r.rows.edges, maps.Keys(parts), compareEdges, func() error {
		return r.rows.readEdges(ctx, tx, slices.Collect(maps.Keys(parts)))
	})
	for _, p := range changed {
		for _, e := range append(slices.Clone(old[p]), r.rows.edges[p]...) {
			c.touched = append(c.touched, e.counts)
		}
		if p.catalogue == routineCatalogue {
			c.routines[p.oid] = true
		}
	}
	return err
}

// findTallies finds what belongs to relations and types and was written, or is gone.
func (r *Reader) findTallies(ctx context.Context, tx pgx.Tx, l *looked, c *change) error {
	again := map[string]bool{}
	for _, k := range counted {
		if len(l.fresh[k.part])+len(l.freshTypes[k.part]) > 0 || l.count[k.part] != r.count[k.part] {
			again[k.part] = true
		}
		c.add(l.fresh[k.part], l.freshTypes[k.part])
	}
	now, err := readTallies(ctx, tx, again)
	if err != nil {
		return err
	}
	for part, counts := range now {
		for o, n := range counts {
			if r.tallies[part][o] != n {
				c.add([]uint32{o.relation}, []uint32{o.typ})
			}
		}
		for o := range r.tallies[part] {
			if counts[o] == 0 {
				c.add([]uint32{o.relation}, []uint32{o.typ})
			}
		}
		r.tallies[part] = counts
	}
	return nil
}

func (c *change) add(relations, types []uint32) {
	for _, oid := range relations {
		if oid != 0 {
			c.relations[oid] = true
		}
	}
	for _, oid := range types {
		if oid != 0 {
			c.types[oid] = true
		}
	}
}

// findRelations finds relations and types that are new or gone, or of which a row or
// that of an attribute was written. Rows of indexes name no table: it is looked up.
func (r *Reader) findRelations(ctx context.Context, tx pgx.Tx, l *looked, c *change) error {
	c.add(l.fresh["class"], l.fresh["type"])
	c.add(l.fresh["attribute"], nil)
	for oid, s := range l.relations {
		if n, ok := r.attributes[oid]; !ok || n != s.attributes {
			c.relations[oid] = true
		}
		if row := r.rows.relations[oid]; row != nil && row[0].tuples != s.tuples { // ANALYZE and VACUUM write in place
			next := row[0]
			next.tuples = s.tuples
			r.rows.relations[oid] = []relationRow{next}
		}
	}
	for oid := range r.attributes {
		if _, ok := l.relations[oid]; !ok {
			c.relations[oid] = true
		}
	}
	for oid := range l.types {
		if r.rows.types[oid] == nil {
			c.types[oid] = true
		}
	}
	for oid := range r.rows.types {
		if !l.types[oid] {
			c.types[oid] = true
		}
	}
	if len(c.relations) == 0 {
		return nil
	}
	var table uint32
	return each(ctx, tx, "tables of indexes", "select indrelid from pg_catalog.pg_index where indexrelid = any ($1)", []any{&table}, func() {
		c.relations[table] = true
	}, slices.Collect(maps.Keys(c.relations)))
}

// findRoutines finds those that were written, and if there are fewer than there should
// be those that are gone.
func (r *Reader) findRoutines(ctx context.Context, tx pgx.Tx, l *looked, c *change) error {
	n := int64(len(r.rows.routines))
	for _, oid := range l.fresh["proc"] {
		c.routines[oid] = true
		if r.rows.routines[oid] == nil {
			n++
		}
	}
	for _, oid := range l.fresh["aggregate"] {
		c.routines[oid] = true
	}
	if n == l.count["proc"] {
		return nil
	}
	var oid uint32
	there := map[uint32]bool{}
	err := each(ctx, tx, "which routines there are", "select oid from pg_catalog.pg_proc", []any{&oid}, func() { there[oid] = true })
	for oid := range r.rows.routines {
		if !there[oid] {
			c.routines[oid] = true
		}
	}
	return err
}

// firstUserOID is below all that was not made by initdb.
const firstUserOID = 16384

// ofSystem reports whether anything of the server itself changed, on which much depends
// that nobody writes down.
func (c *change) ofSystem(r *rows) bool {
	for _, set := range []map[uint32]bool{c.relations, c.types, c.routines} {
		for oid := range set {
			if oid < firstUserOID {
				return true
			}
		}
	}
	for oid := range c.relations {
		if x := r.relations[oid]; x != nil && ofServer(x[0].schema) {
			return true
		}
	}
	for oid := range c.types {
		if x := r.types[oid]; x != nil && ofServer(x[0].schema) {
			return true
		}
	}
	for oid := range c.routines {
		if x := r.routines[oid]; x != nil && ofServer(x[0].schema) {
			return true
		}
	}
	return false
}

func ofServer(schema string) bool { return schema == "pg_catalog" || schema == "information_schema" }

// outside reports whether all that changed is outside of the schemas of the server,
// where its name would mean something else everywhere.
func (r *Reader) outside(ctx context.Context, tx pgx.Tx, c *change) (ok bool, err error) {
	const intruders = `
select not exists (select from pg_catalog.pg_class where oid = any ($1) and relnamespace = any ($4))
   and not exists (select from pg_catalog.pg_type where oid = any ($2) and typnamespace = any ($4))
   and not exists (select from pg_catalog.pg_proc where oid = any ($3) and pronamespace = any ($4))`
	var schemas []uint32
	for oid, name := range r.namespaces {
		if ofServer(name) {
			schemas = append(schemas, oid)
		}
	}
	err = tx.QueryRow(ctx, intruders, list(c.relations), list(c.types), list(c.routines), schemas).Scan(&ok)
	return ok, wrapRead("what is in the server's own schemas", err)
}

func list(set map[uint32]bool) []uint32 {
	return slices.AppendSeq(make([]uint32, 0, len(set)), maps.Keys(set))
}

// followSQL finds all that depends on some objects, and what depends on that. A rule
// counts as its view, and with a relation goes the type of its rows. Of constraints,
// triggers, policies and defaults nothing is read that others could rename.
const followSQL = `
with recursive up(c, o) as (
  select c, o from unnest($1::oid[], $2::oid[]) x(c, o)
  union
  select x.c, x.o from up cross join lateral (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.refclassid = up.c and d.refobjid = up.o
      and d.classid not in ('pg_catalog.pg_constraint'::pg_catalog.regclass, 'pg_catalog.pg_trigger'::pg_catalog.regclass,
        'pg_catalog.pg_policy'::pg_catalog.regclass, 'pg_catalog.pg_attrdef'::pg_catalog.regclass)
    union all select 'pg_catalog.pg_class'::pg_catalog.regclass::oid, r.ev_class from pg_catalog.pg_rewrite r
      where up.c = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = up.o
    union all select 'pg_catalog.pg_type'::pg_catalog.regclass::oid, r.reltype from pg_catalog.pg_class r
      where up.c = 'pg_catalog.pg_class'::pg_catalog.regclass and r.oid = up.o and r.reltype <> 0) x(c, o))
select c, o from up`

// follow adds what depends on what changed. If it comes to much, reading everything is
// quicker.
func (r *Reader) follow(ctx context.Context, tx pgx.Tx, c *change) (ok bool, err error) {
	var catalogues, oids []uint32
	for catalogue, set := range map[uint32]map[uint32]bool{relationCatalogue: c.relations, typeCatalogue: c.types, routineCatalogue: c.routines} {
		for oid := range set {
			catalogues, oids = append(catalogues, catalogue), append(oids, oid)
		}
	}
	var p part
	err = each(ctx, tx, "what depends on what changed", followSQL, []any{&p.catalogue, &p.oid}, func() {
		switch p.catalogue {
		case relationCatalogue:
			c.relations[p.oid] = true
		case typeCatalogue:
			c.types[p.oid] = true
		case routineCatalogue:
			c.routines[p.oid] = true
		}
	}, catalogues, oids)
	const fourth = 4
	return len(c.relations) < 100+len(r.rows.relations)/fourth && len(c.routines) < 100+len(r.rows.routines)/fourth, err
}
