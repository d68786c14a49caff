package gateway

import (
	"context"
	"fmt"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// Of rows that pass unread the first of each result are looked at, so that a column
// whose content changed is noticed at once, and a few after them (wire.Peeks). They are
// copied and read by another goroutine: what passes does not wait, and when more
// passes than can be read, some is not. A value is read to peekBytes.
const (
	peekBytes = 2048
	maxPassed = 256 // rows that wait to be read
	maxTally  = 64  // values of a column after which what was counted is halved
)

// watched is a result column whose values pass unread, and where they come from.
type watched struct {
	index int
	ref   query.Ref
	oid   uint32
}

// passed are the watched values of one row.
type passed struct {
	watch  []watched
	values [][]byte
}

// watch are the columns of a result that are clean text, straight from a table of the
// users'. A clean number or date shows nothing by itself.
func (k *known) watch(result []query.Column) (out []watched) {
	for i, c := range result {
		if len(c.Sources) != 1 || c.Sources[0].How != query.Direct {
			continue
		}
		ref := c.Sources[0].Ref
		col, ok := k.Column(ref.Schema, ref.Table, ref.Column)
		if rel, _ := k.Relation(ref.Schema, ref.Table); !ok || rel.System || !col.Label.Clean || !mask.Readable(col.TypeOID) {
			continue
		}
		out = append(out, watched{index: i, ref: ref, oid: col.TypeOID})
	}
	return out
}

// peek offers the watched values of a row to whoever reads them. The row stays as it is.
func (d *database) peek(watch []watched, row [][]byte) {
	size := 0
	for _, w := range watch {
		if w.index >= len(row) {
			return
		}
		size += min(len(row[w.index]), peekBytes)
	}
	if len(d.passed) == cap(d.passed) {
		return // not worth copying
	}
	select {
	case d.passed <- passed{watch: watch, values: copied(watch, row, size)}:
	default:
	}
}

func copied(watch []watched, row [][]byte, size int) [][]byte {
	room := make([]byte, 0, size)
	values := make([][]byte, len(watch))
	for i, w := range watch {
		n := len(room)
		room = append(room, row[w.index][:min(len(row[w.index]), peekBytes)]...)
		values[i] = room[n:len(room):len(room)]
	}
	return values
}

// tally counts, of the values of one column that passed, those of a personal form.
type tally struct {
	seen int
	hits map[mask.Type]int
}

// inspect reads a sample of what passed. A column with two values of a form that
// nothing else has, or with a third of its values of another personal form, is not
// clean any more: from the next statement on its values are read before they pass.
func (d *database) inspect(ctx context.Context, p passed) {
	for i, w := range p.watch {
		v := p.values[i]
		if len(v) < 5 { // shorter than any address
			continue
		}
		t := d.tallies[w.ref]
		if t == nil {
			t = &tally{hits: map[mask.Type]int{}}
			d.tallies[w.ref] = t
		}
		if t.seen++; t.seen > maxTally {
			t.halve()
		}
		for _, form := range mask.Forms(v, w.oid) {
			t.hits[form]++
			if mask.Doubtful(form, t.hits[form], t.seen) {
				delete(d.tallies, w.ref)
				d.doubt(ctx, w.ref, form, t.hits[form], t.seen)
				break
			}
		}
	}
}

func (t *tally) halve() {
	t.seen /= 2
	for form := range t.hits {
		t.hits[form] /= 2
	}
}

// doubt makes a column unknown at once, and then has its table judged anew.
func (d *database) doubt(ctx context.Context, ref query.Ref, form mask.Type, hits, seen int) {
	d.mu.Lock()
	old := d.current.Load()
	label, ok := old.Label(ref)
	at, _ := old.Attribute(ref)
	said, err := d.rulings.in(d.Name, old.Snapshot)
	if !ok || !label.Clean || said[ref].As == asNone || err != nil { // known already, or a person said so
		d.mu.Unlock()
		return
	}
	evidence := fmt.Sprintf("%d of %d values that passed were of the form of %s", hits, seen, form)
	next := old.sure()
	next.Snapshot = old.certain.WithLabels(map[query.Ref]catalog.Label{ref: {Evidence: evidence}})
	d.replace(old, &next) // first what protects, then what lasts
	_, err = d.rulings.put(ruling{
		Connection: d.Name, Database: old.Database, Server: old.Identity, Relation: at.Relation, Number: at.Number,
		Schema: ref.Schema, Table: ref.Table, Column: ref.Column, As: asDoubt, Reason: evidence, At: d.now(),
	})
	if err != nil {
		d.log.Error("keep a doubt", "connection", d.Name, "error", err)
	}
	d.mu.Unlock()
	d.relabel(ctx, map[query.Ref]bool{{Schema: ref.Schema, Table: ref.Table}: true})
}
