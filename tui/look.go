package tui

import (
	"context"
	"net/http"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
)

// lookAfter is how long an ask must be under the cursor before the gateway is told that
// somebody looks at it: who goes along a list looks at none.
const lookAfter = 100 * time.Millisecond

// looking is the ask that the gateway was told of, or soon will be. What is known of it
// is looked up before that of others, as long as the call lasts.
type looking struct {
	seal string
	stop context.CancelFunc // ends the call
}

// lookMsg says that an ask has been under the cursor for a moment.
type lookMsg struct{ id, seal string }

// look notes which ask is looked at, if more is to be known of it.
func (m *model) look() tea.Cmd {
	a, ok := m.chosenAsk()
	if !ok || m.lost != "" || !a.MayAnswer || a.Evidence == nil || a.Evidence.Done || a.Session == "" {
		a = api.Ask{}
	}
	if a.Seal == m.looking.seal {
		return nil
	}
	if m.looking.stop != nil {
		m.looking.stop()
	}
	m.looking = looking{seal: a.Seal}
	if a.Seal == "" {
		return nil
	}
	return m.after(lookAfter, lookMsg{id: a.ID, seal: a.Seal})
}

// lookAt tells the gateway. What it finds out comes with the other news.
func (m *model) lookAt(msg lookMsg) tea.Cmd {
	if msg.seal != m.looking.seal || m.looking.stop != nil {
		return nil
	}
	over, stop := context.WithCancel(context.Background())
	m.looking.stop = stop
	return m.do(func(ctx context.Context) tea.Msg {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(over, cancel)()
		defer stop()
		var a api.Ask
		_ = m.gw.Call(ctx, http.MethodGet, withID(api.AskPath, msg.id), nil, &a) // without it the rest takes its turn
		return nil
	})
}
