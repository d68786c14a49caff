package gateway

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
)

// Three gateways that hear each other in any order, more than once, and late come to know
// the same, in which nothing is shown that the last word on it hides.
func TestGatewaysComeToKnowTheSame(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var all []*rulings
		for i := range 3 {
			r, err := openRulings(filepath.Join(t.TempDir(), fmt.Sprintf("%d.json", i)))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		hear := func(to, from int) {
			list, _ := all[from].since(0, 1000)
			if _, err := all[to].merge(fmt.Sprint("gw-", from), list); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			i := rnd.IntN(3)
			if rnd.IntN(2) == 0 {
				hear(i, (i+1+rnd.IntN(2))%3)
				continue
			}
			x := ruling{Connection: "orders", Database: "d", Server: "1/2", Relation: 7, Number: int16(1 + rnd.IntN(2)), Schema: "s", Table: "t", At: time.Unix(int64(i), 0)}
			x.Column = fmt.Sprint("c", x.Number)
			x.As = []string{asNone, asAuto, "email", "phone", asDoubt}[rnd.IntN(5)]
			if _, err := all[i].put(x); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			for i := range 3 {
				hear(i, (i+1)%3)
				hear(i, (i+2)%3)
			}
		}
		for i := 1; i < 3; i++ {
			for _, x := range all[0].list {
				at := 0
				for _, y := range all[i].list {
					if x.same(y) {
						at++
						if x.As != y.As || x.Where != y.Where || x.Rev != y.Rev {
							t.Fatalf("seed %d: gateway 0 has %+v, gateway %d %+v", seed, x, i, y)
						}
					}
				}
				if at != 1 {
					t.Fatalf("seed %d: gateway %d has %s %d times", seed, i, x.Column, at)
				}
			}
		}
	}
}

func TestOfTwoWordsTheOneThatHidesMoreStands(t *testing.T) {
	as := func(as string, rev int64) ruling { return ruling{As: as, Rev: rev} }
	for _, c := range []struct{ a, b, want ruling }{
		{as("email", 1), as(asNone, 2), as(asNone, 2)},
		{as("email", 2), as(asNone, 2), as("email", 2)},
		{as(asDoubt, 2), as(asNone, 2), as(asDoubt, 2)},
		{as(asNone, 3), as(asAuto, 3), as(asNone, 3)},
		{as("email", 2), as("phone", 2), ruling{As: string(mask.Opaque), Where: whole, Rev: 2}},
	} {
		for _, pair := range [][2]ruling{{c.a, c.b}, {c.b, c.a}} {
			got := pair[0]
			if x, later := pair[0].or(pair[1]); later {
				got = x
			}
			if got != c.want {
				t.Errorf("%+v then %+v: %+v", pair[0], pair[1], got)
			}
		}
	}
}

// A copy of the files of a cluster has its number. That nothing is personal there says
// nothing of the other.
func TestDoorNoneSaidOfACloneOfTheDatabase(t *testing.T) {
	s := &catalog.Snapshot{Database: "d", Identity: "1/2"}
	clone := ruling{Connection: "staging", Database: "d", Server: "1/2", As: asNone}
	if clone.of("prod", s) {
		t.Error("what was said of staging counts for prod")
	}
	if !clone.of("staging", s) {
		t.Error("it does not count for staging")
	}
}

// What passes by the clock of the day, as when a virtual machine was stopped, is past.
func TestDoorALeaseOverAPause(t *testing.T) {
	now := time.Now()
	m := in(10*time.Second, now)
	if m.past(now.Add(9*time.Second)) || !m.past(now.Add(10*time.Second)) || !(moment{}).past(now) {
		t.Error("a moment is not past when it should be, or is when it should not")
	}
	paused := moment{process: now.Add(time.Hour), day: m.day} // the clock of the process stood still
	if !paused.past(now.Add(11 * time.Second)) {
		t.Error("a lease outlives a pause of the machine")
	}
}
