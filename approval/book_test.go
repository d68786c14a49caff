package approval

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// shelf is a book in a file with a clock that the test moves.
type shelf struct {
	*Book
	t      *testing.T
	path   string
	clock  time.Time
	locked bars
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{t: t, path: filepath.Join(t.TempDir(), "requests.json"), clock: time.Unix(5000, 0).UTC(), locked: bars{}}
	s.again()
	return s
}

// again opens the book anew, as the next gateway does.
func (s *shelf) again() {
	s.t.Helper()
	b, err := OpenBook(s.path, Config{Now: func() time.Time { return s.clock }, Barred: func(who identity.Identity) error { return s.locked.barred(who) }}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Book = b
}

func (s *shelf) ask(r Request) Request {
	s.t.Helper()
	if r.Who.Subject == "" {
		r.Who = person("ana")
	}
	r.Connection = "orders"
	if r.Quorum.Groups == nil {
		r.Quorum = oneDBA
	}
	got, err := s.Add(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *shelf) grant(r Request) {
	s.t.Helper()
	if _, err := s.Decide(r.ID, yes(r.Ask, person("bo", "dba"))); err != nil {
		s.t.Fatal(err)
	}
}

// A script runs once, whatever happens to the gateway in between, and for its author
// on its connection only.
func TestScriptIsUsedOnce(t *testing.T) {
	s := newShelf(t)
	r := s.ask(Request{Ask: Ask{SQL: "alter table a add b int"}})
	if _, err := s.Use(r.ID, r.Who, "orders"); !errors.Is(err, ErrNotOpen) {
		t.Errorf("before it was granted: %v", err)
	}
	for _, v := range []Vote{yes(r.Ask, person("ana", "dba")), {Who: person("bo", "dba"), Grant: true}, yes(r.Ask, person("eve"))} {
		if _, err := s.Decide(r.ID, v); err == nil {
			t.Errorf("%+v counts", v)
		}
	}
	s.again()
	s.grant(r)
	s.again()
	job := r.Who
	job.Kind = identity.Job
	for name, try := range map[string]func() error{
		"somebody else":      func() error { _, err := s.Use(r.ID, person("eve"), "orders"); return err },
		"a job of that name": func() error { _, err := s.Use(r.ID, job, "orders"); return err },
		"another connection": func() error { _, err := s.Use(r.ID, r.Who, "billing"); return err },
		"another id":         func() error { _, err := s.Script("r-none2", r.Who, "orders"); return err },
	} {
		if try() == nil {
			t.Errorf("%s uses it", name)
		}
	}
	var all sync.WaitGroup
	won := make(chan bool, 8)
	for range 8 {
		all.Go(func() { _, err := s.Use(r.ID, r.Who, "orders"); won <- err == nil })
	}
	all.Wait()
	close(won)
	n := 0
	for ok := range won {
		if ok {
			n++
		}
	}
	s.again()
	if _, err := s.Use(r.ID, r.Who, "orders"); n != 1 || !errors.Is(err, ErrNotOpen) {
		t.Errorf("it was used %d times, and after a restart: %v", n, err)
	}
}

// What cannot be kept on disk is not granted and not used.
func TestRequestThatCannotBeKept(t *testing.T) {
	s := newShelf(t)
	r := s.ask(Request{Ask: Ask{SQL: "select 1"}})
	s.grant(r)
	s.file.Path = filepath.Join(t.TempDir(), "gone", "requests.json")
	if _, err := s.Use(r.ID, r.Who, "orders"); err == nil {
		t.Error("it was used without a trace")
	}
	if got, _ := s.Get(r.ID); got.State != Granted {
		t.Errorf("and is %s", got.State)
	}
	if err := os.WriteFile(s.path, []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBook(s.path, Config{Now: time.Now}, func() {}); err == nil || !strings.Contains(err.Error(), "requests.json") {
		t.Errorf("a torn book opens: %v", err)
	}
}

// A window begins with the grant and ends with its time, is not older than its answer,
// and is gone at once when it is taken back or an approver loses their rights.
func TestWindowEnds(t *testing.T) {
	ends := map[string]func(*shelf, Request){
		"time":             func(s *shelf, _ Request) { s.clock = s.clock.Add(time.Hour) },
		"its author":       func(s *shelf, r Request) { mustDo(t, second(s.Cancel(r.ID, r.Who))) },
		"an approver":      func(s *shelf, r Request) { mustDo(t, second(s.Decide(r.ID, Vote{Who: person("cy", "dba")}))) },
		"a locked grantor": func(s *shelf, _ Request) { s.locked["bo"] = true },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			r := s.ask(Request{For: time.Hour})
			if len(s.Windows(r.Who, "orders")) != 0 {
				t.Error("it is open before it was granted")
			}
			s.clock = s.clock.Add(time.Hour)
			s.grant(r)
			s.clock = s.clock.Add(time.Hour - time.Nanosecond)
			s.again()
			if open := s.Windows(r.Who, "orders"); len(open) != 1 || open[0].Until.Sub(s.clock) != time.Nanosecond {
				t.Fatalf("open: %+v", open)
			}
			if len(s.Windows(person("eve"), "orders")) != 0 || len(s.Windows(r.Who, "billing")) != 0 {
				t.Error("it is open for somebody else")
			}
			end(s, r)
			s.again()
			if open := s.Windows(r.Who, "orders"); len(open) != 0 {
				t.Errorf("still open: %+v", open)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Nobody answers late, and nobody runs late.
func TestRequestExpires(t *testing.T) {
	s := newShelf(t)
	r, late := s.ask(Request{Ask: Ask{SQL: "select 1"}}), s.ask(Request{Ask: Ask{SQL: "select 2"}})
	s.grant(r)
	s.clock = s.clock.Add(AnswerTime)
	if _, err := s.Decide(late.ID, yes(late.Ask, person("bo", "dba"))); !errors.Is(err, ErrUnknown) {
		t.Errorf("a late answer gave %v", err)
	}
	if _, err := s.Use(r.ID, r.Who, "orders"); !errors.Is(err, ErrNotOpen) {
		t.Errorf("a late run gave %v", err)
	}
}
