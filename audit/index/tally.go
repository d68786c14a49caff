package index

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// dimension gives what events are counted by small numbers of its own, one for each
// value: there are far fewer of these than events.
type dimension struct {
	by     string
	col    int
	byID   [][]int32         // of a number in the column, its values; nil if not looked up yet
	byTime map[int64][]int32 // the same of a time or an entry
	texts  []string          // of the values
	number map[string]int32
}

// lookups are dimensions that questions have filled, kept for the next: what a number
// stands for does not change until the index is made anew. Each is with one question at a
// time; another at the same time makes its own.
type lookups struct {
	mu   sync.Mutex
	dims map[string]*dimension
}

// maxLooked bounds what is kept of a dimension; beyond, it is made again each time.
const maxLooked = 1 << 18

func (l *lookups) take(by string) *dimension {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.dims[by]; d != nil {
		delete(l.dims, by)
		return d
	}
	return &dimension{by: by, col: columnOf(by), byTime: map[int64][]int32{}, number: map[string]int32{}}
}

func (l *lookups) give(d *dimension) {
	if d.col == colTime || d.col == colSeq || d.col == colSession || len(d.byID) > maxLooked || len(d.texts) > maxLooked {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dims == nil {
		l.dims = map[string]*dimension{}
	}
	l.dims[d.by] = d
}

// columnOf says in which column of the index a dimension stands, or of what is looked
// up by it.
func columnOf(by string) int {
	switch by {
	case "who", "caller", "owner", "group", "connection", "role", "application", "purpose":
		return colActor
	case "table", "column", "personal", "statement", "fingerprint":
		return colShape
	case "session":
		return colSession
	case "kind":
		return colKind
	case "effect":
		return colEffect
	case "rule":
		return colRule
	case "outcome":
		return colOutcome
	case "day", "hour":
		return colTime
	}
	return colSeq // approver
}

// values gives the values of an event, of which v is what stands in the column.
func (d *dimension) values(q *question, v int64) ([]int32, error) {
	switch d.by {
	case "day":
		v -= mod(v, (24 * time.Hour).Microseconds())
	case "hour":
		v -= mod(v, time.Hour.Microseconds())
	case "approver":
		if q.approved[v] == nil {
			v = -1 // as most
		}
	}
	if d.col == colTime || d.col == colSeq {
		if got := d.byTime[v]; got != nil {
			return got, nil
		}
	} else if v < int64(len(d.byID)) && d.byID[v] != nil {
		return d.byID[v], nil
	}
	names, err := q.names(d.by, v)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []string{""}
	}
	list := make([]int32, len(names))
	for i, name := range names {
		n, ok := d.number[name]
		if !ok {
			n = int32(len(d.texts))
			d.number[name] = n
			d.texts = append(d.texts, name)
		}
		list[i] = n
	}
	if d.col == colTime || d.col == colSeq {
		d.byTime[v] = list
		return list, nil
	}
	for v >= int64(len(d.byID)) {
		d.byID = append(d.byID, nil)
	}
	d.byID[v] = list
	return list, nil
}

func mod(v, n int64) int64 { return (v%n + n) % n }

// tallies is what has been added up, by one value or by two, of which most pairs are
// not there. Pairs are found by open addressing: there is one look for each event.
type tallies struct {
	all   []tally
	keys  []uint64 // of all, if by two
	slots []int32  // of pairs: where in all they stand, plus one
}

func (s *tallies) at(a, b int32, both bool) *tally {
	if !both {
		for int(a) >= len(s.all) {
			s.all = append(s.all, tally{})
		}
		return &s.all[a]
	}
	if 2*len(s.all) >= len(s.slots) {
		s.grow()
	}
	key := uint64(a)<<32 | uint64(b)
	i := s.slot(key)
	if s.slots[i] == 0 {
		s.all, s.keys = append(s.all, tally{}), append(s.keys, key)
		s.slots[i] = int32(len(s.all))
	}
	return &s.all[s.slots[i]-1]
}

// slot is where a pair stands, or would.
func (s *tallies) slot(key uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	i := (key * 0x9e3779b97f4a7c15) >> 32 & mask
	for s.slots[i] != 0 && s.keys[s.slots[i]-1] != key {
		i = (i + 1) & mask
	}
	return i
}

func (s *tallies) grow() {
	s.slots = make([]int32, max(1024, 2*len(s.slots)))
	for n, key := range s.keys {
		s.slots[s.slot(key)] = int32(n + 1)
	}
}

// groups gives the sums their names.
func (s *tallies) groups(dims []*dimension) []*Group {
	list := make([]*Group, 0, len(s.all))
	for i := range s.all {
		t := &s.all[i]
		if t.count == 0 {
			continue
		}
		values := []string{""}
		if len(dims) == 2 {
			values = []string{dims[0].texts[s.keys[i]>>32], dims[1].texts[uint32(s.keys[i])]}
		} else {
			values[0] = dims[0].texts[i]
		}
		list = append(list, t.group(values))
	}
	return list
}

// count adds up what the question chooses.
func (q *question) count(c Count) ([]*Group, error) {
	dims := make([]*dimension, len(c.By))
	for i, by := range c.By {
		dims[i] = q.known.take(by)
	}
	defer func() { // also after an error: what was looked up is right
		for _, d := range dims {
			q.known.give(d)
		}
	}()
	if err := q.prepareApproved(c); err != nil {
		return nil, err
	}
	sums := &tallies{}
	err := q.pages(func(p *page, sel []int32) error {
		if q.ctx.Err() != nil {
			return q.ctx.Err()
		}
		if len(sel) == 0 {
			return nil
		}
		sel, err := q.sure(p, sel)
		if err != nil {
			return err
		}
		return q.addUp(p, sel, dims, sums)
	})
	if err != nil {
		return nil, err
	}
	return sums.groups(dims), nil
}

// addUp adds the chosen events of a page.
func (q *question) addUp(p *page, sel []int32, dims []*dimension, sums *tallies) error {
	both := len(dims) == 2
	first, second := p.col(dims[0].col), p.col(dims[len(dims)-1].col)
	times, rows, bytes, masked := p.col(colTime), p.col(colRows), p.col(colBytes), p.col(colMasked)
	other := []int32{0}
	for _, i := range sel {
		one := tally{1, rows[i], bytes[i], masked[i], times[i], times[i]}
		list, err := dims[0].values(q, first[i])
		if err != nil {
			return err
		}
		if both {
			if other, err = dims[1].values(q, second[i]); err != nil {
				return err
			}
		}
		for _, a := range list {
			for _, b := range other {
				sums.at(a, b, both).add(one)
			}
		}
	}
	return nil
}

// maxRead is how many events are looked at in the record to count those with a text.
const maxRead = 20_000

// errEverywhere says that counting would mean reading much of the record.
var errEverywhere = errors.New("the text stands in too many places to be counted\nhint: narrow it with --since, --who, --connection or a longer text")

// sure looks into the record at events that only have a word nearby. A text that stands
// in statements, whatever their values, is counted by these.
func (q *question) sure(p *page, sel []int32) ([]int32, error) {
	if q.texts == nil {
		return sel, nil
	}
	n, shaped := 0, len(q.texts) > 0
	for _, i := range sel {
		if q.texts.has(p.col(colShape)[i]) {
			sel[n] = i
			n++
			continue
		}
		if shaped {
			continue
		}
		if q.read++; q.read > maxRead {
			return nil, errEverywhere
		}
		ev, _, err := q.event(p.col(colSeq)[i], p.col(colEnding)[i])
		if err != nil {
			return nil, err
		}
		if q.Matches(&ev) {
			sel[n] = i
			n++
		}
	}
	return sel[:n], nil
}

// prepareApproved finds who approved what, if that is counted.
func (q *question) prepareApproved(c Count) error {
	if !slices.Contains(c.By, "approver") {
		return nil
	}
	q.approved = map[int64][]string{}
	rows, err := q.tx.QueryContext(q.ctx, "SELECT event, answer, who FROM approval")
	if err != nil {
		return err
	}
	return eachRow(rows, func(scan func(...any) error) error {
		var event, answer int64
		var who string
		err := scan(&event, &answer, &who)
		q.approved[event], q.approved[answer] = append(q.approved[event], who), append(q.approved[answer], who)
		return err
	})
}

// names gives what a number stands for in a dimension.
func (q *question) names(by string, id int64) ([]string, error) {
	var query string
	switch by {
	case "day":
		return []string{time.UnixMicro(id).UTC().Format(time.DateOnly)}, nil
	case "hour":
		return []string{time.UnixMicro(id).UTC().Format(hourFormat)}, nil
	case "who", "owner", "connection", "role", "application", "purpose":
		query = "SELECT " + by + " FROM actor WHERE id=?"
	case "caller":
		query = "SELECT kind FROM actor WHERE id=?"
	case "group":
		query = `SELECT "group" FROM member WHERE actor=?`
	case "table", "column":
		query = "SELECT DISTINCT name FROM touch WHERE shape=?"
	case "personal":
		query = "SELECT name FROM holding WHERE shape=?"
	case "statement", "fingerprint":
		query = "SELECT " + by + " FROM shape WHERE id=?"
	case "session":
		query = "SELECT text FROM session WHERE id=?"
	case "approver":
		return q.approved[id], nil
	default:
		query = "SELECT text FROM name WHERE id=?"
	}
	st := q.made[query]
	if st == nil {
		var err error
		if st, err = q.tx.PrepareContext(q.ctx, query); err != nil {
			return nil, err
		}
		q.made[query] = st
	}
	rows, err := st.QueryContext(q.ctx, id)
	if err != nil {
		return nil, err
	}
	var names []string
	err = eachRow(rows, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		if s != "" {
			names = append(names, s)
		}
		return err
	})
	switch by {
	case "table":
		names = relations(names)
	case "column":
		names = onlyColumns(names)
	}
	return names, err
}
