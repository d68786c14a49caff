package approval

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// world is a random ask with those who act on it, and what the rules say must come of
// it, worked out anew and plainly.
type world struct {
	rnd    *rand.Rand
	clock  time.Time
	locked bars
	ask    Ask
	agreed map[string]Vote // by subject: distinct people
	denied bool
	glass  bool
	left   bool
	over   bool
}

// people have each group or none; ana asks, bo is also known elsewhere by another name.
var cast = []identity.Identity{
	person("ana", "dba", "oncall"), person("bo", "dba"), person("cy", "dba", "security"), person("di", "security"), person("ed", "leads"), person("eve"),
	{Subject: "bo2", Email: "bo@example.com", Groups: []string{"security"}, Kind: identity.Person, Issuer: "https://other.example.com", Expires: person("x").Expires},
	{Subject: "bot", Groups: []string{"dba"}, Kind: identity.Agent, Owner: "bo", Expires: person("x").Expires},
}

func (w *world) quorum() Quorum {
	q := Quorum{Groups: []string{"dba", "security"}[:1+w.rnd.IntN(2)], Count: 1 + w.rnd.IntN(2)}
	if w.rnd.IntN(2) == 0 {
		q.Escalate = &Escalation{After: time.Duration(w.rnd.IntN(40)) * time.Second, Groups: []string{"leads"}}
	}
	if w.rnd.IntN(2) == 0 {
		q.BreakGlass = []string{"oncall"}
	}
	if w.rnd.IntN(3) == 0 {
		q = q.Plus(Quorum{Groups: []string{"security"}, Count: 1, BreakGlass: q.BreakGlass})
	}
	return q
}

func (w *world) vote() Vote {
	v := Vote{Who: cast[w.rnd.IntN(len(cast))], Grant: w.rnd.IntN(6) > 0, Saw: w.ask.Seal, BreakGlass: w.rnd.IntN(8) == 0}
	if w.rnd.IntN(8) == 0 {
		v.Saw = "something else"
	}
	if w.rnd.IntN(2) == 0 {
		v.Reason = "because"
	}
	return v
}

// counts is what the rules say of a vote, in plain words.
func (w *world) counts(v Vote) bool {
	inAny := func(groups ...string) bool {
		for _, g := range groups {
			if v.Who.In(g) {
				return true
			}
		}
		return false
	}
	if w.over || !w.clock.Before(w.ask.Deadline) || w.locked[v.Who.Subject] || v.Who.Kind != identity.Person || v.Grant && v.Saw != w.ask.Seal {
		return false
	}
	if v.BreakGlass {
		return v.Grant && v.Who.Subject == "ana" && v.Reason != "" && w.ask.Quorum.BreakGlass != nil
	}
	if v.Who.Subject == "ana" {
		return false
	}
	may := false
	for _, p := range w.ask.Quorum.Parts() {
		may = may || inAny(p.Groups...) || p.Escalate != nil && w.clock.Sub(w.ask.Created) >= p.Escalate.After && inAny(p.Escalate.Groups...)
	}
	_, again := w.agreed[human(v.Who)]
	return may && (!v.Grant || !again)
}

// human is the person behind an identity: bo has two.
func human(who identity.Identity) string {
	if who.Subject == "bo2" {
		return "bo"
	}
	return who.Subject
}

// enough counts people for each part, plainly.
func (w *world) enough() bool {
	for _, p := range w.ask.Quorum.Parts() {
		n := 0
		for _, v := range w.agreed {
			in := false
			for _, g := range p.Groups {
				in = in || v.Who.In(g)
			}
			if p.Escalate != nil && v.At.Sub(w.ask.Created) >= p.Escalate.After {
				in = in || v.Who.In("leads")
			}
			if in && !w.locked[v.Who.Subject] {
				n++
			}
		}
		if n < p.Count {
			return false
		}
	}
	return true
}

// Random votes, locks, time that passes, and a caller that leaves: at each step the
// desk says what the plain rules say, and its answer is theirs.
func TestEveryInterleavingFollowsTheRules(t *testing.T) {
	seed := rand.Uint64()
	granted, refused := 0, 0
	for round := range 3000 {
		w := &world{rnd: rand.New(rand.NewPCG(seed, uint64(round))), clock: time.Unix(1000, 0), locked: bars{}, agreed: map[string]Vote{}}
		d := NewDesk(Config{Now: func() time.Time { return w.clock }, Barred: func(who identity.Identity) error { return w.locked.barred(who) }})
		ctx, cancel := context.WithCancel(t.Context())
		a := ask(cast[0], w.quorum())
		a.Deadline = w.clock.Add(time.Minute)
		h, err := d.add(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		w.ask = h.ask
		for range 12 {
			w.step(t, d, cancel)
		}
		answer := d.giveUp(h)
		cancel()
		want := w.glass || !w.denied && w.over && !w.left
		if answer.Granted != want || answer.BreakGlass != w.glass || answer.Granted && answer.Hash != w.ask.Hash {
			t.Fatalf("seed %d round %d: got %+v, want granted %v", seed, round, answer, want)
		}
		if answer.Granted {
			granted++
		} else {
			refused++
		}
	}
	if granted < 100 || refused < 100 {
		t.Errorf("seed %d: %d were granted and %d refused: the rounds say too little", seed, granted, refused)
	}
}

func (w *world) step(t *testing.T, d *Desk, leave func()) {
	t.Helper()
	switch w.rnd.IntN(10) {
	case 0:
		w.clock = w.clock.Add(time.Duration(w.rnd.IntN(30)) * time.Second)
	case 1:
		who := cast[w.rnd.IntN(len(cast))].Subject
		w.locked[who] = !w.locked[who]
	case 2:
		if w.rnd.IntN(4) == 0 {
			leave()
			w.left = w.left || !w.over
			w.over = true
		}
	default:
		v := w.vote()
		want := w.counts(v)
		_, err := d.Decide(w.ask.ID, v)
		if (err == nil) != want {
			t.Fatalf("%+v on %s at %v gave %v, want it to count: %v", v, w.ask.Quorum, w.clock.Sub(w.ask.Created), err, want)
		}
		if !want {
			return
		}
		v.At = w.clock
		switch {
		case !v.Grant:
			w.denied, w.over = true, true
		case v.BreakGlass:
			w.glass, w.over = true, true
		default:
			w.agreed[human(v.Who)] = v
			w.over = w.enough()
		}
	}
}

// Everybody at once on many asks: each ends once; whoever was told that their vote
// ended it was told the truth; what is granted has its quorum, of people who never were
// the asker.
func TestEverybodyAtOnce(t *testing.T) {
	d := NewDesk(Config{Now: time.Now})
	var all sync.WaitGroup
	for i := range 60 {
		q := Quorum{Groups: []string{"dba", "security"}, Count: 1 + i%2, BreakGlass: []string{"oncall"}}
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			defer cancel()
			var voters sync.WaitGroup
			var mu sync.Mutex
			var counted []Vote
			var mine Ask
			answer, err := d.Wait(ctx, ask(person(string(rune('A'+i))+"sker"), q), func(a Ask) {
				mine = a
				for j, who := range cast {
					voters.Go(func() {
						v := Vote{Who: who, Grant: (i+j)%7 != 0, Saw: a.Seal}
						if _, err := d.Decide(a.ID, v); err == nil {
							mu.Lock()
							counted = append(counted, v)
							mu.Unlock()
						} else if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrGroup) && !errors.Is(err, ErrNoPerson) && !errors.Is(err, ErrTwice) {
							t.Errorf("a vote gave %v", err)
						}
					})
				}
				if i%5 == 0 {
					voters.Go(cancel)
				}
			})
			voters.Wait()
			if err != nil || len(answer.Votes) != len(counted) {
				t.Errorf("%d votes counted, the answer has %d (%v)", len(counted), len(answer.Votes), err)
			}
			if answer.Granted != (len(answer.Votes) > 0 && q.Met(answer.Votes, mine.Created) && !denied(answer.Votes)) {
				t.Errorf("got %+v", answer)
			}
		})
	}
	all.Wait()
	if len(d.List()) != 0 {
		t.Errorf("left behind: %+v", d.List())
	}
}

func denied(votes []Vote) bool {
	for _, v := range votes {
		if !v.Grant {
			return true
		}
	}
	return false
}
