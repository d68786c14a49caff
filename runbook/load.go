package runbook

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/internal/sheet"
)

// Error is all mistakes, a line each.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s:%d: %s", e.File, p.Line, p.Text)
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%s has %d mistakes\n  %s", e.File, len(lines), strings.Join(lines, "\n  "))
}

// The file, as a sheet reads it.
type (
	file struct {
		Title       string                   `yaml:"title"`
		Purpose     string                   `yaml:"purpose"`
		Connection  string                   `yaml:"connection"`
		Parameters  map[string]fileParameter `yaml:"parameters"`
		Who         fileWho                  `yaml:"who"`
		Approvals   fileApprovals            `yaml:"approvals"`
		Transaction string                   `yaml:"transaction"`
		Limits      fileLimits               `yaml:"limits"`
		Steps       []fileStep               `yaml:"steps"`
	}
	fileParameter struct {
		Type        string   `yaml:"type"`
		Description string   `yaml:"description"`
		Choices     []string `yaml:"choices"`
		Default     string   `yaml:"default"`
		Optional    bool     `yaml:"optional"`
		Min         string   `yaml:"min"`
		Max         string   `yaml:"max"`
		Pattern     string   `yaml:"pattern"`
		MaxLength   int      `yaml:"max_length"`
		Example     string   `yaml:"example"`
	}
	fileWho struct {
		Groups []string `yaml:"groups"`
		Kinds  []string `yaml:"kinds"`
	}
	fileApprovals struct {
		Ahead  bool     `yaml:"ahead"`
		Groups []string `yaml:"groups"`
		Count  int      `yaml:"count"`
	}
	fileLimits struct {
		Rows      int            `yaml:"rows"`
		Time      sheet.Duration `yaml:"time"`
		Statement sheet.Duration `yaml:"statement"`
		Lock      sheet.Duration `yaml:"lock"`
	}
	fileStep struct {
		Name   string     `yaml:"name"`
		Note   string     `yaml:"note"`
		SQL    string     `yaml:"sql"`
		When   string     `yaml:"when"`
		Expect string     `yaml:"expect"`
		Undo   string     `yaml:"undo"`
		Repeat fileRepeat `yaml:"repeat"`
	}
	fileRepeat struct {
		While string         `yaml:"while"`
		Most  int            `yaml:"most"`
		Pause sheet.Duration `yaml:"pause"`
	}
)

// loader reads one file.
type loader struct {
	sheet.Sheet
	file file
	book *Runbook
}

// Load reads a runbook from the bytes of a file. An error is a *LoadError, with
// everything that is wrong.
func Load(name string, data []byte) (*Runbook, error) {
	sum := sha256.Sum256(data)
	l := &loader{book: &Runbook{Name: NameOf(name), Hash: "sha256:" + hex.EncodeToString(sum[:])}}
	if len(data) > MaxFile {
		l.Say(1, "the file is longer than %d KiB", MaxFile>>10)
		return nil, l.err(name)
	}
	l.Read(data, &l.file)
	if err := l.err(name); err != nil {
		return nil, err
	}
	l.front()
	l.parameters()
	l.steps()
	if err := l.err(name); err != nil {
		return nil, err
	}
	return l.book, nil
}

// NameOf is what the runbook in a file is called.
func NameOf(file string) string {
	base := path.Base(strings.ReplaceAll(file, `\`, "/"))
	return strings.TrimSuffix(base, path.Ext(base))
}

func (l *loader) err(name string) error {
	if len(l.Problems) == 0 {
		return nil
	}
	e := &LoadError{File: name}
	for _, p := range l.Sorted() {
		e.Problems = append(e.Problems, Problem{p.Line, p.Text})
	}
	return e
}

// word is what parameters and steps are called: what conditions can speak of.
var word = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// fileWord is what a runbook is called: what a person types and a record keeps.
var fileWord = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

func (l *loader) given(path string) bool { return l.Lines[path] != 0 }

// oneOf notes a value that is none of those known.
func (l *loader) oneOf(path, value string, known ...string) bool {
	if slices.Contains(known, value) {
		return true
	}
	key, _, _ := strings.Cut(path[strings.LastIndexByte(path, '.')+1:], "[")
	l.SayAt(path, "%s is %q%s", key, brief(value), sheet.DidYouMean(value, known))
	return false
}

// front reads all but parameters and steps.
func (l *loader) front() {
	f, b := &l.file, l.book
	if !fileWord.MatchString(b.Name) {
		l.Say(1, "the file is called %q; a runbook is named in lower case with letters, digits, - and _", b.Name)
	}
	b.Title, b.Purpose, b.Connection = strings.TrimSpace(f.Title), strings.TrimSpace(f.Purpose), f.Connection
	switch {
	case b.Title == "":
		l.SayAt("title", "title is missing: one line that says what it does")
	case strings.Contains(b.Title, "\n") || len(b.Title) > 200:
		l.SayAt("title", "title must be one line of at most 200 bytes")
	}
	if b.Purpose == "" {
		l.SayAt("purpose", "purpose is missing: what it is for, and what it leaves as it is")
	}
	if b.Connection == "" {
		l.SayAt("connection", "connection is missing: the name of the one it runs on")
	}
	b.Who = Who{f.Who.Groups, f.Who.Kinds}
	if l.given("who.groups") && len(f.Who.Groups) == 0 {
		l.SayAt("who.groups", "groups is empty, so nobody could run it; leave the key out for everybody")
	}
	if l.given("who.kinds") && len(f.Who.Kinds) == 0 {
		l.SayAt("who.kinds", "kinds is empty, so nobody could run it; leave the key out for all")
	}
	for i, kind := range f.Who.Kinds {
		l.oneOf(fmt.Sprintf("who.kinds[%d]", i), kind, "person", "job", "agent")
	}
	for _, at := range []struct {
		path  string
		words []string
	}{{"who.groups", f.Who.Groups}, {"approvals.groups", f.Approvals.Groups}} {
		for i, w := range at.words {
			if strings.TrimSpace(w) == "" {
				l.SayAt(fmt.Sprintf("%s[%d]", at.path, i), "the name of a group is empty")
			}
		}
	}
	l.approvals()
	b.Transaction = One
	if l.given("transaction") && l.oneOf("transaction", f.Transaction, string(One), string(Each)) {
		b.Transaction = Transaction(f.Transaction)
	}
	l.limits()
}

func (l *loader) approvals() {
	f := l.file.Approvals
	l.book.Approvals = Approvals{f.Ahead, f.Groups, max(f.Count, 1)}
	switch {
	case l.given("approvals.count") && (f.Count < 1 || f.Count > 20):
		l.SayAt("approvals.count", "count is %d, must be 1 to 20 people", f.Count)
	case l.given("approvals.groups") && len(f.Groups) == 0:
		l.SayAt("approvals.groups", "groups is empty, so nobody could approve it")
	case l.given("approvals.count") && len(f.Groups) == 0:
		l.SayAt("approvals.count", "count needs groups: who is to agree")
	case len(f.Groups) > 0 && !f.Ahead:
		l.SayAt("approvals", "people of groups that a runbook names are asked ahead of time: add ahead: true")
	}
}

func (l *loader) limits() {
	f, to := l.file.Limits, &l.book.Limits
	*to = Limits{Rows: int64(f.Rows), Time: time.Duration(f.Time), Statement: time.Duration(f.Statement), Lock: time.Duration(f.Lock)}
	if l.given("limits.rows") && f.Rows < 1 {
		l.SayAt("limits.rows", "rows is %d, must be at least 1", f.Rows)
	}
	if to.Time > MaxTime {
		l.SayAt("limits.time", "time is %s, a run takes at most %s", howlong.Text(to.Time), howlong.Text(MaxTime))
	}
	if to.Time == 0 {
		to.Time = DefaultTime
	}
	for key, d := range map[string]time.Duration{"statement": to.Statement, "lock": to.Lock} {
		if d > 0 && (d < time.Millisecond || d > MaxTime) {
			l.SayAt("limits."+key, "%s is %s, must be 1ms to %s", key, howlong.Text(d), howlong.Text(MaxTime))
		}
	}
}

// steps reads the steps, each with what those before it are called.
func (l *loader) steps() {
	f, b := l.file, l.book
	switch {
	case len(f.Steps) == 0:
		l.SayAt("steps", "steps is missing or empty: write at least one")
	case len(f.Steps) > MaxSteps:
		l.SayAt("steps", "there are %d steps, the most is %d", len(f.Steps), MaxSteps)
		return
	}
	c := newCompiler(l)
	for i := range f.Steps {
		from, at := &f.Steps[i], fmt.Sprintf("steps[%d]", i)
		s := Step{Name: from.Name, Note: strings.TrimSpace(from.Note), SQL: strings.TrimSpace(from.SQL), When: from.When, Expect: from.Expect, Undo: strings.TrimSpace(from.Undo), line: l.Lines[at]}
		switch {
		case s.Name == "":
			l.SayAt(at, "the step has no name: a word that later steps can speak of")
		case !word.MatchString(s.Name):
			l.SayAt(at+".name", "the name of a step is %q, must be a word in lower case such as find_customer", s.Name)
		case slices.ContainsFunc(b.Steps, func(o Step) bool { return o.Name == s.Name }):
			l.SayAt(at+".name", "two steps are called %q", s.Name)
		}
		l.sql(at+".sql", s.SQL, "sql is missing: the one statement of the step")
		if l.given(at+".undo") && b.Transaction != Each {
			l.SayAt(at+".undo", "undo is for transaction: each; in one transaction a failure takes everything back by itself")
		} else if l.given(at + ".undo") {
			l.sql(at+".undo", s.Undo, "undo is empty")
		}
		s.when = c.compile(at+".when", s.When, false)
		s.expect = c.compile(at+".expect", s.Expect, true)
		if l.given(at + ".repeat") {
			l.repeat(at+".repeat", &s, from.Repeat, c)
		}
		b.Steps = append(b.Steps, s)
		c.known(&s)
	}
	l.unused()
}

func (l *loader) repeat(at string, s *Step, from fileRepeat, c *compiler) {
	s.Repeat = &Repeat{While: from.While, Most: from.Most, Pause: time.Duration(from.Pause)}
	if from.While == "" {
		l.SayAt(at, "repeat needs while: a condition such as rows > 0")
	}
	if from.Most < 1 || from.Most > MaxTurns {
		l.SayAt(at, "repeat needs most: after how many turns it is a mistake, 1 to %d", MaxTurns)
	}
	if s.Undo != "" {
		l.SayAt(at, "a step that repeats has no undo: make what takes it back a runbook of its own")
	}
	if s.Repeat.Pause > time.Hour {
		l.SayAt(at+".pause", "pause is %s, at most 1h", howlong.Text(s.Repeat.Pause))
	}
	s.while = c.compile(at+".while", from.While, true)
}

// unused notes parameters that nothing speaks of: a misspelt name in a statement is
// an error of its own, a forgotten one would only be dropped.
func (l *loader) unused() {
	used := map[string]bool{}
	for i := range l.book.Steps {
		s := &l.book.Steps[i]
		for _, sql := range []string{s.SQL, s.Undo} {
			for _, p := range placesOf(sql) {
				used[p.Name] = true
			}
		}
		for _, c := range []*condition{s.when, s.expect, s.while} {
			if c != nil {
				for _, name := range c.names {
					used[strings.TrimPrefix(name, "params.")] = true
				}
			}
		}
	}
	for _, p := range l.book.Parameters {
		if !used[p.Name] && len(l.Problems) == 0 {
			l.SayAt("parameters."+p.Name, "no step uses the parameter %q", p.Name)
		}
	}
}
