package approval

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestIDsAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"same", "same", "", "other"}
		d := NewDesk(Config{Now: time.Now, NewID: func() string {
			if len(ids) == 0 {
				return "same"
			}
			id := ids[0]
			ids = ids[1:]
			return id
		}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a, _ := wait(t, ctx, d, ask(person("ana"), oneDBA))
		b, _ := wait(t, ctx, d, ask(person("ana"), oneDBA))
		if a.ID != "same" || b.ID != "other" {
			t.Errorf("ids are %q and %q", a.ID, b.ID)
		}
		if r := waitFor(t, d, ask(person("ana"), oneDBA)); !errors.Is(r.err, ErrInUse) {
			t.Errorf("a source that repeats itself gave %+v", r)
		}
		given := ask(person("ana"), oneDBA)
		given.ID = "same"
		if r := waitFor(t, d, given); !errors.Is(r.err, ErrInUse) {
			t.Errorf("an id in use gave %+v", r)
		}
	})
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		if len(id) != idLength || strings.Trim(id, strings.TrimSuffix(idLetters, "_")) != "" {
			t.Fatalf("%q is not an id", id)
		}
		seen[id] = true
	}
	if len(seen) < 990 {
		t.Errorf("only %d of 1000 ids differ", len(seen))
	}
}
