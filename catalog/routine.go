package catalog

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

const routinesSQL = `
select n.nspname, p.proname, p.provolatile::text, l.lanname::text, p.prosecdef or p.proconfig is not null, p.prokind::text,
       case when l.lanname in ('sql', 'plpgsql') and n.nspname not in ('pg_catalog', 'information_schema') then p.prosrc else '' end,
       case when l.lanname = 'sql' and p.prosrc = '' and p.prokind in ('f', 'p') then pg_catalog.pg_get_functiondef(p.oid) else '' end,
       p.oid, p.prorettype, coalesce(p.proargnames, '{}'), p.pronargs, p.pronargdefaults, p.provariadic <> 0,
       coalesce(pg_catalog.cardinality(p.proallargtypes), 0), coalesce(p.proconfig, '{}'),
       case when p.pronargdefaults > 0 and n.nspname not in ('pg_catalog', 'information_schema')
            then coalesce(pg_catalog.pg_get_expr(p.proargdefaults, 0), '') else '' end,
       coalesce(o.names, '{}'),
       coalesce((select array_remove(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                    a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[], 0::oid)
                 from pg_catalog.pg_aggregate a where a.aggfnoid = p.oid and n.nspname not in ('pg_catalog', 'information_schema')), '{}'),
       l.lanname = 'c' and exists (
         select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
         where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'
           and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
           and e.extname in (` + trustedExtensions + `)),
       exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid
               and d.deptype = 'e' and n.nspname not in ('pg_catalog', 'information_schema')),
       coalesce(case
         when n.nspname in ('pg_catalog', 'information_schema') then '{}'
         when p.proargmodes && array['o', 'b', 't']::"char"[] then
           (select array_agg(coalesce(p.proargnames[i], '') order by i) from pg_catalog.generate_subscripts(p.proargmodes, 1) i where p.proargmodes[i] in ('o', 'b', 't'))
         when t.typtype = 'c' then
           (select array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
         when t.typtype in ('b', 'e', 'r', 'm') or t.typname = 'void' then array[p.proname::text] end, '{}'),
       case when n.nspname in ('pg_catalog', 'information_schema') then '{}'
            else coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype end,
       coalesce(p.proargmodes::text[], '{}'),
       case when l.lanname <> 'sql' or n.nspname in ('pg_catalog', 'information_schema') then '{}'
            else coalesce((select array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_type t join pg_catalog.pg_attribute a on a.attrelid = t.typrelid
                           where t.oid = p.prorettype and a.attnum > 0 and not a.attisdropped), '{}') end
from pg_catalog.pg_proc p
join pg_catalog.pg_type t on t.oid = p.prorettype
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
left join (select oprcode::oid as code, array_agg(distinct oprname::text) as names from pg_catalog.pg_operator
           where oprnamespace <> 'pg_catalog'::pg_catalog.regnamespace group by oprcode) o on o.code = p.oid [[where p.oid = any ($1)]]`

// trustedExtensions are those whose functions in C only reckon with their arguments:
// they come with PostgreSQL, or are made by projects that many look at and whose sources
// were searched for whatever runs SQL or opens tables and files. tablefunc, xml2 and
// dblink run SQL that is a text, so they are not here; nor are those that show what other
// sessions do. PostGIS is, but for beyondArguments: what its others read is
// spatial_ref_sys, which is the same everywhere.
const trustedExtensions = `'pg_trgm', 'pgcrypto', 'uuid-ossp', 'citext', 'unaccent', 'fuzzystrmatch', 'hstore', 'ltree', 'intarray', 'cube',
  'earthdistance', 'isn', 'seg', 'btree_gin', 'btree_gist', 'dict_int', 'dict_xsyn', 'vector', 'postgis'`

// beyondArguments are functions in C of PostGIS that do more, whatever their marks say:
// show samples of columns, and make a table.
var beyondArguments = words(`st_estimatedextent st_estimated_extent geometry_estimated_extent _postgis_stats _postgis_selectivity
	_postgis_join_selectivity _postgis_index_extent st_fromflatgeobuftotable`)

// reckons reports whether a function of a trusted extension only gives a value.
func (r *routine) reckons() bool {
	return r.trusted && r.kind == "f" && !r.special && !beyondArguments[r.name] && (r.volatility == "i" || r.volatility == "s" || extensionHarmless[r.name])
}

type routine struct {
	schema, name, body string
	volatility         string // i, s or v
	language           string
	special            bool // SECURITY DEFINER, or settings of its own
	kind               string
	oid, returns       uint32

	def                    string // the CREATE statement, if the body is kept parsed
	names, settings        []string
	args, defaults, allArg int16
	variadic               bool
	operators              []string // names of the users' operators that call it
	pieces                 []uint32 // of an aggregate
	result                 []string // names of its columns in FROM; none if they are not known
	absent                 string   // expressions of the arguments that have defaults
	trusted                bool     // in C, and part of an extension that comes with PostgreSQL and only reckons
	extension              bool     // came with one
	types                  []uint32 // that it takes and gives
	modes                  []string // of the arguments, if not all of them are given
	row                    []string // columns of what it gives, if that is a composite type
	unsettled              bool     // what is printed of it may change without notice
	safe                   bool     // the system's own, and harmless
}

func (r *rows) readRoutines(ctx context.Context, tx pgx.Tx, some []uint32) error {
	var x routine
	return of(ctx, tx, "routines", routinesSQL, some, []any{&x.schema, &x.name, &x.volatility, &x.language, &x.special, &x.kind, &x.body, &x.def,
		&x.oid, &x.returns, &x.names, &x.args, &x.defaults, &x.variadic, &x.allArg, &x.settings, &x.absent, &x.operators, &x.pieces, &x.trusted, &x.extension, &x.result, &x.types, &x.modes, &x.row}, func() {
		row := x
		row.names, row.settings = slices.Clone(x.names), slices.Clone(x.settings)
		row.operators, row.pieces, row.types = slices.Clone(x.operators), slices.Clone(x.pieces), slices.Clone(x.types)
		row.modes, row.row, row.result = slices.Clone(x.modes), slices.Clone(x.row), slices.Clone(x.result)
		row.safe = isSystem(row.schema) && builtInHarmless(&row)
		row.unsettled = row.oid >= firstUserOID && (!settled(row.def, r.enums) || !settled(row.absent, r.enums))
		r.routines[row.oid] = []routine{row}
	})
}

// callable finds which names are harmless. A name is harmless only if all routines that
// it can mean are: which of them is called depends on argument types and on the search
// path.
func (s *Snapshot) callable(at *attachments) {
	all := make([]*routine, 0, len(at.rows.routines))
	for _, oid := range sortedKeys(at.rows.routines) {
		all = append(all, &at.rows.routines[oid][0])
	}
	at.taken, at.strange = map[uint32][]uint32{}, strangeOnes(all)
	s.harmless = make(map[string]bool, 2*len(all))
	s.functions = make(map[uint32]Function, len(all))
	for _, r := range all {
		if r.kind == "f" {
			s.functions[r.oid] = Function{Schema: r.schema, Name: r.name, Returns: r.returns}
		}
	}
	note := func(r *routine, ok bool) {
		for _, key := range []string{routineKey("", r.name), routineKey(r.schema, r.name)} {
			was, known := s.harmless[key]
			s.harmless[key] = ok && (was || !known)
		}
	}
	names := map[string]bool{}
	for _, r := range all {
		if !isSystem(r.schema) {
			names[r.name], at.taken[r.oid] = true, r.types
			continue
		}
		note(r, r.safe)
	}
	for _, r := range all { // after the built-in ones, which their bodies may call
		if !isSystem(r.schema) {
			note(r, s.userHarmless(r, names))
		}
	}
	at.routines = s.keepBodies(all)
}

// builtInHarmless trusts PostgreSQL's own marks for its own functions, but for those
// that read tables, files or what other sessions do, which "stable" allows.
func builtInHarmless(r *routine) bool {
	if r.kind == "p" || dangerous[r.name] {
		return false
	}
	for _, p := range dangerousPrefixes {
		if strings.HasPrefix(r.name, p) {
			return false
		}
	}
	return r.volatility == "i" || r.volatility == "s" || volatileHarmless[r.name]
}

// userHarmless is strict, because the marks on a user's function are a promise of
// its author that the server does not keep: a STABLE function may read personal
// data, and an IMMUTABLE one may call another that writes. Only an IMMUTABLE
// function in plain SQL passes, without rights or settings of its own, whose body
// reads no table and calls nothing but built-in functions that are harmless.
//
// Functions in C are the superuser's. Those of some extensions that come with
// PostgreSQL are trusted like its own.
func (s *Snapshot) userHarmless(r *routine, users map[string]bool) bool {
	if r.trusted {
		return r.reckons()
	}
	return r.kind == "f" && r.volatility == "i" && r.language == "sql" && !r.special && r.body != "" && r.absent == "" && s.plainBody(r.body, users)
}

// plainBody reads the body as words. users are the names of all routines that are
// not built in: a call of such a name may mean one of them.
func (s *Snapshot) plainBody(body string, users map[string]bool) bool {
	body = strings.TrimRight(body, "; \n\t")
	if strings.ContainsAny(body, "\"\\;") || strings.Contains(body, "--") || strings.Contains(body, "/*") {
		return false
	}
	body = strings.ToLower(withoutStrings(body))
	// Operators are functions too; beside these, they are likely to be a user's.
	if strings.ContainsAny(strings.NewReplacer("||", "", "!=", "").Replace(body), "@#&~^!?`|") {
		return false
	}
	for i := 0; i < len(body); {
		if !isWordByte(body[i]) {
			i++
			continue
		}
		start := i
		for i < len(body) && isWordByte(body[i]) {
			i++
		}
		word := body[start:i]
		if readsTables[word] {
			return false
		}
		next := strings.TrimLeft(body[i:], " \t\r\n")
		if strings.HasPrefix(next, "(") && !sqlWords[word] && (users[word] || !s.harmless[routineKey("pg_catalog", word)]) {
			return false
		}
	}
	return true
}

func withoutStrings(s string) string {
	var b strings.Builder
	in := false
	for i := 0; i < len(s); i++ {
		if s[i] == '\'' {
			in = !in
			b.WriteByte(' ')
		} else if !in {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 0x80 || c-'0' < 10 || (c|0x20)-'a' < 26
}

// sqlWords may stand before a parenthesis without being a function.
var sqlWords = words(`select case when then else and or not in any all some coalesce greatest least nullif
	cast row array values as is between like ilike varchar char numeric decimal returning return over filter distinct`)

// readsTables are words without which a body reads no table and writes nothing.
var readsTables = words(`from table join into insert update delete merge copy call execute perform do with truncate
	create drop alter grant revoke lock notify listen set reset`)

// dangerous are built-in functions that read tables by name, texts of statements,
// statistics, files or memory of others, or that act on the server.
var dangerous = words(`query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema
	table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema
	schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema
	ts_stat ts_rewrite set_config pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_promote
	pg_logical_emit_message pg_notify pg_stat_get_activity pg_stat_get_backend_activity pg_mcv_list_items
	pg_stat_get_backend_client_addr pg_stat_file pg_cursor pg_prepared_statement pg_import_system_collations
	pg_get_multixact_members pg_switch_wal pg_create_restore_point pg_hba_file_rules pg_ident_file_mappings
	pg_show_all_file_settings pg_get_backend_memory_contexts pg_log_backend_memory_contexts pg_stat_get_wal_receiver
	pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup
	setval loread lowrite lo currtid currtid2 get_raw_page heap_page_items binary_upgrade`)

var dangerousPrefixes = []string{
	"pg_read_", "pg_ls_", "lo_", "dblink", "pg_logical_", "pg_replication_", "pg_create_", "pg_drop_", "pg_copy_",
	"pg_advisory_", "pg_try_advisory_", "pg_stat_reset", "binary_upgrade_", "pg_wal_replay_", "pg_file_", "pg_clear_",
	"pg_restore_", "brin_", "gin_clean_", "plpgsql_", "RI_FKey_",
}

// volatileHarmless are built-in functions marked volatile because their results
// change, not because they do anything that outlives the statement. nextval moves a
// sequence, which every default does.
// extensionHarmless are the volatile functions of trusted extensions that only give a
// value: random ones.
var extensionHarmless = words(`gen_random_uuid gen_random_bytes gen_salt pgp_sym_encrypt pgp_sym_encrypt_bytea pgp_pub_encrypt pgp_pub_encrypt_bytea
	uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 st_generatepoints`)

var volatileHarmless = words(`random random_normal setseed clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7
	pg_sleep pg_sleep_for pg_sleep_until nextval currval lastval pg_relation_size pg_total_relation_size pg_table_size
	pg_indexes_size pg_database_size pg_tablespace_size pg_is_in_recovery pg_last_wal_receive_lsn
	pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_current_wal_lsn pg_current_wal_insert_lsn
	pg_current_wal_flush_lsn pg_is_wal_replay_paused pg_partition_tree pg_partition_ancestors pg_relation_filenode
	pg_relation_filepath pg_lock_status pg_blocking_pids pg_safe_snapshot_blocking_pids pg_get_sequence_data
	pg_isolation_test_session_is_blocked pg_my_temp_schema pg_notification_queue_usage pg_sequence_last_value pg_export_snapshot
	pg_get_publication_tables pg_timezone_abbrevs pg_available_extensions pg_available_extension_versions
	pg_extension_update_paths pg_jit_available pg_current_logfile txid_current pg_current_xact_id txid_status pg_xact_status
	pg_collation_actual_version pg_database_collation_actual_version pg_config pg_show_replication_origin_status`)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// Wrote reports whether a routine of the users has this SQLSTATE in its source, as a
// constant.
func (s *Snapshot) Wrote(state string) bool {
	if s == nil {
		return false
	}
	for _, list := range s.routines {
		for _, r := range list {
			if strings.Contains(r.Body, "'"+state+"'") {
				return true
			}
		}
	}
	return false
}
