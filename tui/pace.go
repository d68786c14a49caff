package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Pace is how fast what happened once is shown again. The zero Pace is instant: nothing
// is waited for.
type Pace struct {
	Speed float64 // times as fast as it happened; 0 or less waits for nothing
}

// maxPause is the longest wait between two things that are shown again: what took longer
// is shortened, and that is said.
const maxPause = 2 * time.Second

// idle is how long nothing happened for it to be said.
const idle = 5 * time.Second

// Wait is how long to wait for what happened that much later, and whether that is shorter
// than it would be at this speed.
func (p Pace) Wait(gap time.Duration) (wait time.Duration, shortened bool) {
	if p.Speed <= 0 || gap <= 0 {
		return 0, false
	}
	scaled := float64(gap) / p.Speed
	if scaled > float64(maxPause) {
		return maxPause, true
	}
	return time.Duration(scaled), false
}

// Later says that nothing happened for a while, and what is made of it; "" if the while
// is short.
func (p Pace) Later(gap time.Duration) string {
	if gap < idle {
		return ""
	}
	text := "… " + span(gap) + " later"
	if wait, shortened := p.Wait(gap); shortened {
		text += ", shown as " + span(wait)
	}
	return text
}

// String is "1x", "10x" or "instant".
func (p Pace) String() string {
	if p.Speed <= 0 {
		return instant
	}
	return strconv.FormatFloat(p.Speed, 'f', -1, 64) + "x"
}

const instant = "instant"

// ReadPace reads what String writes, with or without the x.
func ReadPace(s string) (Pace, error) {
	if s == instant {
		return Pace{}, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "x"), 64)
	if err != nil || !(n > 0 && n <= 1e6) {
		return Pace{}, fmt.Errorf("a speed is 1x, 10x or another number, or %s", instant)
	}
	return Pace{Speed: n}, nil
}
