package index

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// Count asks for numbers instead of events.
type Count struct {
	By    []string // one or two of Dimensions
	Order string   // what counts most comes first: "count" (default), "rows", "bytes", "masked", "last"; or "name"
	Limit int      // groups at most, default 100
}

// Group is what the events with the same values come to.
type Group struct {
	Values []string // as Count.By has them; "" for events without one
	Count  int64
	Rows   int64
	Bytes  int64
	Masked int64
	First  time.Time
	Last   time.Time
}

// Dimensions are what events can be counted by. An event with several groups, tables,
// columns or approvers counts for each.
var Dimensions = []string{"who", "caller", "owner", "group", "connection", "role", "application", "purpose", "session", "table", "column", "personal", "statement", "fingerprint", "kind", "effect", "rule", "outcome", "approver", "day", "hour"}

// Orders are those of Count.
var Orders = []string{"count", "rows", "bytes", "masked", "last", "name"}

// Check says what is wrong with c.
func (c Count) Check() error {
	if len(c.By) < 1 || len(c.By) > 2 {
		return fmt.Errorf("events are counted by one or two of %s", strings.Join(Dimensions, ", "))
	}
	for _, by := range c.By {
		if !slices.Contains(Dimensions, by) {
			return fmt.Errorf("events cannot be counted by %q, only by %s", by, strings.Join(Dimensions, ", "))
		}
	}
	if c.Order != "" && !slices.Contains(Orders, c.Order) {
		return fmt.Errorf("groups cannot be put in order by %q, only by %s", c.Order, strings.Join(Orders, ", "))
	}
	if c.Limit < 0 {
		return fmt.Errorf("a limit of %d groups", c.Limit)
	}
	return nil
}

// Count counts the events that f chooses, a statement with its ending being one.
func (x *Index) Count(ctx context.Context, f audit.Filter, c Count) (Answer, error) {
	if err := c.Check(); err != nil {
		return Answer{}, err
	}
	f.Whole = true
	var a Answer
	scanned, err := x.ask(ctx, f, func(q *question) error {
		groups, err := q.count(c)
		a = c.answer(groups)
		return err
	})
	if scanned == "" || err != nil {
		return a, err
	}
	a, err = CountRecord(ctx, x.cfg.Record, f, c)
	a.Scanned = scanned
	return a, err
}

// CountRecord is Count without an index: it reads the record in dir.
func CountRecord(ctx context.Context, dir string, f audit.Filter, c Count) (Answer, error) {
	if err := c.Check(); err != nil {
		return Answer{}, err
	}
	f.Whole = true
	groups := map[string]*tally{}
	err := audit.Scan(ctx, dir, f, func(ev audit.Event) error {
		one := tally{1, ev.Rows, ev.Bytes, ev.Masked, ev.Time.UnixMicro(), ev.Time.UnixMicro()}
		spread(groups, one, valuesOf(&ev, c.By))
		return nil
	})
	list := make([]*Group, 0, len(groups))
	for key, t := range groups {
		list = append(list, t.group(strings.Split(key, "\x00")))
	}
	return c.answer(list), err
}

// tally is the numbers of a Group.
type tally struct{ count, rows, bytes, masked, first, last int64 }

func (t *tally) add(o tally) {
	if t.count == 0 {
		*t = o
		return
	}
	t.count, t.rows, t.bytes, t.masked = t.count+o.count, t.rows+o.rows, t.bytes+o.bytes, t.masked+o.masked
	t.first, t.last = min(t.first, o.first), max(t.last, o.last)
}

// group is t under its values.
func (t *tally) group(values []string) *Group {
	return &Group{Values: values, Count: t.count, Rows: t.rows, Bytes: t.bytes, Masked: t.masked, First: time.UnixMicro(t.first).UTC(), Last: time.UnixMicro(t.last).UTC()}
}

// spread adds t to the group of each combination of values.
func spread(groups map[string]*tally, t tally, values [][]string) {
	combos := [][]string{nil}
	for _, list := range values {
		if len(list) == 0 {
			list = []string{""}
		}
		var next [][]string
		for _, c := range combos {
			for _, v := range list {
				next = append(next, append(slices.Clone(c), v))
			}
		}
		combos = next
	}
	for _, c := range combos {
		key := strings.Join(c, "\x00")
		if groups[key] == nil {
			groups[key] = &tally{}
		}
		groups[key].add(t)
	}
}

// answer puts groups in order.
func (c Count) answer(list []*Group) Answer {
	slices.SortFunc(list, func(a, b *Group) int {
		var by int
		switch c.Order {
		case "rows":
			by = cmp.Compare(b.Rows, a.Rows)
		case "bytes":
			by = cmp.Compare(b.Bytes, a.Bytes)
		case "masked":
			by = cmp.Compare(b.Masked, a.Masked)
		case "last":
			by = b.Last.Compare(a.Last)
		case "name":
		default:
			by = cmp.Compare(b.Count, a.Count)
		}
		return cmp.Or(by, slices.Compare(a.Values, b.Values))
	})
	limit := c.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	a := Answer{More: max(0, len(list)-limit), Groups: []Group{}}
	for _, g := range list[:len(list)-a.More] {
		a.Groups = append(a.Groups, *g)
	}
	return a
}

// valuesOf gives what an event has in each dimension.
func valuesOf(ev *audit.Event, by []string) [][]string {
	out := make([][]string, len(by))
	for i, name := range by {
		var one string
		switch name {
		case "who":
			one = ev.Who
		case "caller":
			one = ev.CallerKind
		case "owner":
			one = ev.Owner
		case "group":
			out[i] = ev.Groups
		case "connection":
			one = ev.Connection
		case "role":
			one = ev.Role
		case "application":
			one = ev.Client
		case "purpose":
			one = ev.Purpose
		case "personal":
			out[i] = ev.Personal
		case "session":
			one = ev.Session
		case "table":
			out[i] = relations(append(slices.Clone(ev.Reads), ev.Writes...))
		case "column":
			out[i] = onlyColumns(append(slices.Clone(ev.Reads), ev.Writes...))
		case "statement":
			one = ev.Statement
		case "fingerprint":
			one = ev.Fingerprint
		case "kind":
			one = string(ev.Kind)
		case "effect":
			one = ev.Effect
		case "rule":
			one = ev.Rule
		case "outcome":
			one = ev.Outcome
		case "approver":
			if ev.Kind != audit.Asked { // which names groups
				out[i] = ev.Approvers
			}
		case "day":
			one = ev.Time.UTC().Format(time.DateOnly)
		case "hour":
			one = ev.Time.UTC().Format(hourFormat)
		}
		if one != "" {
			out[i] = []string{one}
		}
	}
	return out
}

const hourFormat = "2006-01-02 15:00"

// relations are those of a list of columns and relations, each once.
func relations(names []string) []string {
	var out []string
	for _, n := range names {
		if r := audit.Relation(n); !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

func onlyColumns(names []string) []string {
	var out []string
	for _, n := range names {
		if strings.Count(n, ".") >= 2 && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
