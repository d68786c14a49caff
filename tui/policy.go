package tui

import (
	"context"
	"net/http"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
)

// policyText is the policy in force, and the rule that is looked for in it.
type policyText struct {
	loaded  bool
	running bool
	problem string
	policy  api.Policy
	rules   []string // to be shown; the first is scrolled to
	sought  bool     // it was
}

type policyMsg struct {
	policy api.Policy
	err    error
}

func (p *policyText) take(msg policyMsg) {
	p.running, p.problem = false, wordsOf(msg.err)
	if msg.err == nil {
		p.loaded, p.policy, p.sought = true, msg.policy, false
	}
}

func (m *model) loadPolicy() tea.Cmd {
	m.policy.running = true
	return m.do(func(ctx context.Context) tea.Msg {
		var msg policyMsg
		msg.err = m.gw.Call(ctx, http.MethodGet, api.PolicyPath, nil, &msg.policy)
		return msg
	})
}

// policyOf shows the rule that held what is under the cursor.
func (m *model) policyOf() tea.Cmd {
	rule := ""
	switch a, ok := m.chosenAsk(); {
	case ok:
		rule = a.Rule
	case m.tab == requestsTab:
		rule = m.st.requests.items[m.lists[requestsTab].chosen].Rule
	case m.tab == historyTab:
		rule = m.past.events[m.lists[historyTab].chosen].Rule
	default:
		return nil
	}
	m.policy.rules, m.policy.sought, m.policy.loaded = nil, false, false
	for _, r := range strings.Split(rule, ",") {
		if r = strings.TrimSpace(r); r != "" {
			m.policy.rules = append(m.policy.rules, r)
		}
	}
	return m.switchTo(policyTab)
}

// policyLines is the text of the policy, each rule that is looked for marked, and the
// line of the first of them.
func (m *model) policyLines() (lines []string, at int) {
	p := &m.policy
	switch {
	case p.problem != "":
		return []string{" " + m.theme.bad.Render(p.problem)}, 0
	case !p.loaded:
		return []string{" Asking the gateway for its policy …"}, 0
	}
	at = -1
	for _, l := range folded("in force since "+p.policy.Since.Local().Format("2006-01-02 15:04:05")+", from "+line(p.policy.Source), m.width-2) {
		lines = append(lines, " "+m.theme.faint.Render(l))
	}
	top := len(lines)
	if r := p.policy.Refused; r != nil {
		for _, l := range strings.Split(clean("a newer file was refused: "+r.Problem), "\n") {
			for _, part := range folded(l, m.width-2) {
				lines = append(lines, " "+m.theme.bad.Render(part))
			}
		}
	}
	texts := []string{p.policy.Text}
	if m.opt.Builtin != "" && !strings.Contains(p.policy.Text, m.opt.Builtin) {
		texts = append(texts, "# built in:\n"+m.opt.Builtin)
	}
	inside := false
	for _, text := range texts {
		lines = append(lines, "")
		for _, l := range strings.Split(strings.TrimRight(clean(text), "\n"), "\n") {
			if name, ok := ruleName(l); ok {
				if inside = slices.Contains(p.rules, name); inside && at < 0 {
					at = len(lines)
				}
			}
			for _, part := range folded(l, m.width-3) {
				if inside && strings.TrimSpace(l) != "" {
					lines = append(lines, m.theme.mark.Render("▌")+" "+m.theme.selected.Render(part))
					continue
				}
				lines = append(lines, "  "+part)
			}
		}
		inside = false
	}
	if at < 0 && len(p.rules) > 0 {
		lines = slices.Insert(lines, top, " "+m.theme.warn.Render("no rule is called "+line(strings.Join(p.rules, ", "))+" here: it is one of the gateway's own"))
	}
	return lines, max(at, 0)
}

// folded is a line of a text in as many as it needs, the second and on further in than
// the first.
func folded(l string, width int) (out []string) {
	inner := strings.Repeat(" ", min(len(l)-len(strings.TrimLeft(l, " "))+4, width/2))
	for i, part := range wrapCells(classifyAs(l, plain), max(width-len(inner), 10)) {
		text := plainText(part)
		if i > 0 {
			text = inner + strings.TrimLeft(text, " ")
		}
		out = append(out, text)
	}
	if len(out) == 0 || textWidth(l) <= width {
		return []string{l}
	}
	return out
}

// ruleName is the name of a rule that begins on a line of YAML.
func ruleName(l string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(l), "-")
	if !ok {
		return "", false
	}
	rest = strings.TrimLeft(rest, " {")
	rest, ok = strings.CutPrefix(rest, "name:")
	if !ok {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, ",")
	return strings.Trim(rest, " \"'}"), true
}
