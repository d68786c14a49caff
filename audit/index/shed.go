package index

import (
	"fmt"

	"github.com/sluicehq/sluice/audit"
)

// shed drops what the record no longer has: rows, blocks, places and words of entries that
// were removed. Names and shapes of statements stay, which hold no values. It needs mu.
func (x *Index) shed() error {
	first, err := audit.RemovedBefore(x.cfg.Record)
	if err != nil || first <= x.first || first > x.place.Seq {
		return err
	}
	tx, err := x.db.Begin()
	if err != nil {
		return fmt.Errorf("take removed entries out of the index: %w", err)
	}
	for _, q := range []struct {
		query string
		below int64
	}{
		{"DELETE FROM event WHERE seq < ?", int64(first)},
		{"DELETE FROM block WHERE id < ?", int64(first / blockEntries)},
		{"DELETE FROM place WHERE id < ?", int64(first / placeEntries)},
		{"DELETE FROM word WHERE rowid < ?", int64(first / wordEntries << wordShift)},
		{"DELETE FROM approval WHERE event < ?", int64(first)},
		{"DELETE FROM part WHERE event < ?", int64(first)},
	} {
		if _, err := tx.Exec(q.query, q.below); err != nil {
			_ = tx.Rollback() // err is the cause
			return fmt.Errorf("take removed entries out of the index: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("take removed entries out of the index: %w", err)
	}
	x.first, x.edge = first, nil // rows of removed entries may be in it
	x.cfg.Log.Info("what was removed from the record is out of its index", "before", first)
	return nil
}
