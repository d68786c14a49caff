package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/lineage"
)

// Limits of delivering events.
const (
	deliverTime = 15 * time.Second // of one try
	retryMost   = time.Minute      // between two tries
	maxOutbox   = 1 << 30          // bytes that wait; what comes then is dropped, and logged
	maxOutEvent = 8 << 20
	trimOutbox  = 16 << 20 // delivered bytes after which the file begins anew
)

// DeliveryConfig says where OpenLineage events go.
type DeliveryConfig struct {
	Dir   string                  // keeps what waits, and how far delivery has got
	URL   string                  // events are posted there; "" for none
	Token string                  // sent as a bearer token; "" for none
	File  string                  // events are appended there, a line each; "" for none
	Make  *lineage.OpenLineage    // makes the events
	From  uint64                  // entries before it are history, of which nothing is sent the first time
	Log   *slog.Logger            // default: nothing is logged
	Wait  func(int) time.Duration // before try n; in tests, none
}

// Delivery sends events of what happened, each at least once: what waits is on disk before
// the graph that it came from is, and is there until the address has taken it. Events of
// one run come in order. Run is its one goroutine.
type Delivery struct {
	cfg DeliveryConfig

	mu    sync.Mutex
	out   *os.File // what waits
	file  *os.File
	size  int64  // of out
	seq   uint64 // entries before it were taken
	state deliveryState
	wake  chan struct{}
}

// deliveryState is how far delivery has got, on disk.
type deliveryState struct {
	Seq  uint64 `json:"seq"`  // entries before it are in the outbox, or were, and are on disk there
	Sent int64  `json:"sent"` // bytes of the outbox that the address has taken
}

// NewDelivery opens what waits.
func NewDelivery(cfg DeliveryConfig) (*Delivery, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Wait == nil {
		cfg.Wait = func(try int) time.Duration { return min(time.Second<<min(try, 10), retryMost) }
	}
	d := &Delivery{cfg: cfg, wake: make(chan struct{}, 1)} // one is enough to wake Run
	data, err := os.ReadFile(d.path("openlineage.cursor"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.state.Seq = cfg.From
	case err != nil:
		return nil, fmt.Errorf("read how far OpenLineage events were sent: %w", err)
	default:
		if err := json.Unmarshal(data, &d.state); err != nil {
			return nil, fmt.Errorf("read how far OpenLineage events were sent: %w", err)
		}
	}
	if err := durable.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if cfg.URL != "" {
		if d.out, err = durable.OpenAppend(d.path("openlineage.jsonl"), 0o600); err != nil {
			return nil, fmt.Errorf("open what waits to be sent: %w", err)
		}
		if d.size, err = whole(d.out); err != nil {
			return nil, fmt.Errorf("open what waits to be sent: %w", err)
		}
		d.state.Sent = min(max(d.state.Sent, 0), d.size)
	}
	d.seq = d.state.Seq
	if cfg.File != "" {
		if d.file, err = durable.OpenAppend(cfg.File, 0o600); err != nil {
			return nil, fmt.Errorf("open the file for OpenLineage events: %w", err)
		}
	}
	return d, d.save()
}

// whole cuts off half a line, which a crash left, and gives the size.
func whole(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return 0, err
	}
	end := make([]byte, min(size, maxOutEvent))
	r, err := os.Open(f.Name())
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if _, err := r.ReadAt(end, size-int64(len(end))); err != nil {
		return 0, err
	}
	left := size - int64(len(end)-1-bytes.LastIndexByte(end, '\n'))
	if left < size {
		err = f.Truncate(left)
	}
	return left, err
}

func (d *Delivery) path(name string) string { return filepath.Join(d.cfg.Dir, name) }

// save keeps the state. It needs mu, but for the first time.
func (d *Delivery) save() error {
	data, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	return durable.WriteFile(d.path("openlineage.cursor"), append(data, '\n'), 0o600)
}

// Done takes what happened: it is for Config.Done of the store.
func (d *Delivery) Done(h lineage.Happening) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.Seq < d.seq {
		return // it was taken before a crash, or is history
	}
	events, err := d.cfg.Make.Events(h)
	if err == nil {
		err = d.append(events)
	}
	if err != nil {
		d.cfg.Log.Error("an OpenLineage event is lost", "entry", h.Seq, "error", err)
	}
	d.seq = h.Seq + 1
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *Delivery) append(events []json.RawMessage) error {
	var b bytes.Buffer
	for _, ev := range events {
		b.Write(ev)
		b.WriteByte('\n')
	}
	if d.file != nil {
		if _, err := d.file.Write(b.Bytes()); err != nil {
			return err
		}
	}
	if d.out == nil {
		return nil
	}
	if d.size-d.state.Sent > maxOutbox {
		return errors.New("too much waits to be sent")
	}
	n, err := d.out.Write(b.Bytes())
	if err != nil { // half a line would stop what follows
		return errors.Join(err, d.out.Truncate(d.size))
	}
	d.size += int64(n)
	return nil
}

// Sync has what was taken be on disk: it is for Config.Sync of the store.
func (d *Delivery) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, f := range []*os.File{d.out, d.file} {
		if f != nil {
			errs = append(errs, f.Sync())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	d.state.Seq = d.seq
	return d.save()
}

// Run sends what waits until ctx is done.
func (d *Delivery) Run(ctx context.Context) {
	if d.out == nil {
		return
	}
	client := &http.Client{Timeout: deliverTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for try := 0; ; {
		sent, err := d.send(ctx, client)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if try++; try == 1 || try%60 == 0 {
				d.cfg.Log.Warn("OpenLineage events wait, their address takes none", "error", err)
			}
		case sent:
			try = 0
			continue
		}
		var late <-chan time.Time // nil waits for what comes
		if err != nil {
			timer := time.NewTimer(d.cfg.Wait(try))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-late:
		case <-d.wakes(err):
		}
	}
}

// wakes wakes Run when something comes, but not before its time when the address is away.
func (d *Delivery) wakes(err error) <-chan struct{} {
	if err != nil {
		return nil
	}
	return d.wake
}

// send sends the first event that waits; false if none does.
func (d *Delivery) send(ctx context.Context, client *http.Client) (bool, error) {
	d.mu.Lock()
	from, size := d.state.Sent, d.size
	d.mu.Unlock()
	if from >= size {
		return false, nil
	}
	line, err := lineAt(d.path("openlineage.jsonl"), from, size)
	if err != nil {
		return false, err
	}
	if err := d.post(ctx, client, bytes.TrimSpace(line)); err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.Sent += int64(len(line))
	if d.state.Sent == d.size && d.size > trimOutbox {
		if err := d.out.Truncate(0); err != nil {
			return false, err
		}
		d.size, d.state.Sent = 0, 0
	}
	return true, d.save()
}

func lineAt(path string, from, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(io.NewSectionReader(f, from, min(size-from, maxOutEvent)))
	line, err := r.ReadBytes('\n')
	if errors.Is(err, io.EOF) { // the end of a write that a crash cut: all that is left
		err = nil
	}
	return line, err
}

// post sends one event. What the address refuses for good is logged and left out: it
// would be refused for ever, and nothing after it would come.
func (d *Delivery) post(ctx context.Context, client *http.Client, event []byte) error {
	if !json.Valid(event) {
		d.cfg.Log.Error("an OpenLineage event was cut by a crash, and is left out")
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.cfg.URL, bytes.NewReader(event))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	if d.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+d.cfg.Token)
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may have a secret in it
		}
		return err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return nil
	case code/100 == 4 && code != http.StatusUnauthorized && code != http.StatusForbidden && code != http.StatusNotFound && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests:
		d.cfg.Log.Error("an OpenLineage event was refused, and is left out", "status", resp.Status)
		return nil
	}
	return fmt.Errorf("it answered %s", resp.Status)
}

// Close gives the files back.
func (d *Delivery) Close() error {
	err := d.Sync()
	for _, f := range []*os.File{d.out, d.file} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
