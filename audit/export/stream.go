package export

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// A record is handed from a gateway to an Exporter elsewhere as lines: entries as they
// stand in it, in order, and marks in between. The first line is a mark, and the last one,
// unless it was cut off, says that it is the end, or what went wrong.

// Request is what an Exporter asks a gateway for.
type Request struct {
	From   uint64    `json:"from,omitempty"`   // the first entry
	Since  time.Time `json:"since,omitzero"`   // only entries from this time on
	Until  time.Time `json:"until,omitzero"`   // and before this one
	Follow bool      `json:"follow,omitempty"` // go on with what comes
	Format string    `json:"format,omitempty"` // what becomes of them, for the record; the gateway gives them as they stand
}

// Mark says how far a stream of entries has got.
type Mark struct {
	Next   uint64 `json:"next"`             // entries before it have come, or were not asked for
	Size   uint64 `json:"size"`             // entries under the newest checkpoint
	Record string `json:"record,omitempty"` // first public key of the record; in the first mark only
	End    bool   `json:"end,omitempty"`    // nothing comes after
	Error  string `json:"error,omitempty"`  // what went wrong, in an end
}

// Opener has a gateway give what is asked for, to be read as it comes.
type Opener func(context.Context, Request) (io.ReadCloser, error)

const (
	// markEntries is how many entries that were not asked for are passed over without a
	// mark, so that whoever waits for others knows how far it is.
	markEntries = 10_000
	// stillEvery is how often a stream that goes on says that it is there.
	stillEvery = 30 * time.Second
	// maxMark bounds a mark; entries have their own bound.
	maxMark = 64 << 10
)

// Give writes the record in dir to somebody, entries under a signed checkpoint only. Of a
// stream that goes on, still says whether they may still have it. Memory is bounded by an
// entry; out is waited for.
func Give(ctx context.Context, dir string, in Request, out io.Writer, flush func() error, still func() error) error {
	g := &giver{dir: dir, in: in, out: bufio.NewWriterSize(out, 64<<10), flush: flush}
	err := g.give(ctx, still)
	if ctx.Err() != nil {
		return ctx.Err() // nobody reads it
	}
	last := Mark{Next: g.place.Seq, Size: g.size, End: true}
	if err != nil {
		last.Error = err.Error()
	}
	return errors.Join(err, g.mark(last))
}

// giver is one stream under way.
type giver struct {
	dir   string
	in    Request
	out   *bufio.Writer
	flush func() error
	place audit.Place // of the next entry
	size  uint64      // under the newest checkpoint
}

func (g *giver) mark(m Mark) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := g.out.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := g.out.Flush(); err != nil {
		return err
	}
	return g.flush()
}

func (g *giver) give(ctx context.Context, still func() error) error {
	key, err := audit.PublicKey(g.dir)
	if err != nil {
		return err
	}
	if err := g.begin(ctx); err != nil {
		return err
	}
	if err := g.mark(Mark{Next: g.place.Seq, Size: g.size, Record: key}); err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for said := time.Now(); ; {
		before := g.place.Seq
		if err := g.entries(ctx); err != nil || !g.in.Follow {
			return err
		}
		if g.place.Seq > before || time.Since(said) > stillEvery {
			if err := g.mark(Mark{Next: g.place.Seq, Size: g.size}); err != nil {
				return err
			}
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := still(); err != nil {
			return err
		}
		if g.size, err = newest(g.dir); err != nil {
			return err
		}
	}
}

// begin goes to the first entry that was asked for and is there.
func (g *giver) begin(ctx context.Context) (err error) {
	if g.size, err = newest(g.dir); err != nil {
		return err
	}
	from := g.in.From
	if !g.in.Since.IsZero() {
		old, err := audit.OlderThan(g.dir, g.in.Since)
		if err != nil {
			return err
		}
		from = max(from, min(old, g.size))
	}
	g.place.Seq = from
	if from > g.size {
		return nil // an older state was put back: whoever asks sees it
	}
	g.place, err = placeOf(ctx, g.dir, audit.Place{Seq: from})
	return err
}

// entries writes what is under the newest checkpoint.
func (g *giver) entries(ctx context.Context) (err error) {
	f := audit.Filter{Since: g.in.Since, Until: g.in.Until}
	passed := 0
	for g.place.Seq < g.size {
		g.place, err = audit.Forward(ctx, g.dir, g.place, func(at audit.Place, line []byte) error {
			if at.Seq >= g.size || passed >= markEntries {
				return errFull
			}
			if !f.Since.IsZero() || !f.Until.IsZero() {
				ev, err := audit.Decode(line)
				if err != nil {
					return err
				}
				if !f.Matches(&ev) {
					passed++
					return nil
				}
			}
			_, err := g.out.Write(line)
			return errors.Join(err, g.out.WriteByte('\n'))
		})
		if err == nil && g.place.Seq < g.size {
			err = fmt.Errorf("the record ends at entry %d, but a checkpoint covers %d", g.place.Seq, g.size)
		}
		if err != nil && !errors.Is(err, errFull) {
			return err
		}
		if passed >= markEntries {
			passed = 0
			if err := g.mark(Mark{Next: g.place.Seq, Size: g.size}); err != nil {
				return err
			}
		}
	}
	return nil
}

func newest(dir string) (uint64, error) {
	_, size, err := audit.Newest(dir)
	return uint64(size), err
}

// placeOf goes to an entry, or to the first one that is still there. A place that says no
// offset is looked for.
func placeOf(ctx context.Context, dir string, at audit.Place) (audit.Place, error) {
	first, err := audit.First(dir)
	if err != nil {
		return at, err
	}
	if at.Seq <= first {
		return audit.Place{Seq: first}, nil
	}
	if at.Offset > 0 {
		return at, nil
	}
	return audit.PlaceOf(ctx, dir, at.Seq)
}

// stream is a record as a gateway gives it.
type stream struct {
	open   Opener
	ask    Request
	body   io.ReadCloser // nil if nothing is open
	in     *bufio.Reader
	record string
	size   uint64
	line   []byte // an entry that was read and not taken, and its number
	seq    uint64
	over   bool // the end was read
}

func (s *stream) key() (string, error) { return s.record, nil }

func (s *stream) close() {
	if s.body != nil {
		_ = s.body.Close() // nothing more is wanted of it
	}
	s.body, s.line, s.over = nil, nil, false
}

func (s *stream) at(ctx context.Context, from audit.Place) (audit.Place, uint64, error) {
	if s.over {
		s.close()
	}
	if s.body == nil {
		s.ask.From = from.Seq
		body, err := s.open(ctx, s.ask)
		if err != nil {
			return from, 0, err
		}
		s.body, s.in = body, bufio.NewReaderSize(body, maxLine)
		m, err := s.read()
		if err == nil && (m == nil || m.Record == "") {
			err = errors.New("the gateway does not say which record it is")
		}
		if err != nil {
			s.close()
			return from, 0, err
		}
		s.record = m.Record
		return audit.Place{Seq: m.Next}, s.size, nil
	}
	if s.ask.Follow && from.Seq >= s.size && s.line == nil { // it says when there is more
		m, err := s.read()
		if err != nil {
			s.close()
			return from, 0, err
		}
		if m != nil {
			from.Seq = m.Next
		}
	}
	return from, s.size, nil
}

func (s *stream) next(_ context.Context, from audit.Place, _ uint64, give func([]byte) error) (audit.Place, error) {
	for !s.over {
		if s.line == nil {
			m, err := s.read()
			if err != nil {
				s.close()
				return from, err
			}
			if m != nil {
				from.Seq = m.Next
				return from, nil
			}
		}
		if s.seq < from.Seq {
			err := fmt.Errorf("read the record of the gateway: entry %d came after entry %d", s.seq, from.Seq-1)
			s.close()
			return from, err
		}
		if err := give(s.line); err != nil {
			return from, err
		}
		s.line, from.Seq = nil, s.seq+1
	}
	return from, nil
}

// maxLine is longer than any entry.
const maxLine = 256<<10 + 2

// read reads a line: a mark, or an entry, which is then in line.
func (s *stream) read() (*Mark, error) {
	line, err := s.in.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it was cut off")
		}
		return nil, fmt.Errorf("read the record of the gateway: %w", err)
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	if bytes.HasPrefix(line, []byte(`{"seq":`)) {
		seq, err := seqOf(line)
		if err != nil {
			return nil, err
		}
		s.line, s.seq = line, seq // good until the next read
		s.size = max(s.size, seq+1)
		return nil, nil
	}
	m := &Mark{}
	if err := json.Unmarshal(line, m); err != nil || len(line) > maxMark {
		return nil, errors.New("read the record of the gateway: it sends what is no entry")
	}
	if m.Error != "" {
		return nil, fmt.Errorf("the gateway says: %s", m.Error)
	}
	s.size, s.over = max(s.size, m.Size), m.End
	return m, nil
}

// seqOf is the number that an entry begins with.
func seqOf(line []byte) (uint64, error) {
	digits, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte(`{"seq":`)), []byte(","))
	seq, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return 0, errors.New("read the record of the gateway: an entry has no number")
	}
	return seq, nil
}
