package gateway

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// reached are the tables that a write of one may change: itself, its parts, and what
// foreign keys change along with it.
const reached = `
with recursive reached(rel) as (
	select pg_catalog.to_regclass($1)::oid
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
select 'trigger ' || t.tgname || ' of ' || rel::regclass || ' may do what a rollback does not undo' from reached join pg_catalog.pg_trigger t on t.tgrelid = rel where not t.tgisinternal and t.tgenabled <> 'D'
union all select rel::regclass || ' is no plain table' from reached join pg_catalog.pg_class c on c.oid = rel where c.relkind not in ('r','p')
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
	list, err := column(ctx, conn, doubts, p.table())
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return &unsafe{list[0]}
	}
	if p.takesNumbers() {
		list, err := column(ctx, conn, sequences, p.table())
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
	p.viewer.unclean(p.x, fresh(p.s.base, p.s.base.current.Load()))
	if p.s.server.InTransaction() {
		p.out.Notes = append(p.out.Notes, "what its own transaction has changed before it is not seen")
	}
	return nil
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
