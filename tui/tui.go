// Package tui shows the statements that wait for an answer and the sessions that
// are open, and passes on what the person at the keyboard decides. It decides
// nothing itself. Whatever a client wrote is shown character by character: nothing
// in it can move the cursor, change its own order on the screen or hide.
package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
)

// State is everything on the screen at one moment.
type State struct {
	Me       string // who is looking
	Asks     []Ask
	Sessions []Session
}

// Ask is a statement that waits.
type Ask struct {
	ID         string
	Seal       string // what an answer to it must repeat
	Who        string // name of the caller
	WhoKind    string // "person", "job", "agent"
	Connection string
	Session    string
	Kind       string   // of the statement: "update"
	SQL        string   // whole text
	Params     []string // bind parameters as text
	Rule       string   // that held it
	Reason     string   // why, from the rule
	Facts      []Fact   // what else is known, the most telling first
	Needs      []Need
	Votes      []Vote
	Refusal    string // why the person looking may not answer; "" if they may
	Created    time.Time
	Deadline   time.Time
}

// Fact is one thing known of an ask: "Estimate", "about 12 of 4000 rows of public.orders".
type Fact struct{ Label, Text string }

// Need is one group of people of whom some must agree.
type Need struct {
	Groups []string
	Count  int // people needed
	Have   int // people who agreed
}

// Vote is one answer given so far.
type Vote struct {
	Who   string
	Grant bool
}

// Session is one open connection through the gateway.
type Session struct {
	ID         string
	Who        string
	WhoKind    string
	Connection string
	Client     string // program: "psql"
	Doing      string // "idle", "running", "held"
	SQL        string // what it runs, or ran last
	Since      time.Time
}

// Backend is where the state comes from and where answers go.
type Backend interface {
	// Watch calls show with the state at once and after each change. It returns
	// when ctx is done or the link is lost.
	Watch(ctx context.Context, show func(State)) error
	// Decide answers an ask.
	Decide(ctx context.Context, a Answer) error
}

// Answer is what the person decided, and on what.
type Answer struct {
	ID     string
	Seal   string // of the ask that was on the screen
	Grant  bool
	Reason string
}

// Options are what the caller may add to the screen.
type Options struct {
	Note string // shown on top, on lines of its own so that it can be copied
}

// Waits between attempts to reach a lost gateway: soon at first, never so often
// that many screens left open would load it.
const (
	retryFirst = time.Second
	retryMost  = 15 * time.Second
)

// Run shows the screen until the person quits (nil) or ctx is done (its error).
func Run(ctx context.Context, b Backend, in io.Reader, out io.Writer, opt Options) error {
	ctx, cancel := context.WithCancel(ctx)
	m := newModel(opt, newTheme(lipgloss.NewRenderer(out)))
	m.decide = func(a Answer) tea.Cmd {
		return func() tea.Msg {
			return decidedMsg{id: a.ID, grant: a.Grant, err: b.Decide(ctx, a)}
		}
	}
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(ctx, b, p.Send)
	}()
	_, err := p.Run()
	cause := ctx.Err()
	cancel()
	<-done
	switch {
	case cause != nil:
		return cause
	case errors.Is(err, tea.ErrInterrupted):
		return nil
	case err != nil:
		return fmt.Errorf("show approvals: %w", err)
	}
	return nil
}

// watch follows the backend and comes back after a lost link, until ctx is done.
func watch(ctx context.Context, b Backend, send func(tea.Msg)) {
	wait := retryFirst
	for {
		err := b.Watch(ctx, func(s State) {
			wait = retryFirst
			send(stateMsg(s))
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the gateway ended the link")
		}
		send(lostMsg{err: err, retry: wait})
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		wait = min(2*wait, retryMost)
	}
}
