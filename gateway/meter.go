package gateway

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/query"
)

const (
	// maxProbes is how many statements an hour a person may steer by parts of personal
	// data: each tells one bit or so, and nobody who works needs many.
	maxProbes = 50
	// manyEquals is how many different values of personal data an hour one caller
	// searches before it is told in the record.
	manyEquals = 50
	// maxMetered bounds the callers that are counted at once.
	maxMetered = 10_000
)

// meter counts, by caller and hour, what is searched for in personal data. The zero
// value is ready.
type meter struct {
	mu    sync.Mutex
	hour  time.Time
	calls map[string]*counted
	seed  maphash.Seed
}

// counted is what one caller has searched for within the hour.
type counted struct {
	probes int
	values map[uint64]bool // hashes of the values; nil once it was told
	told   bool
}

func (m *meter) of(who string, now time.Time) *counted {
	if hour := now.Truncate(time.Hour); hour != m.hour || m.calls == nil || len(m.calls) > maxMetered {
		m.hour, m.calls, m.seed = hour, map[string]*counted{}, maphash.MakeSeed()
	}
	c := m.calls[who]
	if c == nil {
		c = &counted{values: map[uint64]bool{}}
		m.calls[who] = c
	}
	return c
}

// probe counts one statement; false if there were too many.
func (m *meter) probe(who string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.of(who, now)
	c.probes++
	return c.probes <= maxProbes
}

// equals counts values that were searched for; true once an hour, when they are many.
func (m *meter) equals(who string, now time.Time, values []string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.of(who, now)
	if c.told {
		return false
	}
	for _, v := range values {
		c.values[maphash.String(m.seed, v)] = true
	}
	if len(c.values) < manyEquals {
		return false
	}
	c.told, c.values = true, nil
	return true
}

// searched counts the values that a request compares personal data with, and tells the
// record of those who try many.
func (s *session) searched(j *job, params []string) error {
	for _, x := range j.runs {
		equals := x.hiddenFrom(x.about.steering.equals)
		if len(equals) == 0 || x.bare() {
			continue
		}
		values := append(query.Constants(x.means.SQL), params...)
		if !s.g.meter.equals(s.owner(), s.g.cfg.Now(), values) {
			continue
		}
		ev := s.event(audit.Admin)
		ev.Outcome, ev.Detail = "ok", fmt.Sprintf("searched for %d different values of personal data within an hour, the last in %s", manyEquals, equals[0].ref)
		if _, err := s.record(context.Background(), ev, false); err != nil {
			return err
		}
	}
	return nil
}
