// Package report makes the page that an auditor asks for: who had access, who used it,
// what was changed and who agreed, who saw personal data and what for, what was refused,
// and whether the record that says so is whole. It promises:
//
//   - A report is of one signed checkpoint: it counts the entries under it and no others,
//     so that whoever makes it again from the same record gets the same numbers.
//   - Numbers come from the index, and events from the record itself.
//   - The page has nothing from elsewhere in it, no script, and no markup but its own:
//     what callers wrote is text.
package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
)

// Config says what a report is of.
type Config struct {
	For    string       // one of Names
	Since  time.Time    // at or after
	Until  time.Time    // before
	Made   time.Time    // now
	By     string       // who asked for it
	Record string       // directory of the record
	Index  *index.Index // of the record
	Key    string       // public key that must have signed; "" takes the record's own word for it
	Quick  bool         // leave the entries unread, and check what was signed only
}

// Report is what the page says. It travels as JSON.
type Report struct {
	For     string    `json:"for"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Made    time.Time `json:"made"`
	By      string    `json:"by,omitempty"`
	Scanned string    `json:"scanned,omitempty"` // why the index could not answer, and the record was read

	Checkpoint string       `json:"checkpoint"` // signed, whole
	Entries    uint64       `json:"entries"`    // under it
	Verified   audit.Report `json:"verified"`
	Quick      bool         `json:"quick,omitempty"` // the entries themselves were not read

	Rights   []Right   `json:"rights"`   // who had access
	People   []Caller  `json:"people"`   // who used it
	Days     []Day     `json:"days"`     // how much, and what was decided
	Changes  List      `json:"changes"`  // privileged statements, with who approved
	Held     List      `json:"held"`     // what waited for people
	Acts     List      `json:"acts"`     // of administrators, and changes of policy and labels
	Kinds    []Kind    `json:"kinds"`    // of personal data that were touched
	Touched  []Caller  `json:"touched"`  // who touched personal data, each statement counted once
	Personal []Touch   `json:"personal"` // which columns, those first of which most rows came
	Purposes []Purpose `json:"purposes"` // what for
	Refused  List      `json:"refused"`  // statements
	Rules    []Refusal `json:"rules"`    // that refused, and whom
	Logins   List      `json:"logins"`   // and sessions that were refused
	Asked    []Count   `json:"asked"`    // who read the record
	Left     []string  `json:"left"`     // what there was no room for, in sentences
}

// Right is a group or several that may do something, as the gateway noted at a start.
type Right struct {
	Connection string    `json:"connection,omitempty"`
	Role       string    `json:"role,omitempty"` // in the database
	Groups     []string  `json:"groups"`
	What       string    `json:"what"`
	Env        string    `json:"env,omitempty"`
	From       time.Time `json:"from"` // when it was first noted
	Used       int64     `json:"used"` // sessions that were opened in the period
}

// Caller is a person, a job or an agent.
type Caller struct {
	Who         string    `json:"who"`
	Caller      string    `json:"caller"` // person, job, agent
	Groups      []string  `json:"groups"`
	Logins      int64     `json:"logins"`
	Sessions    int64     `json:"sessions"`
	Statements  int64     `json:"statements"`
	Rows        int64     `json:"rows"`
	Masked      int64     `json:"masked"`
	Refused     int64     `json:"refused"`
	Connections []string  `json:"connections"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
}

// Day is the statements of a day.
type Day struct {
	Day   time.Time `json:"day"`
	Allow int64     `json:"allow"`
	Hold  int64     `json:"hold"`
	Deny  int64     `json:"deny"`
}

// Touch is what one caller had to do with one column of personal data.
type Touch struct {
	Who    string    `json:"who"`
	Column string    `json:"column"`
	Holds  string    `json:"holds"` // kind of data
	Count  int64     `json:"count"`
	Rows   int64     `json:"rows"`
	Masked int64     `json:"masked"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Kind is a kind of personal data.
type Kind struct {
	Holds   string `json:"holds"`
	Columns int    `json:"columns"` // that were touched
	People  int    `json:"people"`  // callers that touched any
	Count   int64  `json:"count"`   // statements, once for each column
	Rows    int64  `json:"rows"`
	Masked  int64  `json:"masked"`
}

// Purpose is what a caller said that statements on personal data are for.
type Purpose struct {
	Purpose string    `json:"purpose"` // "" if nothing was said
	Who     string    `json:"who"`
	Count   int64     `json:"count"`
	Rows    int64     `json:"rows"`
	Last    time.Time `json:"last"`
}

// Refusal is how often a rule refused somebody.
type Refusal struct {
	Rule  string    `json:"rule"`
	Who   string    `json:"who"`
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

// Count is how often somebody did something.
type Count struct {
	Who   string    `json:"who"`
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

// List is the newest of some events, and how to ask for the others.
type List struct {
	Events []audit.Event `json:"events"`
	More   bool          `json:"more,omitempty"`
	Ask    string        `json:"ask"` // the command that lists them all
}

// Limits of a page that a person reads.
const (
	maxListed = 100
	maxGroups = 1_000_000 // what is added up is whole
	maxShown  = 2000      // lines of one kind that a report holds
)

// Make makes a report. What is wrong with the record is in it, not an error.
func Make(ctx context.Context, cfg Config) (*Report, error) {
	if !slices.Contains(Names(), cfg.For) {
		return nil, fmt.Errorf("there is no report for %q, only for %s", cfg.For, strings.Join(Names(), ", "))
	}
	if !cfg.Since.Before(cfg.Until) {
		return nil, errors.New("a report is of a time that begins before it ends")
	}
	msg, size, err := audit.Newest(cfg.Record)
	if err != nil {
		return nil, err
	}
	r := &Report{For: cfg.For, Since: cfg.Since, Until: cfg.Until, Made: cfg.Made, By: cfg.By, Checkpoint: string(msg), Entries: uint64(size), Quick: cfg.Quick}
	a := asker{ctx: ctx, cfg: cfg, r: r}
	if size > 0 {
		for _, part := range []func() error{a.rights, a.people, a.days, a.changes, a.personal, a.refused} {
			if err := part(); err != nil {
				return nil, err
			}
		}
	}
	if cfg.Quick {
		r.Verified, err = audit.VerifyHead(cfg.Record, cfg.Key)
	} else {
		// The record may have grown since: the report's own checkpoint must be met too.
		r.Verified, err = audit.Verify(ctx, cfg.Record, cfg.Key, audit.Witness{Name: "the checkpoint of this page", Kept: append(msg, '\n')})
	}
	return r, err
}

// asker asks the index on behalf of one report.
type asker struct {
	ctx context.Context
	cfg Config
	r   *Report
}

// of narrows a question to the time and the entries of the report.
func (a *asker) of(f audit.Filter) audit.Filter {
	f.Since, f.Until, f.Before = a.cfg.Since, a.cfg.Until, a.r.Entries
	return f
}

func (a *asker) count(f audit.Filter, order string, by ...string) ([]index.Group, error) {
	got, err := a.cfg.Index.Count(a.ctx, a.of(f), index.Count{By: by, Order: order, Limit: maxGroups})
	if err != nil {
		return nil, err
	}
	if got.Scanned != "" {
		a.r.Scanned = got.Scanned
	}
	if got.More > 0 {
		a.r.Left = append(a.r.Left, fmt.Sprintf("%d combinations of %s beyond the first %d", got.More, strings.Join(by, " and "), maxGroups))
	}
	return got.Groups, nil
}

func (a *asker) list(f audit.Filter, flags string) (List, error) {
	f.Limit = maxListed
	got, err := a.cfg.Index.List(a.ctx, a.of(f))
	if got.Scanned != "" {
		a.r.Scanned = got.Scanned
	}
	l := List{Events: got.Events, More: got.Next > 0, Ask: fmt.Sprintf("sluice audit query %s --since %s --until %s --limit 10000",
		flags, a.cfg.Since.UTC().Format(time.RFC3339), a.cfg.Until.UTC().Format(time.RFC3339))}
	if l.Events == nil {
		l.Events = []audit.Event{}
	}
	return l, err
}
