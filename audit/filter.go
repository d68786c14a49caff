package audit

import (
	"slices"
	"strings"
	"time"
)

// Filter chooses events. Empty fields choose all; those that are set must all
// hold.
type Filter struct {
	Since       time.Time // at or after
	Until       time.Time // before
	Who         string    // name, stable identity or owner, exactly
	Connection  string
	Session     string
	Kind        Kind
	Touches     string // relation or column read or written: "orders", "public.orders", "orders.email", "public.orders.email"
	Table       string // relation read or written, or one whose column was: "customers", "public.customers"
	Column      string // column read or written: "ssn", "customers.ssn", "public.customers.ssn"
	Group       string // of the caller
	Statement   string // kind of statement: "select"
	Rule        string // that decided
	Approver    string // who said yes to it
	Text        string // part of the SQL, a parameter, the error, the reason, the detail, or the name or run of a runbook, in any case
	Effect      string
	Outcome     string
	ID          string // of the event
	Of          string // ID of the event it belongs to
	RowsOver    int64  // only what returned or affected more rows than this; 0 asks nothing
	Masked      bool   // only what had values hidden
	Personal    string // column of personal data read or written, as Column, or what it holds: "email"; "*" for any
	Purpose     string // that the caller gave
	Fingerprint string

	// Run is a run that it is part of: the id of one of a job or of a runbook, or the name
	// of a job or a runbook, for all of its runs. Which runs a job has is found first.
	Run  string
	runs map[string]bool // of the job, once they are found

	// Whole has a decision, its ending and the answer to its ask be one event: that of
	// the decision, with how it ended and who approved it. Endings do not stand alone
	// then, and conditions may be about either.
	Whole bool

	Before uint64 // only events with a smaller Seq; 0 begins at the newest. Result.Next goes here for the next page
	Oldest bool   // the oldest first: Result.Next goes into From for the next page
	From   uint64 // with Oldest: only events with this Seq or a larger one
	Limit  int    // at most so many, default 100, at most 10,000
}

// Matches says whether f chooses ev, by ev alone.
func (f *Filter) Matches(ev *Event) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return (f.Since.IsZero() || !ev.Time.Before(f.Since)) &&
		(f.Until.IsZero() || ev.Time.Before(f.Until)) &&
		(f.Who == "" || f.Who == ev.Who || f.Who == ev.Subject || f.Who == ev.Owner) &&
		is(f.Connection, ev.Connection) && is(f.Session, ev.Session) && is(string(f.Kind), string(ev.Kind)) &&
		is(f.Effect, ev.Effect) && is(f.Outcome, ev.Outcome) && is(f.ID, ev.ID) && is(f.Of, ev.Of) &&
		is(f.Purpose, ev.Purpose) && (f.Personal == "" || slices.ContainsFunc(ev.Personal, f.Holds)) &&
		is(f.Statement, ev.Statement) && is(f.Rule, ev.Rule) && is(f.Fingerprint, ev.Fingerprint) &&
		(f.Group == "" || slices.Contains(ev.Groups, f.Group)) &&
		(f.Approver == "" || ev.Kind != Asked && slices.Contains(ev.Approvers, f.Approver)) && // an ask names groups
		(f.RowsOver == 0 || ev.Rows > f.RowsOver) && (!f.Masked || ev.Masked > 0) &&
		f.ofRun(ev) && f.touched(ev.Reads, ev.Writes) && (f.Text == "" || hasText(ev, strings.ToLower(f.Text)))
}

// ofRun says whether an event is part of the run that f is about.
func (f *Filter) ofRun(ev *Event) bool {
	return f.Run == "" || f.Run == ev.Run || f.Run == ev.RunbookRun || f.Run == ev.Job || f.Run == ev.Runbook || ev.Run != "" && f.runs[ev.Run]
}

// WithRuns is f that knows which runs the job has whose name it gives.
func (f Filter) WithRuns(ids []string) Filter {
	f.runs = make(map[string]bool, len(ids))
	for _, id := range ids {
		f.runs[id] = true
	}
	return f
}

// touched says whether what a statement reads and writes is what f is about.
func (f *Filter) touched(reads, writes []string) bool {
	any := func(name string, is func(ref, name string) bool) bool {
		in := func(ref string) bool { return is(ref, name) }
		return name == "" || slices.ContainsFunc(reads, in) || slices.ContainsFunc(writes, in)
	}
	return any(f.Touches, touches) && any(f.Table, ofTable) && any(f.Column, ofColumn)
}

// Touched says whether a statement that reads and writes these is one that f is about.
func (f *Filter) Touched(reads, writes []string) bool { return f.touched(reads, writes) }

// Holds says whether holding, of Event.Personal, is what f.Personal is about.
func (f *Filter) Holds(holding string) bool {
	column, holds, _ := strings.Cut(holding, ":")
	return f.Personal == "*" || f.Personal == holding || f.Personal == holds || ofColumn(column, f.Personal)
}

func hasText(ev *Event, lower string) bool {
	for _, s := range append([]string{ev.SQL, ev.Error, ev.Reason, ev.Detail, ev.Runbook, ev.RunbookRun}, ev.Params...) {
		if strings.Contains(strings.ToLower(s), lower) {
			return true
		}
	}
	return false
}

// touches says whether name stands in a dotted name as whole parts, so that "users" is
// in "public.users.email" but not in "public.users2".
func touches(ref, name string) bool { return strings.Contains("."+ref+".", "."+name+".") }

// ofColumn says whether name is the column ref, with or without its relation and schema.
func ofColumn(ref, name string) bool {
	return strings.Count(ref, ".") >= 2 && strings.HasSuffix("."+ref, "."+name)
}

// ofTable says whether name is the relation of ref, with or without its schema.
func ofTable(ref, name string) bool { return strings.HasSuffix("."+Relation(ref), "."+name) }

// Relation is the relation of what Reads and Writes have: itself, or that of a column.
func Relation(ref string) string {
	if strings.Count(ref, ".") < 2 {
		return ref
	}
	return ref[:strings.LastIndexByte(ref, '.')]
}

// End adds to a decision how it ended.
func (ev *Event) End(end *Event) {
	ev.Outcome, ev.ErrorCode, ev.Error = end.Outcome, end.ErrorCode, end.Error
	ev.Rows, ev.Bytes, ev.Masked, ev.MaskedCols, ev.DurationUS = end.Rows, end.Bytes, end.Masked, end.MaskedCols, end.DurationUS
}
