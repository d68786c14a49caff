// Package store keeps the lineage of a record: it follows the record, folds what is new
// into the graph, and saves the graph in a file beside the record, so that a start does
// not begin at the first entry. It promises:
//
//   - The file is derived and can be thrown away. One that is missing, damaged, of another
//     version or of another record is made anew, and the log says so.
//   - It never stands in a statement's way: it reads the record behind the log.
//   - An answer has what was in the record when it was asked for, or says how far it is
//     behind.
//
// Run is the one goroutine, owned by its caller.
package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/lineage"
)

// Config of a store.
type Config struct {
	Record string                  // directory of the record
	Path   string                  // of the file; default Record with ".lineage" added
	Flush  func() error            // has what the log still gathers be written; nil if the record is not open here
	Tail   *audit.Tail             // of the record, for whoever else follows it in this process; may be nil
	Done   func(lineage.Happening) // told of what has ended, as lineage.Graph.Done; may be nil
	Sync   func() error            // has what Done was told be on disk, before the graph is; may be nil
	Log    *slog.Logger            // default: nothing is logged
}

// Store is the lineage of one record, safe for concurrent use.
type Store struct {
	cfg    Config
	follow *audit.Follower

	mu     sync.Mutex
	graph  *lineage.Graph // nil until it is needed
	mark   lineage.Mark
	saved  uint64 // entry up to which the file goes
	taken  atomic.Uint64
	closed bool
}

const (
	// followEvery is how often Run looks for new entries: as often as the index, so that
	// both take what one of them has read.
	followEvery = 250 * time.Millisecond
	// retryEvery is how often Run tries again after an error.
	retryEvery = 5 * time.Second
	// saveEvery and saveEntries are how much is folded again at most after a crash.
	saveEvery   = 5 * time.Minute
	saveEntries = 100_000
	// turnEntries is how many entries are folded before others get a turn.
	turnEntries = 20_000
	// answerEntries is how far an answer catches up by itself: some seconds.
	answerEntries = 200_000
	// maxFile bounds what is read: more than a full graph has.
	maxFile = 4 << 30
)

// New gives the lineage of a record. The file is read when it is first needed.
func New(cfg Config) *Store {
	if cfg.Path == "" {
		cfg.Path = strings.TrimRight(filepath.Clean(cfg.Record), string(filepath.Separator)) + ".lineage"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Tail == nil {
		cfg.Tail = audit.NewTail(cfg.Record)
	}
	return &Store{cfg: cfg, follow: cfg.Tail.Follow()}
}

// open reads the file, or begins anew. It needs mu.
func (s *Store) open() error {
	key, err := os.ReadFile(filepath.Join(s.cfg.Record, "log.vkey"))
	if err != nil {
		return fmt.Errorf("read the lineage of the record: %w", err)
	}
	g, m, err := s.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err != nil:
		s.cfg.Log.Warn("the lineage of the record is made anew", "why", err.Error())
	case m.Key != string(key):
		s.cfg.Log.Warn("the lineage of the record is made anew", "why", "it is of another record")
		g = nil
	case m.Place.Seq > m.First && !s.holds(m):
		s.cfg.Log.Warn("the lineage of the record is made anew", "why", "the record is not the one that it was made of")
		g = nil
	}
	if g == nil {
		return s.anew(string(key))
	}
	s.begin(g, m)
	return nil
}

// anew begins a graph at the first entry that the record has. It needs mu.
func (s *Store) anew(key string) error {
	first, err := audit.First(s.cfg.Record)
	if err != nil {
		return fmt.Errorf("read the lineage of the record: %w", err)
	}
	s.begin(lineage.New(), lineage.Mark{Key: key, First: first, Place: audit.Place{Seq: first}})
	return nil
}

func (s *Store) begin(g *lineage.Graph, m lineage.Mark) {
	g.Done = s.cfg.Done
	s.graph, s.mark, s.saved = g, m, m.Place.Seq
	s.taken.Store(m.Place.Seq)
}

// shed makes the graph anew when old entries were removed from the record: what they said
// of people is not kept elsewhere, and nothing could be proven by them. It needs mu.
func (s *Store) shed() error {
	first, err := audit.First(s.cfg.Record)
	if err != nil || first <= s.mark.First {
		return err
	}
	s.cfg.Log.Info("the lineage of the record is made anew", "why", "old entries were removed from the record", "before", first)
	if err := s.anew(s.mark.Key); err != nil {
		return err
	}
	if err := os.Remove(s.cfg.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Place is the first entry that has not been folded: before it the record may be packed or
// removed.
func (s *Store) Place() uint64 { return s.taken.Load() }

func (s *Store) read() (*lineage.Graph, lineage.Mark, error) {
	info, err := os.Stat(s.cfg.Path)
	if err != nil {
		return nil, lineage.Mark{}, err
	}
	if info.Size() > maxFile {
		return nil, lineage.Mark{}, errors.New("the file is larger than any")
	}
	data, err := os.ReadFile(s.cfg.Path)
	if err != nil {
		return nil, lineage.Mark{}, err
	}
	return lineage.Load(data)
}

var errEnough = errors.New("enough")

// holds says whether the record still has the entry up to which the graph goes.
func (s *Store) holds(m lineage.Mark) bool {
	offset, want, _ := strings.Cut(m.Last, " ")
	at, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return false
	}
	same := false
	_, err = audit.Forward(context.Background(), s.cfg.Record, audit.Place{Seq: m.Place.Seq - 1, Offset: at}, func(_ audit.Place, line []byte) error {
		same = lineHash(line) == want
		return errEnough
	})
	return errors.Is(err, errEnough) && same
}

func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:16])
}

// grow folds at most limit entries, and says whether it got to the end.
func (s *Store) grow(ctx context.Context, limit int) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, errors.New("the lineage is closed")
	}
	if s.graph == nil {
		if err := s.open(); err != nil {
			return false, err
		}
	}
	if err := s.shed(); err != nil {
		return false, err
	}
	if s.cfg.Flush != nil {
		if err := s.cfg.Flush(); err != nil && !errors.Is(err, audit.ErrClosed) {
			return false, err
		}
	}
	n := 0
	last, begin := "", int64(0)
	next, err := s.follow.Forward(ctx, s.mark.Place, func(e *audit.Entry) error {
		if n == limit {
			return errEnough
		}
		s.graph.Take(&e.Event)
		last, begin = e.Line, e.Place.Offset
		n++
		return nil
	})
	if n > 0 {
		s.mark.Last = strconv.FormatInt(begin, 10) + " " + lineHash([]byte(last))
	}
	s.taken.Store(next.Seq)
	s.mark.Place = next // also after an error: what was given is folded
	if errors.Is(err, errEnough) {
		return false, nil
	}
	return err == nil, err
}

// CatchUp folds what the record has got since.
func (s *Store) CatchUp(ctx context.Context) error {
	for {
		done, err := s.grow(ctx, turnEntries)
		if err != nil || done {
			return err
		}
	}
}

// Run follows the record until ctx is done, and saves the graph now and then. What goes
// wrong is logged, and tried again.
func (s *Store) Run(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	save := time.NewTicker(saveEvery)
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-save.C:
			s.keep(0)
			continue
		case <-wait.C:
		}
		next := followEvery
		if err := s.CatchUp(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("the lineage falls behind the record", "error", err)
			next = retryEvery
		}
		s.keep(saveEntries)
		wait.Reset(next)
	}
}

// keep saves the graph if more than least entries were folded since.
func (s *Store) keep(least uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.save(least); err != nil {
		s.cfg.Log.Warn("save the lineage of the record", "error", err)
	}
}

func (s *Store) save(least uint64) error {
	if s.graph == nil || s.mark.Place.Seq <= s.saved+least {
		return nil
	}
	if s.cfg.Sync != nil {
		if err := s.cfg.Sync(); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := s.graph.Save(&b, s.mark); err != nil {
		return err
	}
	if err := durable.WriteFile(s.cfg.Path, b.Bytes(), 0o600); err != nil {
		return err
	}
	s.saved = s.mark.Place.Seq
	return nil
}

// Close saves the graph and gives it back.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.save(0)
	s.graph, s.closed = nil, true
	return err
}

// With gives the graph to do, up to the end of the record as it is now, or as far as it
// has got if that is far away; note then says so. do must not keep the graph.
func (s *Store) With(ctx context.Context, do func(g *lineage.Graph, note string) error) error {
	done, err := s.grow(ctx, answerEntries)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.graph == nil {
		return errors.New("the lineage is closed")
	}
	note := ""
	if !done {
		note = fmt.Sprintf("the graph is being made of the record, and goes as far as entry %d: ask again in a while", s.mark.Place.Seq)
	}
	return do(s.graph, note)
}

// Ask answers a question.
func (s *Store) Ask(ctx context.Context, q lineage.Question) (a *lineage.Answer, err error) {
	err = s.With(ctx, func(g *lineage.Graph, note string) error {
		if a, err = g.Ask(q); err == nil && note != "" {
			a.Note = note
		}
		return err
	})
	return a, err
}
