package tui

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

// past is what was found in the record.
type past struct {
	query   string // as it was typed
	asked   bool
	running bool
	problem string
	note    string
	events  map[string]audit.Event
	ids     []string // the newest first
	next    uint64   // of the next page; 0 if there is none
	turn    int      // of the question: answers to older ones are not shown
}

type historyMsg struct {
	turn int
	more bool // it goes on from what was shown
	res  api.AuditResult
	err  error
}

// historyPage is how many events are asked for at once.
const historyPage = 200

func (p *past) take(msg historyMsg) {
	if msg.turn != p.turn {
		return
	}
	p.running, p.problem, p.note = false, wordsOf(msg.err), line(msg.res.Note)
	if msg.err != nil {
		return
	}
	if !msg.more {
		p.events, p.ids = map[string]audit.Event{}, nil
	}
	for _, ev := range msg.res.Events {
		if _, known := p.events[ev.ID]; !known {
			p.ids = append(p.ids, ev.ID)
		}
		p.events[ev.ID] = ev
	}
	p.next = msg.res.Next
}

// askHistory asks the record, for what comes before an entry if before is not 0.
func (m *model) askHistory(before uint64) tea.Cmd {
	q, err := readQuery(m.past.query, m.clock())
	m.past.asked = true
	m.past.turn++
	if err != nil {
		m.past.running, m.past.problem = false, err.Error()
		return nil
	}
	m.past.running, m.past.problem = true, ""
	q.Before, q.Limit, q.Whole = before, historyPage, true
	turn := m.past.turn
	return m.do(func(ctx context.Context) tea.Msg {
		msg := historyMsg{turn: turn, more: before > 0}
		msg.err = m.gw.Call(ctx, http.MethodPost, api.AuditQueryPath, q, &msg.res)
		return msg
	})
}

// morePast asks for older events once the oldest shown is reached.
func (m *model) morePast() tea.Cmd {
	if m.tab != historyTab || m.past.next == 0 || m.past.running || m.lists[historyTab].index < len(m.past.ids)-1 {
		return nil
	}
	return m.askHistory(m.past.next)
}

// historyOf shows what the person, the session or the shape of statement under the
// cursor did before.
func (m *model) historyOf(want intent) tea.Cmd {
	query := ""
	switch a, ok := m.chosenAsk(); {
	case ok && want == history:
		query = fmt.Sprintf("who:%s connection:%s since:30d", quoteWord(a.Who.Subject), quoteWord(a.Connection))
	case ok && a.Evidence != nil && a.Evidence.Shape != "":
		query = fmt.Sprintf("fingerprint:%s connection:%s since:30d", a.Evidence.Shape, quoteWord(a.Connection))
	case ok:
		m.say(true, "the shape of this statement is not known")
		return nil
	case m.tab == sessionsTab && m.lists[sessionsTab].chosen != "":
		query = "session:" + quoteWord(m.lists[sessionsTab].chosen)
	default:
		return nil
	}
	m.past.query, m.past.asked = query, false
	return m.switchTo(historyTab)
}

// startSearch takes words to look for.
func (m *model) startSearch() tea.Cmd {
	if m.tab == policyTab || m.stream != nil {
		return nil
	}
	m.mode, m.status = searching, ""
	m.input.Reset()
	m.input.CharLimit = 1000
	m.input.Placeholder = "part of anything in the list"
	m.input.SetValue(m.lists[m.tab].filter)
	if m.tab == historyTab {
		m.input.Placeholder = "words, who:ada table:orders rule:… effect:hold since:7d"
		m.input.SetValue(m.past.query)
	}
	m.input.CursorEnd()
	return m.input.Focus()
}

func (m *model) searchFor(text string) tea.Cmd {
	m.begin()
	if m.tab == historyTab {
		m.past.query = text
		return m.askHistory(0)
	}
	m.lists[m.tab].filter = text
	m.changed()
	return nil
}

// reload asks again: the record, or the policy.
func (m *model) reload() tea.Cmd {
	switch m.tab {
	case historyTab:
		return m.askHistory(0)
	case policyTab:
		return m.loadPolicy()
	}
	return nil
}

// queryFields are the conditions that a search may name.
func queryFields(q *api.AuditQuery, now time.Time) map[string]func(string) error {
	text := func(to *string) func(string) error { return func(v string) error { *to = v; return nil } }
	at := func(to *time.Time) func(string) error {
		return func(v string) (err error) { *to, err = readTime(v, now); return err }
	}
	return map[string]func(string) error{
		"who": text(&q.Who), "group": text(&q.Group), "connection": text(&q.Connection), "session": text(&q.Session), "effect": text(&q.Effect),
		"outcome": text(&q.Outcome), "rule": text(&q.Rule), "approver": text(&q.Approver), "table": text(&q.Table), "column": text(&q.Column),
		"touches": text(&q.Touches), "fingerprint": text(&q.Fingerprint), "statement": text(&q.Statement), "id": text(&q.ID), "run": text(&q.Run),
		"kind": func(v string) error {
			if slices.Contains(eventKinds, audit.Kind(v)) {
				q.Kind = audit.Kind(v)
			} else {
				q.Statement = v
			}
			return nil
		},
		"since": at(&q.Since), "until": at(&q.Until),
		"rows": func(v string) (err error) {
			if q.RowsOver, err = strconv.ParseInt(strings.TrimPrefix(v, ">"), 10, 64); err != nil || q.RowsOver < 0 {
				return fmt.Errorf("rows: takes a number, as in rows:>1000")
			}
			return nil
		},
		"masked": func(v string) error { q.Masked = v != "no"; return nil },
	}
}

// eventKinds are the kinds of event that kind: tells from kinds of statement.
var eventKinds = []audit.Kind{audit.Decided, audit.Finished, audit.Connected, audit.Closed, audit.LoggedIn, audit.Asked, audit.Voted, audit.Answered,
	audit.Questioned, audit.Admin, audit.Started, audit.Stopped}

// readQuery reads what was typed to search the record: words, and conditions such as
// who:ada or table:"my table".
func readQuery(typed string, now time.Time) (api.AuditQuery, error) {
	var q api.AuditQuery
	fields := queryFields(&q, now)
	var words []string
	for _, w := range splitWords(typed) {
		name, value, ok := strings.Cut(w, ":")
		set := fields[strings.ToLower(name)]
		if !ok || set == nil || value == "" {
			words = append(words, w)
			continue
		}
		if err := set(value); err != nil {
			return q, err
		}
	}
	q.Text = strings.Join(words, " ")
	return q, nil
}

// splitWords cuts at spaces that do not stand in double quotes, and takes those away.
func splitWords(s string) (words []string) {
	var b strings.Builder
	quoted, any := false, false
	for _, r := range s {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case r == ' ' && !quoted:
			if any || b.Len() > 0 {
				words = append(words, b.String())
			}
			b.Reset()
			any = false
		default:
			b.WriteRune(r)
		}
	}
	if any || b.Len() > 0 {
		words = append(words, b.String())
	}
	return words
}

func quoteWord(s string) string {
	s = strings.ReplaceAll(s, `"`, "")
	if strings.Contains(s, " ") {
		return `"` + s + `"`
	}
	return s
}

// readTime reads "24h", "30d", a day, or a time as RFC 3339.
func readTime(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is no time: write 24h, 30d or 2026-11-30", line(s))
	}
	return t, nil
}
