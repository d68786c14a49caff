package catalog

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// rows are what was read of the system's catalogues, in groups by what they belong to:
// a group is read whole, and again if anything of it may have changed. Within a group
// rows are in an order of their own, so that it does not matter when they were read. A
// snapshot is put together from rows alone and shares their slices: a group is
// replaced, and never written to.
type rows struct {
	types      group[uint32, pgType]
	relations  group[uint32, relationRow]
	columns    group[uint32, columnRow]
	triggers   group[uint32, triggerRow]
	rules      group[uint32, ruleRow]
	keys       group[uint32, keyRow] // by the relation that refers
	limits     group[uint32, limitRow]
	views      group[uint32, uint32]  // by the view, what it is made of
	hooks      group[owner, hookRow]  // that pg_depend knows of
	calls      group[owner, hookRow]  // that only the parsed expressions know of
	routines   group[uint32, routine] //
	edges      group[part, edge]      // by what depends on a type, a routine or an extension
	casts      []castRow
	castHooks  []castHook
	events     []eventRow
	extensions []extensionRow

	enums map[string]bool   // names of those in types
	made  map[uint32]*entry // relations as they were put together, without labels; not read
}

// owner is the relation or, if that is 0, the type that calls something.
type owner struct{ relation, typ uint32 }

// part is an object of any kind, by the number of its catalogue.
type part struct{ catalogue, oid uint32 }

type relationRow struct {
	schema, name, kind string
	tuples             float64
	parents            []uint32
	definition         string
	unsettled          bool
}

type columnRow struct {
	num      int16
	name     string
	typ      uint32
	typeName string
	required bool
	comment  string
	from     []string
}

type triggerRow struct {
	oid     uint32
	name    string
	runs    uint32
	kind    int16
	clone   bool
	columns []string
}

type ruleRow struct {
	oid         uint32
	name, event string
	instead     bool
	text        string
	unsettled   bool
}

type keyRow struct {
	oid, to            uint32
	name               string
	onDelete, onUpdate string
	valid              bool
	columns, own       []string
}

type hookRow struct {
	runs      uint32
	why, when string
}

type castHook struct {
	typ uint32
	hookRow
}

type castRow struct {
	oid  uint32
	to   string
	runs uint32
}

type eventRow struct {
	oid         uint32
	name, event string
	runs        uint32
	tags        []string
}

type extensionRow struct {
	oid  uint32
	name string
}

// edge is one row of pg_depend: on what something depends, and as what that counts.
type edge struct{ on, counts node }

// narrowed is the text of a query for everything, or for some of it: what stands in
// double brackets is for the latter.
func narrowed(sql string, some bool) string {
	if some {
		return strings.NewReplacer("[[", "", "]]", "").Replace(sql)
	}
	return bracketed.ReplaceAllString(sql, "")
}

var bracketed = regexp.MustCompile(`\[\[.*?\]\]`)

// newRows are none yet.
func newRows() *rows {
	return &rows{
		types: group[uint32, pgType]{}, relations: group[uint32, relationRow]{}, columns: group[uint32, columnRow]{},
		triggers: group[uint32, triggerRow]{}, rules: group[uint32, ruleRow]{}, keys: group[uint32, keyRow]{}, limits: group[uint32, limitRow]{}, views: group[uint32, uint32]{},
		hooks: group[owner, hookRow]{}, calls: group[owner, hookRow]{}, routines: group[uint32, routine]{}, edges: group[part, edge]{},
		made: map[uint32]*entry{},
	}
}

// readAll reads everything.
func (r *rows) readAll(ctx context.Context, tx pgx.Tx) error {
	for _, read := range []func(context.Context, pgx.Tx, []uint32) error{
		r.readTypes, r.readRelations, r.readColumns, r.readRoutines, r.readTriggers, r.readRules, r.readKeys, r.readLimits, r.readViews,
	} {
		if err := read(ctx, tx, nil); err != nil {
			return err
		}
	}
	for _, read := range []func(context.Context, pgx.Tx) error{
		func(ctx context.Context, tx pgx.Tx) error { return r.readEdges(ctx, tx, nil) },
		func(ctx context.Context, tx pgx.Tx) error { return r.readHooks(ctx, tx, nil, nil) },
		func(ctx context.Context, tx pgx.Tx) error { return r.readCalls(ctx, tx, nil, nil) },
		r.readSmall,
	} {
		if err := read(ctx, tx); err != nil {
			return err
		}
	}
	order(r.columns, compareColumns)
	order(r.triggers, compareTriggers)
	order(r.rules, compareRules)
	order(r.keys, compareKeys)
	order(r.limits, compareLimits)
	order(r.views, cmp.Compare[uint32])
	order(r.hooks, compareHooks)
	order(r.calls, compareHooks)
	order(r.edges, compareEdges)
	return nil
}

func each(ctx context.Context, tx pgx.Tx, what, sql string, into []any, f func(), args ...any) error {
	rows, err := tx.Query(ctx, sql, args...)
	if err == nil {
		_, err = pgx.ForEachRow(rows, into, func() error { f(); return nil })
	}
	return wrapRead(what, err)
}

func wrapRead(what string, err error) error {
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// of reads a query for everything, or for what some numbers name.
func of(ctx context.Context, tx pgx.Tx, what, sql string, some []uint32, into []any, f func()) error {
	if some == nil {
		return each(ctx, tx, what, narrowed(sql, false), into, f)
	}
	return each(ctx, tx, what, narrowed(sql, true), into, f, some)
}

func (r *rows) readTypes(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var oid uint32
	var t pgType
	var kind string
	var citext bool
	err := of(ctx, tx, "types", typesSQL, some, []any{&oid, &t.name, &t.schema, &kind, &t.base, &citext}, func() {
		if citext { // same values as text, in both formats
			kind, t.base = "d", 25
		}
		t.kind = kind[0]
		r.types[oid] = []pgType{t}
	})
	r.enums = map[string]bool{}
	for _, list := range r.types {
		if list[0].kind == 'e' {
			r.enums[list[0].name] = true
		}
	}
	return err
}

func (r *rows) readRelations(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var oid uint32
	var x relationRow
	return of(ctx, tx, "relations", relationsSQL, some, []any{&oid, &x.schema, &x.name, &x.kind, &x.tuples, &x.parents, &x.definition}, func() {
		row := x
		row.parents, row.definition = slices.Clone(x.parents), strings.TrimSuffix(x.definition, ";")
		row.unsettled = !settled(row.definition, r.enums)
		r.relations[oid] = []relationRow{row}
	})
}

func (r *rows) readColumns(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var rel uint32
	var x columnRow
	return of(ctx, tx, "columns", columnsSQL, some, []any{&rel, &x.num, &x.name, &x.typ, &x.typeName, &x.required, &x.comment, &x.from}, func() {
		row := x
		row.from = slices.Clone(x.from)
		r.columns[rel] = append(r.columns[rel], row)
	})
}

func (r *rows) readTriggers(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var rel uint32
	var x triggerRow
	return of(ctx, tx, "triggers", triggersSQL, some, []any{&rel, &x.oid, &x.name, &x.runs, &x.kind, &x.clone, &x.columns}, func() {
		row := x
		row.columns = slices.Clone(x.columns)
		r.triggers[rel] = append(r.triggers[rel], row)
	})
}

func (r *rows) readRules(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var rel uint32
	var x ruleRow
	return of(ctx, tx, "rules", rulesSQL, some, []any{&rel, &x.oid, &x.name, &x.event, &x.instead, &x.text}, func() {
		x.unsettled = !settled(x.text, r.enums)
		r.rules[rel] = append(r.rules[rel], x)
	})
}

func (r *rows) readKeys(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var from uint32
	var x keyRow
	return of(ctx, tx, "foreign keys", keysSQL, some, []any{&from, &x.oid, &x.to, &x.name, &x.onDelete, &x.onUpdate, &x.valid, &x.columns, &x.own}, func() {
		row := x
		row.columns, row.own = slices.Clone(x.columns), slices.Clone(x.own)
		r.keys[from] = append(r.keys[from], row)
	})
}

func (r *rows) readViews(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var view, made uint32
	return of(ctx, tx, "what views are made of", viewsSQL, some, []any{&made, &view}, func() {
		r.views[view] = append(r.views[view], made)
	})
}

// readHooks reads what relations and types call, as pg_depend says.
func (r *rows) readHooks(ctx context.Context, tx pgx.Tx, relations, types []uint32) error {
	var args []any
	if relations != nil {
		args = []any{relations, types}
	}
	return readHooks(ctx, tx, r.hooks, narrowed(hooksSQL, relations != nil), args)
}

// readCalls reads what relations and types call, as the expressions themselves say.
func (r *rows) readCalls(ctx context.Context, tx pgx.Tx, relations, types []uint32) error {
	var called []uint32
	for oid, list := range r.routines {
		if x := list[0]; !isSystem(x.schema) || x.strange() {
			called = append(called, oid)
		}
	}
	args := []any{called}
	if relations != nil {
		args = append(args, relations, types)
	}
	return readHooks(ctx, tx, r.calls, narrowed(expressionsSQL, relations != nil), args)
}

func readHooks(ctx context.Context, tx pgx.Tx, into group[owner, hookRow], sql string, args []any) error {
	var o owner
	var x hookRow
	return each(ctx, tx, "what relations call", sql, []any{&o.relation, &o.typ, &x.runs, &x.why, &x.when}, func() {
		into[o] = append(into[o], x)
	}, args...)
}

func (r *rows) readEdges(ctx context.Context, tx pgx.Tx, some []part) error {
	var args []any
	if some != nil {
		catalogues, oids := make([]uint32, 0, len(some)), make([]uint32, 0, len(some))
		for _, p := range some {
			catalogues, oids = append(catalogues, p.catalogue), append(oids, p.oid)
		}
		args = []any{catalogues, oids}
	}
	var p part
	var x edge
	return each(ctx, tx, "what depends on types and functions", narrowed(hangingSQL, some != nil),
		[]any{&p.catalogue, &p.oid, &x.on.kind, &x.on.oid, &x.counts.kind, &x.counts.oid}, func() {
			r.edges[p] = append(r.edges[p], x)
		}, args...)
}

// readSmall reads what is little, and read whole each time.
func (r *rows) readSmall(ctx context.Context, tx pgx.Tx) error {
	r.casts, r.castHooks, r.events, r.extensions = nil, nil, nil, nil
	var c castRow
	err := each(ctx, tx, "casts", castsSQL, []any{&c.oid, &c.to, &c.runs}, func() { r.casts = append(r.casts, c) })
	if err != nil {
		return err
	}
	var h castHook
	err = each(ctx, tx, "what casts call", castHooksSQL, []any{&h.typ, &h.runs, &h.why, &h.when}, func() { r.castHooks = append(r.castHooks, h) })
	if err != nil {
		return err
	}
	var e eventRow
	err = each(ctx, tx, "event triggers", eventTriggersSQL, []any{&e.oid, &e.name, &e.runs, &e.event, &e.tags}, func() {
		row := e
		row.tags = slices.Clone(e.tags)
		r.events = append(r.events, row)
	})
	if err != nil {
		return err
	}
	var x extensionRow
	return each(ctx, tx, "extensions", "select oid, extname from pg_catalog.pg_extension order by oid", []any{&x.oid, &x.name}, func() {
		r.extensions = append(r.extensions, x)
	})
}
