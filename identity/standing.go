package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
)

// Limits of what a Standing keeps. It is one file, written anew with every change.
const (
	maxStanding    = 32 << 20       // bytes of the file
	maxLocks       = 10_000         // more is a list that belongs to the identity provider
	maxRevocations = 100_000        // of certificates that have not expired
	maxTokens      = 10_000         // in all
	maxTokensEach  = 200            // of one creator
	keepTokens     = 24 * time.Hour // after their end, so that ls can tell what became of them
)

// Lock keeps somebody out until it is taken away.
type Lock struct {
	Name   string    `json:"name"` // subject or address, as it was given
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Barred is why an identity that is valid in itself may do nothing.
type Barred struct {
	Sentence string
	Hint     string
}

func (b *Barred) Error() string { return b.Sentence }

// Standing is what a gateway knows of callers beyond their certificates: who is
// locked, which certificates are revoked, and which tokens there are. A change is on
// disk before it counts, so that it survives a crash; one that failed does not count,
// though the next start may find it on disk. One process at a time may have it open, which the record's lock sees to. Safe
// for use by several goroutines.
type Standing struct {
	file durable.JSON
	now  func() time.Time

	mu    sync.Mutex // held while a change is written, so that changes have an order
	state standing
}

// standing is the file.
type standing struct {
	Version int                  `json:"version"`
	Locks   []Lock               `json:"locks"`
	Revoked map[string]time.Time `json:"revoked"` // serial numbers, and when the certificate has surely expired
	Tokens  []Token              `json:"tokens"`
}

// OpenStanding reads the file at path, or begins without one. A file that cannot be
// read is an error: to go on would unlock everybody in it.
func OpenStanding(path string, now func() time.Time) (*Standing, error) {
	s := &Standing{file: durable.JSON{Path: path, What: "locks and tokens", Most: maxStanding, Strict: true}, now: now}
	s.state = standing{Version: 1, Revoked: map[string]time.Time{}}
	var st standing
	found, err := s.file.Read(&st)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return s, nil
	}
	if s.state, err = st.check(); err != nil {
		return nil, fmt.Errorf("read locks and tokens: %s: %w", path, err)
	}
	return s, nil
}

// check is st if it is what change writes.
func (st standing) check() (standing, error) {
	if st.Version != 1 {
		return standing{}, fmt.Errorf("it is of version %d, not 1", st.Version)
	}
	for _, l := range st.Locks {
		if l.Name == "" {
			return standing{}, errors.New("a lock names nobody")
		}
	}
	for _, t := range st.Tokens {
		if err := t.check(); err != nil {
			return standing{}, err
		}
	}
	if st.Revoked == nil {
		st.Revoked = map[string]time.Time{}
	}
	return st, nil
}

// change applies f to a copy, writes it, and only then lets it count.
func (s *Standing) change(f func(*standing) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.clone()
	next.forget(s.now())
	if err := f(&next); err != nil {
		return err
	}
	if err := s.file.Write(next); err != nil {
		return err
	}
	s.state = next
	return nil
}

func (st standing) clone() standing {
	st.Locks, st.Tokens = slices.Clone(st.Locks), slices.Clone(st.Tokens)
	revoked := make(map[string]time.Time, len(st.Revoked))
	for serial, until := range st.Revoked {
		revoked[serial] = until
	}
	st.Revoked = revoked
	return st
}

// forget drops what can no longer matter.
func (st *standing) forget(now time.Time) {
	for serial, until := range st.Revoked {
		if now.After(until) {
			delete(st.Revoked, serial)
		}
	}
	st.Tokens = slices.DeleteFunc(st.Tokens, func(t Token) bool { return now.After(t.Expires.Add(keepTokens)) })
}

// Check is nil if nothing stands against who: no lock on them or on whom they act for,
// no revocation of their certificate, and of the token that it was got with none, nor
// of what that token was made with.
func (s *Standing) Check(who Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.state.lock(who); l != nil {
		return l.barred()
	}
	if _, revoked := s.state.Revoked[who.Credential]; revoked && who.Credential != "" {
		return &Barred{"this certificate was revoked", logInAgain(who)}
	}
	if who.Token == "" {
		return nil
	}
	t := s.state.token(who.Token)
	if t == nil || !t.Revoked.IsZero() {
		return &Barred{"the token behind this certificate was revoked", "ask for a new one: sluice token create"}
	}
	return nil
}

func logInAgain(who Identity) string {
	if who.Kind == Person {
		return "run: sluice login"
	}
	return "ask whoever runs the gateway"
}

func (l *Lock) barred() *Barred {
	text := "access of " + l.Name + " is locked"
	if l.Reason != "" {
		text += ": " + l.Reason
	}
	return &Barred{text, "ask " + l.By + ", who locked it"}
}

// lock finds a lock on who or on the owner. Names are compared without case and
// without issuer: this only ever takes rights away.
func (st *standing) lock(who Identity) *Lock {
	for i, l := range st.Locks {
		for _, name := range []string{who.Subject, who.Email, who.Owner, who.OwnerName, who.Label} {
			if name != "" && strings.EqualFold(l.Name, name) {
				return &st.Locks[i]
			}
		}
	}
	return nil
}

// Locked reports whether somebody of this name is locked.
func (s *Standing) Locked(name string) bool {
	return slices.ContainsFunc(s.Locks(), func(l Lock) bool { return strings.EqualFold(l.Name, name) })
}

// Locks lists all locks, by name.
func (s *Standing) Locks() []Lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.state.Locks)
	slices.SortFunc(list, func(a, b Lock) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Lock keeps somebody out from now on. A second lock of the same name replaces the
// first.
func (s *Standing) Lock(l Lock) error {
	if err := plainName(l.Name, maxName); err != nil {
		return fmt.Errorf("lock: the name %w", err)
	}
	l.At = s.now().UTC()
	return s.change(func(st *standing) error {
		st.Locks = slices.DeleteFunc(st.Locks, func(have Lock) bool { return strings.EqualFold(have.Name, l.Name) })
		if len(st.Locks) >= maxLocks {
			return fmt.Errorf("there are %d locks, which is the most", maxLocks)
		}
		st.Locks = append(st.Locks, l)
		return nil
	})
}

// ErrNotLocked says that there is no lock to take away.
var ErrNotLocked = errors.New("nobody of that name is locked")

// Unlock takes a lock away.
func (s *Standing) Unlock(name string) error {
	return s.change(func(st *standing) error {
		before := len(st.Locks)
		st.Locks = slices.DeleteFunc(st.Locks, func(have Lock) bool { return strings.EqualFold(have.Name, name) })
		if len(st.Locks) == before {
			return ErrNotLocked
		}
		return nil
	})
}

// Revoke refuses a certificate from now on, and the tokens that were made with it.
func (s *Standing) Revoke(serial string) error {
	if !isSerial(serial) {
		return fmt.Errorf("%q is no serial number of a certificate", serial)
	}
	return s.change(func(st *standing) error {
		if len(st.Revoked) >= maxRevocations {
			return fmt.Errorf("there are %d revocations, which is the most", maxRevocations)
		}
		// No client certificate outlives this.
		st.Revoked[serial] = s.now().Add(MaxPersonTTL + backdate).UTC()
		for i := range st.Tokens {
			if st.Tokens[i].Made.Credential == serial {
				st.Tokens[i].revoke(s.now())
			}
		}
		return nil
	})
}

// isSerial reports whether s is written as Credential is.
func isSerial(s string) bool {
	return len(s) >= 8 && len(s) <= 40 && strings.Trim(s, "0123456789abcdef") == ""
}
