package tunnel

import (
	"sync"
	"time"
)

// alarm is a deadline for who waits on a condition. What it has is guarded by the
// condition's lock.
type alarm struct {
	late  bool // the deadline has passed
	timer *time.Timer
}

// set moves the deadline; the zero time is none. Called under more's lock.
func (a *alarm) set(more *sync.Cond, t time.Time) {
	a.stop()
	a.timer, a.late = nil, false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		a.late = true
		more.Broadcast()
		return
	}
	var own *time.Timer
	own = time.AfterFunc(wait, func() {
		more.L.Lock()
		defer more.L.Unlock()
		if a.timer == own {
			a.late = true
			more.Broadcast()
		}
	})
	a.timer = own
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
