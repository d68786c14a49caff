package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

// Budget bounds what Sample reads. Zero fields mean the defaults.
type Budget struct {
	Tables int // tables read beyond what the statistics hold; default DefaultTables
	Rows   int // rows read of each; default 200
	Values int // values kept of each column; default 200

	// Only, if set, are the relations whose columns are sampled, from their rows and not
	// from what ANALYZE collected: their content has changed.
	Only map[query.Ref]bool
}

// DefaultTables is how many tables are read at once: with 300 rows each some 1.5 s of a
// core of the server's, and a gateway reads them every ten minutes.
const DefaultTables = 2000

// A value longer than this says no more about its column.
const sampleBytes = 2000

// Timeouts of the reading of one table: a sample must not wait for others' locks or
// hold up anyone.
const (
	tableTimeout = "500ms"
	lockTimeout  = "50ms"
	statsTimeout = "30s" // one query for all statistics
)

func (b Budget) orDefault() Budget {
	if b.Tables == 0 {
		b.Tables = DefaultTables
	}
	if b.Rows == 0 {
		b.Rows = 200
	}
	if b.Values == 0 {
		b.Values = 200
	}
	return b
}

// Sample reads values of columns as text, as evidence for labels: first what
// ANALYZE has already collected, then a few rows of the tables that it has no
// values of. It only reads. A table that cannot be read is left out; the error then
// says which, joined with others, and the samples are good nevertheless. Foreign
// tables and views are not read: that would run things elsewhere.
func Sample(ctx context.Context, conn *pgx.Conn, snap *Snapshot, budget Budget) (map[query.Ref][]string, error) {
	budget = budget.orDefault()
	samples, whole := map[query.Ref][]string{}, map[query.Ref]bool{}
	var problems []error
	if budget.Only == nil {
		if err := sampleStatistics(ctx, conn, snap, budget, samples, whole); err != nil {
			problems = append(problems, err)
		}
	}
	list := snap.unread(samples, whole, budget)
	for _, u := range list[:min(len(list), budget.Tables)] {
		if err := ctx.Err(); err != nil {
			return samples, errors.Join(append(problems, err)...)
		}
		if err := sampleTable(ctx, conn, u.entry, u.columns, budget, samples); err != nil {
			problems = append(problems, err)
		}
	}
	return samples, errors.Join(problems...)
}

// unread is a table of which the statistics do not say enough.
type unread struct {
	entry   *entry
	columns []Column
}

// unread are such tables: first those of which nothing is known, and otherwise in any
// order, so that another time others are read, if they are more than can be.
func (s *Snapshot) unread(samples map[query.Ref][]string, whole map[query.Ref]bool, budget Budget) []unread {
	var list, known []unread
	for _, e := range s.entries() {
		if budget.Only != nil && !budget.Only[query.Ref{Schema: e.rel.Schema, Table: e.rel.Name}] {
			continue
		}
		columns, nothing := e.unsampled(samples, whole, min(enoughValues, budget.Values))
		switch {
		case len(columns) == 0:
		case nothing:
			list = append(list, unread{e, columns})
		default:
			known = append(known, unread{e, columns})
		}
	}
	for _, l := range [][]unread{list, known} {
		rand.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
	}
	return append(list, known...)
}

const statisticsSQL = `
select schemaname, tablename, attname,
       coalesce(most_common_vals::text::text[], '{}'), coalesce(histogram_bounds::text::text[], '{}'), n_distinct, null_frac
from pg_catalog.pg_stats
where schemaname not in ('pg_catalog', 'information_schema') and schemaname !~ '^pg_(toast|temp)'
order by inherited`

func sampleStatistics(ctx context.Context, conn *pgx.Conn, snap *Snapshot, budget Budget, samples map[query.Ref][]string, whole map[query.Ref]bool) error {
	return inReadOnly(ctx, conn, statsTimeout, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, statisticsSQL)
		if err != nil {
			return fmt.Errorf("read statistics: %w", err)
		}
		var ref query.Ref
		var common, bounds []*string
		var distinct, null float32
		_, err = pgx.ForEachRow(rows, []any{&ref.Schema, &ref.Table, &ref.Column, &common, &bounds, &distinct, &null}, func() error {
			c, ok := snap.Column(ref.Schema, ref.Table, ref.Column)
			if !ok || !worthReading(c.TypeOID) {
				return nil
			}
			// All values are among these, or there are none.
			whole[ref] = null == 1 || distinct > 0 && len(common)+len(bounds) >= int(distinct)
			for _, v := range slices.Concat(common, bounds) {
				if v != nil && len(samples[ref]) < budget.Values {
					samples[ref] = append(samples[ref], cut(*v))
				}
			}
			if whole[ref] {
				rel, _ := snap.Relation(ref.Schema, ref.Table)
				samples[ref] = repeated(samples[ref], min(enoughValues, budget.Values, int(rel.Rows*float64(1-null))))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read statistics: %w", err)
		}
		return nil
	})
}

// enoughValues from the statistics make a reading of the table unnecessary.
const enoughValues = 20

// repeated gives values that stand for all rows as often as so many rows would have them:
// that a column has two values in a million rows is more to judge by than two rows.
func repeated(values []string, rows int) []string {
	for i := 0; len(values) > 0 && len(values) < rows; i++ {
		values = append(values, values[i])
	}
	return values
}

// unsampled are the columns of a table that are worth reading and of which the
// statistics had too few values to judge; nothing tells that they had none of the table.
func (e *entry) unsampled(samples map[query.Ref][]string, whole map[query.Ref]bool, enough int) (out []Column, nothing bool) {
	if !e.stored || e.system || isTemporary(e.rel.Schema) {
		return nil, false
	}
	nothing = true
	for _, c := range e.columns {
		ref := query.Ref{Schema: e.rel.Schema, Table: e.rel.Name, Column: c.Name}
		nothing = nothing && len(samples[ref]) == 0
		if worthReading(c.TypeOID) && len(samples[ref]) < enough && !whole[ref] {
			out = append(out, c)
		}
	}
	return out, nothing
}

// worthReading leaves out types that hold nothing personal by themselves.
func worthReading(oid uint32) bool {
	switch oid {
	case 16, 17, 18, 21, 26, 28, 29, 700, 701, 790, 1083, 1114, 1184, 1186, 1266, 2950, 3614, 3615:
		return false
	}
	return true
}

func sampleTable(ctx context.Context, conn *pgx.Conn, e *entry, columns []Column, budget Budget, samples map[query.Ref][]string) error {
	return inReadOnly(ctx, conn, tableTimeout, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sampleSQL(e, columns, budget.Rows))
		if err != nil {
			return fmt.Errorf("sample %s.%s: %w", e.rel.Schema, e.rel.Name, err)
		}
		defer rows.Close()
		read := make([][]string, len(columns))
		for rows.Next() {
			for i, raw := range rows.RawValues() {
				if raw != nil && len(read[i]) < budget.Values {
					read[i] = append(read[i], string(raw))
				}
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("sample %s.%s: %w", e.rel.Schema, e.rel.Name, err)
		}
		for i, c := range columns {
			ref := query.Ref{Schema: e.rel.Schema, Table: e.rel.Name, Column: c.Name}
			if len(read[i]) > len(samples[ref]) {
				samples[ref] = read[i]
			}
		}
		return nil
	})
}

// bigTable is the number of rows from which whole pages are picked at random, so
// that the sample is not all from the oldest rows.
const bigTable = 10_000

func sampleSQL(e *entry, columns []Column, rows int) string {
	var b strings.Builder
	b.WriteString("select ")
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "pg_catalog.left(%s::pg_catalog.text, %d)", pgx.Identifier{c.Name}.Sanitize(), sampleBytes)
	}
	fmt.Fprintf(&b, " from only %s", pgx.Identifier{e.rel.Schema, e.rel.Name}.Sanitize())
	if e.rows >= bigTable {
		// Ten times what is needed: pages differ in how full they are.
		fmt.Fprintf(&b, " tablesample system (%.6f)", min(100, float64(rows)*1000/e.rows))
	}
	fmt.Fprintf(&b, " limit %d", rows)
	return b.String()
}

// inReadOnly runs f in a transaction of its own that cannot write and ends soon.
func inReadOnly(ctx context.Context, conn *pgx.Conn, timeout string, f func(pgx.Tx) error) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin a sample: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	_, err = tx.Exec(ctx, "set local statement_timeout = '"+timeout+"'; set local lock_timeout = '"+lockTimeout+"'")
	if err != nil {
		return fmt.Errorf("limit the time of a sample: %w", err)
	}
	return f(tx)
}

func cut(s string) string {
	if len(s) > sampleBytes {
		return s[:sampleBytes]
	}
	return s
}
