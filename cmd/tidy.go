package cmd

import (
	"context"
	"time"

	"github.com/sluicehq/sluice/audit"
)

const (
	// tidyEvery is how often old segments of the record are looked for; the first time is
	// a while after the start, which has enough to do.
	tidyEvery = time.Hour
	firstTidy = time.Minute
	// defaultPack is after how long segments are packed: what is asked most is younger.
	defaultPack = 7 * 24 * time.Hour
	// minKeep keeps a slip of the pen from emptying a record.
	minKeep = 24 * time.Hour
)

func (r recordConfig) tidying() audit.Tidying {
	t := audit.Tidying{Pack: time.Duration(r.Pack), Keep: time.Duration(r.Keep)}
	if t.Pack == 0 {
		t.Pack = defaultPack
	}
	return t
}

// tidy packs and removes old segments of the record until ctx is done. None goes that is
// still to be handed on, or to be taken in by the index.
func (h *house) tidy(ctx context.Context) {
	if h.tidying == (audit.Tidying{}) {
		return
	}
	wait := time.NewTimer(firstTidy)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		h.tidyOnce(ctx)
		wait.Reset(tidyEvery)
	}
}

func (h *house) tidyOnce(ctx context.Context) {
	t := h.tidying
	t.Needed = min(h.index.Place(), h.lineage.Place())
	for _, x := range h.exports {
		t.Needed = min(t.Needed, x.Place())
	}
	done, err := h.record.Tidy(ctx, t)
	if err != nil && ctx.Err() == nil {
		h.log.Error("old segments of the record could not be packed or removed, it is tried again", "error", err)
	}
	if done.Packed > 0 || done.Removed > 0 {
		h.log.Info("old segments of the record", "packed", done.Packed, "removed", done.Removed, "first entry", done.First)
	}
}
