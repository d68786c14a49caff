package tui

import (
	"strings"
)

// list is the ids of the rows of the list on the screen.
func (m *model) list() []string {
	if m.rows != nil {
		return m.rows
	}
	all, text := m.all()
	filter := strings.ToLower(m.lists[m.tab].filter)
	if filter == "" {
		m.rows = all
	} else {
		m.rows = []string{}
		for _, id := range all {
			if strings.Contains(strings.ToLower(text(id)), filter) {
				m.rows = append(m.rows, id)
			}
		}
	}
	if m.rows == nil {
		m.rows = []string{}
	}
	return m.rows
}

// all is the ids of a list, and what is searched of each.
func (m *model) all() (ids []string, text func(id string) string) {
	switch m.tab {
	case inboxTab:
		return m.st.asks.order, func(id string) string {
			a := m.st.asks.items[id]
			return strings.Join([]string{a.ID, nameOf(a.Who), a.Connection, a.Kind, a.SQL, a.Rule}, " ")
		}
	case requestsTab:
		return m.st.requests.order, func(id string) string {
			r := m.st.requests.items[id]
			return strings.Join([]string{r.ID, nameOf(r.Who), r.Connection, r.State, r.SQL, r.Rule}, " ")
		}
	case sessionsTab:
		return m.st.sessions.order, func(id string) string {
			s := m.st.sessions.items[id]
			return strings.Join([]string{s.ID, nameOf(s.Who), s.Connection, s.State, s.SQL, s.Client, s.From}, " ")
		}
	case historyTab:
		return m.past.ids, func(string) string { return "" }
	}
	return nil, nil
}
