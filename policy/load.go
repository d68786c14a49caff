package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/mask"
)

// Limits of a policy file.
const (
	// maxFile is its size in bytes: thousands of rules.
	maxFile = 1 << 20
	// maxRules keeps a decision fast: each costs a fraction of a microsecond.
	maxRules = 1000
	// maxReason is the length of a reason in bytes: it is shown on one line.
	maxReason = 500
	// maxPeople is the largest number of approvers that makes sense to ask for.
	maxPeople = 20
	// maxEscalate is longer than anybody waits in front of a prompt.
	maxEscalate = 24 * time.Hour
)

// Problem is one thing wrong with a policy file.
type Problem struct {
	Line, Column int // from 1; 0 if not known
	Text         string
}

// String is the problem for people.
func (p Problem) String() string {
	switch {
	case p.Line == 0:
		return p.Text
	case p.Column == 0:
		return fmt.Sprintf("line %d: %s", p.Line, p.Text)
	}
	return fmt.Sprintf("line %d:%d: %s", p.Line, p.Column, p.Text)
}

// LoadError is everything that is wrong with a policy file.
type LoadError struct {
	File     string
	Problems []Problem // in the order of the file
}

// Error lists all problems.
func (e *LoadError) Error() string {
	if len(e.Problems) == 1 {
		return e.File + ": " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d problems", e.File, len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// Load reads a policy file. It adds the built-in rules unless the file says
// "builtin: false". The error is a *LoadError with all that is wrong: unknown keys,
// expressions that do not compile, rules that could never work.
func Load(name string, data []byte) (*Rules, error) {
	l := &loader{lines: strings.Split(string(data), "\n"), seen: map[string]int{}}
	builtin := l.file(data)
	if builtin && len(l.problems) == 0 {
		for _, r := range Builtin().List {
			if line := l.seen[r.Name]; line != 0 {
				l.problem(line, "the built-in policy has a rule named %q already; choose another name", r.Name)
			}
			l.rules = append(l.rules, r)
		}
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			return cmp.Or(a.Line-b.Line, a.Column-b.Column)
		})
		return nil, &LoadError{File: name, Problems: l.problems}
	}
	return &Rules{List: l.rules, Zone: l.zone}, nil
}

// loader collects the rules and problems of one file.
type loader struct {
	lines    []string // of the file
	compiler *compiler
	rules    []Rule
	zone     *time.Location
	seen     map[string]int // rule name → line
	problems []Problem
}

func (l *loader) problem(line int, format string, args ...any) {
	l.problems = append(l.problems, Problem{Line: line, Text: fmt.Sprintf(format, args...)})
}

// file reads the whole document and reports whether the built-in rules are wanted.
func (l *loader) file(data []byte) (builtin bool) {
	if len(data) > maxFile {
		l.problem(0, "the file is larger than %d bytes", maxFile)
		return false
	}
	if !l.readable(data) {
		return false
	}
	c, err := newCompiler()
	if err != nil {
		l.problem(0, "%v", err)
		return false
	}
	l.compiler = c
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(data))
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return true // nothing but comments
	case err != nil:
		l.syntax(err)
		return false
	}
	if err := in.Decode(&more); !errors.Is(err, io.EOF) {
		l.problem(more.Line, "a policy is one document; what follows --- would be ignored")
		return false
	}
	builtin = true
	for _, f := range l.fields(doc.Content[0], "a policy file", "builtin", "rules", "time_zone") {
		switch f.key {
		case "builtin":
			builtin = l.boolean(f)
		case "rules":
			l.list(f.value)
		case "time_zone":
			l.timeZone(f)
		}
	}
	return builtin
}

// readable refuses what a YAML reader would refuse without saying where.
func (l *loader) readable(data []byte) bool {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			l.problem(i+1, "this is not UTF-8 text")
			return false
		}
	}
	return true
}

// timeZone is in which time.hour and the like are read.
func (l *loader) timeZone(f field) {
	text, ok := l.text(f)
	if !ok {
		return
	}
	zone, err := location(text)
	if err != nil {
		l.problem(f.value.Line, "time_zone is %q, must be a name such as Europe/Berlin or UTC", text)
	}
	l.zone = zone
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax words an error of the YAML parser in our form.
func (l *loader) syntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	line, text := 0, err.Error()
	if m != nil {
		line, _ = strconv.Atoi(m[1]) // no number: no line
		text = strings.TrimPrefix(text, m[0])
	}
	if line > 0 && line <= len(l.lines) {
		body := strings.TrimLeft(l.lines[line-1], " \t")
		if strings.Contains(strings.TrimSuffix(l.lines[line-1], body), "\t") {
			l.problem(line, "the line is indented with a tab; YAML takes spaces only")
			return
		}
	}
	l.problem(line, "not valid YAML: %s", strings.Join(strings.Fields(text), " "))
}

func (l *loader) list(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		l.problem(n.Line, "rules must be a list; begin each rule with \"- name: …\"")
		return
	}
	if len(n.Content) > maxRules {
		l.problem(n.Line, "there are %d rules; at most %d are allowed", len(n.Content), maxRules)
		return
	}
	for _, item := range n.Content {
		l.rule(item)
	}
}

// rule reads one rule and checks that it can work.
func (l *loader) rule(n *yaml.Node) {
	before := len(l.problems)
	fields := l.fields(n, "a rule", "name", "when", "effect", "reason", "approvers", "window", "unmask", "pseudonym", "purpose", "max_rows", "function_calls")
	whole := len(l.problems) == before
	r, has := Rule{}, map[string]bool{}
	for _, f := range fields {
		has[f.key] = true
		switch f.key {
		case "name":
			r.Name = l.name(f)
		case "when":
			l.when(&r, f.value)
		case "effect":
			l.effect(&r, f)
		case "reason":
			r.Reason = l.reason(f)
		case "approvers":
			r.Approvers = l.approvers(f.value)
		case "window":
			r.Window = l.boolean(f)
		case "unmask":
			r.Unmask = l.words(f, "kind of personal data, such as email")
		case "pseudonym":
			r.Pseudonym = l.pseudonyms(f)
		case "purpose":
			r.Purpose = l.purpose(f)
		case "max_rows":
			r.MaxRows = l.rows(f)
		case "function_calls":
			r.Calls = l.words(f, "function, such as lo_open")
		}
	}
	// A misspelt key is one problem, not also a missing key.
	if whole {
		l.sense(n.Line, &r, has)
	}
	if r.Reason == "" {
		r.Reason = fmt.Sprintf("rule %q says %s", r.Name, r.Effect)
	}
	l.rules = append(l.rules, r)
}

// sense refuses a rule that could never do what its author meant.
func (l *loader) sense(line int, r *Rule, has map[string]bool) {
	if !has["name"] {
		l.problem(line, "the rule has no name")
	}
	if !has["when"] {
		l.problem(line, "the rule has no \"when\"; write when: true if it is meant for every statement")
	}
	switch {
	case !has["effect"] && !has["unmask"] && !has["pseudonym"] && !has["max_rows"] && !has["function_calls"]:
		l.problem(line, "the rule does nothing: it has none of \"effect\", \"unmask\", \"pseudonym\", \"max_rows\" and \"function_calls\"")
	case has["purpose"] && !has["pseudonym"]:
		l.problem(line, "\"purpose\" is what pseudonyms are for; add pseudonym: [email]")
	case !r.Decides:
		for _, key := range []string{"approvers", "window"} {
			if has[key] {
				l.problem(line, "%q needs effect: hold", key)
			}
		}
	case r.Effect == Hold && !has["approvers"]:
		l.problem(line, "nobody could ever approve what this rule holds; add approvers: {groups: [dba], count: 1}")
	case r.Effect != Hold && has["window"]:
		l.problem(line, "\"window\" needs effect: hold, this rule says %s", r.Effect)
	case r.Effect != Hold && has["approvers"]:
		l.problem(line, "\"approvers\" needs effect: hold, this rule says %s", r.Effect)
	case r.Effect == Deny && has["function_calls"]:
		l.problem(line, "a rule that denies lets nothing be called, so \"function_calls\" has no effect")
	case r.Effect == Deny && has["max_rows"]:
		l.problem(line, "a rule that denies lets nothing change, so \"max_rows\" has no effect")
	case r.Effect == Deny && r.Decides && has["pseudonym"]:
		l.problem(line, "a rule that denies shows nothing, so \"pseudonym\" has no effect")
	case r.Effect == Deny && has["unmask"]:
		l.problem(line, "a rule that denies shows nothing, so \"unmask\" has no effect")
	}
}

// pseudonyms are kinds of personal data that can have one.
func (l *loader) pseudonyms(f field) []string {
	list := l.words(f, "kind of personal data, such as email")
	var can []string
	for _, t := range mask.Pseudonymous() {
		can = append(can, string(t))
	}
	for _, kind := range list {
		if !slices.Contains(can, kind) {
			l.problem(f.value.Line, "%q has no pseudonym%s", kind, didYouMean(kind, can))
		}
	}
	return list
}

func (l *loader) purpose(f field) string {
	text, ok := l.text(f)
	if ok && !ruleName.MatchString(text) {
		l.problem(f.value.Line, "a purpose is made of up to 64 letters, digits, \"-\", \"_\" and \".\", not %q", text)
	}
	return text
}

var ruleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (l *loader) name(f field) string {
	name, ok := l.text(f)
	if !ok {
		return ""
	}
	switch first := l.seen[name]; {
	case !ruleName.MatchString(name):
		l.problem(f.value.Line, "a rule's name is made of up to 64 letters, digits, \"-\", \"_\" and \".\", not %q", name)
	case name == ruleNone || name == ruleIdentity:
		l.problem(f.value.Line, "the name %q is used by Sluice itself", name)
	case first != 0:
		l.problem(f.value.Line, "the name %q is taken by the rule on line %d", name, first)
	default:
		l.seen[name] = f.value.Line
	}
	return name
}

func (l *loader) effect(r *Rule, f field) {
	text, ok := l.text(f)
	if !ok {
		return
	}
	if err := r.Effect.UnmarshalText([]byte(text)); err != nil {
		l.problem(f.value.Line, "unknown effect %q%s", text, didYouMean(text, []string{"allow", "deny", "hold"}))
	}
	r.Decides = true
}

func (l *loader) reason(f field) string {
	text, ok := l.text(f)
	if ok && len(text) > maxReason {
		l.problem(f.value.Line, "the reason is longer than %d bytes", maxReason)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) }) {
		l.problem(f.value.Line, "the reason must be one line without control characters")
	}
	return text
}

func (l *loader) approvers(n *yaml.Node) approval.Quorum {
	q := approval.Quorum{Count: 1}
	before := len(l.problems)
	for _, f := range l.fields(n, "approvers", "groups", "count", "escalate", "break_glass") {
		switch f.key {
		case "groups":
			q.Groups = l.words(f, "group")
		case "count":
			count, err := strconv.Atoi(f.value.Value)
			if f.value.ShortTag() != "!!int" || err != nil || count < 1 || count > maxPeople {
				l.problem(f.value.Line, "count is how many people must agree, 1 to %d, not %q", maxPeople, f.value.Value)
			}
			q.Count = count
		case "escalate":
			q.Escalate = l.escalate(f.value)
		case "break_glass":
			q.BreakGlass = l.breakGlass(f.value)
		}
	}
	if len(l.problems) == before && !q.Possible() {
		l.problem(n.Line, "approvers must name a group: nobody could ever answer")
	}
	return q
}

// escalate is who may answer besides, and when.
func (l *loader) escalate(n *yaml.Node) *approval.Escalation {
	e, before := approval.Escalation{}, len(l.problems)
	for _, f := range l.fields(n, "escalate", "after", "groups") {
		switch f.key {
		case "after":
			after, err := time.ParseDuration(f.value.Value)
			if err != nil || after < time.Second || after > maxEscalate {
				l.problem(f.value.Line, "after is how long the first groups have to themselves, such as 5m, from 1s to %s, not %q", howlong.Text(maxEscalate), f.value.Value)
			}
			e.After = after
		case "groups":
			e.Groups = l.words(f, "group")
		}
	}
	if len(l.problems) == before && (e.After == 0 || len(e.Groups) == 0) {
		l.problem(n.Line, "escalate needs both: {after: 5m, groups: [leads]}")
	}
	return &e
}

// breakGlass is who may release their own.
func (l *loader) breakGlass(n *yaml.Node) (groups []string) {
	before := len(l.problems)
	for _, f := range l.fields(n, "break_glass", "groups") {
		groups = l.words(f, "group")
	}
	if len(l.problems) == before && len(groups) == 0 {
		l.problem(n.Line, "break_glass must name a group: {groups: [oncall]}")
	}
	return groups
}

// rows is a limit on how many rows a statement may change.
func (l *loader) rows(f field) int64 {
	n, err := strconv.ParseInt(f.value.Value, 10, 64)
	if f.value.ShortTag() != "!!int" || err != nil || n < 1 {
		l.problem(f.value.Line, "max_rows is how many rows a statement may change, 1 or more, not %q; to refuse all writes, write effect: deny and when: statement.writes", f.value.Value)
		return 0
	}
	return n
}

// when compiles the expression and puts its flaws where they are in the file.
func (l *loader) when(r *Rule, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || (n.ShortTag() != "!!str" && n.ShortTag() != "!!bool") {
		l.problem(n.Line, "when must be an expression, such as 'statement.writes'")
		return
	}
	r.When = n.Value
	c, flaws := l.compiler.compile(n.Value)
	for _, f := range flaws {
		l.problems = append(l.problems, l.place(n, f))
	}
	r.program, r.names, r.kinds = c.program, c.names, c.kinds
}

// place finds a flaw's line and column in the file. A folded expression has no
// exact columns any more; then the line it begins on must do.
func (l *loader) place(n *yaml.Node, f flaw) Problem {
	p := Problem{Line: n.Line, Text: f.text}
	if n.Style&yaml.LiteralStyle != 0 {
		p.Line = min(n.Line+max(f.line, 1), len(l.lines))
		return p
	}
	start := n.Column - 1
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		start++
	}
	if n.Line > len(l.lines) || start < 0 || start > len(l.lines[n.Line-1]) || f.column < 1 {
		return p
	}
	if strings.HasPrefix(l.lines[n.Line-1][start:], n.Value) {
		p.Column = start + f.column
	}
	return p
}
