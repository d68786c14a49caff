package catalog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Reader reads the catalogue of one database again and again. The first time it reads
// everything; then it finds what was written since, reads what that may have changed,
// and puts a snapshot together from this and what it had. The result is what reading
// everything would give: where that is not certain, it does read everything. It is for
// one connection, and one caller at a time.
type Reader struct {
	Conn *pgx.Conn

	rows       *rows // nil if everything must be read
	at         moment
	sum        uint64 // of the snapshot last put together
	tallies    tallies
	count      map[string]int64 // of rows, by catalogue
	versions   map[string][]string
	attributes map[uint32]int16
	namespaces map[uint32]string

	whole int // how often everything was read
}

// Read gives the catalogue as it is. Labels of previous, which may be nil, are kept for
// columns that are still there, found by relation and attribute number, so that a
// rename does not lose them; what was known to be clean is kept only if name and type
// are the same. If nothing changed that counts, the answer is previous itself: what
// sessions keep for themselves, and the planner's row counts, do not count.
func (r *Reader) Read(ctx context.Context, previous *Snapshot) (*Snapshot, error) {
	tx, err := r.Conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin reading the catalogue: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written

	// An empty path makes format_type and pg_get_viewdef print every schema, so that
	// a view's text means the same whoever reads it.
	if _, err := tx.Exec(ctx, "set local search_path = ''"); err != nil {
		return nil, fmt.Errorf("empty the search path: %w", err)
	}
	s, err := r.read(ctx, tx, previous)
	if err != nil {
		r.rows = nil // half of it may be new
	}
	return s, err
}

func (r *Reader) read(ctx context.Context, tx pgx.Tx, previous *Snapshot) (*Snapshot, error) {
	var database string
	if err := tx.QueryRow(ctx, "select pg_catalog.current_database()").Scan(&database); err != nil {
		return nil, fmt.Errorf("ask for the database's name: %w", err)
	}
	identity, err := identify(ctx, tx)
	if err != nil {
		return nil, err
	}
	differs, err := r.renew(ctx, tx)
	if err != nil {
		return nil, err
	}
	if !differs && previous != nil && previous.sum == r.sum && previous.Database == database && previous.Identity == identity {
		return previous, nil
	}
	s, err := assemble(ctx, tx, r.rows, database, identity, previous)
	if err != nil {
		return nil, err
	}
	r.sum = s.sum
	return s.after(previous), nil
}

// renew brings the rows up to date, and reports whether any that count differ.
func (r *Reader) renew(ctx context.Context, tx pgx.Tx) (differs bool, err error) {
	var since *moment
	if r.rows != nil {
		since = &r.at
	}
	l, err := look(ctx, tx, since)
	if err != nil {
		return false, err
	}
	if r.rows != nil && l.within(r.at) {
		differs, ok, err := r.patch(ctx, tx, l)
		if ok || err != nil {
			return differs, err
		}
	}
	return true, r.readAll(ctx, tx, l)
}

// readAll reads everything.
func (r *Reader) readAll(ctx context.Context, tx pgx.Tx, l *looked) (err error) {
	r.whole++
	r.rows = newRows()
	if err := r.rows.readAll(ctx, tx); err != nil {
		return err
	}
	if r.tallies, err = readTallies(ctx, tx, nil); err != nil {
		return err
	}
	r.keep(l)
	if !r.complete(l) {
		r.at.server = "" // of no use for what comes next
	}
	return nil
}

// keep remembers what the next look is compared with.
func (r *Reader) keep(l *looked) {
	r.at, r.namespaces, r.count, r.versions = l.moment, l.namespaces, l.count, l.versions
	r.attributes = make(map[uint32]int16, len(l.relations))
	for oid, s := range l.relations {
		r.attributes[oid] = s.attributes
	}
}

// complete reports whether there are as many rows as were seen. Rows that were not read
// again are all older than the moment before, so what is left of them was there then:
// if none is missing, they are the same.
func (r *Reader) complete(l *looked) bool {
	var attributes int64
	for _, n := range r.attributes {
		attributes += int64(n)
	}
	if attributes != l.count["attribute"] || int64(len(r.rows.routines)) != l.count["proc"] ||
		r.rows.edges.size() != l.count["depend"] || len(r.rows.types) != len(l.types) {
		return false
	}
	for part, list := range r.tallies {
		var n int64
		for _, rows := range list {
			n += rows
		}
		if n != l.count[part] {
			return false
		}
	}
	return true
}
