package gateway

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// reached are the tables that a write of some may change: themselves, their parts, and
// what foreign keys change along with them.
const reached = `
with recursive reached(rel) as (
	select pg_catalog.to_regclass(name)::oid from unnest($1::text[]) name
	union
	select next.rel from reached r cross join lateral (
		select c.conrelid as rel from pg_catalog.pg_constraint c
		where c.contype = 'f' and c.confrelid = r.rel and (c.confdeltype in ('c','n','d') or c.confupdtype in ('c','n','d'))
		union all select i.inhrelid from pg_catalog.pg_inherits i where i.inhparent = r.rel
	) next
)`

// doubts finds what of these tables could do more than a rollback undoes: a line for
// each, "" if there is none. Functions of extensions and users have an oid from 16384.
const doubts = reached + `,
risky(text) as (values ('%nextval%'), ('%setval%'), ('%notify%'), ('%lo\_%'), ('%advisory%'), ('%pg\_read%'), ('%set_config%'), ('%dblink%'), ('%query_to%'), ('%pg\_sleep%')),
parts(classid, objid, rel, def) as (
	select 'pg_catalog.pg_attrdef'::regclass::oid, d.oid, d.adrelid, pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d join reached on rel = d.adrelid
	union all select 'pg_catalog.pg_constraint'::regclass::oid, c.oid, rel, pg_catalog.pg_get_constraintdef(c.oid) from pg_catalog.pg_constraint c join reached on rel = c.conrelid
	union all select 'pg_catalog.pg_constraint'::regclass::oid, c.oid, rel, pg_catalog.pg_get_constraintdef(c.oid)
		from reached join pg_catalog.pg_attribute a on a.attrelid = rel join pg_catalog.pg_constraint c on c.contypid = a.atttypid
	union all select 'pg_catalog.pg_class'::regclass::oid, i.indexrelid, rel, pg_catalog.pg_get_indexdef(i.indexrelid) from pg_catalog.pg_index i join reached on rel = i.indrelid
	union all select 'pg_catalog.pg_policy'::regclass::oid, p.oid, rel, pg_catalog.pg_get_expr(p.polqual, p.polrelid) from pg_catalog.pg_policy p join reached on rel = p.polrelid
)
select rel::regclass || ' is no plain table' from reached join pg_catalog.pg_class c on c.oid = rel where c.relkind not in ('r','p')
union all select rel::regclass || ' has a rule that changes what is written' from reached join pg_catalog.pg_rewrite w on w.ev_class = rel and w.ev_type <> '1'
union all select p.proname || ', which ' || rel::regclass || ' calls, may do what a rollback does not undo'
	from parts join pg_catalog.pg_depend d on d.classid = parts.classid and d.objid = parts.objid and d.refclassid = 'pg_catalog.pg_proc'::regclass
	join pg_catalog.pg_proc p on p.oid = d.refobjid where p.oid >= 16384
union all select 'an expression of ' || rel::regclass || ' does what a rollback does not undo' from parts, risky where def ilike risky.text and parts.classid <> 'pg_catalog.pg_attrdef'::regclass::oid
union all select 'a default of ' || rel::regclass || ' does what a rollback does not undo' from parts, risky where def ilike risky.text and def not ilike '%nextval%' and parts.classid = 'pg_catalog.pg_attrdef'::regclass::oid
union all select 'a foreign key of ' || rel::regclass || ' sets defaults' from reached join pg_catalog.pg_constraint c on c.conrelid = rel where c.contype = 'f' and (c.confdeltype = 'd' or c.confupdtype = 'd')
union all select 'it is not in the catalogue' from reached where rel is null
limit 1`

// sequences are those that defaults of a table and its parts take numbers from, which a
// rollback does not give back.
const sequences = `
with recursive reached(rel) as (
	select pg_catalog.to_regclass($1)::oid union select i.inhrelid from reached join pg_catalog.pg_inherits i on i.inhparent = rel
)
select coalesce(string_agg(distinct s.relname, ', '), '') from (
	select c.relname from reached join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = rel and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a','i')
		join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
	union select c.relname from reached join pg_catalog.pg_attrdef a on a.adrelid = rel join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = a.oid
		and d.refclassid = 'pg_catalog.pg_class'::regclass join pg_catalog.pg_class c on c.oid = d.refobjid and c.relkind = 'S'
) s`

const primaryKey = `
select a.attname::text from pg_catalog.pg_index i cross join lateral unnest(i.indkey) with ordinality k(att, at)
join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.att where i.indrelid = pg_catalog.to_regclass($1) and i.indisprimary order by k.at`

// safe is nil if rolling back undoes all that the statement would do. It looks in the
// very transaction that then tries it.
func (p *previewing) safe(ctx context.Context, conn *pgx.Conn) error {
	tables, err := p.writtenTables()
	if err != nil {
		return err
	}
	list, err := column(ctx, conn, doubts, tables)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return &unsafe{list[0]}
	}
	p.viewer.unclean(p.x, fresh(p.s.base, p.s.base.current.Load()))
	assigns, err := p.triggers(ctx, conn, tables)
	if err != nil {
		return err
	}
	for _, table := range p.numbered(assigns) {
		list, err := column(ctx, conn, sequences, table)
		if err != nil {
			return err
		}
		if len(list) != 1 || list[0] != "" {
			return &unsafe{"it would use up numbers of the sequence " + strings.Join(list, ", ") + ", which a rollback does not give back"}
		}
	}
	if p.key, err = column(ctx, conn, primaryKey, p.table()); err != nil {
		return err
	}
	if p.s.server.InTransaction() {
		p.out.Notes = append(p.out.Notes, "what its own transaction has changed before it is not seen")
	}
	return nil
}

// writtenTables are the table that the statement writes and those that its triggers do.
func (p *previewing) writtenTables() (names []string, err error) {
	names = []string{p.table()}
	for _, c := range p.x.means.Consequences {
		switch c.Kind {
		case query.Select:
			continue
		case query.Insert, query.Update, query.Delete, query.Merge:
		default:
			return nil, &unsafe{"of what " + c.Why + " does to " + c.Ref.String() + " it is not known that a rollback undoes it"}
		}
		if c.Ref.Schema == "" {
			return nil, &unsafe{c.Why + " writes " + c.Ref.String() + ", which is not known"}
		}
		names = addNew(names, []string{pgx.Identifier{c.Ref.Schema, c.Ref.Table}.Sanitize()})
	}
	for _, kind := range p.x.means.Inside {
		if !slices.Contains([]query.Kind{query.Insert, query.Update, query.Delete, query.Merge}, kind) {
			return nil, &unsafe{"what its triggers run is more than writes: " + string(kind)}
		}
	}
	return names, nil
}

// firing are the users' triggers on tables, with the source of what they run.
const firing = reached + `
select n.nspname, c.relname, t.tgname, p.prosrc, p.oid < 16384, t.tgtype & 3 = 3,
	coalesce(substring(pg_catalog.pg_get_triggerdef(t.oid) from 'WHEN \((.*)\) EXECUTE'), ''),
	exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_trigger'::regclass and d.objid = t.oid
		and d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid <> t.tgfoid and d.refobjid >= 16384)
from reached join pg_catalog.pg_trigger t on t.tgrelid = rel join pg_catalog.pg_class c on c.oid = rel join pg_catalog.pg_namespace n on n.oid = c.relnamespace
	join pg_catalog.pg_proc p on p.oid = t.tgfoid
where not t.tgisinternal and t.tgenabled <> 'D'`

// trigger is one row of them.
type trigger struct {
	Schema, Table, Name, Source string
	Server                      bool   // it runs the server's own
	Before                      bool   // it may change each row before it is written
	When                        string // condition
	Calls                       bool   // the condition calls a user's function
}

// triggers is nil if all that fires is known to be undone by a rollback: its source is
// what the analysis of the statement has read, which found nothing but writes and calls
// of functions without an effect (sideEffects has looked at those). assigns tells that a
// source speaks of defaults.
func (p *previewing) triggers(ctx context.Context, conn *pgx.Conn, tables []string) (assigns bool, err error) {
	rows, err := conn.Query(ctx, firing, tables)
	if err != nil {
		return false, fmt.Errorf("look at the triggers of a preview: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[trigger])
	if err != nil {
		return false, fmt.Errorf("look at the triggers of a preview: %w", err)
	}
	for _, t := range list {
		if t.Server {
			continue // they only compare rows, or fill columns
		}
		if t.Calls || slices.ContainsFunc(lasting, func(l string) bool { return strings.Contains(strings.ToLower(t.When), l) }) || !p.hasRead(t) {
			return false, &unsafe{"trigger " + t.Name + " of " + t.Table + " may do what a rollback does not undo"}
		}
		if t.Before && !p.tame(t) && p.x.means.Kind != query.Delete {
			p.strange = t.Name
		}
		assigns = assigns || strings.Contains(strings.ToLower(t.Source), "default")
	}
	return assigns, nil
}

var (
	rowWord  = regexp.MustCompile(`(?i)\b(new|old)\b`)
	rowField = regexp.MustCompile(`(?i)^(new|old)\s*\.\s*("[^"]+"|[a-z_][a-z0-9_$]*)`)
	rowGiven = regexp.MustCompile(`(?i)return\s+$`)
)

// tame reports whether a trigger cannot put into a column what who looks may not see in
// another: it reads no table, speaks of rows only as columns or to give them back, and
// of no column that is hidden, not even in a comment.
func (p *previewing) tame(t trigger) bool {
	text := strings.ToLower(t.Source)
	found := p.s.base.current.Load().Lookup(p.target.Schema, p.target.Table)
	if len(found) != 1 || strings.Contains(text, `u&"`) {
		return false
	}
	for _, c := range found[0].Columns {
		if col, ok := p.viewer.columns[c]; (!ok || col.State != mask.Clean) && strings.Contains(text, strings.ToLower(c)) {
			return false
		}
	}
	for _, at := range rowWord.FindAllStringIndex(t.Source, -1) {
		if !rowField.MatchString(t.Source[at[0]:]) && !rowGiven.MatchString(t.Source[:at[0]]) {
			return false
		}
	}
	return !slices.ContainsFunc(p.x.means.Consequences, func(c query.Consequence) bool {
		return c.Kind == query.Select && strings.HasPrefix(c.Why, "trigger "+t.Name+" ")
	})
}

// hasRead reports whether the catalogue that the statement was analysed with has this
// trigger, running this very source, and a source that can be read.
func (p *previewing) hasRead(t trigger) bool {
	k := p.s.base.current.Load()
	if k == nil || k.Snapshot == nil {
		return false
	}
	return slices.ContainsFunc(k.Attached(t.Schema, t.Table), func(x *query.Attached) bool {
		return slices.ContainsFunc(x.Triggers, func(have query.Trigger) bool {
			r := have.Runs
			return have.Name == t.Name && r != nil && r.Body == t.Source && r.Language == "plpgsql" && !r.Parsed && !r.Extension && !r.Strange
		})
	})
}

// numbered are the tables of which defaults may be used: that of the statement, if it
// gives no value for a column, and what triggers insert into.
func (p *previewing) numbered(assigns bool) (tables []string) {
	if p.takesNumbers() {
		tables = append(tables, p.table())
	}
	for _, c := range p.x.means.Consequences {
		if c.Kind == query.Insert || c.Kind == query.Merge || assigns && c.Kind != query.Select {
			tables = addNew(tables, []string{pgx.Identifier{c.Ref.Schema, c.Ref.Table}.Sanitize()})
		}
	}
	return tables
}

// takesNumbers reports whether defaults of the table may be used.
func (p *previewing) takesNumbers() bool {
	switch p.x.means.Kind {
	case query.Delete:
		return false
	case query.Update:
		return strings.Contains(strings.ToLower(p.x.text.SQL), "default")
	}
	return true
}

func column(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("look at the tables of a preview: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
