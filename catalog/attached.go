package catalog

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// attachments are what hangs on relations, by OID while they are read.
type attachments struct {
	s        *Snapshot
	rows     *rows
	byOID    map[uint32]*query.Attached
	rels     map[uint32]*entry
	routines map[uint32]*query.Routine // the users' own
	columns  map[uint32][]uint32       // relations with a column of a type; nil until asked
	strange  map[uint32]*query.Routine // the server's, that do more than compute
	taken    map[uint32][]uint32       // types that the users' routines take and give
	calls    converters
}

const triggersSQL = `
select t.tgrelid, t.oid, t.tgname, t.tgfoid, t.tgtype, coalesce(pg_catalog.to_jsonb(t) ->> 'tgparentid', '0') <> '0',
       coalesce((select pg_catalog.array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_attribute a
                 where a.attrelid = t.tgrelid and a.attnum = any (t.tgattr::int2[])), '{}')
from pg_catalog.pg_trigger t where not t.tgisinternal and t.tgenabled <> 'D' [[and t.tgrelid = any ($1)]]`

const rulesSQL = `
select r.ev_class, r.oid, r.rulename, r.ev_type::text, r.is_instead and r.ev_qual::text = '<>', pg_catalog.pg_get_ruledef(r.oid)
from pg_catalog.pg_rewrite r join pg_catalog.pg_class c on c.oid = r.ev_class
where r.ev_type <> '1' and r.ev_enabled <> 'D'
  and c.relnamespace not in ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace) [[and r.ev_class = any ($1)]]`

const keysSQL = `
select k.conrelid, k.oid, k.confrelid, k.conname, k.confdeltype::text, k.confupdtype::text, k.convalidated,
       coalesce((select pg_catalog.array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_attribute a
                 where a.attrelid = k.confrelid and a.attnum = any (k.confkey)), '{}'),
       coalesce((select pg_catalog.array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_attribute a
                 where a.attrelid = k.conrelid and a.attnum = any (k.conkey)), '{}')
from pg_catalog.pg_constraint k where k.contype = 'f' [[and k.conrelid = any ($1)]]`

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
  where d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and d.deptype = 'n')
select k.conrelid, k.contypid, u.fn, 'check ' || k.conname, 'w' from uses u join pg_catalog.pg_constraint k
  on u.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = u.obj [[and (k.conrelid = any ($1) or k.contypid = any ($2))]]
union all
select a.adrelid, 0, u.fn, 'default of ' || c.attname, 'w' from uses u join pg_catalog.pg_attrdef a
  on u.class = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and a.oid = u.obj [[and a.adrelid = any ($1)]]
  join pg_catalog.pg_attribute c on c.attrelid = a.adrelid and c.attnum = a.adnum
union all
select i.indrelid, 0, u.fn, 'index ' || c.relname, 'w' from uses u join pg_catalog.pg_class c
  on u.class = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = u.obj
  join pg_catalog.pg_index i on i.indexrelid = c.oid [[and i.indrelid = any ($1)]]
union all
select p.polrelid, 0, u.fn, 'policy ' || p.polname, p.polcmd::text from uses u join pg_catalog.pg_policy p
  on u.class = 'pg_catalog.pg_policy'::pg_catalog.regclass and p.oid = u.obj
  join pg_catalog.pg_class c on c.oid = p.polrelid and c.relrowsecurity [[and p.polrelid = any ($1)]]
union all
select t.tgrelid, 0, u.fn, 'condition of trigger ' || t.tgname, 'w' from uses u join pg_catalog.pg_trigger t
  on u.class = 'pg_catalog.pg_trigger'::pg_catalog.regclass and t.oid = u.obj and u.fn <> t.tgfoid and t.tgenabled <> 'D' [[and t.tgrelid = any ($1)]]`

const castHooksSQL = `
with own_casts as (
  select c.*, t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace as ours, s.typnamespace = 'pg_catalog'::pg_catalog.regnamespace as theirs
  from pg_catalog.pg_cast c join pg_catalog.pg_type t on t.oid = c.casttarget join pg_catalog.pg_type s on s.oid = c.castsource where c.castfunc <> 0)
select c.casttarget, c.castfunc, 'cast to ' || pg_catalog.format_type(c.casttarget, null), 'w' from own_casts c
  where c.castcontext <> 'e' and (not c.ours or c.theirs)
union all
select c.castsource, c.castfunc, 'cast from ' || pg_catalog.format_type(c.castsource, null), '*' from own_casts c
  where c.castcontext = 'i' or c.castcontext = 'a' and c.ours and not c.theirs
order by 1, 2, 3, 4`

const eventTriggersSQL = `
select oid, evtname, evtfoid, evtevent, coalesce(evttags, '{}') from pg_catalog.pg_event_trigger where evtenabled <> 'D' and evtevent <> 'login' order by oid`

const castsSQL = `
select c.oid, t.typname, c.castfunc from pg_catalog.pg_cast c join pg_catalog.pg_type t on t.oid = c.casttarget where c.castfunc <> 0 order by c.oid`

const viewsSQL = `
select distinct d.refobjid, r.ev_class from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r
  on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid
where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and r.ev_class <> d.refobjid and r.ev_type = '1' [[and r.ev_class = any ($1)]]`

// attach puts together what acts when relations are read or written.
func (s *Snapshot) attach(ctx context.Context, tx pgx.Tx, at *attachments) error {
	at.calls = converters{map[uint32][]query.Hook{}, map[uint32][]*query.Routine{}}
	at.byOID = make(map[uint32]*query.Attached, len(at.rels))
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
	for _, put := range []func(){at.triggers, at.rules, at.keys, at.hooks, at.events, at.casts} {
		put()
	}
	if err := at.converts(ctx, tx); err != nil {
		return err
	}
	at.views()
	if err := at.hanging(ctx, tx); err != nil {
		return err
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

func (at *attachments) triggers() {
	for rel, list := range at.rows.triggers {
		x := at.byOID[rel]
		if x == nil {
			continue
		}
		for _, row := range list {
			t := query.Trigger{Name: row.name, Runs: at.routines[row.runs], Columns: row.columns, Row: row.kind&1 != 0, Instead: row.kind&64 != 0, Clone: row.clone}
			for bit, on := range map[int16]query.Kind{4: query.Insert, 8: query.Delete, 16: query.Update, 32: query.Truncate} {
				if row.kind&bit != 0 {
					t.On = append(t.On, on)
				}
			}
			slices.Sort(t.On)
			x.Triggers = append(x.Triggers, t)
		}
	}
}

func (at *attachments) rules() {
	on := map[string]query.Kind{"2": query.Update, "3": query.Insert, "4": query.Delete}
	for rel, list := range at.rows.rules {
		x := at.byOID[rel]
		if x == nil {
			continue
		}
		for _, row := range list {
			x.Rules = append(x.Rules, query.Rule{Name: row.name, On: on[row.event], Instead: row.instead,
				Runs: &query.Routine{Name: row.name, Language: query.RuleActions, Body: row.text, Volatile: true}})
		}
	}
}

func (at *attachments) keys() {
	type key struct {
		from uint32
		*keyRow
	}
	var all []key
	for from, list := range at.rows.keys {
		for i := range list {
			all = append(all, key{from, &list[i]})
		}
	}
	slices.SortFunc(all, func(a, b key) int { return cmp.Compare(a.oid, b.oid) })
	for _, row := range all {
		x, y := at.byOID[row.to], at.byOID[row.from]
		if x == nil || y == nil {
			continue
		}
		k := query.Key{Name: row.name, From: y.Ref, Columns: row.columns, Own: row.own, Valid: row.valid}
		switch row.onDelete {
		case "c":
			k.OnDelete = query.Delete
		case "n", "d":
			k.OnDelete = query.Update
		}
		if row.onUpdate == "c" || row.onUpdate == "n" || row.onUpdate == "d" {
			k.OnUpdate = query.Update
		}
		x.Keys = append(x.Keys, k)
	}
}

// hooks notes what relations and types call: first what pg_depend says, then what the
// expressions say.
func (at *attachments) hooks() {
	for _, g := range []group[owner, hookRow]{at.rows.hooks, at.rows.calls} {
		for _, o := range sortedOwners(g) {
			for _, row := range g[o] {
				at.hooked(o.relation, o.typ, row)
			}
		}
	}
	for _, row := range at.rows.castHooks {
		at.hooked(0, row.typ, row.hookRow)
	}
}

// hooksOn are the writes upon which a kind of hook runs; Select is any use.
var hooksOn = map[string][]query.Kind{"w": {query.Insert, query.Update}, "a": {query.Insert}, "d": {query.Delete}, "r": {query.Select}, "*": {query.Select}}

// hooked notes a function that a relation, or a type, calls.
func (at *attachments) hooked(rel, typ uint32, row hookRow) {
	r, why, when := at.routines[row.runs], row.why, row.when
	if r == nil {
		r = at.strange[row.runs]
	}
	if r == nil {
		return
	}
	on := hooksOn[when]
	if when == "w" && strings.HasPrefix(why, "condition") {
		on = []query.Kind{query.Insert, query.Update, query.Delete, query.Truncate}
	}
	h := query.Hook{Runs: r, On: on, Why: why}
	for _, oid := range at.using(rel, typ) {
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

// using are the relations that use a type, or the one that is named.
func (at *attachments) using(rel, typ uint32) []uint32 {
	if typ == 0 {
		return []uint32{rel}
	}
	return append(slices.Clone(at.withType(typ)), rel)
}

func (at *attachments) events() {
	for _, row := range at.rows.events {
		if r := at.routines[row.runs]; r != nil {
			at.s.events = append(at.s.events, eventTrigger{query.Trigger{Name: row.name, Runs: r}, row.event, row.tags})
		}
	}
}

func (at *attachments) casts() {
	at.s.casts = map[string][]*query.Routine{}
	for _, row := range at.rows.casts {
		if r := at.routines[row.runs]; r != nil {
			at.s.casts[row.to] = append(at.s.casts[row.to], r)
		}
	}
}

func (at *attachments) views() {
	for view, list := range at.rows.views {
		for _, of := range list {
			if x, y := at.byOID[of], at.byOID[view]; x != nil && y != nil {
				x.Dependents = append(x.Dependents, y.Ref)
			}
		}
	}
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

// Keys are all foreign keys, by the relation that they refer to.
func (s *Snapshot) Keys() iter.Seq2[query.Ref, query.Key] {
	return func(yield func(query.Ref, query.Key) bool) {
		for _, e := range s.ordered {
			x := s.attached[query.Ref{Schema: e.rel.Schema, Table: e.rel.Name}]
			if x == nil {
				continue
			}
			for _, k := range x.Keys {
				if !yield(x.Ref, k) {
					return
				}
			}
		}
	}
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
func (s *Snapshot) digestAttached(d *digester) {
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
		d.num(uint64(len(x.Triggers)), uint64(len(x.Rules)), uint64(len(x.Keys)), uint64(len(x.Calls)))
		for _, t := range x.Triggers {
			d.put(t.Name, name(t.Runs))
			d.put(kinds(t.On)...)
			d.put(t.Columns...)
			d.flag(t.Row)
			d.flag(t.Instead)
			d.flag(t.Clone)
		}
		for _, r := range x.Rules {
			d.put(r.Name, string(r.On), r.Runs.Body)
			d.flag(r.Instead)
		}
		for _, k := range x.Keys {
			d.put(k.Name, k.From.Schema, k.From.Table, string(k.OnDelete), string(k.OnUpdate))
			d.put(k.Columns...)
			d.put(k.Own...)
			d.flag(k.Valid)
		}
		for _, h := range x.Calls {
			d.put(name(h.Runs), h.Why)
			d.put(kinds(h.On)...)
		}
	}
	s.digestRest(d, name)
}

// digestRest adds what hangs on no relation.
func (s *Snapshot) digestRest(d *digester, name func(*query.Routine) string) {
	for _, e := range s.events {
		d.put(e.Name, name(e.Runs), e.event)
		d.put(e.tags...)
	}
	for _, to := range slices.Sorted(maps.Keys(s.casts)) {
		for _, r := range s.casts[to] {
			d.put(to, name(r))
		}
	}
	d.put(slices.Sorted(maps.Keys(s.extensions))...)
	d.bag(func(item func(func(*digester))) {
		for o, refs := range s.dependents {
			item(func(d *digester) {
				d.put(string(o.kind), o.schema, o.name)
				for _, ref := range refs {
					d.put(ref.Schema, ref.Table)
				}
			})
		}
	})
}

func kinds(list []query.Kind) []string {
	out := make([]string, len(list))
	for i, k := range list {
		out[i] = string(k)
	}
	return out
}
