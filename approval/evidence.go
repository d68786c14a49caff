package approval

import "time"

// Evidence is what is known of a statement beside its text, for those who decide on
// it. None of it is part of what an answer is bound to. It is never changed once an
// ask has it: what is found out later comes as another.
type Evidence struct {
	From   string   // network address of the caller
	Client string   // application_name
	Shape  string   // fingerprint of the statement
	Why    string   // what the caller says of it
	Reads  []string // schema.table.column
	Writes []string // schema.table
	Signs  []string // that made people careful
	Masked []string // result columns that are hidden from the caller: "email: email"
	Clear  []string // result columns of personal data that the caller would see in the clear
	Looks  Looks    // found out at the database and in the record while it waits
}

// Looks are what was looked up for an ask. What could not be says so in Notes.
type Looks struct {
	Done    bool     // it was tried
	Planned bool     // Rows is what the planner expects
	Rows    int64    // rows changed, or returned by a read
	Table   string   // the relation that Whole is about
	Whole   int64    // rows in it, as the planner knows; -1 if it does not
	Locks   []string // who else holds locks on what it writes, and who waits for this session
	History []string // of this person, and of statements of this shape
	Notes   []string
}

// Learn gives an ask that still waits another evidence.
func (d *Desk) Learn(id string, change func(Evidence) Evidence) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.open[id]
	if h == nil || h.done {
		return
	}
	ev := Evidence{}
	if h.ask.Evidence != nil {
		ev = *h.ask.Evidence
	}
	ev = change(ev)
	h.ask.Evidence = &ev
	h.turn++
	d.signal()
}

// Left is how long an ask may still wait at now.
func (a Ask) Left(now time.Time) time.Duration { return max(a.Deadline.Sub(now), 0) }
