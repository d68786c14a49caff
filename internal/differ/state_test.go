package differ

import (
	"context"
	"slices"
	"strings"
)

// watcher are functions of a schema of their own that say what a database holds, in
// a form that changes with every row that is written, though it be with the same
// values: row by row where it is and which transaction wrote it.
const watcher = `
create schema differ;
create function differ.rows(t regclass) returns text language plpgsql as $$
declare s text; begin
	execute format('select count(*) || '' '' || coalesce(sum(hashtextextended(ctid::text || xmin::text || tableoid::text, 0)), 0) from only %s', t) into s;
	return s;
end $$;
create function differ.sequence(t regclass) returns text language plpgsql as $$
declare s text; begin execute format('select last_value || '' '' || is_called from %s', t) into s; return s; end $$;
create function differ.catalogs() returns table (what text, state text) language plpgsql as $$
declare c regclass; begin
	for c in select oid from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r'
		and relname not in ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata', 'pg_depend', 'pg_shdepend') loop
		what := 'catalog ' || c::text;
		execute format('select count(*) || '' '' || coalesce(sum(hashtextextended(ctid::text || xmin::text, 0)) filter (where age(xmin) <= $1), 0) from %s', c)
			into state using (select age(first) from differ.start);
		return next;
	end loop;
end $$;
create function differ.state() returns table (what text, state text) language plpgsql security definer
	set search_path = pg_catalog set default_transaction_read_only = off as $$ begin
	return query select 'rows ' || n.nspname || '.' || c.relname, differ.rows(c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'differ');
	return query select 'sequence ' || n.nspname || '.' || c.relname, differ.sequence(c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind = 'S';
	return query select * from differ.catalogs();
	return query select 'schema ' || n.nspname || '.' || c.relname, c.xmin::text || c.ctid::text || c.relkind::text
		|| (select coalesce(sum(hashtextextended(a.xmin::text || a.ctid::text, 0)), 0) from pg_attribute a where a.attrelid = c.oid)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm', 'v', 'p', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'differ');
	return query select 'large objects', differ.rows('pg_largeobject') || differ.rows('pg_largeobject_metadata');
	return query select 'cursor ' || name, statement from pg_cursors where name <> '';
	return query select 'prepared ' || name, statement from pg_prepared_statements;
	return query select 'lock ' || locktype || ' ' || coalesce(relation::regclass::text, classid || ' ' || objid) || ' ' || mode, count(*)::text from pg_locks
		where pid = pg_backend_pid() and (locktype = 'advisory' or locktype = 'relation' and mode not in ('AccessShareLock', 'RowShareLock')
			and relation not in (select oid from pg_class where relkind = 'S')) group by 1; -- to ask a sequence is to lock it
	return query select 'listens ' || c, '' from pg_listening_channels() c;
end $$;
create view differ.settings as select 'setting ' || name as what, setting || ' ' || source as state from pg_settings where name not like 'plpgsql.%' -- which come when its library is loaded
	union all select 'setting role', current_user || ' ' || session_user
	union all select 'setting my.own', coalesce(current_setting('my.own', true), '');
grant usage on schema differ to public;
`

// state is what a database and a session hold: names, and what changes with them.
type state map[string]string

func (w *world) state() (state, error) {
	// The settings first: asking changes none, but a function has some of its own.
	results, err := w.conn.Exec(context.Background(), "select * from differ.settings; select * from differ.state()").ReadAll()
	if err != nil {
		return nil, err
	}
	s := state{}
	for _, r := range results {
		for _, row := range r.Rows {
			s[string(row[0])] = string(row[1])
		}
	}
	return s, nil
}

// changed are the names whose state differs, in order, with what kind of thing they are.
func changed(before, after state) []string {
	var out []string
	for name, v := range after {
		if was, ok := before[name]; !ok || was != v {
			out = append(out, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func cutKind(change string) (kind, name string) {
	kind, name, _ = strings.Cut(change, " ")
	return kind, name
}
