package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Ticket is the receipt for an appended event. The zero Ticket is a receipt for
// nothing.
type Ticket struct {
	Seq uint64 // place in the log, from 0
	ID  string // unique among logs

	log *Log
}

// batch is lines that go out in one write. Its buffer is filled under mu; the
// rest is set and read under wmu.
type batch struct {
	buf  []byte
	ends []int // where each line ends, its line break included
	done bool
	err  error
}

// scratch is what encoding one event takes, kept for the next.
type scratch struct {
	body []byte
	fit  Event // the event cut to fit
}

var scratches = sync.Pool{New: func() any { return &scratch{body: make([]byte, 0, 4096)} }}

// maxGathered is how many bytes of events may wait for the next one.
const maxGathered = 64 << 10

// maxPooled keeps the rare huge event from staying in memory for ever.
const maxPooled = 64 << 10

// Append adds an event and returns when it has been handed to the operating
// system: from then on a crash of this process does not lose it. It sets Seq and
// ID, and Time when that is zero. Events of concurrent callers go out in one
// write.
func (l *Log) Append(ev Event) (Ticket, error) {
	seq, b, err := l.accept(&ev, false)
	if err != nil {
		return Ticket{}, err
	}
	// Whoever gets here first writes for all who gathered meanwhile; the others
	// find their batch done.
	l.wmu.Lock()
	if !b.done {
		l.writeGathered()
	}
	err = b.err
	l.wmu.Unlock()
	if err != nil {
		return Ticket{}, err
	}
	t := Ticket{Seq: seq, ID: fmt.Sprint(l.idPrefix, seq), log: l}
	return t, l.holdBack(t)
}

// Later adds an event that nobody acts upon: it is handed to the operating system
// with the next one, and in balanced is on disk within the same 50 ms as any other.
// Until then a crash of this process loses it. It keeps its place among the others.
func (l *Log) Later(ev Event) error {
	if l.Strict() {
		_, err := l.Append(ev)
		return err
	}
	_, b, err := l.accept(&ev, true)
	if err != nil || b == nil {
		return err
	}
	return l.writeOut()
}

// accept puts an event in its place. Of one that may come later it gives the batch
// only if that has become large.
func (l *Log) accept(ev *Event, later bool) (seq uint64, b *batch, err error) {
	if ev.Time.IsZero() {
		ev.Time = l.cfg.Now()
	}
	work := scratches.Get().(*scratch)
	defer work.put()
	if err := work.encode(ev); err != nil {
		return 0, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return 0, nil, err
	}
	seq, b = l.next, l.gather
	l.next++
	b.buf = appendHead(b.buf, seq, l.idPrefix)
	b.buf = append(append(b.buf, work.body...), '\n')
	b.ends = append(b.ends, len(b.buf))
	if later && len(b.buf) < maxGathered {
		if !l.marked {
			l.marked = true
			send(l.dirty)
		}
		return seq, nil, nil
	}
	return seq, b, nil
}

// writeOut hands to the operating system what has gathered.
func (l *Log) writeOut() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.mu.Lock()
	n, err := len(l.gather.ends), l.err
	l.mu.Unlock()
	if n == 0 || err != nil {
		return err
	}
	l.writeGathered()
	return l.Err()
}

// put gives work back for reuse. It keeps no event alive.
func (w *scratch) put() {
	w.fit = Event{}
	if cap(w.body) <= maxPooled {
		scratches.Put(w)
	}
}

// refusal says why nothing can be appended, or nil. It needs mu.
func (l *Log) refusal() error {
	if l.err != nil {
		return l.err
	}
	if l.closed {
		return ErrClosed
	}
	return nil
}

// holdBack makes callers wait for the disk once too much is waiting for it.
func (l *Log) holdBack(t Ticket) error {
	l.mu.Lock()
	behind := l.written - l.synced
	l.mu.Unlock()
	if behind < maxUnsynced {
		return nil
	}
	return t.Durable(context.Background())
}

// writeGathered writes the batch that has gathered. It needs wmu.
func (l *Log) writeGathered() {
	l.mu.Lock()
	b := l.gather
	l.gather = &batch{buf: l.spare[:0]}
	l.spare = nil
	err := l.err
	l.mu.Unlock()
	if err == nil {
		err = l.writeBatch(b)
	}
	b.done, b.err = true, err
	if cap(b.buf) <= maxEventBytes {
		l.mu.Lock()
		l.spare = b.buf
		l.mu.Unlock()
	}
	b.buf = nil
}

// writeBatch writes the lines of b, going on in a new segment where one is full.
func (l *Log) writeBatch(b *batch) error {
	from, ends := 0, b.ends
	for len(ends) > 0 {
		l.mu.Lock()
		file, written := l.file, l.written
		l.mu.Unlock()
		room := segmentEntries - int(written-l.base)
		if room == 0 {
			if err := l.nextSegment(); err != nil {
				l.fail(err)
				return l.Err()
			}
			continue
		}
		n := min(room, len(ends))
		lines := b.buf[from:ends[n-1]]
		if _, err := file.Write(lines); err != nil {
			// Some of it may be there, even whole lines. They were not promised to
			// anyone, and opening the log again sorts them out.
			l.fail(fmt.Errorf("write entry %d and after: %w", written, err))
			return l.Err()
		}
		l.wrote(lines, n)
		from, ends = ends[n-1], ends[n:]
	}
	return nil
}

// wrote notes that n lines are with the operating system.
func (l *Log) wrote(lines []byte, n int) {
	leaves := make([]tlog.Hash, 0, n)
	for range n {
		line, rest, _ := bytes.Cut(lines, []byte{'\n'})
		leaves = append(leaves, tlog.RecordHash(line))
		lines = rest
	}
	l.mu.Lock()
	l.written += uint64(n)
	l.leaves = append(l.leaves, leaves...)
	mark := !l.marked
	l.marked = true
	l.mu.Unlock()
	if !mark {
		return
	}
	signal := l.dirty
	if l.cfg.Durability == Strict {
		signal = l.urgent
	}
	send(signal)
}

// nextSegment ends the current segment, which is on disk before the next one
// exists: only the last segment can be torn. It needs wmu.
func (l *Log) nextSegment() error {
	l.smu.Lock()
	defer l.smu.Unlock()
	l.mu.Lock()
	old, written := l.file, l.written
	l.mu.Unlock()
	if err := old.Sync(); err != nil {
		return fmt.Errorf("fsync the segment before entry %d: %w", written, err)
	}
	if err := inPlace(old, segmentPath(l.cfg.Dir, l.base)); err != nil {
		return fmt.Errorf("keep the segment before entry %d: %w", written, err)
	}
	file, err := l.cfg.disk.openAppend(segmentPath(l.cfg.Dir, written))
	if err != nil {
		return fmt.Errorf("begin the segment of entry %d: %w", written, err)
	}
	l.base = written
	l.mu.Lock()
	l.file = file
	l.mu.Unlock()
	l.advance(written)
	if err := old.Close(); err != nil {
		return fmt.Errorf("close the segment before entry %d: %w", written, err)
	}
	return nil
}

// Hurry has the event put on disk now, for a caller who has something else to do
// before it waits with Durable.
func (t Ticket) Hurry() {
	if t.log != nil {
		send(t.log.urgent)
	}
}

// Durable returns nil when the event is on disk. Any number of waiters share
// one fsync.
func (t Ticket) Durable(ctx context.Context) error {
	l := t.log
	if l == nil {
		return errors.New("wait for the record: the ticket is of no event")
	}
	for {
		l.mu.Lock()
		synced, err, round := l.synced, l.err, l.round
		l.mu.Unlock()
		if synced > t.Seq {
			return nil
		}
		if err != nil {
			return err
		}
		send(l.urgent)
		select {
		case <-round:
		case <-l.failed:
		case <-ctx.Done():
			return fmt.Errorf("wait for entry %d to be on disk: %w", t.Seq, ctx.Err())
		}
	}
}

// syncLoop fsyncs: at once when somebody waits, else after syncDelay.
func (l *Log) syncLoop() {
	defer l.loops.Done()
	var due <-chan time.Time
	for {
		select {
		case <-l.stop:
			return // Close does the last one
		case <-l.dirty:
			if due == nil {
				due = time.After(l.cfg.syncDelay)
			}
		case <-l.urgent:
			due = nil
			l.syncNow()
		case <-due:
			due = nil
			l.syncNow()
		}
	}
}

// syncNow writes what has gathered, and fsyncs what has been written by now.
func (l *Log) syncNow() {
	l.mu.Lock()
	l.marked = false // before the write: what comes after it asks anew
	l.mu.Unlock()
	_ = l.writeOut() // kept in err
	l.smu.Lock()
	defer l.smu.Unlock()
	l.mu.Lock()
	file, written, synced, err := l.file, l.written, l.synced, l.err
	l.mu.Unlock()
	if err != nil || written == synced {
		return
	}
	began := time.Now()
	err = file.Sync()
	l.timed(time.Since(began))
	if err != nil {
		l.fail(fmt.Errorf("fsync entries %d to %d: %w", synced, written-1, err))
		return
	}
	if err := inPlace(file, segmentPath(l.cfg.Dir, l.base)); err != nil {
		l.fail(fmt.Errorf("keep entries %d to %d: %w", synced, written-1, err))
		return
	}
	l.advance(written)
}

// inPlace says whether path still leads to file. What is written to a file that was
// removed, moved or replaced is on no disk once it is closed, and nobody can ask for it.
func inPlace(file appendFile, path string) error {
	have, err := file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("the record was taken away: %w", err)
	}
	if !os.SameFile(have, there) {
		return fmt.Errorf("the record was taken away: %s is another file", path)
	}
	return nil
}

// advance tells the waiters that n events are on disk.
func (l *Log) advance(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.synced {
		l.synced = n
		close(l.round)
		l.round = make(chan struct{})
	}
}

// send signals on a channel of size 1 that may already hold the signal.
func send(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
