// Package tui shows what waits for people, who is connected and what was done, and
// passes on what the person at the keyboard decides. It decides nothing itself. Whatever
// others wrote is shown character by character: nothing in it can move the cursor,
// change its own order on the screen or hide. An answer is only sent for what has stood
// still under the cursor for a moment, and repeats the seal of what was shown.
//
// Run owns one goroutine that follows the gateway, one for each session that is watched,
// and one for the run of a runbook; all end with it.
package tui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/howlong"
)

// Gateway is the other side: control messages as package api has them.
type Gateway interface {
	// Call sends one message and reads the answer into out.
	Call(ctx context.Context, method, path string, in, out any) error
	// Watch calls line with each line that path sends, until the link is lost.
	Watch(ctx context.Context, path string, line func([]byte) error) error
}

// Options are what the caller may add to the screen.
type Options struct {
	Me      api.WhoAmI // who is looking
	Note    string     // shown on top, on lines of its own so that it can be copied
	Builtin string     // text of the rules that stand in no file
	Notify  string     // of what arrives: NotifyOSC9, NotifyOSC777, or "" for no notification of the desktop
	Silent  bool       // no bell
	NoMouse bool       // leave the mouse to the terminal
	Books   Books      // runbooks that can be run here; nil if there are none
}

// How terminals are told to notify: iTerm2, Windows Terminal and kitty take OSC 9, urxvt,
// foot, ghostty and VTE with a patch OSC 777.
const (
	NotifyOSC9   = "osc9"
	NotifyOSC777 = "osc777"
)

// Waits between attempts to reach a lost gateway: soon at first, never so often
// that many screens left open would load it.
const (
	retryFirst = time.Second
	retryMost  = 15 * time.Second
	// deadAfter is how long the gateway, which speaks each second, may say nothing
	// before it is dialled again.
	deadAfter = 10 * time.Second
)

// Run shows the screen until the person quits (nil) or ctx is done (its error).
func Run(ctx context.Context, gw Gateway, in io.Reader, out io.Writer, opt Options) error {
	ctx, cancel := context.WithCancel(ctx)
	shared := &sharedOut{out: out}
	m := newModel(opt, newTheme(lipgloss.NewRenderer(out)))
	m.gw = gw
	m.do = func(f func(context.Context) tea.Msg) tea.Cmd { return func() tea.Msg { return f(ctx) } }
	m.emit = func(s string) tea.Cmd {
		return func() tea.Msg {
			_, _ = io.WriteString(shared, s) // a bell that is lost is no loss
			return nil
		}
	}
	m.after = func(wait time.Duration, msg tea.Msg) tea.Cmd {
		return tea.Tick(wait, func(time.Time) tea.Msg { return msg })
	}
	var watchers sync.WaitGroup
	var p *tea.Program
	m.follow = func(id string) func() {
		ctx, stop := context.WithCancel(ctx)
		watchers.Go(func() { followSession(ctx, gw, id, p.Send) })
		return stop
	}
	m.background = func(f func(context.Context, func(tea.Msg))) func() {
		ctx, stop := context.WithCancel(ctx)
		watchers.Go(func() { defer stop(); f(ctx, p.Send) })
		return stop
	}
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(shared.asFile()), tea.WithAltScreen()}
	if !opt.NoMouse {
		options = append(options, tea.WithMouseCellMotion())
		m.mouse = true
	}
	p = tea.NewProgram(m, options...)
	watchers.Go(func() { followGateway(ctx, gw, p.Send) })
	_, err := p.Run()
	cause := ctx.Err()
	cancel()
	watchers.Wait()
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

// sharedOut keeps what is written from two sides apart: frames, and bells between them.
type sharedOut struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *sharedOut) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// asFile is s with the file below it, if it is one: the size of a terminal is asked of
// its file.
func (s *sharedOut) asFile() io.Writer {
	f, ok := s.out.(*os.File)
	if !ok {
		return s
	}
	return struct {
		io.Writer
		file
	}{s, file{f}}
}

// file is a file without its Write.
type file struct{ f *os.File }

func (f file) Fd() uintptr                { return f.f.Fd() }
func (f file) Read(p []byte) (int, error) { return f.f.Read(p) }
func (f file) Close() error               { return nil }

// followGateway follows what the gateway tells, and comes back after a lost link, until
// ctx is done.
func followGateway(ctx context.Context, gw Gateway, send func(tea.Msg)) {
	wait := retryFirst
	for {
		err := followOnce(ctx, gw, func(msg tea.Msg) {
			wait = retryFirst
			send(msg)
		})
		if ctx.Err() != nil {
			return
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

// errSilent is why a link that brings nothing is given up.
var errSilent = fmt.Errorf("it has said nothing for %s", howlong.Text(deadAfter))

func followOnce(ctx context.Context, gw Gateway, send func(tea.Msg)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dead := time.AfterFunc(deadAfter, func() { cancel(errSilent) })
	defer dead.Stop()
	first := true
	err := gw.Watch(ctx, api.LivePath, func(line []byte) error {
		dead.Reset(deadAfter)
		var l api.Live
		if err := json.Unmarshal(line, &l); err != nil {
			return fmt.Errorf("the gateway does not speak as expected: %w", err)
		}
		send(liveMsg{live: l, first: first})
		first = false
		return nil
	})
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return cause
	}
	if err == nil {
		err = errors.New("the gateway ended the link")
	}
	return err
}

// followSession follows one session until it, the link or ctx ends.
func followSession(ctx context.Context, gw Gateway, id string, send func(tea.Msg)) {
	err := gw.Watch(ctx, withID(api.StreamPath, id), func(line []byte) error {
		var ev api.SessionEvent
		if err := json.Unmarshal(line, &ev); err != nil {
			return err
		}
		send(streamMsg{session: id, event: ev})
		return nil
	})
	if ctx.Err() == nil {
		send(streamEndMsg{session: id, err: err})
	}
}

// withID fills the id into a path.
func withID(path, id string) string { return strings.Replace(path, "{id}", escapePath(id), 1) }
