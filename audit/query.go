package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	defaultLimit = 100
	maxLimit     = 10_000
	// maxResultBytes bounds one page in memory: 10,000 events of the largest
	// size would be 2.5 GB.
	maxResultBytes = 64 << 20
	// timeSlack is how far the times of entries may be out of order. A caller
	// takes the time before it appends, and may wait for a slow disk in between;
	// a clock may be set back. Entries older than Since by more end the search.
	timeSlack = time.Hour
)

// Result is a page of events, newest first unless Filter.Oldest is set.
type Result struct {
	Events []Event
	Next   uint64 // Before of the next page, or From; 0 if there is none
	Read   uint64 // entries looked at
}

// Query answers f from the log, up to the last event written: every one that was
// given to Append or Later before is looked at. Where the files of the log are gone
// that is an error, not an answer without events.
func (l *Log) Query(ctx context.Context, f Filter) (Result, error) {
	if err := l.writeOut(); err != nil && !errors.Is(err, ErrClosed) {
		return Result{}, err
	}
	return ask(ctx, l.cfg.Dir, l.Size(), f)
}

// Query answers f from the log in dir, which may be open elsewhere. It reads
// from the newest entry back, or from the oldest on if f says so, keeps only what it returns, and stops once the
// page is full. It does not check the tree: that is for Verify.
func Query(ctx context.Context, dir string, f Filter) (Result, error) {
	return ask(ctx, dir, 0, f)
}

// ask answers f from the log in dir, which has size entries at least.
func ask(ctx context.Context, dir string, size uint64, f Filter) (Result, error) {
	switch {
	case f.Limit < 0:
		return Result{}, fmt.Errorf("read the record: a limit of %d", f.Limit)
	case f.Limit == 0:
		f.Limit = defaultLimit
	}
	f.Limit = min(f.Limit, maxLimit)
	f, err := f.findRuns(ctx, dir)
	if err != nil {
		return Result{}, err
	}
	q := newQuery(f)
	q.size = size
	read := q.read
	if f.Oldest {
		read = q.oldest
	}
	if err := read(ctx, dir); err != nil {
		return Result{}, err
	}
	return q.result, nil
}

// findRuns is f that knows the runs of the job whose name it may give: statements have only
// their run.
func (f Filter) findRuns(ctx context.Context, dir string) (Filter, error) {
	if f.Run == "" || f.runs != nil {
		return f, nil
	}
	var ids []string
	for _, kind := range []Kind{RunBegan, Claimed} {
		err := Scan(ctx, dir, Filter{Kind: kind}, func(ev Event) error {
			if ev.Job == f.Run {
				ids = append(ids, ev.Run)
			}
			return nil
		})
		if err != nil {
			return f, err
		}
	}
	return f.WithRuns(ids), nil
}

// Scan gives every event that f chooses to give, the newest first, until give returns
// an error, which it then returns. It keeps none, and f.Limit does not count. As with
// Query, the log may be open elsewhere, and the tree is not checked.
func Scan(ctx context.Context, dir string, f Filter, give func(Event) error) error {
	f, err := f.findRuns(ctx, dir)
	if err != nil {
		return err
	}
	q := newQuery(f)
	q.give = give
	return q.read(ctx, dir)
}

// read looks at the segments of the log in dir, the newest first.
func (q *query) read(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	bases, _, err := listSegments(dir)
	if err != nil {
		return err
	}
	removed, err := RemovedBefore(dir)
	if err != nil {
		return err
	}
	if err := checkSegments(bases, max(q.size, 1), removed); err != nil {
		return fmt.Errorf("read the record: %w\nhint: %s is no record, or a part of it was removed; sluice audit verify says what is missing", err, dir)
	}
	for i := len(bases) - 1; i >= 0 && !q.done; i-- {
		if q.Before > 0 && bases[i] >= q.Before && !q.Whole {
			continue
		}
		if err := q.segment(ctx, dir, bases[i]); err != nil {
			return err
		}
	}
	return nil
}

// query is one search under way.
type query struct {
	Filter
	size   uint64   // entries that must be there
	must   [][]byte // every matching line has all of these in it
	bytes  int
	done   bool
	ends   map[string]Event    // endings whose decision is still to come, by its ID
	yes    map[string][]string // who approved, as above
	give   func(Event) error   // takes the events; if nil they are collected
	result Result
}

func newQuery(f Filter) query {
	return query{Filter: f, must: f.literals(), ends: map[string]Event{}, yes: map[string][]string{}}
}

// literals gives what the line of any matching event must have in it, as
// encoded. Looking for bytes is far cheaper than decoding each line.
func (f Filter) literals() [][]byte {
	var must [][]byte
	all := []string{f.Who, f.Connection, f.Session, string(f.Kind), f.Effect, f.ID, f.Of, f.Group, f.Statement, f.Rule, f.Fingerprint, f.Purpose}
	if !f.Whole { // else it stands in another line
		all = append(all, f.Outcome, f.Approver)
	}
	if f.runs != nil && len(f.runs) == 0 { // no job's name: it stands in each entry
		all = append(all, f.Run)
	}
	for _, s := range all {
		if s != "" {
			must = append(must, AppendString(nil, s))
		}
	}
	for _, s := range []string{f.Touches, f.Table, f.Column} {
		if s != "" {
			quoted := AppendString(nil, s)
			must = append(must, quoted[1:len(quoted)-1])
		}
	}
	return must
}

// checkEvery is how many lines are read between two looks at the context.
const checkEvery = 1024

func (q *query) segment(ctx context.Context, dir string, base uint64) error {
	path := segmentPath(dir, base)
	file, err := openSegmentFile(dir, base)
	if err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	defer file.Close()
	r, err := newBackReader(file)
	if err != nil {
		return fmt.Errorf("read the record: %s: %w", path, err)
	}
	for n := 0; !q.done; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return fmt.Errorf("read the record: %w", ctx.Err())
		}
		line, err := r.previous()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the record: %s at byte %d: %w", path, r.start, err)
		}
		switch err := q.line(line); {
		case err != nil && !errors.Is(err, errLine):
			return err // of whom it was given to
		case err != nil:
			return fmt.Errorf("read the record: %s at byte %d: %w\nhint: run sluice audit verify", path, r.start, err)
		}
	}
	return nil
}

// line looks at one entry.
func (q *query) line(line []byte) error {
	seq, err := lineSeq(line)
	if err != nil {
		return err
	}
	q.result.Read++
	if q.Whole {
		if took, err := q.keep(line); took || err != nil {
			return err
		}
	}
	if q.Before > 0 && seq >= q.Before {
		return nil
	}
	if !q.Since.IsZero() {
		if at, ok := lineTime(line); ok && at.Before(q.Since.Add(-timeSlack)) {
			q.done = true
			return nil
		}
	}
	for _, m := range q.must {
		if !bytes.Contains(line, m) {
			return nil
		}
	}
	ev, err := decodeLine(line)
	if err != nil {
		return err
	}
	if q.Whole && ev.Kind == Decided {
		q.join(&ev)
	}
	if !q.Matches(&ev) {
		return nil
	}
	if q.give != nil {
		return q.give(ev)
	}
	// One more than the page holds says that there is a next page, and where.
	if len(q.result.Events) == q.Limit || q.bytes+len(line) > maxResultBytes {
		q.result.Next = seq + 1
		q.done = true
		return nil
	}
	q.bytes += len(line)
	q.result.Events = append(q.result.Events, ev)
	return nil
}

// lineTime reads the time of a line without decoding it. It follows the ID.
func lineTime(line []byte) (time.Time, bool) {
	const key = `","time":"`
	i := bytes.Index(line[:min(len(line), headRoom+len(key))], []byte(key))
	if i < 0 || len(line) < i+len(key)+len(timeFormat) {
		return time.Time{}, false
	}
	at, err := time.Parse(timeFormat, string(line[i+len(key):i+len(key)+len(timeFormat)]))
	return at, err == nil
}

// keep takes what belongs to a decision that comes later, because the newest comes
// first. It says whether that is all the line is for.
func (q *query) keep(line []byte) (bool, error) {
	head := line[:min(len(line), headRoom+128)]
	finished, answered := bytes.Contains(head, []byte(`"kind":"finished"`)), bytes.Contains(head, []byte(`"kind":"answered"`))
	if !finished && !answered {
		return false, nil
	}
	ev, err := decodeLine(line)
	if err != nil {
		return false, err
	}
	switch ev.Kind {
	case Finished:
		q.ends[ev.Of] = ev
		return true, nil
	case Answered:
		q.yes[ev.Of] = ev.Approvers
	}
	return false, nil
}

// join makes one event of a decision and what was kept of it.
func (q *query) join(ev *Event) {
	if end, ok := q.ends[ev.ID]; ok {
		ev.End(&end)
		delete(q.ends, ev.ID)
	}
	ev.Approvers = append(ev.Approvers, q.yes[ev.ID]...)
	delete(q.yes, ev.ID)
}

// backReader reads the whole lines of a file from the last to the first.
type backReader struct {
	file  io.ReaderAt
	start int64  // offset of the line last given
	at    int64  // offset of buf in the file
	buf   []byte // read but not yet given; ends with a line break or is empty
}

const backChunk = 256 << 10

// newBackReader begins behind the last line break: what follows it is being
// written right now, or is torn.
func newBackReader(file segmentFile) (*backReader, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	r := &backReader{file: file, start: size, at: size}
	for {
		if i := bytes.LastIndexByte(r.buf, '\n'); i >= 0 {
			r.buf = r.buf[:i+1]
			return r, nil
		}
		if r.at == 0 {
			r.buf = nil
			return r, nil
		}
		// A torn end may be as long as a whole write, so there is no limit here
		// but memory is: what has been looked at is not kept.
		r.buf = r.buf[:0]
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// more puts an earlier piece of the file before what buf has.
func (r *backReader) more() error {
	n := min(int64(backChunk), r.at)
	buf := make([]byte, int(n)+len(r.buf))
	if _, err := r.file.ReadAt(buf[:n], r.at-n); err != nil {
		return err
	}
	copy(buf[n:], r.buf)
	r.buf, r.at = buf, r.at-n
	return nil
}

// previous gives the line before the one given last, or io.EOF.
func (r *backReader) previous() ([]byte, error) {
	for {
		if len(r.buf) > 0 {
			line := r.buf[:len(r.buf)-1]
			if i := bytes.LastIndexByte(line, '\n'); i >= 0 || r.at == 0 {
				r.buf = r.buf[:i+1]
				r.start = r.at + int64(i+1)
				return line[i+1:], nil
			}
			if len(line) > maxEventBytes {
				return nil, fmt.Errorf("%w: longer than any event", errLine)
			}
		}
		if r.at == 0 {
			return nil, io.EOF
		}
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}
