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
//   - Nothing waits for it: an Exporter reads the files of the record, as everybody can, or
//     has a gateway give it to them (Give), in bounded memory on both sides. If nobody takes
//     its messages it falls behind, and says so.
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
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/durable"
)

// Config of an Exporter.
type Config struct {
	Name          string         // for the log, and of the cursor
	To            string         // where to; see Check
	Format        string         // one of Formats; json if empty
	Record        string         // directory of the record
	Open          Opener         // instead of Record: has a gateway give it
	Ask           Request        // which entries; where to begin is for the cursor to say
	Cursor        string         // file; nothing is kept if empty
	FromNow       bool           // without a cursor, begin with what comes from now on instead of with the first entry
	Secret        []byte         // of the signature of what is posted; none if empty
	Authorization string         // header of what is posted
	Roots         *x509.CertPool // who vouches for the other side; those of the machine if nil
	Version       string         // of sluice, for the messages
	Out           io.Writer      // standard output
	Log           *slog.Logger   // default: nothing is logged

	every, wait time.Duration // in tests, short
}

// Limits of one delivery, and how long it waits.
const (
	batchEntries = 2000 // each batch waits for the disk, or for whoever takes it
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
	cfg   Config
	form  form
	about *source // of form; the record's name is known once something was read
	sink  sink
	src   reader

	place audit.Place // of the next entry
	ready bool        // place is that of an entry
	was   string      // public key of the record that the cursor is of, until it was compared
	limit int         // entries of a batch
	list  []message   // room for a batch
	room  []byte      // for what its messages say

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
	x := &Exporter{cfg: cfg, limit: batchEntries, stats: Stats{Name: cfg.Name}, src: files(cfg.Record)}
	if cfg.Open != nil {
		x.src = &stream{open: cfg.Open, ask: cfg.Ask}
	}
	var err error
	if x.form, x.about, err = newForm(cfg); err != nil {
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
// Until it is known all are.
func (x *Exporter) Place() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ready {
		return 0
	}
	return x.place.Seq
}

// Run hands on what the record gets until ctx is done. What goes wrong is logged, and
// tried again.
func (x *Exporter) Run(ctx context.Context) {
	defer x.Close()
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

// CatchUp hands on all that a checkpoint covers by now. Of a stream that goes on it waits
// for the next entries, if there are none.
func (x *Exporter) CatchUp(ctx context.Context) error {
	if !x.ready {
		if err := x.begin(); err != nil {
			return err
		}
	}
	size, err := x.resume(ctx)
	if err != nil {
		return err
	}
	x.behind(size)
	if x.place.Seq > size {
		return fmt.Errorf("%d entries were handed on, but the record has only %d: an older state was put back; remove %s to begin again", x.place.Seq, size, x.cfg.Cursor)
	}
	for x.place.Seq < size {
		before := x.place
		n, err := x.batch(ctx, size)
		if err != nil {
			return err
		}
		x.behind(size)
		if n == 0 && x.place == before {
			break
		}
	}
	x.list, x.room = nil, nil // the next may be long after, and small
	return nil
}

// resume goes to where it left off, and gives how many entries the newest checkpoint covers.
func (x *Exporter) resume(ctx context.Context) (uint64, error) {
	place, size, err := x.src.at(ctx, x.place)
	if err != nil {
		return 0, err
	}
	if x.was != "" {
		key, err := x.src.key()
		if err != nil {
			return 0, err
		}
		if key != x.was {
			x.src.close()
			return 0, fmt.Errorf("the cursor %s is of another record; remove it to begin again", x.cfg.Cursor)
		}
		x.was = ""
	}
	if !x.ready {
		key, err := x.src.key()
		if err != nil {
			return 0, err
		}
		x.about.origin, _, _ = strings.Cut(key, "+")
	}
	if from := x.place.Seq; from < place.Seq && from != fromNow && x.cfg.Ask.Since.IsZero() {
		x.cfg.Log.Warn("entries were removed before they were handed on", "export", x.cfg.Name, "from", from, "to", place.Seq-1)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.place, x.ready = place, true
	return size, nil
}

func (x *Exporter) behind(size uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stats.Behind = size - min(size, x.place.Seq)
}

// fromNow is a place behind all there is.
const fromNow = 1<<64 - 1

// begin reads where it left off.
func (x *Exporter) begin() error {
	place := audit.Place{}
	if x.cfg.FromNow {
		place.Seq = fromNow
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
			place, x.was = audit.Place{Seq: c.Seq, Offset: c.Offset}, c.Record
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.place = place
	return nil
}

var errFull = errors.New("the batch is full")

// batch hands on the next entries, and gives how many were read. If reading ends with an
// error, what came before it is handed on all the same.
func (x *Exporter) batch(ctx context.Context, size uint64) (n int, err error) {
	list, room := x.list[:0], x.room[:0]
	place := x.place
	chosen := audit.Filter{Since: x.cfg.Ask.Since, Until: x.cfg.Ask.Until}
	next, failed := x.src.next(ctx, place, size, func(line []byte) error {
		if n >= x.limit || len(room) >= batchBytes {
			return errFull
		}
		n++
		list = append(list, message{})
		m := &list[len(list)-1]
		if err := audit.DecodeTo(line, &m.ev); err != nil || !chosen.Matches(&m.ev) {
			list = list[:len(list)-1]
			return err
		}
		from := len(room)
		room = x.form.message(room, &m.ev, line)
		m.body = room[from:len(room):len(room)] // which stays as it is when room grows
		return nil
	})
	x.list, x.room = list, room
	if errors.Is(failed, errFull) {
		failed = nil
	}
	if len(list) > 0 {
		send, cancel := context.WithTimeout(ctx, sendTime)
		err := x.sink.send(send, list)
		cancel()
		if err != nil {
			x.src.close() // a stream begins again where it stood
		}
		if errors.Is(err, errTooLarge) && x.limit > 1 {
			x.limit = max(1, min(x.limit, len(list))/2)
			_, err = x.resume(ctx)
			return 1, err // with fewer, at once
		}
		if err != nil {
			return 0, err
		}
	}
	x.mu.Lock()
	x.place = next
	x.stats.Delivered += uint64(len(list))
	x.mu.Unlock()
	return n, errors.Join(failed, x.keep())
}

// keep writes down how far it got.
func (x *Exporter) keep() error {
	if x.cfg.Cursor == "" {
		return nil
	}
	key, err := x.src.key()
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
func (x *Exporter) Close() {
	x.sink.close()
	x.src.close()
}

// message is one entry in the form in which it is handed on.
type message struct {
	ev   audit.Event
	body []byte // without a line break
}

// reader is where the entries come from.
type reader interface {
	// at goes to a place, or to the first entry after it that is there, and says how many
	// entries are under the newest checkpoint.
	at(context.Context, audit.Place) (audit.Place, uint64, error)
	// next gives entries below size from where it stands, and the place after the last that
	// was taken. One for which give returns an error is given again.
	next(ctx context.Context, from audit.Place, size uint64, give func([]byte) error) (audit.Place, error)
	// key is the first public key of the record, known after at.
	key() (string, error)
	close()
}

// files is the directory of a record.
type files string

func (d files) key() (string, error) { return audit.PublicKey(string(d)) }

func (files) close() {}

func (d files) at(ctx context.Context, from audit.Place) (audit.Place, uint64, error) {
	size, err := newest(string(d))
	if err != nil {
		return from, 0, err
	}
	if from.Seq == fromNow {
		from = audit.Place{Seq: size}
	}
	if from.Seq > size {
		return from, size, nil // an older state was put back
	}
	from, err = placeOf(ctx, string(d), from)
	return from, size, err
}

func (d files) next(ctx context.Context, from audit.Place, size uint64, give func([]byte) error) (audit.Place, error) {
	return audit.Forward(ctx, string(d), from, func(at audit.Place, line []byte) error {
		if at.Seq >= size {
			return errFull
		}
		return give(line)
	})
}
