package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sluicehq/sluice/audit"
)

//go:embed page.html
var pageText string

// page is what the template is given.
type page struct {
	*Report
	Framework   framework
	Summary     []figure
	Timeline    columns
	TopPersonal lying // people by rows of personal data
	TopRules    lying // rules that refused
	Dormant     []string
	Approved    int
	Verdict     string // one sentence on the record
	OK          bool
	Root        string
	Controls    map[string]string // IDs of controls by section
	PeopleCut   int               // callers that are not shown
	TouchCut    int
	PurposeCut  int
	Stated      int64 // statements on personal data with a purpose
	TouchedAll  int64 // and all
}

// figure is a number of the summary.
type figure struct {
	Number, What, Note string
}

// Limits of tables on paper.
const (
	maxPeople   = 200
	maxTouches  = 150
	maxPurposes = 100
	maxText     = 400 // runes of a statement
)

// HTML writes the page. All of it is in one file, which prints on A4.
func (r *Report) HTML(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"n": func(v any) string { return thousands(toInt(v)) }, "clean": clean, "text": func(ev audit.Event) string { return shorten(clean(textOf(&ev)), maxText) },
		"at":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"day":   func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
		"join":  func(list []string) string { return clean(strings.Join(list, ", ")) },
		"glass": func(ev audit.Event) bool { return strings.Contains(ev.Detail, "break-glass") },
		"ended": endOf, "everyone": func(groups []string) bool { return slices.Contains(groups, "*") },
		"sub": func(a, b float64) float64 { return a - b }, "add": func(a, b float64) float64 { return a + b },
		"num": func(f float64) string { return fmt.Sprintf("%.1f", f) },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, r.page()); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

func toInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case uint64:
		return int64(v)
	case int:
		return int64(v)
	}
	return 0
}

func textOf(ev *audit.Event) string {
	for _, s := range []string{ev.SQL, ev.Error, ev.Detail} {
		if s != "" {
			return s
		}
	}
	return ""
}

// endOf says how a statement ended.
func endOf(ev audit.Event) string {
	if ev.Outcome == "" {
		return "no ending"
	}
	if ev.ErrorCode != "" && ev.Outcome != "refused" {
		return ev.Outcome + " " + clean(ev.ErrorCode)
	}
	return clean(ev.Outcome)
}

// clean makes what a caller wrote one line in which nothing is hidden: control
// characters, and those that turn the direction of text, are shown as a mark.
func clean(s string) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			r = '�'
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (r *Report) page() *page {
	p := &page{Report: r, Framework: frameworkOf(r.For), Timeline: timeline(r.Days, r.Since, r.Until), Controls: map[string]string{}}
	for _, c := range p.Framework.Controls {
		if p.Controls[c.Section] != "" {
			p.Controls[c.Section] += ", "
		}
		p.Controls[c.Section] += c.ID
	}
	p.verdict()
	p.personal()
	rules := map[string]int64{}
	for _, f := range r.Rules {
		rules[f.Rule] += f.Count
	}
	p.TopRules = lyingBars(keys(rules), func(s string) []part { return []part{{rules[s], "deny"}} }, func(s string) string { return thousands(rules[s]) })
	for _, c := range r.People {
		if c.Sessions == 0 && c.Statements == 0 && c.Logins > 0 {
			p.Dormant = append(p.Dormant, c.Who)
		}
	}
	for _, ev := range r.Held.Events {
		if len(ev.Approvers) > 0 {
			p.Approved++
		}
	}
	p.summary()
	// Written last: the tables are cut, the figures are not.
	cut := *r
	cut.People, p.PeopleCut = cutTo(r.People, maxPeople)
	cut.Personal, p.TouchCut = cutTo(r.Personal, maxTouches)
	said := slices.Clone(r.Purposes)
	slices.SortStableFunc(said, func(a, b Purpose) int { // those that were given stand first
		switch {
		case a.Purpose == "" && b.Purpose != "":
			return 1
		case a.Purpose != "" && b.Purpose == "":
			return -1
		}
		return 0
	})
	cut.Purposes, p.PurposeCut = cutTo(said, maxPurposes)
	p.Report = &cut
	return p
}

func cutTo[T any](list []T, n int) ([]T, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}

func keys(m map[string]int64) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// verdict is what was found of the record itself.
func (p *page) verdict() {
	v := p.Verified
	p.OK = v.OK() && p.Scanned == ""
	if lines := strings.Split(p.Checkpoint, "\n"); len(lines) > 2 {
		p.Root = lines[2]
	}
	switch {
	case !v.OK():
		p.Verdict = fmt.Sprintf("The record does not verify: %d faults were found. Do not rely on this page before they are explained.", len(v.Problems)+v.LeftOut)
	case v.Removed > 0 && !p.Quick:
		p.Verdict = fmt.Sprintf("All %s entries that are kept are those that were signed, under %s checkpoints. The first %s were removed as retention says, which the record has; their hashes are those that were signed.", thousands(int64(v.Entries)), thousands(int64(v.Checkpoints)), thousands(int64(v.Removed)))
	case p.Quick:
		p.Verdict = fmt.Sprintf("All %d checkpoints are signed by the key, and none takes an earlier one back. The entries themselves were not read for this page.", v.Checkpoints)
	default:
		p.Verdict = fmt.Sprintf("All %s entries are those that were signed, under %s checkpoints: none was changed, removed, added or moved.", thousands(int64(v.Entries)), thousands(int64(v.Checkpoints)))
	}
}

func (p *page) personal() {
	by := map[string]Caller{}
	rows := map[string]int64{}
	for _, c := range p.Touched {
		by[c.Who], rows[c.Who] = c, c.Rows
	}
	p.TopPersonal = lyingBars(keys(rows), func(s string) []part { return []part{{by[s].Rows, "allow"}} },
		func(s string) string {
			return fmt.Sprintf("%s rows, %s st.", thousands(by[s].Rows), thousands(by[s].Statements))
		})
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf(one, thousands(int64(n)))
	}
	return fmt.Sprintf(many, thousands(int64(n)))
}

func (p *page) summary() {
	var sessions, statements int64
	used := 0
	for _, c := range p.People {
		sessions, statements = sessions+c.Sessions, statements+c.Statements
		if c.Statements > 0 {
			used++
		}
	}
	for _, c := range p.Touched {
		p.TouchedAll += c.Statements
	}
	for _, q := range p.Purposes {
		if q.Purpose != "" {
			p.Stated += q.Count
		}
	}
	p.Summary = []figure{
		{thousands(int64(used)), "used a database", fmt.Sprintf("of %s who were seen", thousands(int64(len(p.People))))},
		{thousands(p.Timeline.Totals.Allow + p.Timeline.Totals.Hold + p.Timeline.Totals.Deny), "statements", plural(int(sessions), "in %s session", "in %s sessions")},
		{thousands(p.Timeline.Totals.Deny), "refused", plural(len(p.TopRules.Lines)+p.TopRules.More, "by %s rule", "by %s rules")},
		{thousands(p.Timeline.Totals.Hold), "waited for people", "each is listed, with who approved"},
		{thousands(p.TouchedAll), "on " + p.Framework.Subject, plural(len(p.Touched), "by %s caller", "by %s callers")},
	}
	if p.Held.More {
		p.Summary[3].Note = "the newest are listed"
	}
}
