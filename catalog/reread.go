package catalog

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// reread replaces the groups that may have changed.
func (r *Reader) reread(ctx context.Context, tx pgx.Tx, c *change) error {
	x := r.rows
	c.noteTemporary(x)
	known := slices.ContainsFunc(list(c.types), func(oid uint32) bool { return x.types[oid] != nil })
	err := errors.Join(
		again(c, x.types, c.types, query.TypeObject, nil, func(some []uint32) error { return x.readTypes(ctx, tx, some) }),
		again(c, x.routines, c.routines, query.RoutineObject, nil, func(some []uint32) error { return x.readRoutines(ctx, tx, some) }),
		again(c, x.relations, c.relations, query.RelationObject, nil, func(some []uint32) error { return x.readRelations(ctx, tx, some) }),
		again(c, x.columns, c.relations, query.RelationObject, compareColumns, func(some []uint32) error { return x.readColumns(ctx, tx, some) }),
		again(c, x.triggers, c.relations, query.RelationObject, compareTriggers, func(some []uint32) error { return x.readTriggers(ctx, tx, some) }),
		again(c, x.rules, c.relations, query.RelationObject, compareRules, func(some []uint32) error { return x.readRules(ctx, tx, some) }),
		again(c, x.limits, c.relations, query.RelationObject, compareLimits, func(some []uint32) error { return x.readLimits(ctx, tx, some) }),
		again(c, x.views, c.relations, query.RelationObject, cmp.Compare[uint32], func(some []uint32) error { return x.readViews(ctx, tx, some) }),
		again(c, x.keys, c.referring(x), query.RelationObject, compareKeys, func(some []uint32) error { return x.readKeys(ctx, tx, some) }),
		c.againHooks(x.hooks, func(relations, types []uint32) error { return x.readHooks(ctx, tx, relations, types) }),
		c.againHooks(x.calls, func(relations, types []uint32) error { return x.readCalls(ctx, tx, relations, types) }),
	)
	if err != nil {
		return err
	}
	if known && slices.ContainsFunc(c.touched, func(n node) bool { return n.kind == query.TypeObject }) {
		clear(x.made) // types of columns go by names; one that is new was in none
	}
	for oid := range c.relations {
		delete(x.made, oid)
	}
	c.noteTemporary(x)
	old := *x
	if err := x.readSmall(ctx, tx); err != nil {
		return err
	}
	c.differs = !reflect.DeepEqual(old.casts, x.casts) || !reflect.DeepEqual(old.castHooks, x.castHooks) ||
		!reflect.DeepEqual(old.events, x.events) || !reflect.DeepEqual(old.extensions, x.extensions) ||
		slices.ContainsFunc(c.touched, func(n node) bool { return n.kind != "" && !c.temporary[n] })
	return nil
}

// again reads groups again, and notes those that are not as they were.
func again[R any](c *change, g group[uint32, R], set map[uint32]bool, kind query.ObjectKind, order func(a, b R) int, read func(some []uint32) error) error {
	if len(set) == 0 {
		return nil
	}
	changed, err := renew(g, maps.Keys(set), order, func() error { return read(list(set)) })
	for _, oid := range changed {
		c.touched = append(c.touched, node{kind, oid})
	}
	return err
}

func (c *change) againHooks(g group[owner, hookRow], read func(relations, types []uint32) error) error {
	if len(c.relations)+len(c.types) == 0 {
		return nil
	}
	owners := map[owner]bool{}
	for oid := range c.relations {
		owners[owner{relation: oid}] = true
	}
	for oid := range c.types {
		owners[owner{typ: oid}] = true
	}
	changed, err := renew(g, maps.Keys(owners), compareHooks, func() error { return read(list(c.relations), list(c.types)) })
	for _, o := range changed {
		if o.relation != 0 {
			c.touched = append(c.touched, node{query.RelationObject, o.relation})
		} else {
			c.touched = append(c.touched, node{query.TypeObject, o.typ})
		}
	}
	return err
}

// referring are the relations that changed, and those that refer to one: what a foreign
// key says has names of both.
func (c *change) referring(x *rows) map[uint32]bool {
	if len(c.relations) == 0 {
		return nil
	}
	set := maps.Clone(c.relations)
	for from, list := range x.keys {
		if slices.ContainsFunc(list, func(k keyRow) bool { return c.relations[k.to] }) {
			set[from] = true
		}
	}
	return set
}

// noteTemporary notes which of what changed only one session sees: it comes and goes
// with sessions, and a snapshot does not resolve it.
func (c *change) noteTemporary(x *rows) {
	for oid := range c.relations {
		if row := x.relations[oid]; row != nil && isTemporary(row[0].schema) {
			c.temporary[node{query.RelationObject, oid}] = true
		}
	}
	for oid := range c.types {
		if row := x.types[oid]; row != nil && isTemporary(row[0].schema) {
			c.temporary[node{query.TypeObject, oid}] = true
		}
	}
}
