package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSpent is how many tokens are remembered: each was given to a person by the
// provider within the last minutes.
const maxSpent = 100_000

// spent remembers tokens that were used, until they are too old to be used anyway.
type spent struct {
	mu   sync.Mutex
	till map[[sha256.Size]byte]time.Time // under mu
}

// take reports whether raw is used for the first time. If there is no room to remember
// it, it is not.
func (s *spent) take(raw string, now, till time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.till == nil {
		s.till = map[[sha256.Size]byte]time.Time{}
	}
	for sum, end := range s.till {
		if now.After(end) {
			delete(s.till, sum)
		}
	}
	sum := sha256.Sum256([]byte(raw))
	if _, used := s.till[sum]; used || len(s.till) >= maxSpent {
		return false
	}
	s.till[sum] = till
	return true
}
