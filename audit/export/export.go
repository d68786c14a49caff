// Package export hands the record on to where a company collects its logs: in OCSF, CEF,
// OpenTelemetry's form or as it stands, to a file, the standard output, syslog or a web
// address. It promises:
//
//   - At least once: an entry counts as delivered when whoever takes it has said so, or
//     where they cannot, when the system took it without an error; until then it is sent
//     again, also after a restart. A cursor on disk says how far it got. Entries carry
//     their ID, so that one that came twice is seen.
//   - In order, and only entries under a signed checkpoint: what was handed on can be
//     proven later.
//   - Nothing waits for it: an Exporter reads the files of the record, as everybody can. If
//     nobody takes its messages it falls behind, and says so.
//
// Run is the one goroutine of an Exporter, owned by its caller.
package export

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/durable"
)

// Config of an Exporter.
type Config struct {
	Name          string                 // for the log, and of the cursor
	To            string                 // where to; see Check
	Format        string                 // one of Formats; json if empty
	Record        string                 // directory of the record
	Cursor        string                 // file; nothing is kept if empty
	FromNow       bool                   // without a cursor, begin with what comes from now on instead of with the first entry
	Chosen        func(audit.Event) bool // what is handed on; all if nil
	Secret        []byte                 // of the signature of what is posted; none if empty
	Authorization string                 // header of what is posted
	Roots         *x509.CertPool         // who vouches for the other side; those of the machine if nil
	Version       string                 // of sluice, for the messages
	Out           io.Writer              // standard output
	Log           *slog.Logger           // default: nothing is logged

	every, wait time.Duration // in tests, short
}

// Limits of one delivery, and how long it waits.
const (
	batchEntries = 500
	batchBytes   = 1 << 20
	sendTime     = 30 * time.Second
	every        = time.Second // a checkpoint comes as often
	firstWait    = time.Second // after a failure; doubled each time
	longestWait  = 2 * time.Minute
)

// Stats is how an Exporter is doing.
type Stats struct {
	Name      string
	Delivered uint64    // entries handed on since the start
	Behind    uint64    // entries under the newest checkpoint that are still to come
	Failures  uint64    // deliveries that failed
	Failing   time.Time // since when nothing was taken; zero if all is well
}

// Exporter hands on the entries of one record to one place.
type Exporter struct {
	cfg  Config
	form form
	sink sink

	place audit.Place // of the next entry
	ready bool        // place is known
	limit int         // entries of a batch

	mu    sync.Mutex
	stats Stats
}

// cursor is what is kept of how far an Exporter got.
type cursor struct {
	Record string `json:"record"` // public key
	Seq    uint64 `json:"seq"`
	Offset int64  `json:"offset"`
}

// New makes an Exporter; nothing is connected yet.
func New(cfg Config) (*Exporter, error) {
	if cfg.Format == "" {
		cfg.Format = "json"
	}
	if err := Check(cfg.To, cfg.Format); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.every == 0 {
		cfg.every = every
	}
	if cfg.wait == 0 {
		cfg.wait = firstWait
	}
	x := &Exporter{cfg: cfg, limit: batchEntries, stats: Stats{Name: cfg.Name}}
	var err error
	if x.form, err = newForm(cfg); err != nil {
		return nil, err
	}
	x.sink, err = newSink(cfg, x.form)
	return x, err
}

// Stats says how it is doing.
func (x *Exporter) Stats() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stats
}

// Place is the next entry that is to be delivered: those before are no longer needed here.
func (x *Exporter) Place() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.place.Seq
}

// Run hands on what the record gets until ctx is done. What goes wrong is logged, and
// tried again.
func (x *Exporter) Run(ctx context.Context) {
	defer x.sink.close()
	wait := x.cfg.wait
	for {
		next := x.cfg.every
		if err := x.CatchUp(ctx); err != nil && ctx.Err() == nil {
			x.failed(err)
			next = wait/2 + rand.N(wait)
			wait = min(2*wait, longestWait)
		} else if err == nil {
			x.well()
			wait = x.cfg.wait
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

func (x *Exporter) failed(err error) {
	x.mu.Lock()
	first := x.stats.Failing.IsZero()
	x.stats.Failures++
	if first {
		x.stats.Failing = time.Now()
	}
	behind := x.stats.Behind
	x.mu.Unlock()
	level := slog.LevelDebug
	if first {
		level = slog.LevelError
	}
	x.cfg.Log.Log(context.Background(), level, "the record cannot be handed on, it is tried again", "export", x.cfg.Name, "behind", behind, "error", err)
}

func (x *Exporter) well() {
	x.mu.Lock()
	since := x.stats.Failing
	x.stats.Failing = time.Time{}
	x.mu.Unlock()
	if !since.IsZero() {
		x.cfg.Log.Info("the record is handed on again", "export", x.cfg.Name, "after", time.Since(since).Round(time.Second))
	}
}

// CatchUp hands on all that a checkpoint covers by now.
func (x *Exporter) CatchUp(ctx context.Context) error {
	_, size, err := audit.Newest(x.cfg.Record)
	if err != nil {
		return err
	}
	if !x.ready {
		if err := x.begin(ctx, uint64(size)); err != nil {
			return err
		}
	}
	x.behind(uint64(size))
	if x.place.Seq > uint64(size) {
		return fmt.Errorf("%d entries were handed on, but the record has only %d: an older state was put back; remove %s to begin again", x.place.Seq, size, x.cfg.Cursor)
	}
	for x.place.Seq < uint64(size) {
		n, err := x.batch(ctx, uint64(size))
		if err != nil {
			return err
		}
		x.behind(uint64(size))
		if n == 0 {
			return nil
		}
	}
	return nil
}

func (x *Exporter) behind(size uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stats.Behind = size - min(size, x.place.Seq)
}

// begin finds where it left off.
func (x *Exporter) begin(ctx context.Context, size uint64) error {
	place := audit.Place{}
	if x.cfg.FromNow {
		var err error
		if place, err = audit.PlaceOf(ctx, x.cfg.Record, size); err != nil {
			return err
		}
	}
	if x.cfg.Cursor != "" {
		data, err := os.ReadFile(x.cfg.Cursor)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("read the cursor: %w", err)
		default:
			var c cursor
			if err := json.Unmarshal(data, &c); err != nil {
				return fmt.Errorf("read the cursor %s: %w", x.cfg.Cursor, err)
			}
			key, err := audit.PublicKey(x.cfg.Record)
			if err != nil {
				return err
			}
			if c.Record != key {
				return fmt.Errorf("the cursor %s is of another record; remove it to begin again", x.cfg.Cursor)
			}
			place = audit.Place{Seq: c.Seq, Offset: c.Offset}
		}
	}
	if first, err := audit.First(x.cfg.Record); err != nil {
		return err
	} else if place.Seq < first {
		x.cfg.Log.Warn("entries were removed before they were handed on", "export", x.cfg.Name, "from", place.Seq, "to", first-1)
		place = audit.Place{Seq: first}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.place, x.ready = place, true
	return nil
}

var errFull = errors.New("the batch is full")

// batch hands on the next entries, and gives how many were read.
func (x *Exporter) batch(ctx context.Context, size uint64) (n int, err error) {
	var list []message
	bytes := 0
	place := x.place
	next, err := audit.Forward(ctx, x.cfg.Record, place, func(at audit.Place, line []byte) error {
		if at.Seq >= size || n >= x.limit || bytes >= batchBytes {
			return errFull
		}
		n++
		ev, err := audit.Decode(line)
		if err != nil {
			return err
		}
		if x.cfg.Chosen != nil && !x.cfg.Chosen(ev) {
			return nil
		}
		body, err := x.form.message(&ev, line)
		if err != nil {
			return err
		}
		bytes += len(body)
		list = append(list, message{ev: ev, body: body})
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return 0, err
	}
	if len(list) > 0 {
		send, cancel := context.WithTimeout(ctx, sendTime)
		err := x.sink.send(send, list)
		cancel()
		if errors.Is(err, errTooLarge) && x.limit > 1 {
			x.limit = max(1, min(x.limit, len(list))/2)
			return 1, nil // with fewer, at once
		}
		if err != nil {
			return 0, err
		}
	}
	x.mu.Lock()
	x.place = next
	x.stats.Delivered += uint64(len(list))
	x.mu.Unlock()
	return n, x.keep()
}

// keep writes down how far it got.
func (x *Exporter) keep() error {
	if x.cfg.Cursor == "" {
		return nil
	}
	key, err := audit.PublicKey(x.cfg.Record)
	if err != nil {
		return err
	}
	data, err := json.Marshal(cursor{key, x.place.Seq, x.place.Offset})
	if err != nil {
		return err
	}
	if err := durable.WriteFile(x.cfg.Cursor, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the cursor: %w", err)
	}
	return nil
}

// Close gives back what is open, of an Exporter that does not Run.
func (x *Exporter) Close() { x.sink.close() }

// message is one entry in the form in which it is handed on.
type message struct {
	ev   audit.Event
	body []byte // without a line break
}
