package catalog

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// holdersSQL are which types hold values of which: domains, arrays, composite types,
// ranges. It is asked only where a domain has a check that calls a user's function.
const holdersSQL = `
select t.typbasetype, t.oid, t.typname from pg_catalog.pg_type t where t.typbasetype <> 0
union all
select t.typelem, t.oid, t.typname from pg_catalog.pg_type t where t.typelem <> 0
union all
select a.atttypid, t.oid, t.typname from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.typrelid = a.attrelid
where a.attnum > 0 and not a.attisdropped
union all
select r.rngsubtype, t.oid, t.typname from pg_catalog.pg_range r join pg_catalog.pg_type t on t.oid = r.rngtypid
union all
select r.rngsubtype, t.oid, t.typname from pg_catalog.pg_range r
  join pg_catalog.pg_type t on t.oid = (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid`

const typeNamesSQL = `select oid, typname from pg_catalog.pg_type where oid = any ($1)`

// converters are the users' functions that run when a value becomes one of a type, or
// stops to be one without anybody saying so.
type converters struct {
	checks map[uint32][]query.Hook // of domains
	away   map[uint32][]*query.Routine
}

// converts spreads the checks of domains to all types that hold such values, and
// notes by the names of types, and with routines that take or give them, what runs.
func (at *attachments) converts(ctx context.Context, tx pgx.Tx) error {
	if len(at.calls.checks) == 0 && len(at.calls.away) == 0 {
		return nil
	}
	names := map[uint32]string{}
	if err := at.typeNames(ctx, tx, names); err != nil {
		return err
	}
	if len(at.calls.checks) > 0 {
		if err := at.spread(ctx, tx, names); err != nil {
			return err
		}
	}
	runs := map[uint32][]*query.Routine{}
	for _, typ := range slices.Sorted(maps.Keys(names)) {
		name := names[typ]
		for _, h := range at.calls.checks[typ] {
			runs[typ] = append(runs[typ], h.Runs)
		}
		runs[typ] = append(runs[typ], at.calls.away[typ]...)
		at.s.casts[name] = append(at.s.casts[name], runs[typ]...)
	}
	for _, list := range at.s.casts {
		slices.SortStableFunc(list, compareRoutines)
	}
	for oid, types := range at.taken {
		r := at.routines[oid]
		for _, typ := range types {
			for _, conv := range runs[typ] {
				if conv != r && !slices.Contains(r.Converts, conv) {
					r.Converts = append(r.Converts, conv)
				}
			}
		}
		if len(r.Converts) > 0 {
			slices.SortStableFunc(r.Converts, compareRoutines)
			at.s.harmless[routineKey("", r.Name)], at.s.harmless[routineKey(r.Schema, r.Name)] = false, false
		}
	}
	return nil
}

func (at *attachments) typeNames(ctx context.Context, tx pgx.Tx, names map[uint32]string) error {
	var seeds []uint32
	for typ := range at.calls.checks {
		seeds = append(seeds, typ)
	}
	for typ := range at.calls.away {
		seeds = append(seeds, typ)
	}
	var oid uint32
	var name string
	rows, err := tx.Query(ctx, typeNamesSQL, seeds)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&oid, &name}, func() error { names[oid] = name; return nil })
	}
	return wrapRead("names of types", err)
}

// spread hands the checks of a domain on to what holds its values, and to the
// relations with columns of such types.
func (at *attachments) spread(ctx context.Context, tx pgx.Tx, names map[uint32]string) error {
	type holder struct {
		oid  uint32
		name string
	}
	above := map[uint32][]holder{}
	var inner, outer uint32
	var name string
	err := each(ctx, tx, "types in types", holdersSQL, []any{&inner, &outer, &name}, func() {
		above[inner] = append(above[inner], holder{outer, name})
	})
	if err != nil {
		return err
	}
	for _, list := range above { // in an order of their own
		slices.SortFunc(list, func(a, b holder) int { return cmp.Compare(a.oid, b.oid) })
	}
	type step struct {
		typ  uint32
		hook query.Hook
	}
	var todo []step
	for _, typ := range slices.Sorted(maps.Keys(at.calls.checks)) {
		for _, h := range at.calls.checks[typ] {
			todo = append(todo, step{typ, h})
		}
	}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, h := range above[s.typ] {
			if slices.ContainsFunc(at.calls.checks[h.oid], func(x query.Hook) bool { return x.Runs == s.hook.Runs && x.Why == s.hook.Why }) {
				continue
			}
			at.calls.checks[h.oid] = append(at.calls.checks[h.oid], s.hook)
			names[h.oid] = h.name
			for _, rel := range at.withType(h.oid) {
				at.hook(rel, s.hook)
			}
			todo = append(todo, step{h.oid, s.hook})
		}
	}
	return nil
}

// hook notes that a relation calls something, once.
func (at *attachments) hook(rel uint32, h query.Hook) {
	x := at.byOID[rel]
	if x != nil && !slices.ContainsFunc(x.Calls, func(y query.Hook) bool { return y.Runs == h.Runs && y.Why == h.Why }) {
		x.Calls = append(x.Calls, h)
	}
}
