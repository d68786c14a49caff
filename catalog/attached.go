package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// attachments are what hangs on relations, by OID while they are read.
type attachments struct {
	s        *Snapshot
	byOID    map[uint32]*query.Attached
	rels     map[uint32]*entry
	routines map[uint32]*query.Routine // the users' own
	columns  map[uint32][]uint32       // relations with a column of a type
	strange  map[uint32]*query.Routine // the server's, that do more than compute
	taken    map[uint32][]uint32       // types that the users' routines take and give
	calls    converters
}

const triggersSQL = `
select t.tgrelid, t.tgname, t.tgfoid, t.tgtype, coalesce(pg_catalog.to_jsonb(t) ->> 'tgparentid', '0') <> '0',
       coalesce((select pg_catalog.array_agg(a.attname::text) from pg_catalog.pg_attribute a
                 where a.attrelid = t.tgrelid and a.attnum = any (t.tgattr::int2[])), '{}')
from pg_catalog.pg_trigger t where not t.tgisinternal and t.tgenabled <> 'D' order by t.oid`

const rulesSQL = `
select r.ev_class, r.rulename, r.ev_type::text, r.is_instead and r.ev_qual::text = '<>', pg_catalog.pg_get_ruledef(r.oid)
from pg_catalog.pg_rewrite r join pg_catalog.pg_class c on c.oid = r.ev_class
where r.ev_type <> '1' and r.ev_enabled <> 'D'
  and c.relnamespace not in ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace) order by r.oid`

const keysSQL = `
select k.confrelid, k.conrelid, k.conname, k.confdeltype::text, k.confupdtype::text, k.convalidated,
       coalesce((select pg_catalog.array_agg(a.attname::text) from pg_catalog.pg_attribute a
                 where a.attrelid = k.confrelid and a.attnum = any (k.confkey)), '{}'),
       coalesce((select pg_catalog.array_agg(a.attname::text) from pg_catalog.pg_attribute a
                 where a.attrelid = k.conrelid and a.attnum = any (k.conkey)), '{}')
from pg_catalog.pg_constraint k where k.contype = 'f' order by k.oid`

// hooksSQL are the users' functions that objects of a table depend on, directly or
// through an operator. Those of the server itself are not written down there:
// expressionsSQL finds them. A cast from a user's type to one of the server's counts
// where the user's type is used, and not wherever there is a number.
const hooksSQL = `
with uses(class, obj, fn) as (
  select d.classid, d.objid, d.refobjid from pg_catalog.pg_depend d
  where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.deptype = 'n'
  union
  select d.classid, d.objid, o.oprcode::oid from pg_catalog.pg_depend d join pg_catalog.pg_operator o on o.oid = d.refobjid
  where d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and d.deptype = 'n'),
own_casts as (
  select c.*, t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace as ours, s.typnamespace = 'pg_catalog'::pg_catalog.regnamespace as theirs
  from pg_catalog.pg_cast c join pg_catalog.pg_type t on t.oid = c.casttarget join pg_catalog.pg_type s on s.oid = c.castsource where c.castfunc <> 0)
select k.conrelid, k.contypid, u.fn, 'check ' || k.conname, 'w' from uses u join pg_catalog.pg_constraint k
  on u.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = u.obj
union all
select a.adrelid, 0, u.fn, 'default of ' || c.attname, 'w' from uses u join pg_catalog.pg_attrdef a
  on u.class = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and a.oid = u.obj
  join pg_catalog.pg_attribute c on c.attrelid = a.adrelid and c.attnum = a.adnum
union all
select i.indrelid, 0, u.fn, 'index ' || c.relname, 'w' from uses u join pg_catalog.pg_class c
  on u.class = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = u.obj
  join pg_catalog.pg_index i on i.indexrelid = c.oid
union all
select p.polrelid, 0, u.fn, 'policy ' || p.polname, p.polcmd::text from uses u join pg_catalog.pg_policy p
  on u.class = 'pg_catalog.pg_policy'::pg_catalog.regclass and p.oid = u.obj
  join pg_catalog.pg_class c on c.oid = p.polrelid and c.relrowsecurity
union all
select t.tgrelid, 0, u.fn, 'condition of trigger ' || t.tgname, 'w' from uses u join pg_catalog.pg_trigger t
  on u.class = 'pg_catalog.pg_trigger'::pg_catalog.regclass and t.oid = u.obj and u.fn <> t.tgfoid and t.tgenabled <> 'D'
union all
select 0, c.casttarget, c.castfunc, 'cast to ' || pg_catalog.format_type(c.casttarget, null), 'w' from own_casts c
  where c.castcontext <> 'e' and (not c.ours or c.theirs)
union all
select 0, c.castsource, c.castfunc, 'cast from ' || pg_catalog.format_type(c.castsource, null), '*' from own_casts c
  where c.castcontext = 'i' or c.castcontext = 'a' and c.ours and not c.theirs
order by 1, 2, 3, 4, 5`

const eventTriggersSQL = `
select evtname, evtfoid, evtevent, coalesce(evttags, '{}') from pg_catalog.pg_event_trigger where evtenabled <> 'D' and evtevent <> 'login' order by oid`

const castsSQL = `
select t.typname, c.castfunc from pg_catalog.pg_cast c join pg_catalog.pg_type t on t.oid = c.casttarget where c.castfunc <> 0 order by c.oid`

const viewsSQL = `
select distinct d.refobjid, r.ev_class from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r
  on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid
where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and r.ev_class <> d.refobjid and r.ev_type = '1'`

// attach reads what acts when relations are read or written.
func (s *Snapshot) attach(ctx context.Context, tx pgx.Tx, at *attachments) error {
	at.calls = converters{map[uint32][]query.Hook{}, map[uint32][]*query.Routine{}}
	at.s, at.byOID = s, make(map[uint32]*query.Attached, len(at.rels))
	for oid, e := range at.rels {
		if e.system {
			continue
		}
		at.byOID[oid] = &query.Attached{Ref: query.Ref{Schema: e.rel.Schema, Table: e.rel.Name},
			View: e.rel.Kind == query.View, Definition: e.rel.Definition, Partitioned: e.partitioned}
	}
	for oid, x := range at.byOID {
		for _, parent := range at.rels[oid].parents {
			if p := at.byOID[parent]; p != nil {
				x.Parents, p.Children = append(x.Parents, p.Ref), append(p.Children, x.Ref)
			}
		}
	}
	for _, read := range []func(context.Context, pgx.Tx) error{at.triggers, at.rules, at.keys, at.hooks, at.expressions, at.events, at.casts, at.converts, at.views, at.hanging} {
		if err := read(ctx, tx); err != nil {
			return err
		}
	}
	s.attached = make(map[query.Ref]*query.Attached, len(at.byOID))
	for _, x := range at.byOID {
		slices.SortFunc(x.Children, compareRefs)
		slices.SortFunc(x.Dependents, compareRefs)
		s.attached[x.Ref] = x
	}
	return nil
}

func compareRefs(a, b query.Ref) int { return strings.Compare(a.String(), b.String()) }

func compareRoutines(a, b *query.Routine) int {
	if c := strings.Compare(a.Schema, b.Schema); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

func each(ctx context.Context, tx pgx.Tx, what, sql string, into []any, f func()) error {
	rows, err := tx.Query(ctx, sql)
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

func (at *attachments) triggers(ctx context.Context, tx pgx.Tx) error {
	var rel, fn uint32
	var name string
	var kind int16
	var clone bool
	var columns []string
	return each(ctx, tx, "triggers", triggersSQL, []any{&rel, &name, &fn, &kind, &clone, &columns}, func() {
		x := at.byOID[rel]
		if x == nil {
			return
		}
		t := query.Trigger{Name: name, Runs: at.routines[fn], Columns: slices.Clone(columns), Row: kind&1 != 0, Instead: kind&64 != 0, Clone: clone}
		for bit, on := range map[int16]query.Kind{4: query.Insert, 8: query.Delete, 16: query.Update, 32: query.Truncate} {
			if kind&bit != 0 {
				t.On = append(t.On, on)
			}
		}
		slices.Sort(t.On)
		x.Triggers = append(x.Triggers, t)
	})
}

func (at *attachments) rules(ctx context.Context, tx pgx.Tx) error {
	var rel uint32
	var name, event, text string
	var instead bool
	on := map[string]query.Kind{"2": query.Update, "3": query.Insert, "4": query.Delete}
	return each(ctx, tx, "rules", rulesSQL, []any{&rel, &name, &event, &instead, &text}, func() {
		if x := at.byOID[rel]; x != nil {
			x.Rules = append(x.Rules, query.Rule{Name: name, On: on[event], Instead: instead,
				Runs: &query.Routine{Name: name, Language: query.RuleActions, Body: text, Volatile: true}})
		}
	})
}

func (at *attachments) keys(ctx context.Context, tx pgx.Tx) error {
	var to, from uint32
	var name, onDelete, onUpdate string
	var columns, own []string
	var valid bool
	return each(ctx, tx, "foreign keys", keysSQL, []any{&to, &from, &name, &onDelete, &onUpdate, &valid, &columns, &own}, func() {
		x, y := at.byOID[to], at.byOID[from]
		if x == nil || y == nil {
			return
		}
		k := query.Key{Name: name, From: y.Ref, Columns: slices.Clone(columns), Own: slices.Clone(own), Valid: valid}
		switch onDelete {
		case "c":
			k.OnDelete = query.Delete
		case "n", "d":
			k.OnDelete = query.Update
		}
		if onUpdate == "c" || onUpdate == "n" || onUpdate == "d" {
			k.OnUpdate = query.Update
		}
		x.Keys = append(x.Keys, k)
	})
}

func (at *attachments) hooks(ctx context.Context, tx pgx.Tx) error {
	var rel, typ, fn uint32
	var why, when string
	return each(ctx, tx, "checks and defaults", hooksSQL, []any{&rel, &typ, &fn, &why, &when}, func() {
		at.hooked(rel, typ, fn, why, when)
	})
}

// hooksOn are the writes upon which a kind of hook runs; Select is any use.
var hooksOn = map[string][]query.Kind{"w": {query.Insert, query.Update}, "a": {query.Insert}, "d": {query.Delete}, "r": {query.Select}, "*": {query.Select}}

// hooked notes a function that a relation, or a type, calls.
func (at *attachments) hooked(rel, typ, fn uint32, why, when string) {
	r := at.routines[fn]
	if r == nil {
		r = at.strange[fn]
	}
	if r == nil {
		return
	}
	on := hooksOn[when]
	if when == "w" && strings.HasPrefix(why, "condition") {
		on = []query.Kind{query.Insert, query.Update, query.Delete, query.Truncate}
	}
	h := query.Hook{Runs: r, On: on, Why: why}
	for _, oid := range append(slices.Clone(at.columns[typ]), rel) {
		at.hook(oid, h)
	}
	switch {
	case typ == 0:
	case strings.HasPrefix(why, "check "):
		if !slices.ContainsFunc(at.calls.checks[typ], func(x query.Hook) bool { return x.Runs == r && x.Why == why }) {
			at.calls.checks[typ] = append(at.calls.checks[typ], h)
		}
	case strings.HasPrefix(why, "cast from "):
		at.calls.away[typ] = append(at.calls.away[typ], r)
	}
}

func (at *attachments) events(ctx context.Context, tx pgx.Tx) error {
	var name, event string
	var fn uint32
	var tags []string
	return each(ctx, tx, "event triggers", eventTriggersSQL, []any{&name, &fn, &event, &tags}, func() {
		if r := at.routines[fn]; r != nil {
			at.s.events = append(at.s.events, eventTrigger{query.Trigger{Name: name, Runs: r}, event, slices.Clone(tags)})
		}
	})
}

func (at *attachments) casts(ctx context.Context, tx pgx.Tx) error {
	var name string
	var fn uint32
	at.s.casts = map[string][]*query.Routine{}
	return each(ctx, tx, "casts", castsSQL, []any{&name, &fn}, func() {
		if r := at.routines[fn]; r != nil {
			at.s.casts[name] = append(at.s.casts[name], r)
		}
	})
}

func (at *attachments) views(ctx context.Context, tx pgx.Tx) error {
	var of, view uint32
	return each(ctx, tx, "what views are made of", viewsSQL, []any{&of, &view}, func() {
		if x, y := at.byOID[of], at.byOID[view]; x != nil && y != nil {
			x.Dependents = append(x.Dependents, y.Ref)
		}
	})
}

// eventTrigger is one with the tags of commands it is for; none is all.
type eventTrigger struct {
	query.Trigger
	event string
	tags  []string
}

// fires reports whether it may for a command with this tag. What a command drops on
// its way it drops by ALTER or DROP.
func (e eventTrigger) fires(tag string) bool {
	alters := strings.HasPrefix(tag, "ALTER ")
	switch {
	case tag == "":
		return true
	case e.event == "sql_drop" && !alters && !strings.HasPrefix(tag, "DROP "), e.event == "table_rewrite" && !alters:
		return false
	}
	return len(e.tags) == 0 || slices.ContainsFunc(e.tags, func(t string) bool { return tag == t || strings.HasPrefix(tag, t+" ") })
}

// Attached implements query.Attacher.
func (s *Snapshot) Attached(schema, name string) []*query.Attached {
	if s == nil {
		return nil
	}
	return s.attachedTo(s.Lookup(schema, name))
}

func (s *Snapshot) attachedTo(rels []*query.Relation) (list []*query.Attached) {
	for _, rel := range rels {
		if x := s.attached[query.Ref{Schema: rel.Schema, Table: rel.Name}]; x != nil {
			list = append(list, x)
		}
	}
	return list
}

// Attached is along this path.
func (p inPath) Attached(schema, name string) []*query.Attached {
	if p.Snapshot == nil {
		return nil
	}
	return p.attachedTo(p.Lookup(schema, name))
}

// EventTriggers implements query.Attacher.
func (s *Snapshot) EventTriggers(tag string) (list []query.Trigger) {
	if s == nil {
		return nil
	}
	for _, e := range s.events {
		if e.fires(tag) {
			list = append(list, e.Trigger)
		}
	}
	return list
}

// Casts implements query.Routiner.
func (s *Snapshot) Casts(to string) []*query.Routine {
	if s == nil {
		return nil
	}
	return s.casts[to]
}

// digestAttached adds all that hangs on relations. Routines have their own digest, so
// that names are enough.
func (s *Snapshot) digestAttached(put func(...string)) {
	name := func(r *query.Routine) string {
		if r == nil {
			return ""
		}
		return r.Schema + "." + r.Name + " " + r.Language
	}
	for _, e := range s.entries() {
		x := s.attached[query.Ref{Schema: e.rel.Schema, Table: e.rel.Name}]
		if x == nil {
			continue
		}
		for _, t := range x.Triggers {
			put(x.Ref.String(), t.Name, name(t.Runs), fmt.Sprint(t.On, t.Columns, t.Row, t.Instead, t.Clone))
		}
		for _, r := range x.Rules {
			put(x.Ref.String(), r.Name, r.Runs.Body, fmt.Sprint(r.Instead))
		}
		for _, k := range x.Keys {
			put(x.Ref.String(), fmt.Sprint(k))
		}
		for _, h := range x.Calls {
			put(x.Ref.String(), name(h.Runs), h.Why, fmt.Sprint(h.On))
		}
	}
	for _, e := range s.events {
		put(e.Name, name(e.Runs), e.event, fmt.Sprint(e.tags))
	}
	for _, to := range slices.Sorted(maps.Keys(s.casts)) {
		for _, r := range s.casts[to] {
			put(to, name(r))
		}
	}
	for _, e := range slices.Sorted(maps.Keys(s.extensions)) {
		put(e)
	}
	var hang []string
	for o, refs := range s.dependents {
		hang = append(hang, fmt.Sprint(o, refs))
	}
	slices.Sort(hang)
	put(hang...)
}
