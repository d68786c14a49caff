package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

const (
	// batchEntries is how many entries one transaction takes in.
	batchEntries = 4 * blockEntries
	// placeEntries is how many entries there are between two whose place is kept.
	placeEntries = 32
)

// batch is one transaction under way.
type batch struct {
	*statements
	dict   *dictionary
	edge   *edge
	from   uint64      // first entry
	place  audit.Place // after the last entry
	last   string      // entry taken in, and where it stands
	lastAt int64
	places []any               // rows of the table
	words  map[uint64]*wording // of wordEntries entries
	late   map[int64]bool      // full blocks with statements that ended now
	n      uint64
	most   uint64 // for n
}

var errClosed = errors.New("the index is closed")

// grow takes in at most limit entries, 0 for all, in transactions. It needs mu.
func (x *Index) grow(ctx context.Context, limit uint64) (bool, error) {
	if x.closed {
		return false, errClosed
	}
	if x.db == nil {
		if err := x.open(); err != nil {
			return false, err
		}
	}
	if x.cfg.Flush != nil {
		if err := x.cfg.Flush(); err != nil && !errors.Is(err, audit.ErrClosed) {
			return false, err
		}
	}
	if err := x.shed(); err != nil {
		return false, err
	}
	for taken := uint64(0); ; {
		n, err := x.step(ctx)
		if err != nil {
			x.dict, x.edge = newDictionary(), nil // they may know what was rolled back
			return false, err
		}
		taken += n
		if n < x.cfg.batch {
			return true, nil
		}
		if limit > 0 && taken >= limit {
			return false, nil
		}
	}
}

// step takes in one batch, and gives how many entries that were.
func (x *Index) step(ctx context.Context) (n uint64, err error) {
	if more, err := x.more(ctx); err != nil || !more {
		return 0, err
	}
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("index the record: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("index the record: %w", err)
			_ = tx.Rollback() // err is the cause, or it was rolled back already
		}
	}()
	// Another process may have gone on with it meanwhile.
	var seq, offset string
	if err := tx.QueryRow("SELECT (SELECT value FROM about WHERE key='seq'), (SELECT value FROM about WHERE key='offset')").Scan(&seq, &offset); err != nil {
		return 0, err
	}
	b := &batch{
		statements: &statements{tx: tx, made: map[string]*sql.Stmt{}}, dict: x.dict, most: x.cfg.batch,
		words: map[uint64]*wording{}, late: map[int64]bool{},
	}
	if b.place, err = placeOf(seq, offset); err != nil {
		return 0, err
	}
	if first, err := audit.RemovedBefore(x.cfg.Record); err != nil {
		return 0, err
	} else if b.place.Seq < first { // what was removed before it was taken in
		b.place = audit.Place{Seq: first}
	}
	b.from = b.place.Seq
	if x.edge == nil || x.edge.next() != b.from {
		x.edge = &edge{from: b.from}
	}
	b.edge = x.edge
	if b.place, err = x.follow.Forward(ctx, b.place, b.take); err != nil && !errors.Is(err, errEnough) {
		return 0, err
	}
	if b.n > 0 {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	x.edge.trim()
	x.place = b.place
	x.taken.Store(b.place.Seq)
	return b.n, nil
}

// more says whether the record has grown, without a transaction.
func (x *Index) more(ctx context.Context) (bool, error) {
	from := x.place
	if first, err := audit.RemovedBefore(x.cfg.Record); err != nil {
		return false, err
	} else if from.Seq < first {
		from = audit.Place{Seq: first}
	}
	_, err := x.follow.Forward(ctx, from, func(*audit.Entry) error { return errEnough })
	if errors.Is(err, errEnough) {
		return true, nil
	}
	return false, err
}

// take takes in one entry.
func (b *batch) take(e *audit.Entry) error {
	if b.n == b.most {
		return errEnough
	}
	at, ev := e.Place, &e.Event
	b.n++
	b.last, b.lastAt = e.Line, at.Offset
	if at.Seq%placeEntries == 0 {
		b.places = append(b.places, int64(at.Seq/placeEntries), at.Offset)
	}
	of, linked := seqOf(ev.Of)
	about := at.Seq
	if ev.Kind == audit.Finished && linked {
		about = of
	}
	b.note(about, ev)
	switch {
	case ev.Kind == audit.Finished:
		b.edge.skip()
		if !linked {
			return nil
		}
		return b.end(of, at.Seq, ev)
	case ev.Kind == audit.Answered && linked:
		for _, who := range ev.Approvers {
			if err := b.run("INSERT OR IGNORE INTO approval VALUES (?,?,?)", int64(of), int64(at.Seq), who); err != nil {
				return err
			}
		}
	}
	return b.add(at.Seq, ev)
}

// seqOf is the place in the record that an ID names.
func seqOf(id string) (uint64, bool) {
	i := strings.LastIndexByte(id, '-')
	if i < 0 {
		return 0, false
	}
	seq, err := strconv.ParseUint(id[i+1:], 10, 63)
	return seq, err == nil
}

// add makes a row of an event that is not an ending.
func (b *batch) add(seq uint64, ev *audit.Event) error {
	row := [columns]int64{colSeq: int64(seq), colTime: ev.Time.UnixMicro(), colRows: ev.Rows, colBytes: ev.Bytes, colMasked: ev.Masked}
	var err error
	for _, f := range [...]struct {
		col  int
		text string
	}{{colKind, string(ev.Kind)}, {colEffect, ev.Effect}, {colRule, ev.Rule}, {colOutcome, ev.Outcome}} {
		if row[f.col], err = b.dict.text(b.statements, "name", b.dict.names, f.text); err != nil {
			return err
		}
	}
	if row[colSession], err = b.dict.text(b.statements, "session", b.dict.sessions, ev.Session); err != nil {
		return err
	}
	if row[colActor], err = b.dict.actor(b.statements, ev); err != nil {
		return err
	}
	if row[colShape], err = b.dict.shape(b.statements, ev); err != nil {
		return err
	}
	b.edge.add(&row)
	return b.part(seq, ev)
}

// part notes of which runs an event is part, and whose: those of jobs and of runbooks.
func (b *batch) part(seq uint64, ev *audit.Event) error {
	for _, r := range [...]struct{ id, of string }{{ev.Run, ev.Job}, {ev.RunbookRun, ev.Runbook}} {
		if r.id == "" {
			continue
		}
		run, err := b.dict.text(b.statements, "run", b.dict.runs, r.id)
		if err != nil {
			return err
		}
		if r.of != "" && (ev.Kind == audit.RunBegan || ev.Kind == audit.Claimed || ev.Kind == audit.Ran) {
			if err := b.run("UPDATE run SET job=? WHERE id=?", r.of, run); err != nil {
				return err
			}
		}
		if err := b.run("INSERT OR IGNORE INTO part VALUES (?,?)", run, int64(seq)); err != nil {
			return err
		}
	}
	return nil
}

// end adds to a statement how it ended.
func (b *batch) end(of, seq uint64, ev *audit.Event) error {
	outcome, err := b.dict.text(b.statements, "name", b.dict.names, ev.Outcome)
	if err != nil {
		return err
	}
	row := b.edge.row(of)
	if row != nil {
		row[colOutcome], row[colRows], row[colBytes], row[colMasked], row[colEnding] = outcome, ev.Rows, ev.Bytes, ev.Masked, int64(seq)
	}
	if row != nil && of >= b.from {
		return nil
	}
	b.late[int64(of/blockEntries)] = true
	return b.run("UPDATE event SET outcome=?, rows=?, bytes=?, masked=?, ending=? WHERE seq=?", outcome, ev.Rows, ev.Bytes, ev.Masked, int64(seq), int64(of))
}

// flush writes what was taken in.
func (b *batch) flush() error {
	rows := b.edge.since(b.from)
	values := make([]any, 0, len(rows)*columns)
	for i := range rows {
		for _, v := range rows[i] {
			values = append(values, v)
		}
	}
	if err := errors.Join(b.many("INSERT INTO event VALUES ", columns, values), b.many("INSERT OR REPLACE INTO place VALUES ", 2, b.places)); err != nil {
		return err
	}
	// In order: what comes out of it has SQLite write out what it has gathered.
	for _, block := range slices.Sorted(maps.Keys(b.words)) {
		w := b.words[block]
		if len(w.words) == 0 {
			continue
		}
		// The same block may have words of several transactions; the last entry taken
		// in tells them apart.
		rest := min(b.place.Seq-block*wordEntries, 1<<wordShift-1)
		if err := b.run("INSERT INTO word (rowid, words) VALUES (?,?)", int64(block<<wordShift|rest), w.text.String()); err != nil {
			return err
		}
	}
	full := int64(b.place.Seq / blockEntries)
	for id := int64(b.from / blockEntries); id < full; id++ {
		b.late[id] = true
	}
	for id := range b.late {
		if id < full {
			if err := b.block(id); err != nil {
				return err
			}
		}
	}
	return b.run("UPDATE about SET value = CASE key WHEN 'seq' THEN ? WHEN 'offset' THEN ? ELSE ? END WHERE key IN ('seq','offset','last')",
		strconv.FormatUint(b.place.Seq, 10), strconv.FormatInt(b.place.Offset, 10), strconv.FormatInt(b.lastAt, 10)+" "+lineHash([]byte(b.last)))
}

// wordShift is how many bits of a row's number in word tell apart those of one block.
const wordShift = 36

// block packs the events of a full block.
func (b *batch) block(id int64) error {
	p := &page{}
	if !b.edge.page(id, p) {
		if err := b.readBlock(id, p); err != nil {
			return err
		}
	}
	var first, last int64
	for i, at := range p.col(colTime) {
		if i == 0 {
			first, last = at, at
		}
		first, last = min(first, at), max(last, at)
	}
	return b.run("INSERT OR REPLACE INTO block VALUES (?,?,?,?)", id, first, last, p.pack())
}

// readBlock reads the events of a block.
func (b *batch) readBlock(id int64, p *page) error {
	st, err := b.prepared("SELECT * FROM event WHERE seq BETWEEN ? AND ? ORDER BY seq")
	if err != nil {
		return err
	}
	rows, err := st.Query(id*blockEntries, (id+1)*blockEntries-1)
	if err != nil {
		return err
	}
	return readPage(rows, p)
}

// readPage appends rows of the table event to p, and closes them.
func readPage(rows *sql.Rows, p *page) error {
	defer rows.Close()
	var r [columns]int64
	var to [columns]any
	for i := range r {
		to[i] = &r[i]
	}
	for rows.Next() {
		if err := rows.Scan(to[:]...); err != nil {
			return err
		}
		p.add(&r)
	}
	return rows.Err()
}
