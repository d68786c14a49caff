package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicehq/sluice/audit"
)

// Answer is what a question found.
type Answer struct {
	Events []audit.Event // statements with their endings and other events, the newest first unless audit.Filter.Oldest is set
	Next   uint64        // audit.Filter.Before of the next page, or From; 0 if there is none

	Groups []Group // of a question that counts, as Count.Order says
	More   int     // groups beyond Count.Limit

	Scanned string // why the record itself was read, which takes longer; "" if the index answered
}

// errBehind says that the index is still being built.
var errBehind = errors.New("the index is still being built")

// List answers f, one event for each statement as audit.Filter.Whole has it.
func (x *Index) List(ctx context.Context, f audit.Filter) (Answer, error) {
	f.Whole = true
	switch {
	case f.Limit < 0:
		return Answer{}, fmt.Errorf("read the record: a limit of %d", f.Limit)
	case f.Limit == 0:
		f.Limit = defaultLimit
	}
	f.Limit = min(f.Limit, maxLimit)
	var a Answer
	scanned, err := x.ask(ctx, f, func(q *question) error {
		a = Answer{}
		return q.list(&a)
	})
	if scanned == "" || err != nil {
		return a, err
	}
	res, err := audit.Query(ctx, x.cfg.Record, f)
	return Answer{Events: res.Events, Next: res.Next, Scanned: scanned}, err
}

const (
	defaultLimit = 100
	maxLimit     = 10_000
	// maxListBytes bounds one page in memory.
	maxListBytes = 64 << 20
)

// ask has do answer f by the index. If it cannot, it says why: the record itself must
// be read then.
func (x *Index) ask(ctx context.Context, f audit.Filter, do func(*question) error) (scanned string, err error) {
	if f.Of != "" {
		return "the index does not know what belongs to what", nil
	}
	if done, err := x.catchUp(ctx, answerEntries); err != nil || !done {
		if ctx.Err() != nil {
			return "", fmt.Errorf("read the record: %w", ctx.Err())
		}
		if err == nil {
			err = errBehind
		}
		return err.Error(), nil
	}
	x.mu.Lock()
	reads, known := x.reads, x.known
	x.mu.Unlock()
	tx, err := reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err == nil {
		q := &question{Filter: f, ctx: ctx, tx: tx, record: x.cfg.Record, known: known, groups: map[int64][][]byte{}, made: map[string]*sql.Stmt{}}
		if err = q.prepare(); err == nil {
			err = do(q)
		}
		err = errors.Join(err, tx.Rollback()) // nothing was written
	}
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("read the record: %w", ctx.Err())
	case errors.Is(err, errEverywhere):
		return "", errEverywhere
	case damaged(err):
		x.broken(err)
		return "the index is damaged and is made anew", nil
	}
	return "the index cannot answer: " + err.Error(), nil
}

// question is one question under way, within one transaction.
type question struct {
	audit.Filter
	ctx    context.Context
	tx     *sql.Tx
	record string

	none   bool // nothing can match: a name is unknown
	equal  []equal
	actors numbers // nil for all, as those below
	shapes numbers
	yes    numbers // statements that the approver let run, and the answers themselves
	parts  numbers // events of the run
	texts  numbers // shapes with the text in them
	words  numbers // blocks of wordEntries that have all its words
	full   int64   // blocks there are
	page   page
	picked []int32
	groups map[int64][][]byte // entries read, by placeEntries

	known    *lookups
	approved map[int64][]string   // who approved which events, if that is counted
	read     int                  // events looked at in the record
	made     map[string]*sql.Stmt // for names; ended with the transaction
}

// equal is a condition on one column.
type equal struct {
	col   int
	value int64
}

// prepare turns names into numbers.
func (q *question) prepare() error {
	if err := q.tx.QueryRowContext(q.ctx, "SELECT coalesce(max(id)+1, 0) FROM block").Scan(&q.full); err != nil {
		return err
	}
	for _, c := range [...]struct {
		col         int
		table, text string
	}{{colKind, "name", string(q.Kind)}, {colEffect, "name", q.Effect}, {colRule, "name", q.Rule}, {colOutcome, "name", q.Outcome}, {colSession, "session", q.Session}} {
		if c.text == "" {
			continue
		}
		var id int64
		err := q.tx.QueryRowContext(q.ctx, "SELECT id FROM "+c.table+" WHERE text=?", c.text).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			q.none = true
		} else if err != nil {
			return err
		}
		q.equal = append(q.equal, equal{c.col, id})
	}
	if q.ID != "" {
		seq, ok := seqOf(q.ID)
		q.none = q.none || !ok
		q.equal = append(q.equal, equal{colSeq, int64(seq)})
	}
	err := errors.Join(q.prepareActors(), q.prepareShapes(), q.prepareApprover(), q.prepareRun(), q.prepareText())
	for _, in := range []numbers{q.actors, q.shapes, q.yes, q.parts} {
		q.none = q.none || in != nil && len(in) == 0
	}
	return err
}

// prepareActors finds whom the question is about.
func (q *question) prepareActors() (err error) {
	for _, c := range [...]struct {
		text, where string
		n           int
	}{
		{q.Who, "SELECT id FROM actor WHERE who=? OR subject=? OR owner=?", 3},
		{q.Connection, "SELECT id FROM actor WHERE connection=?", 1},
		{q.Purpose, "SELECT id FROM actor WHERE purpose=?", 1},
		{q.Group, `SELECT actor FROM member WHERE "group"=?`, 1},
	} {
		if c.text == "" {
			continue
		}
		args := []any{c.text, c.text, c.text}[:c.n]
		if q.actors, err = q.among(q.actors, c.where, args...); err != nil {
			return err
		}
	}
	return nil
}

// prepareShapes finds the shapes of statement that the question is about.
func (q *question) prepareShapes() (err error) {
	if q.Statement != "" {
		if q.shapes, err = q.among(q.shapes, "SELECT id FROM shape WHERE statement=?", q.Statement); err != nil {
			return err
		}
	}
	if q.Fingerprint != "" {
		if q.shapes, err = q.among(q.shapes, "SELECT id FROM shape WHERE fingerprint=?", q.Fingerprint); err != nil {
			return err
		}
	}
	for _, f := range []audit.Filter{{Touches: q.Touches}, {Table: q.Table}, {Column: q.Column}, {Personal: q.Personal}} {
		query, is := "SELECT shape, name FROM touch", func(name string) bool { return f.Touched([]string{name}, nil) }
		switch {
		case f.Personal != "":
			query, is = "SELECT shape, name FROM holding", f.Holds
		case f.Touches+f.Table+f.Column == "":
			continue
		}
		rows, err := q.tx.QueryContext(q.ctx, query)
		if err != nil {
			return err
		}
		found, known := numbers{}, map[string]bool{}
		err = eachRow(rows, func(scan func(...any) error) error {
			var id int64
			var name string
			if err := scan(&id, &name); err != nil {
				return err
			}
			ok, seen := known[name]
			if !seen {
				ok = is(name)
				known[name] = ok
			}
			if ok && (q.shapes == nil || q.shapes.has(id)) {
				found = found.with(id)
			}
			return nil
		})
		if err != nil {
			return err
		}
		q.shapes = found
	}
	return nil
}

func (q *question) prepareApprover() (err error) {
	if q.Approver != "" {
		q.yes, err = q.among(nil, "SELECT event FROM approval WHERE who=? UNION SELECT answer FROM approval WHERE who=?", q.Approver, q.Approver)
	}
	return err
}

// prepareRun finds what is part of a run, or of all runs of a job or runbook.
func (q *question) prepareRun() (err error) {
	if q.Run == "" {
		return nil
	}
	const which = "SELECT %s FROM run WHERE text=? OR job=?"
	if q.parts, err = q.among(nil, "SELECT event FROM part WHERE run IN ("+fmt.Sprintf(which, "id")+")", q.Run, q.Run); err != nil {
		return err
	}
	rows, err := q.tx.QueryContext(q.ctx, fmt.Sprintf(which, "text"), q.Run, q.Run)
	if err != nil {
		return err
	}
	var ids []string
	err = eachRow(rows, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	q.Filter = q.WithRuns(ids)
	return err
}

// prepareText finds the shapes that have the text in them, and the places in the record
// that have its words.
func (q *question) prepareText() (err error) {
	if q.Text == "" {
		return nil
	}
	if utf8.RuneCountInString(q.Text) >= 3 {
		q.texts, err = q.among(nil, "SELECT rowid FROM shape_text WHERE shape_text MATCH ?", quoted(q.Text))
	} else {
		q.texts, err = q.among(nil, "SELECT id FROM shape WHERE instr(lower(text), ?) > 0", strings.ToLower(q.Text))
	}
	if err != nil {
		return err
	}
	var words []string
	eachWord(q.Text, func(w string) { words = append(words, quoted(w)) })
	q.words = numbers{}
	if len(words) == 0 {
		return nil
	}
	q.words, err = q.among(nil, fmt.Sprintf("SELECT DISTINCT rowid>>%d FROM word WHERE word MATCH ?", wordShift), strings.Join(words, " ")+"*")
	return err
}

// quoted is a text as a phrase of a full-text search.
func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// among gives the numbers that a query finds, those only that are in already; nil is all.
func (q *question) among(in numbers, query string, args ...any) (numbers, error) {
	rows, err := q.tx.QueryContext(q.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	found := numbers{} // not nil, which is all
	err = eachRow(rows, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		if in == nil || in.has(id) {
			found = found.with(id)
		}
		return err
	})
	return found, err
}

// eachRow gives the rows, and closes them.
func eachRow(rows *sql.Rows, give func(scan func(...any) error) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := give(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pages gives all events that may match, the newest page first unless the oldest is
// asked for, with which of them do, in the order of the record.
func (q *question) pages(give func(*page, []int32) error) error {
	if q.none {
		return nil
	}
	parts := []func(func(*page, []int32) error) error{q.unpacked, q.blocks}
	if q.Oldest {
		slices.Reverse(parts)
	}
	for _, part := range parts {
		if err := part(give); err != nil {
			return err
		}
	}
	return nil
}

// unpacked gives the events that no block has yet, which are the newest.
func (q *question) unpacked(give func(*page, []int32) error) error {
	// What is plain to SQL is left out by it: most of what a question takes is to get rows
	// out of SQL one by one.
	where, args := "seq >= ?", []any{q.full * blockEntries}
	for _, e := range q.equal {
		where, args = where+" AND "+columnNames[e.col]+" = ?", append(args, e.value)
	}
	for _, c := range [...]struct {
		col int
		in  numbers
	}{{colActor, q.actors}, {colShape, q.shapes}} {
		if ids := c.in.few(); ids != nil {
			where, args = where+" AND "+columnNames[c.col]+" IN (?"+strings.Repeat(",?", len(ids)-1)+")", append(args, ids...)
		}
	}
	rows, err := q.tx.QueryContext(q.ctx, "SELECT * FROM event WHERE "+where+" ORDER BY seq", args...)
	if err != nil {
		return err
	}
	q.page.reset()
	if err := readPage(rows, &q.page); err != nil {
		return err
	}
	return give(&q.page, q.pick())
}

// blocks gives the events of the blocks.
func (q *question) blocks(give func(*page, []int32) error) error {
	since, until, last := int64(-1)<<62, int64(1)<<62, q.full-1
	if !q.Since.IsZero() {
		since = q.Since.UnixMicro()
	}
	if !q.Until.IsZero() {
		until = q.Until.UnixMicro()
	}
	if q.Before > 0 {
		last = min(last, int64((q.Before-1)/blockEntries))
	}
	first, order := int64(0), "DESC"
	if q.Oldest {
		first, order = int64(q.From/blockEntries), "ASC"
	}
	if q.ID != "" {
		seq, _ := seqOf(q.ID)
		first, last = max(first, int64(seq/blockEntries)), min(last, int64(seq/blockEntries))
	}
	rows, err := q.tx.QueryContext(q.ctx, "SELECT data FROM block WHERE id BETWEEN ? AND ? AND last >= ? AND first < ? ORDER BY id "+order, first, last, since, until)
	if err != nil {
		return err
	}
	var data sql.RawBytes // good until the next row, and so is the page
	return eachRow(rows, func(scan func(...any) error) error {
		if err := scan(&data); err != nil {
			return err
		}
		if err := q.page.unpack(data); err != nil {
			return err
		}
		return give(&q.page, q.pick())
	})
}

// pick gives the events of the page that match, as far as the index can tell.
func (q *question) pick() []int32 {
	p := &q.page
	sel := q.picked[:0]
	for i := range p.n {
		sel = append(sel, int32(i))
	}
	narrow := func(col int, ok func(int64) bool) {
		if len(sel) == 0 {
			return
		}
		values, n := p.col(col), 0
		for _, i := range sel {
			if ok(values[i]) {
				sel[n] = i
				n++
			}
		}
		sel = sel[:n]
	}
	for _, e := range q.equal {
		narrow(e.col, func(v int64) bool { return v == e.value })
	}
	if q.Before > 0 {
		narrow(colSeq, func(v int64) bool { return uint64(v) < q.Before })
	}
	if q.Oldest && q.From > 0 {
		narrow(colSeq, func(v int64) bool { return uint64(v) >= q.From })
	}
	if !q.Since.IsZero() {
		since := q.Since.UnixMicro()
		if q.Since.Nanosecond()%1000 > 0 {
			since++
		}
		narrow(colTime, func(v int64) bool { return v >= since })
	}
	if !q.Until.IsZero() {
		until := q.Until.UnixMicro()
		if q.Until.Nanosecond()%1000 > 0 {
			until++
		}
		narrow(colTime, func(v int64) bool { return v < until })
	}
	for _, c := range [...]struct {
		col int
		in  numbers
	}{{colActor, q.actors}, {colShape, q.shapes}, {colSeq, q.yes}, {colSeq, q.parts}} {
		if c.in != nil {
			narrow(c.col, c.in.has)
		}
	}
	if q.RowsOver > 0 {
		narrow(colRows, func(v int64) bool { return v > q.RowsOver })
	}
	if q.Masked {
		narrow(colMasked, func(v int64) bool { return v > 0 })
	}
	if q.texts != nil && len(sel) > 0 {
		seqs, shapes, n := p.col(colSeq), p.col(colShape), 0
		for _, i := range sel {
			if q.texts.has(shapes[i]) || q.words.has(seqs[i]/wordEntries) {
				sel[n] = i
				n++
			}
		}
		sel = sel[:n]
	}
	q.picked = sel
	return sel
}

// numbers is a set of them. They were given one after the other, so bits take little.
type numbers []uint64

func (s numbers) has(v int64) bool { return v>>6 < int64(len(s)) && s[v>>6]&(1<<(v&63)) != 0 }

// few are the numbers in the set, nil if they are many, or none.
func (s numbers) few() (list []any) {
	const most = 8
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			if len(list) == most {
				return nil
			}
			list = append(list, int64(i<<6+bits.TrailingZeros64(word)))
		}
	}
	return list
}

func (s numbers) with(v int64) numbers {
	for v>>6 >= int64(len(s)) {
		s = append(s, 0)
	}
	s[v>>6] |= 1 << (v & 63)
	return s
}
