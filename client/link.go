package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/tunnel"
)

// How long to pause before a dial after a failed one: doubling, each between half
// and the whole of it, so that a gateway that restarts is not stormed by everybody
// at the same moment.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 10 * time.Second
)

// link is the session that a Gateway has, or the one attempt to get one: however
// many wait for it, one dials. Safe for use by several goroutines.
type link struct {
	dial func(ctx context.Context, again bool) (*tunnel.Session, time.Time, error)
	now  func() time.Time

	mu      sync.Mutex
	sess    *tunnel.Session   // under mu; nil before the first dial
	since   time.Time         // under mu: when sess was dialled
	until   time.Time         // under mu: when what sess was let in with expires
	wait    time.Duration     // under mu: pause before the next dial
	trying  *attempt          // under mu; nil if nobody dials
	retired []*tunnel.Session // under mu: for new streams no more, but some are still in them
	why     error             // under mu: of the last dial; nil if it got a session
	again   bool              // under mu: there was a session before
	closed  bool              // under mu

	dialers sync.WaitGroup
}

// attempt is one dial, for all who wait for it.
type attempt struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the two below are set
	sess   *tunnel.Session
	err    error
}

// lasting marks an error that another dial would not mend.
type lasting struct{ error }

func (l lasting) Unwrap() error { return l.error }

func lasts(err error) bool {
	var l lasting
	return errors.As(err, &l)
}

// session gives the live session, or waits for the attempt to get one.
func (l *link) session(ctx context.Context) (*tunnel.Session, error) {
	sess, a, err := l.current()
	if a == nil {
		return sess, err
	}
	select {
	case <-a.done:
		return a.sess, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *link) current() (*tunnel.Session, *attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, lasting{net.ErrClosed}
	}
	if l.sess != nil && !ended(l.sess) && l.now().Before(l.until) {
		return l.sess, nil, nil
	}
	l.drop()
	if l.trying == nil {
		ctx, cancel := context.WithCancel(context.Background())
		a := &attempt{cancel: cancel, done: make(chan struct{})}
		l.trying = a
		pause, again := l.wait, l.again
		l.dialers.Go(func() { l.try(ctx, a, pause, again) })
	}
	return nil, l.trying, nil
}

func ended(s *tunnel.Session) bool {
	select {
	case <-s.Closed():
		return true
	default:
		return false
	}
}

// drop lets go of a session that is of no more use for new streams. Those that are
// in it go on; one that lasted but a moment counts as a failed dial. Called under mu.
func (l *link) drop() {
	if l.sess != nil {
		if l.wait = longer(l.wait); l.now().Sub(l.since) >= lastBackoff {
			l.wait = 0
		}
		l.retired = append(l.retired, l.sess)
		l.sess = nil
	}
	l.retired = slices.DeleteFunc(l.retired, func(s *tunnel.Session) bool {
		if s.Streams() == 0 {
			s.Close()
		}
		return ended(s)
	})
}

func longer(wait time.Duration) time.Duration { return min(max(2*wait, firstBackoff), lastBackoff) }

// refresh makes the next stream get a session of its own, with the credentials that the
// store has then.
func (l *link) refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sess != nil {
		l.drop()
		l.wait = 0
	}
}

// lose is drop for a session in which a stream could not be opened.
func (l *link) lose(sess *tunnel.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sess == sess {
		l.drop()
	}
}

// try dials once, after the pause.
func (l *link) try(ctx context.Context, a *attempt, pause time.Duration, again bool) {
	defer close(a.done)
	defer a.cancel()
	var until time.Time
	if a.err = rest(ctx, pause); a.err == nil {
		a.sess, until, a.err = l.dial(ctx, again)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trying, l.why = nil, a.err
	switch {
	case l.closed:
		if a.sess != nil {
			a.sess.Close()
		}
		a.sess, a.err = nil, lasting{net.ErrClosed}
	case lasts(a.err):
		l.wait = firstBackoff // a person mends it, and waits for it
	case a.err != nil:
		l.wait = longer(l.wait)
	default:
		l.sess, l.since, l.until, l.again = a.sess, l.now(), until, true
	}
}

// rest waits for between half of pause and all of it.
func rest(ctx context.Context, pause time.Duration) error {
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause/2 + rand.N(pause/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends the session, all streams, and the attempt that is under way.
func (l *link) close() error {
	l.mu.Lock()
	l.closed = true
	if l.trying != nil {
		l.trying.cancel()
	}
	var err error
	for _, s := range append(l.retired, l.sess) {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	l.mu.Unlock()
	l.dialers.Wait()
	return err
}

// trouble gives the error of the last dial, for whoever cannot wait for the next.
func (l *link) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// expiry gives the live session's, for whoever wants to look again then.
func (l *link) expiry() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}
