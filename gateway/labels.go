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

	mu   sync.Mutex
	list []ruling
}

// openRulings reads the file. A file that cannot be read must not be taken for an
// empty one: what a person has said to hide would then pass.
func openRulings(path string) (*rulings, error) {
	r := &rulings{path: path}
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

// put replaces what was said of the column, on disk before it counts.
func (r *rulings) put(x ruling) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make([]ruling, 0, len(r.list)+1)
	for _, old := range r.list {
		if !old.same(x) {
			next = append(next, old)
		}
	}
	if x.As != asAuto {
		next = append(next, x)
	}
	if len(next) > maxRulings {
		return fmt.Errorf("no more than %d labels can be kept", maxRulings)
	}
	return r.save(next)
}

// putAll replaces what was said of columns with what was copied there; false if all of it
// was known.
func (r *rulings) putAll(list []ruling) (fresh bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := slices.Clone(r.list)
	for _, x := range list {
		at := slices.IndexFunc(next, x.same)
		switch {
		case at < 0:
			next, fresh = append(next, x), true
		case next[at].As != x.As || next[at].Where != x.Where || next[at].Relation != x.Relation && x.Relation != 0:
			next[at], fresh = x, true
		}
	}
	if !fresh {
		return false, nil
	}
	if len(next) > maxRulings {
		return false, fmt.Errorf("no more than %d labels can be kept", maxRulings)
	}
	return true, r.save(next)
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

func (r ruling) same(x ruling) bool {
	return r.Connection == x.Connection && r.Database == x.Database && (r.Relation != 0 && r.Relation == x.Relation && r.Number == x.Number || r.ref() == x.ref())
}

// in are the rulings on the columns of a snapshot, under the names these have now.
// One that says that something is clean must find the column by its number, and under
// its own name or in a table of its name: after a restore, numbers mean other things.
// One that says that it is personal, or in doubt, holds if either fits.
func (r *rulings) in(connection string, s *catalog.Snapshot) (map[query.Ref]ruling, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	byNumber := s.Attributes()
	out := map[query.Ref]ruling{}
	moved := false
	next := append([]ruling(nil), r.list...)
	for i, x := range next {
		if x.Connection != connection || x.Database != s.Database {
			continue
		}
		ref, found := byNumber[catalog.Attribute{Relation: x.Relation, Number: x.Number}]
		near := found && (ref.Column == x.Column || ref.Schema == x.Schema && ref.Table == x.Table)
		at, named := s.Attribute(x.ref())
		if x.Relation == 0 && named { // it was said before the table was there
			next[i].Relation, next[i].Number = at.Relation, at.Number
			moved = true
		}
		switch {
		case near:
			out[ref] = x
			if ref != x.ref() { // renamed: so that the next rename is followed too
				next[i].Schema, next[i].Table, next[i].Column = ref.Schema, ref.Table, ref.Column
				moved = true
			}
		case x.As != asNone && named:
			out[x.ref()] = x
		case x.As != asNone && found:
			out[ref] = x
		}
	}
	if moved {
		return out, r.save(next)
	}
	return out, nil
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
