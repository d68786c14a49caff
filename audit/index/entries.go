package index

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/sluicehq/sluice/audit"
)

// Entries answers f with entries as they stand in the record. One by its ID, and those
// that belong to it, are found at once; other questions read the record.
func (x *Index) Entries(ctx context.Context, f audit.Filter) (Answer, error) {
	f.Whole = false
	id := f.ID
	if id == "" {
		id = f.Of
	}
	seq, ok := seqOf(id)
	if !ok {
		res, err := audit.Query(ctx, x.cfg.Record, f)
		return Answer{Events: res.Events, Next: res.Next}, err
	}
	var events []audit.Event
	scanned, err := x.ask(ctx, audit.Filter{}, func(q *question) (err error) {
		q.Filter = f
		events = nil
		if f.ID != "" {
			events, err = q.one(int64(seq))
		} else {
			events, err = q.belonging(int64(seq))
		}
		return err
	})
	if scanned == "" || err != nil {
		return Answer{Events: events}, err
	}
	res, err := audit.Query(ctx, x.cfg.Record, f)
	return Answer{Events: res.Events, Next: res.Next, Scanned: scanned}, err
}

// one gives the entry with the ID, if the question chooses it.
func (q *question) one(seq int64) ([]audit.Event, error) {
	line, err := q.entry(seq)
	if err != nil {
		return nil, ignoreGone(err)
	}
	ev, err := audit.Decode(line)
	if err != nil || !q.Matches(&ev) {
		return nil, err
	}
	return []audit.Event{ev}, nil
}

// belonging gives what belongs to a statement: it stands between it and its ending.
func (q *question) belonging(seq int64) ([]audit.Event, error) {
	at := audit.Place{Seq: uint64(seq / placeEntries * placeEntries)}
	var ending int64
	err := q.tx.QueryRowContext(q.ctx, "SELECT offset, coalesce((SELECT ending FROM event WHERE seq=?), 0) FROM place WHERE id=?", seq, seq/placeEntries).Scan(&at.Offset, &ending)
	if err != nil {
		return nil, ignoreGone(err)
	}
	var events []audit.Event
	name := []byte(`"of":"` + q.Of + `"`)
	_, err = audit.Forward(q.ctx, q.record, at, func(p audit.Place, line []byte) error {
		if bytes.Contains(line, name) {
			ev, err := audit.Decode(line)
			if err != nil {
				return err
			}
			if q.Matches(&ev) && len(events) < maxLimit {
				events = append(events, ev)
			}
		}
		if ending > 0 && p.Seq >= uint64(ending) {
			return errEnough
		}
		return nil
	})
	slices.Reverse(events)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return events, err
}

// ignoreGone: an ID that was made up names no entry.
func ignoreGone(err error) error {
	if errors.Is(err, errGone) || errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
