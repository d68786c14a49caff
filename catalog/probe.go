package catalog

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// moment says when and where something was read: transactions below oldest were over,
// so that a row which is visible later and was not then is of oldest or a later one.
type moment struct {
	oldest, next int64  // transactions, with their epoch
	server       string // the process of the server, and the settings by which it prints texts
}

const momentSQL = `
select pg_catalog.txid_snapshot_xmin(s), pg_catalog.txid_snapshot_xmax(s),
       pg_catalog.concat_ws(E'\n', pg_catalog.pg_backend_pid(), pg_catalog.pg_postmaster_start_time()::text, pg_catalog.current_database(), session_user, current_user,
         pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('TimeZone'),
         pg_catalog.current_setting('extra_float_digits'), pg_catalog.current_setting('bytea_output'), pg_catalog.current_setting('lc_monetary'),
         pg_catalog.current_setting('lc_numeric'), pg_catalog.current_setting('quote_all_identifiers'),
         pg_catalog.current_setting('standard_conforming_strings'), pg_catalog.current_setting('xmlbinary'))
from pg_catalog.txid_current_snapshot() s`

// xid is a transaction's number as rows have it.
func (m moment) xid() string { return strconv.FormatUint(uint64(uint32(m.oldest)), 10) }

// maxAge is after how many transactions nothing is said of a moment any more. Numbers of
// transactions in rows come round after four times as many.
const maxAge = 1 << 30

// within reports whether rows can be compared with what was read at an older moment.
func (m moment) within(old moment) bool {
	return m.server == old.server && m.next >= old.next && m.oldest >= old.oldest && m.next-old.oldest < maxAge
}

// looked is what a look at the catalogues found: how many rows each has, and to what
// those belong that were written since a moment.
type looked struct {
	moment
	count      map[string]int64
	fresh      map[string][]uint32 // relations, or whatever else the catalogue is of
	freshTypes map[string][]uint32
	versions   map[string][]string // of fresh rows of the general catalogues
	relations  map[uint32]standing // all, indexes and composite types too
	types      map[uint32]bool     // domains, enums and base types
	namespaces map[uint32]string
}

// standing is what there is to a relation that changes without a new row, and how many
// attributes it has, which does not.
type standing struct {
	attributes int16
	tuples     float64
}

// counted are catalogues whose rows belong to relations or types, and are counted for
// each of these, since one that is dropped leaves nothing else behind.
var counted = []struct{ part, from, relation, typ string }{
	{"constraint", "pg_catalog.pg_constraint", "conrelid", "contypid"},
	{"trigger", "pg_catalog.pg_trigger where not tgisinternal", "tgrelid", "0"},
	{"rewrite", "pg_catalog.pg_rewrite", "ev_class", "0"},
	{"attrdef", "pg_catalog.pg_attrdef", "adrelid", "0"},
	{"index", "pg_catalog.pg_index where (indisunique or indexprs is not null or indpred is not null)", "indrelid", "0"},
	{"policy", "pg_catalog.pg_policy", "polrelid", "0"},
	{"inherits", "pg_catalog.pg_inherits", "inhrelid", "0"},
	{"description", "pg_catalog.pg_description where classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and objsubid > 0", "objoid", "0"},
	{"enum", "pg_catalog.pg_enum", "0", "enumtypid"},
}

// general are catalogues on which texts and names depend in ways that are not followed,
// and that hardly ever change: if one does, everything is read.
var general = strings.Fields("pg_operator pg_collation pg_opclass pg_amop pg_language pg_range pg_ts_config pg_ts_dict pg_extension")

// isFresh is true of rows that were written by a transaction which was not over at the
// moment $1. Age compares as transactions do; rows of initdb are the oldest.
const isFresh = `pg_catalog.age(xmin) <= (select x from since)`

// probeSQL looks at each catalogue once.
var probeSQL = func() string {
	var b strings.Builder
	b.WriteString("with since as materialized (select pg_catalog.age($1::text::pg_catalog.xid) as x)\n")
	look := func(part, from, key, typ string) {
		agg := func(key string) string {
			if key == "0" {
				return "'{}'::oid[]"
			}
			return "coalesce(array_agg(" + key + "::oid) filter (where " + isFresh + "), '{}')"
		}
		b.WriteString("select '" + part + "', count(*), " + agg(key) + ", " + agg(typ) + ", '{}'::text[] from " + from + "\nunion all ")
	}
	look("class", "pg_catalog.pg_class", "oid", "0")
	look("attribute", "pg_catalog.pg_attribute where attnum > 0", "distinct attrelid", "0")
	look("type", "pg_catalog.pg_type", "oid", "0")
	look("proc", "pg_catalog.pg_proc", "oid", "0")
	look("aggregate", "pg_catalog.pg_aggregate", "aggfnoid", "0")
	look("depend", "pg_catalog.pg_depend where "+hangs, "classid", "objid")
	for _, c := range counted {
		look(c.part, c.from, c.relation, c.typ)
	}
	for _, part := range general {
		b.WriteString("select '" + part + "', count(*), '{}', '{}', coalesce(array_agg(ctid::text || xmin::text) filter (where " + isFresh + "), '{}')" +
			" from pg_catalog." + part + "\nunion all ")
	}
	b.WriteString("select 'types', 0, array_agg(oid), '{}', '{}' from pg_catalog.pg_type where typtype in ('d', 'e', 'b')")
	return b.String()
}()

const standingSQL = `select array_agg(oid), array_agg(relnatts), array_agg(reltuples::float8) from pg_catalog.pg_class`

// look finds what was written since a moment; of the first look nothing is known before.
func look(ctx context.Context, tx pgx.Tx, since *moment) (*looked, error) {
	l := &looked{count: map[string]int64{}, fresh: map[string][]uint32{}, freshTypes: map[string][]uint32{},
		versions: map[string][]string{}, types: map[uint32]bool{}, namespaces: map[uint32]string{}}
	if err := tx.QueryRow(ctx, momentSQL).Scan(&l.oldest, &l.next, &l.server); err != nil {
		return nil, wrapRead("which transactions are over", err)
	}
	if since == nil {
		since = &l.moment
	}
	var part string
	var n int64
	var keys, types []uint32
	var versions []string
	err := each(ctx, tx, "what changed", probeSQL, []any{&part, &n, &keys, &types, &versions}, func() {
		if part == "types" {
			for _, oid := range keys {
				l.types[oid] = true
			}
			return
		}
		l.count[part], l.fresh[part], l.freshTypes[part] = n, slices.Clone(keys), slices.Clone(types)
		l.versions[part] = slices.Clone(versions)
	}, since.xid())
	if err != nil {
		return nil, err
	}
	var oids []uint32
	var attributes []int16
	var tuples []float64
	if err := tx.QueryRow(ctx, standingSQL).Scan(&oids, &attributes, &tuples); err != nil {
		return nil, wrapRead("which relations there are", err)
	}
	l.relations = make(map[uint32]standing, len(oids))
	for i, oid := range oids {
		l.relations[oid] = standing{attributes[i], tuples[i]}
	}
	var oid uint32
	var name string
	err = each(ctx, tx, "schemas", "select oid, nspname from pg_catalog.pg_namespace", []any{&oid, &name}, func() { l.namespaces[oid] = name })
	return l, err
}

// tallies are counts of rows by what they belong to, for each catalogue of counted.
type tallies map[string]map[owner]int64

// readTallies counts anew in some of these.
func readTallies(ctx context.Context, tx pgx.Tx, parts map[string]bool) (tallies, error) {
	t := tallies{}
	var list []string
	for _, c := range counted {
		if parts == nil || parts[c.part] {
			t[c.part] = map[owner]int64{}
			list = append(list, "select '"+c.part+"', "+c.relation+"::oid, "+c.typ+"::oid, count(*) from "+c.from+" group by 2, 3")
		}
	}
	if len(list) == 0 {
		return t, nil
	}
	var part string
	var o owner
	var n int64
	err := each(ctx, tx, "how many there are", strings.Join(list, "\nunion all "), []any{&part, &o.relation, &o.typ, &n}, func() { t[part][o] = n })
	return t, err
}
