package tui

import (
	"context"
	"net/http"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
)

// chosenAsk is the ask under the cursor, in the inbox or among the requests.
func (m *model) chosenAsk() (api.Ask, bool) {
	if m.tab != inboxTab && m.tab != requestsTab {
		return api.Ask{}, false
	}
	a, ok := m.st.asks.items[m.lists[m.tab].chosen]
	return a, ok
}

// mine reports whether an ask is that of who is looking.
func (m *model) mine(a api.Ask) bool {
	return a.Who.Subject == m.opt.Me.Subject && a.Who.Issuer == m.opt.Me.Issuer
}

// refusal is why who is looking may not answer an ask; "" if they may.
func (m *model) refusal(a api.Ask) string {
	switch {
	case a.MayAnswer:
		return ""
	case m.mine(a):
		return "nobody answers their own ask"
	}
	return "you are not one of those who may answer this"
}

// ask opens the question that comes before an answer. What it is about is shown in full
// beside it.
func (m *model) ask(about intent) tea.Cmd {
	if m.lost != "" {
		m.say(true, "there is no link to the gateway, and what is shown may be over")
		return nil
	}
	q, no := m.questionFor(about)
	switch {
	case no != "":
		m.say(true, "%s", no)
		return nil
	case q.id == "":
		return nil
	case m.sent != "":
		m.say(true, "the answer to %s is still under way", line(m.sent))
		return nil
	}
	if !m.full && (about == approve || about == deny || about == glass) {
		m.full = true
		m.scroll, m.far = 0, 0
	}
	m.q, m.mode, m.status = q, answering, ""
	m.input.Reset()
	m.input.CharLimit = maxReason
	m.input.Placeholder = map[bool]string{true: "why", false: "a reason, if you like"}[q.must]
	m.disturb()
	if !q.reason {
		return nil
	}
	return m.input.Focus()
}

// questionFor is the question about what is under the cursor, or why there is none.
func (m *model) questionFor(about intent) (q question, no string) {
	switch about {
	case kill:
		s, ok := m.st.sessions.items[m.lists[sessionsTab].chosen]
		if m.tab != sessionsTab || !ok {
			return question{}, ""
		}
		return question{about: kill, id: s.ID, words: "End " + line(s.ID) + " of " + nameOf(s.Who) + "?"}, ""
	case endRequest:
		r, ok := m.st.requests.items[m.lists[requestsTab].chosen]
		switch {
		case m.tab != requestsTab || !ok:
			return question{}, ""
		case !m.mine(r.Ask):
			return question{}, line(r.ID) + " is not yours; deny it with d"
		case r.State != "waiting" && r.State != "granted":
			return question{}, line(r.ID) + " is " + line(r.State) + " already"
		}
		return question{about: endRequest, id: r.ID, words: "Take " + line(r.ID) + " back?"}, ""
	}
	a, ok := m.chosenAsk()
	if !ok {
		r, granted := m.st.requests.items[m.lists[requestsTab].chosen]
		if m.tab == requestsTab && granted && r.State == "granted" && about == deny && r.MayAnswer {
			return question{about: deny, id: r.ID, words: "Take the grant of " + line(r.ID) + " back?", reason: true}, ""
		}
		if m.tab == requestsTab && granted {
			return question{}, line(r.ID) + " is " + line(r.State) + ": it waits for nobody"
		}
		return question{}, ""
	}
	q = question{about: about, id: a.ID, seal: a.Seal, reason: true}
	switch {
	case about == glass && !a.BreakGlass:
		return question{}, "no rule lets you release " + line(a.ID) + " yourself"
	case about == glass:
		q.words, q.must = "BREAK THE GLASS for "+line(a.ID)+"? Everybody will know.", true
		return q, ""
	case m.refusal(a) != "":
		return question{}, "you cannot answer " + line(a.ID) + ": " + m.refusal(a)
	case about == approve:
		q.words = "Approve " + line(a.ID) + "?"
	default:
		q.words = "Deny " + line(a.ID) + "?"
	}
	return q, ""
}

// confirm answers the question, or looks for what was typed.
func (m *model) confirm() tea.Cmd {
	text := strings.TrimSpace(m.input.Value())
	if m.mode == jumping {
		return m.jump(text)
	}
	if m.mode == searching {
		m.mode = browsing
		m.input.Blur()
		return m.searchFor(text)
	}
	if m.q.must && text == "" {
		m.say(true, "say why: it needs a reason")
		return nil
	}
	q := m.q
	m.stopAsking()
	m.sent, m.status = q.id, ""
	return m.do(func(ctx context.Context) tea.Msg { return answeredMsg{q: q, err: send(ctx, m.gw, q, text)} })
}

// send passes an answer on.
func send(ctx context.Context, gw Gateway, q question, text string) error {
	switch q.about {
	case kill:
		return gw.Call(ctx, http.MethodPost, withID(api.KillPath, q.id), nil, nil)
	case endRequest:
		return gw.Call(ctx, http.MethodPost, withID(api.RequestEndPath, q.id), nil, nil)
	}
	in := api.AskDecision{Grant: q.about != deny, Reason: text, Seal: q.seal, BreakGlass: q.about == glass}
	return gw.Call(ctx, http.MethodPost, withID(api.AskPath, q.id), in, nil)
}

// try asks for a preview of the ask under the cursor.
func (m *model) try() tea.Cmd {
	a, ok := m.chosenAsk()
	switch have := m.previews[a.Seal]; {
	case !ok:
		return nil
	case have != nil && have.running:
		return nil
	case m.refusal(a) != "":
		m.say(true, "only who may answer %s can try it: %s", line(a.ID), m.refusal(a))
		return nil
	case m.lost != "":
		m.say(true, "there is no link to the gateway")
		return nil
	}
	m.previews[a.Seal] = &tried{running: true}
	m.page = nil
	return m.do(func(ctx context.Context) tea.Msg {
		msg := previewMsg{seal: a.Seal}
		msg.err = m.gw.Call(ctx, http.MethodPost, withID(api.PreviewPath, a.ID), nil, &msg.preview)
		return msg
	})
}
