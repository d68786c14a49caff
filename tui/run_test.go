package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeBackend hands out states and keeps the answers.
type fakeBackend struct {
	mu      sync.Mutex
	state   State
	changed chan struct{}
	answers chan string
}

func (f *fakeBackend) Watch(ctx context.Context, show func(State)) error {
	for {
		f.mu.Lock()
		s := f.state
		f.mu.Unlock()
		show(s)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.changed:
		}
	}
}

func (f *fakeBackend) Decide(_ context.Context, a Answer) error {
	f.mu.Lock()
	f.state.Asks = f.state.Asks[1:]
	f.mu.Unlock()
	f.changed <- struct{}{}
	f.answers <- fmt.Sprint(a.ID, " ", a.Grant, " ", a.Reason, a.Seal)
	return nil
}

// screen collects what is drawn and lets the test wait for a text.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *screen) waitFor(t *testing.T, want string) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		s.mu.Lock()
		found := strings.Contains(s.text.String(), want)
		text := s.text.String()
		if found {
			s.text.Reset()
		}
		s.mu.Unlock()
		if found {
			return
		}
		select {
		case <-s.more:
		case <-limit.C:
			t.Fatalf("%q is not on the screen:\n%s", want, text)
		}
	}
}

// From start to quit through the real program: approve one, deny one, leave.
func TestRun(t *testing.T) {
	f := &fakeBackend{state: sample(), changed: make(chan struct{}, 1), answers: make(chan string, 1)}
	in, keyboard := io.Pipe()
	out := &screen{more: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- Run(t.Context(), f, in, out, Options{Note: "psql here"}) }()
	press := func(s string) {
		t.Helper()
		if _, err := io.WriteString(keyboard, s); err != nil {
			t.Fatal(err)
		}
	}
	answered := func(want string) {
		t.Helper()
		if got := <-f.answers; got != want {
			t.Errorf("answer %q, want %q", got, want)
		}
	}
	out.waitFor(t, "k7f2q")
	press("a")
	out.waitFor(t, "Approve k7f2q?")
	press("y")
	answered("k7f2q true ")
	out.waitFor(t, "you approved k7f2q")
	press("d")
	out.waitFor(t, "Deny m3xpa.")
	press("not now")
	out.waitFor(t, "now")
	press("\r")
	answered("m3xpa false not now")
	out.waitFor(t, "you denied m3xpa")
	press("q")
	if err := <-done; err != nil {
		t.Errorf("quitting gave %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeBackend{state: sample(), changed: make(chan struct{}, 1)}
	in, _ := io.Pipe()
	out := &screen{more: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, f, in, out, Options{}) }()
	out.waitFor(t, "k7f2q")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// brokenBackend loses its link a few times before it works.
type brokenBackend struct {
	fakeBackend
	fails int
}

func (b *brokenBackend) Watch(ctx context.Context, show func(State)) error {
	if b.fails > 0 {
		b.fails--
		return errors.New("connection reset")
	}
	return b.fakeBackend.Watch(ctx, show)
}

func TestRunComesBackAfterALostLink(t *testing.T) {
	b := &brokenBackend{fakeBackend: fakeBackend{state: sample(), changed: make(chan struct{}, 1)}, fails: 1}
	in, keyboard := io.Pipe()
	out := &screen{more: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- Run(t.Context(), b, in, out, Options{}) }()
	out.waitFor(t, "no link to the gateway (connection reset)")
	out.waitFor(t, "k7f2q")
	if _, err := io.WriteString(keyboard, "\x03"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("ctrl+c gave %v", err)
	}
}
