// Package runbook holds statements that are reviewed once, kept in files and run by
// name. Values of parameters are bound, never written into a text; identifiers come
// from the choices that the file declares. What was not checked does not run: Load
// gives a runbook only if all of its file holds, Bind values only if each is one that
// its parameter allows.
//
// The package is pure: it reads no file and no clock and starts no goroutine. A
// connection, the time and what keeps the state of a run come in as arguments of Run.
package runbook

import (
	"time"

	"cel.dev/cel-go/cel"
)

// Runbook is one file.
type Runbook struct {
	Name        string // of the file, without its extension
	Hash        string // "sha256:" and the hexadecimal digest of the file's bytes
	Title       string // one line
	Purpose     string // what it is for, and what it leaves alone
	Connection  string // that it runs on
	Parameters  []Parameter
	Who         Who
	Approvals   Approvals
	Transaction Transaction
	Limits      Limits
	Steps       []Step
}

// Who may run it. The zero value is everybody who may open the connection: what they
// may do there, the policy decides.
type Who struct {
	Groups []string // members of one of these; empty is everybody
	Kinds  []string // person, job, agent; empty is all
}

// Approvals are asked for ahead of time for the whole run, if Ahead. The policy may ask
// for more, never for less.
type Approvals struct {
	Ahead  bool
	Groups []string // whom the runbook itself wants to agree, policy or not
	Count  int
}

// Transaction says what is undone together.
type Transaction string

// One is all steps or none; Each is every step by itself, and every turn of one that
// repeats.
const (
	One  Transaction = "one"
	Each Transaction = "each"
)

// Limits of a run. Zero is the default.
type Limits struct {
	Rows      int64         // that one execution of a step may change; 0 is no limit
	Time      time.Duration // of the whole run, its waiting for people included; default DefaultTime
	Statement time.Duration // of each statement, on the server; 0 is the server's own
	Lock      time.Duration // that each waits for locks, on the server; 0 is the server's own
}

// Bounds of what a file may say, and of what a run may take.
const (
	MaxFile     = 256 << 10      // bytes of a file: far more than a person reviews
	MaxSteps    = 100            //
	MaxSQL      = 64 << 10       // bytes of one step
	MaxValue    = 64 << 10       // bytes of one parameter's value
	MaxResult   = 10_000         // rows that one step may return: more is no answer for a person
	MaxTurns    = 1_000_000      // of a step that repeats
	DefaultTime = time.Hour      // of a run
	MaxTime     = 24 * time.Hour // of a run
	DefaultText = 1000           // characters of a text that says nothing else
)

// Step is one statement.
type Step struct {
	Name   string // a word that later conditions speak of
	Note   string // for people: what it is for
	SQL    string // one statement, with :name and :"name"
	When   string // a condition; it is skipped where that is false
	Expect string // what must hold afterwards, or the run fails
	Undo   string // of a run in which each step stands by itself: what takes it back
	Repeat *Repeat

	when, expect, while *condition
	line                int
}

// Repeat runs a step again while a condition holds.
type Repeat struct {
	While string        // looked at after each turn
	Most  int           // turns; more is a failure
	Pause time.Duration // between them
}

// condition is an expression that was found good.
type condition struct {
	text    string
	program cel.Program
	names   []string // variables that it speaks of

	columns map[string][]string // of results that it looks at, by the variable of the row; AnyColumn if it may be any
}

// AnyColumn stands for whatever columns a result has.
const AnyColumn = "*"

// Problem is one thing wrong with a file, or one piece of advice about it.
type Problem struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// LoadError is everything that is wrong with a file.
type LoadError struct {
	File     string
	Problems []Problem
}
