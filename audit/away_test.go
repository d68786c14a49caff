package audit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Whoever asks right after an event was accepted is given it, however it was
// accepted and whoever else writes, asks and seals meanwhile.
func TestQuestionsMissNothingThatWasAccepted(t *testing.T) {
	const writers, rounds = 8, 60
	cfg := testConfig(t)
	cfg.sealEvery, cfg.syncDelay = 1000, 1000 // nanoseconds: all the time
	l := openLog(t, cfg)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			session := fmt.Sprint("writer-", w)
			for n := range rounds {
				ev := numbered(n)
				ev.Session = session
				var err error
				if (n+w)%3 == 0 {
					_, err = l.Append(ev)
				} else {
					err = l.Later(ev)
				}
				if err != nil {
					t.Error(err)
					return
				}
				res, err := l.Query(context.Background(), Filter{Session: session})
				if err != nil || len(res.Events) != n+1 || res.Events[0].SQL != ev.SQL {
					t.Errorf("%s asked after %d events and was given %d, %v", session, n+1, len(res.Events), err)
					return
				}
			}
		})
	}
	group.Wait()
	closeLog(t, l)
	mustVerify(t, cfg.Dir, "", writers*rounds)
}

// The files of an open record are removed, moved or replaced: what is written now
// would be on no disk. Questions are not answered as if nothing had happened, and
// nothing more is accepted.
func TestRecordThatIsTakenAwayEndsIt(t *testing.T) {
	for name, attack := range map[string]func(dir, segment string) error{
		"all of it":           func(dir, _ string) error { return os.RemoveAll(dir) },
		"its entries":         func(_, segment string) error { return os.RemoveAll(filepath.Dir(segment)) },
		"its segment":         func(_, segment string) error { return os.Remove(segment) },
		"moved away":          func(dir, _ string) error { return os.Rename(dir, dir+".old") },
		"edited by a program": func(_, segment string) error { return replace(segment) },
		"a folder in its place": func(_, segment string) error {
			if err := os.Remove(segment); err != nil {
				return err
			}
			return os.Mkdir(segment, 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			l := openLog(t, cfg)
			appendN(t, l, 0, 3)
			if err := attack(cfg.Dir, segmentPath(cfg.Dir, 0)); err != nil {
				t.Fatal(err)
			}
			if res, err := l.Query(context.Background(), Filter{}); err == nil && len(res.Events) != 3 {
				t.Errorf("a question is answered with %d events", len(res.Events))
			}
			tk, err := l.Append(numbered(3))
			if err == nil {
				err = tk.Durable(context.Background())
			}
			if err == nil {
				t.Fatal("an event is said to be on disk")
			}
			<-l.Failed()
			if _, err := l.Append(numbered(4)); err == nil {
				t.Error("another event is accepted")
			}
			if _, err := l.Query(context.Background(), Filter{}); err == nil {
				t.Error("a question is answered after that")
			}
			if err := l.Close(); err == nil {
				t.Error("it closed as if all were well")
			}
		})
	}
}

// replace does what editors do: a new file with the same name.
func replace(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// A record of which a segment is missing is not asked as if it were whole.
func TestQuestionToHalfARecordIsAnError(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	appendN(t, l, 0, 1)
	closeLog(t, l)
	if err := os.Rename(segmentPath(cfg.Dir, 0), segmentPath(cfg.Dir, segmentEntries)); err != nil {
		t.Fatal(err)
	}
	if _, err := Query(context.Background(), cfg.Dir, Filter{}); err == nil {
		t.Error("the first segment is missing, and a question is answered")
	}
	if _, err := Query(context.Background(), t.TempDir(), Filter{}); err == nil {
		t.Error("a folder without a record answers a question")
	}
}
