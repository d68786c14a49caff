package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/query"
)

// ruling is what a person said of a column, or the doubt that its own traffic cast on
// it. It is kept by what PostgreSQL knows the column by, and by name: numbers outlive
// a rename, names a restore.
type ruling struct {
	Connection string    `json:"connection"`
	Database   string    `json:"database"`
	Relation   uint32    `json:"relation"` // OID
	Number     int16     `json:"number"`
	Schema     string    `json:"schema"`
	Table      string    `json:"table"`
	Column     string    `json:"column"`
	As         string    `json:"as"`               // a type of personal data, asNone, or asDoubt
	Where      string    `json:"where,omitempty"`  // of a type: "whole" if it does not say
	Copied     bool      `json:"copied,omitempty"` // it came with personal data that was written there: Reason says from where
	Reason     string    `json:"reason,omitempty"`
	By         string    `json:"by,omitempty"`
	At         time.Time `json:"at"`

	// For gateways that share what they know (merge.go).
	Server string `json:"server,omitempty"` // the database, by what tells it from all others
	From   string `json:"from,omitempty"`   // the gateway that it was kept at first; "" for this one
	Rev    int64  `json:"rev,omitempty"`    // of two about one column, the greater one is the later
	Seq    int64  `json:"seq,omitempty"`    // its place in the order in which this gateway came to know
}

// What a ruling can say beside a type.
const (
	asNone  = "none"  // nothing personal
	asAuto  = "auto"  // no ruling any more
	asDoubt = "doubt" // by the gateway: what passed was not clean
)

func (r ruling) ref() query.Ref {
	return query.Ref{Schema: r.Schema, Table: r.Table, Column: r.Column}
}

// maxRulings bounds the file: more than people say by hand.
const maxRulings = 100_000

// rulings are those of all connections, in one file. Without a file they last as long
// as the process.
type rulings struct {
	path string

	mu    sync.Mutex
	list  []ruling
	rev   int64         // the greatest in list
	seq   int64         // as above
	moved chan struct{} // closed when list grows, and replaced
}

// openRulings reads the file. A file that cannot be read must not be taken for an
// empty one: what a person has said to hide would then pass.
func openRulings(path string) (*rulings, error) {
	r := &rulings{path: path, moved: make(chan struct{})}
	if path == "" {
		return r, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the labels that people gave: %w", err)
	}
	if r.list, err = parseRulings(data); err != nil {
		return nil, fmt.Errorf("read the labels that people gave in %s: %w", path, err)
	}
	for _, x := range r.list {
		r.rev, r.seq = max(r.rev, x.Rev), max(r.seq, x.Seq)
	}
	return r, nil
}

func parseRulings(data []byte) ([]ruling, error) {
	var list []ruling
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	if len(list) > maxRulings {
		return nil, fmt.Errorf("it holds %d entries, at most %d are read", len(list), maxRulings)
	}
	for i, r := range list {
		if r.As == "" || r.Column == "" || r.Table == "" || r.Schema == "" {
			return nil, fmt.Errorf("entry %d does not say which column it is about, or what it holds", i)
		}
	}
	return list, nil
}

// put replaces what was said of the column, on disk before it counts. What is taken back
// stays as such, for gateways that have heard the opposite. at is its place in the order.
func (r *rulings) put(x ruling) (at int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make([]ruling, 0, len(r.list)+1)
	for _, old := range r.list {
		if !old.same(x) {
			next = append(next, old)
		}
	}
	x.From, x.Rev, x.Seq = "", r.rev+1, r.seq+1
	return x.Seq, r.grow(append(next, x))
}

// putAll replaces what was said of columns with what was copied there; fresh is false if
// all of it was known. at is the place of the latest of it.
func (r *rulings) putAll(list []ruling) (at int64, fresh bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, rev, seq := slices.Clone(r.list), r.rev, r.seq
	for _, x := range list {
		i := slices.IndexFunc(next, x.same)
		known := i >= 0 && next[i].As == x.As && next[i].Where == x.Where && (next[i].Relation == x.Relation || x.Relation == 0)
		if known {
			at = max(at, next[i].Seq)
			continue
		}
		rev, seq, fresh = rev+1, seq+1, true
		x.From, x.Rev, x.Seq, at = "", rev, seq, max(at, seq)
		if i < 0 {
			next = append(next, x)
		} else {
			next[i] = x
		}
	}
	if !fresh {
		return at, false, nil
	}
	return at, true, r.grow(next)
}

// grow keeps a list with something new in it, and wakes who waits for that; r.mu is held.
func (r *rulings) grow(next []ruling) error {
	if len(next) > maxRulings {
		return fmt.Errorf("no more than %d labels can be kept", maxRulings)
	}
	if err := r.save(next); err != nil {
		return err
	}
	for _, x := range next {
		r.rev, r.seq = max(r.rev, x.Rev), max(r.seq, x.Seq)
	}
	close(r.moved)
	r.moved = make(chan struct{})
	return nil
}

func (r *rulings) save(next []ruling) error {
	if r.path != "" {
		data, err := json.MarshalIndent(next, "", " ")
		if err != nil {
			return err
		}
		if err := durable.WriteFile(r.path, append(data, '\n'), 0o600); err != nil {
			return fmt.Errorf("keep a label: %w", err)
		}
	}
	r.list = next
	return nil
}

// same reports whether both are about one column, as one connection shows it.
func (r ruling) same(x ruling) bool {
	return r.Connection == x.Connection && r.Database == x.Database && (r.Server == x.Server || r.Server == "" || x.Server == "") &&
		(r.Relation != 0 && r.Relation == x.Relation && r.Number == x.Number || r.ref() == x.ref())
}

// in are the rulings on the columns of a snapshot, under the names these have now.
// One that says that something is clean must find the column by its number, and under
// its own name or in a table of its name: after a restore, numbers mean other things.
// One that says that it is personal, or in doubt, holds if either fits, and whichever
// connection to the database it was kept for.
func (r *rulings) in(connection string, s *catalog.Snapshot) (map[query.Ref]ruling, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[query.Ref]ruling{}
	moved, grown := false, false
	next := slices.Clone(r.list)
	rev, seq := r.rev, r.seq
	for i := range next {
		own := next[i].of(connection, s)
		if own && next[i].Server != s.Identity { // as after an upgrade: others are told what it is about now
			rev, seq, grown = rev+1, seq+1, true
			next[i].Server, next[i].Rev, next[i].Seq = s.Identity, rev, seq
		}
		x := next[i]
		if !own && (x.Server == "" || x.Server != s.Identity || x.As == asNone) || x.As == asAuto {
			continue
		}
		ref, found := s.Numbered(catalog.Attribute{Relation: x.Relation, Number: x.Number})
		near := found && (ref.Column == x.Column || ref.Schema == x.Schema && ref.Table == x.Table)
		at, named := s.Attribute(x.ref())
		// It was said before the table was there, or that table was made anew since. Of what
		// another gateway said, that one will say which table it meant: here the old one of
		// the name may still be known.
		if own && named && (x.Relation == 0 || !found && x.As != asNone && x.From == "") {
			next[i].Relation, next[i].Number, moved = at.Relation, at.Number, true
			if x.From == "" {
				rev, seq, grown = rev+1, seq+1, true
				next[i].Rev, next[i].Seq = rev, seq
			}
		}
		switch {
		case near:
			overlay(out, ref, x)
			if ref != x.ref() { // so that the next rename is followed too
				next[i].Schema, next[i].Table, next[i].Column = ref.Schema, ref.Table, ref.Column
				moved = true
			}
		case x.As != asNone && named:
			overlay(out, x.ref(), x)
		case x.As != asNone && found:
			overlay(out, ref, x)
		}
	}
	switch {
	case grown:
		return out, r.grow(next)
	case moved:
		return out, r.save(next)
	}
	return out, nil
}

// of reports whether it was kept for a connection of this gateway, or for the same one of
// another that is in front of the same database.
func (r ruling) of(connection string, s *catalog.Snapshot) bool {
	return r.Connection == connection && r.Database == s.Database && (r.From == "" || r.Server == s.Identity)
}

// overlay adds a ruling to those on a column, which may have been kept for another
// connection too. That there is nothing personal stands until the data itself is copied
// there; of two that say that there is, the one that hides all of it stands.
func overlay(out map[query.Ref]ruling, ref query.Ref, x ruling) {
	old, ok := out[ref]
	switch {
	case !ok, old.As == asDoubt:
	case x.As == asDoubt:
		return
	case old.As == asNone:
		if !x.Copied || x.Rev < old.Rev {
			return
		}
	case x.As == asNone:
		if old.Copied && old.Rev > x.Rev {
			return
		}
	case old.Where == whole || old.Where == "":
		return
	}
	out[ref] = x
}

// label is what a ruling makes of a column.
func (x ruling) label() catalog.Label {
	said := fmt.Sprintf("%s said so on %s", x.By, x.At.UTC().Format(time.DateOnly))
	if x.Reason != "" {
		said += ": " + x.Reason
	}
	if x.Copied {
		return catalog.Label{PII: true, Type: x.As, Where: x.Where, Confidence: 1, Evidence: x.Reason}
	}
	switch x.As {
	case asNone:
		return catalog.Label{Clean: true, Confidence: 1, Evidence: said}
	case asDoubt:
		return catalog.Label{Evidence: x.Reason}
	}
	return catalog.Label{PII: true, Type: x.As, Where: "whole", Confidence: 1, Evidence: said}
}
