package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
)

// errFull ends a page that begins with the oldest.
var errFull = errors.New("the page is full")

// onward is a search from the oldest entry on. With Whole a decision is given once its
// ending was read, behind the answer to its ask as the gateway writes them, or the end of
// the record: those behind it wait for it, in order.
type onward struct {
	*query
	waits []*unended          // in the order of the record
	open  map[string]*unended // decisions among them, by their ID
	bytes int                 // of the lines of those that wait
}

// unended is an event that has its place, but may not have been read whole.
type unended struct {
	ev   Event
	size int
	open bool // its ending is still to come
}

// oldest answers from q.From on, the oldest first.
func (q *query) oldest(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	first, err := First(dir)
	if err != nil {
		return err
	}
	from, err := PlaceOf(ctx, dir, max(q.From, first))
	if errors.Is(err, errNoEntry) {
		return nil // nothing is behind the end
	}
	if err != nil {
		return err
	}
	o := &onward{query: q, open: map[string]*unended{}}
	end, err := Forward(ctx, dir, from, func(_ Place, line []byte) error { return o.line(line) })
	if errors.Is(err, errFull) {
		return nil
	}
	if err != nil {
		return err
	}
	if end.Seq < q.size {
		return fmt.Errorf("read the record: it ends at entry %d of %d\nhint: sluice audit verify says what is missing", end.Seq, q.size)
	}
	for _, w := range o.waits {
		w.open = false
	}
	if err := o.give(); !errors.Is(err, errFull) {
		return err
	}
	return nil
}

// line looks at one entry.
func (o *onward) line(line []byte) error {
	seq, err := lineSeq(line)
	if err != nil {
		return err
	}
	o.result.Read++
	if o.Whole && len(o.open) > 0 && (bytes.Contains(line, []byte(`"kind":"finished"`)) || bytes.Contains(line, []byte(`"kind":"answered"`))) {
		if err := o.belongs(line); err != nil {
			return err
		}
	}
	if o.Before > 0 && seq >= o.Before || o.Whole && bytes.Contains(line, []byte(`"kind":"finished"`)) {
		return o.give()
	}
	if at, ok := lineTime(line); ok && !o.Until.IsZero() && at.After(o.Until.Add(timeSlack)) && len(o.waits) == 0 {
		return errFull // and there is no next page
	}
	for _, m := range o.must {
		if !bytes.Contains(line, m) {
			return o.give()
		}
	}
	ev, err := decodeLine(line)
	if err != nil {
		return err
	}
	w := &unended{ev: ev, size: len(line), open: o.Whole && ev.Kind == Decided}
	if !w.open && !o.Matches(&ev) {
		return o.give()
	}
	o.waits = append(o.waits, w)
	o.bytes += w.size
	if w.open {
		o.open[ev.ID] = w
	}
	return o.give()
}

// belongs takes an ending, or an answer, to its decision.
func (o *onward) belongs(line []byte) error {
	ev, err := decodeLine(line)
	if err != nil {
		return err
	}
	w := o.open[ev.Of]
	switch {
	case w == nil:
	case ev.Kind == Finished:
		w.ev.End(&ev)
		w.open = false
		delete(o.open, ev.Of)
	case ev.Kind == Answered:
		w.ev.Approvers = append(w.ev.Approvers, ev.Approvers...)
	}
	return nil
}

// give gives what has nothing before it that is still open. What takes too much memory
// is given as it is known.
func (o *onward) give() error {
	for len(o.waits) > 0 && (!o.waits[0].open || o.bytes > maxResultBytes) {
		w := o.waits[0]
		o.waits = o.waits[1:]
		o.bytes -= w.size
		delete(o.open, w.ev.ID)
		if !o.Matches(&w.ev) {
			continue
		}
		if len(o.result.Events) == o.Limit || o.query.bytes+w.size > maxResultBytes {
			o.result.Next = w.ev.Seq
			return errFull
		}
		o.query.bytes += w.size
		o.result.Events = append(o.result.Events, w.ev)
	}
	return nil
}
