package postgres

import (
	"errors"
	"sync"
	"testing"
)

func unitIssue(t *testing.T, k *Keys, pid uint32, cancel func()) (Key, func()) {
	t.Helper()
	key, release, err := k.Issue(pid, "ada", cancel)
	if err != nil {
		t.Fatal(err)
	}
	if key.PID != pid || key.Secret == 0 {
		t.Fatalf("the key of process %d is %+v", pid, key)
	}
	return key, release
}

// Processes of two databases may have the same number.
func TestCancel(t *testing.T) {
	for name, pids := range map[string][2]uint32{"two processes": {7, 8}, "of the same number": {7, 7}, "that nobody told": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			var k Keys
			var first, second int
			a, releaseA := unitIssue(t, &k, pids[0], func() { first++ })
			b, releaseB := unitIssue(t, &k, pids[1], func() { second++ })
			if !k.Cancel(a, "ada") || first != 1 || second != 0 {
				t.Errorf("the first key cancelled %d and %d", first, second)
			}
			once, twice := k.Cancel(b, "ada"), k.Cancel(b, "ada")
			if !once || !twice || first != 1 || second != 2 {
				t.Errorf("the second key, twice: cancelled %d and %d", first, second)
			}
			releaseA()
			releaseA()
			if k.Cancel(a, "ada") || first != 1 {
				t.Error("a released key still cancels")
			}
			if !k.Cancel(b, "ada") {
				t.Error("releasing one key ended another")
			}
			releaseB()
			if len(k.live) != 0 || k.n != 0 {
				t.Errorf("%d keys are left, %d counted", len(k.live), k.n)
			}
		})
	}
}

// Who does not know the secret cancels nothing, whatever number is tried with it.
func TestCancelGuess(t *testing.T) {
	var k Keys
	a, _ := unitIssue(t, &k, 7, func() { t.Error("a guess cancelled a statement") })
	b, _ := unitIssue(t, &k, 8, func() { t.Error("a guess cancelled a statement") })
	guesses := []Key{
		{}, {PID: a.PID}, {Secret: a.Secret}, {PID: a.PID, Secret: b.Secret}, {PID: b.PID, Secret: a.Secret},
		{PID: a.PID | 1<<31, Secret: a.Secret}, {PID: 0, Secret: 0},
	}
	for bit := range 32 {
		guesses = append(guesses, Key{a.PID, a.Secret ^ 1<<bit}, Key{a.PID ^ 1<<bit, a.Secret})
	}
	for _, g := range guesses {
		if g != a && g != b && k.Cancel(g, "ada") {
			t.Errorf("%+v was taken for a key", g)
		}
	}
	var none Keys
	if none.Cancel(Key{}, "ada") || none.Cancel(a, "ada") {
		t.Error("a key was found where none was issued")
	}
}

// A key that was stolen, or guessed, is of no use to another caller.
func TestCancelByAnotherCaller(t *testing.T) {
	var k Keys
	a, _ := unitIssue(t, &k, 7, func() { t.Error("another's statement was cancelled") })
	for _, who := range []string{"mallory", "", "ad", "ada\x00"} {
		if k.Cancel(a, who) {
			t.Errorf("%q cancelled a statement of ada's", who)
		}
	}
}

func TestSecretsDiffer(t *testing.T) {
	var k Keys
	secrets := map[uint32]bool{}
	for range 5_000 {
		key, _ := unitIssue(t, &k, 7, func() {})
		secrets[key.Secret] = true
	}
	if len(secrets) != 5_000 {
		t.Errorf("5,000 keys of one process have only %d secrets", len(secrets))
	}
}

// A flood of sessions is refused; it does not take the keys of those that are open.
func TestCancelSurvivesAFlood(t *testing.T) {
	var k Keys
	var cancelled bool
	first, release := unitIssue(t, &k, 7, func() { cancelled = true })
	k.n = maxKeys
	if _, _, err := k.Issue(8, "ada", func() {}); !errors.Is(err, ErrTooManySessions) {
		t.Errorf("one more than the limit: got %v", err)
	}
	if !k.Cancel(first, "ada") || !cancelled {
		t.Error("the first session's key is gone")
	}
	release()
	if _, _, err := k.Issue(8, "ada", func() {}); err != nil {
		t.Errorf("after a session ended: %v", err)
	}
}

// A cancel function may take its time, or end the session and with it the key.
func TestCancelHoldsNoLock(t *testing.T) {
	var k Keys
	var release func()
	var a Key
	a, release = unitIssue(t, &k, 7, func() {
		release()
		if k.Cancel(a, "ada") {
			t.Error("a released key still cancels")
		}
	})
	if !k.Cancel(a, "ada") {
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
				key, release, err := k.Issue(7, "ada", func() { hit++ })
				if err != nil || !k.Cancel(key, "ada") || hit != 1 {
					t.Errorf("%v, cancelled %d times", err, hit)
				}
				release()
			}
		})
	}
	wg.Wait()
	if len(k.live) > 0 || k.n != 0 {
		t.Errorf("%d keys are left", len(k.live))
	}
}
