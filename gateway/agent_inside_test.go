package gateway

import (
	"testing"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// What an agent opened lasts as long as the certificate that it got last with the same
// token and key. Attack: exchange a token of one's own with somebody else's public key,
// of which no proof is asked, to end or take over what they opened.
func TestExchangeTouchesOnlyWhatTheSameTokenOpened(t *testing.T) {
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := identity.EncodePublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := identity.FingerprintOf(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	agent := identity.Identity{Subject: "agent:claude:u1", Kind: identity.Agent, Owner: "u1", Token: "t-aaaaaaaaaaaa", Expires: now.Add(time.Minute)}
	other := agent
	other.Subject, other.Owner, other.Token = "agent:claude:u2", "u2", "t-bbbbbbbbbbbb"
	job := agent
	job.Kind = identity.Job
	person := identity.Identity{Subject: "u1", Kind: identity.Person, Expires: now.Add(time.Minute)}
	for name, tt := range map[string]struct {
		opened, exchanged identity.Identity
		want              time.Duration
	}{
		"the same token":           {agent, agent, 15 * time.Minute},
		"another's token":          {agent, other, time.Minute},
		"over a person's key":      {person, other, time.Minute},
		"a job's, which ends soon": {job, job, time.Minute},
	} {
		g := &Gateway{cfg: Config{Now: func() time.Time { return now }}}
		ended := false
		s := &session{Caller: Caller{Who: tt.opened, Key: mark}, g: g, cut: func(error) { ended = true }}
		if err := g.extend(tt.exchanged, string(pub), now.Add(15*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if end := s.keep(); !end.Equal(now.Add(tt.want)) || ended {
			t.Errorf("%s: it lasts %s (cut: %v), want %s", name, end.Sub(now), ended, tt.want)
		}
		if who := g.leases.latest(mark, person); who.Subject != "u1" || who.Kind != identity.Person {
			t.Errorf("%s: a person with this key is now %+v", name, who)
		}
	}
}
