package postgres

import (
	"errors"
	"sync"
	"testing"
)

func unitIssue(t *testing.T, k *Keys, cancel func()) (Key, func()) {
	t.Helper()
	key, release, err := k.Issue(cancel)
	if err != nil {
		t.Fatal(err)
	}
	return key, release
}

func TestCancel(t *testing.T) {
	var k Keys
	var first, second int
	a, releaseA := unitIssue(t, &k, func() { first++ })
	b, _ := unitIssue(t, &k, func() { second++ })
	if !k.Cancel(a) || first != 1 || second != 0 {
		t.Errorf("the first key cancelled %d and %d", first, second)
	}
	once, twice := k.Cancel(b), k.Cancel(b)
	if !once || !twice || first != 1 || second != 2 {
		t.Errorf("the second key, twice: cancelled %d and %d", first, second)
	}
	releaseA()
	releaseA()
	if k.Cancel(a) || first != 1 {
		t.Error("a released key still cancels")
	}
	if !k.Cancel(b) {
		t.Error("releasing one key ended another")
	}
}

// Who does not know the secret cancels nothing, whatever number is tried with it.
func TestCancelGuess(t *testing.T) {
	var k Keys
	a, _ := unitIssue(t, &k, func() { t.Error("a guess cancelled a statement") })
	b, _ := unitIssue(t, &k, func() { t.Error("a guess cancelled a statement") })
	guesses := []Key{
		{}, {PID: a.PID}, {Secret: a.Secret}, {PID: a.PID, Secret: b.Secret}, {PID: b.PID, Secret: a.Secret},
		{PID: a.PID | 1<<31, Secret: a.Secret}, {PID: 0, Secret: 0},
	}
	for bit := range 32 {
		guesses = append(guesses, Key{a.PID, a.Secret ^ 1<<bit}, Key{a.PID ^ 1<<bit, a.Secret})
	}
	for _, g := range guesses {
		if g != a && g != b && k.Cancel(g) {
			t.Errorf("%+v was taken for a key", g)
		}
	}
	var none Keys
	if none.Cancel(Key{}) || none.Cancel(a) {
		t.Error("a key was found where none was issued")
	}
}

// A key of zero is what a client without one would send.
func TestKeyIsNeverZeroNorTwice(t *testing.T) {
	var k Keys
	seen := map[uint32]bool{0: true}
	secrets := map[uint32]bool{}
	for range 10_000 {
		key, _ := unitIssue(t, &k, func() {})
		if seen[key.PID] || key.PID > 1<<31-1 {
			t.Fatalf("number %d", key.PID)
		}
		seen[key.PID] = true
		secrets[key.Secret] = true
	}
	if len(secrets) < 9_900 {
		t.Errorf("10,000 keys have only %d secrets", len(secrets))
	}
}

// A flood of sessions is refused; it does not take the keys of those that are open.
func TestCancelSurvivesAFlood(t *testing.T) {
	var k Keys
	var cancelled bool
	first, release := unitIssue(t, &k, func() { cancelled = true })
	for pid := uint32(1 << 31); len(k.live) < maxKeys; pid++ {
		k.live[pid] = key{}
	}
	if _, _, err := k.Issue(func() {}); !errors.Is(err, ErrTooManySessions) {
		t.Errorf("one more than the limit: got %v", err)
	}
	if !k.Cancel(first) || !cancelled {
		t.Error("the first session's key is gone")
	}
	release()
	if _, _, err := k.Issue(func() {}); err != nil {
		t.Errorf("after a session ended: %v", err)
	}
}

// A cancel function may take its time, or end the session and with it the key.
func TestCancelHoldsNoLock(t *testing.T) {
	var k Keys
	var release func()
	var a Key
	a, release = unitIssue(t, &k, func() {
		release()
		if k.Cancel(a) {
			t.Error("a released key still cancels")
		}
	})
	if !k.Cancel(a) {
		t.Error("the key cancels nothing")
	}
}

func TestKeysTogether(t *testing.T) {
	var k Keys
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				hit := 0
				key, release, err := k.Issue(func() { hit++ })
				if err != nil || !k.Cancel(key) || hit != 1 {
					t.Errorf("%v, cancelled %d times", err, hit)
				}
				release()
			}
		})
	}
	wg.Wait()
	if len(k.live) > 0 {
		t.Errorf("%d keys are left", len(k.live))
	}
}
