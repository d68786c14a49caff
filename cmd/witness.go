package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// witnesses are told of checkpoints, so that what they saw cannot be undone unseen.
type witnesses struct {
	record string // directory
	files  []audit.WitnessFile
	urls   []string
	log    *slog.Logger
	every  time.Duration
	told   map[string]int64 // by URL, how many entries the checkpoint covered that it took
}

const (
	// witnessEvery is how often witnesses are told: well under a minute, as promised.
	witnessEvery = 20 * time.Second
	// witnessTime is how long one may take to answer.
	witnessTime = 10 * time.Second
)

// check says whether a witness saw more than the record has. Then it was put back or
// cut off, and the gateway must not go on with it.
func (w *witnesses) check() error {
	for _, f := range w.files {
		if err := f.Keep(w.record); audit.Rolled(err) {
			return tell(exitError, "restore the record, or find out who put it back; to go on without, move the witness's file away",
				"the record in %s is not what the witness %s saw: %s", w.record, f.Path, reason(err))
		}
	}
	return nil
}

// follow tells the witnesses of each new checkpoint until ctx is done.
func (w *witnesses) follow(ctx context.Context) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		w.tell(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell tells each witness. What one misses is told again the next time.
func (w *witnesses) tell(ctx context.Context) {
	for _, f := range w.files {
		if err := f.Keep(w.record); err != nil {
			w.log.Error("a witness keeps no checkpoint of the record", "file", f.Path, "error", err)
		}
	}
	for _, url := range w.urls {
		if err := w.post(ctx, url); err != nil && ctx.Err() == nil {
			w.log.Error("a witness was not told of a checkpoint of the record", "url", url, "error", err)
		}
	}
}

func (w *witnesses) post(ctx context.Context, url string) error {
	msg, size, err := audit.Newest(w.record)
	if err != nil {
		return err
	}
	if told, ok := w.told[url]; ok && told == size {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, witnessTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(msg))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	w.told[url] = size
	return nil
}
