package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// Why a vote is refused. Decide wraps these with the details.
var (
	ErrUnknown  = errors.New("no such ask is waiting")
	ErrOwn      = errors.New("nobody answers their own ask")
	ErrGroup    = errors.New("not in a group that may answer")
	ErrTwice    = errors.New("already answered by this person")
	ErrExpired  = errors.New("the identity has expired or names nobody")
	ErrNoPerson = errors.New("only people answer asks")
)

// Parts are the quorums that must each be met: q itself and those in And.
func (q Quorum) Parts() []Quorum {
	parts := []Quorum{{Groups: q.Groups, Count: q.need()}}
	for _, a := range q.And {
		parts = append(parts, a.Parts()...)
	}
	return parts
}

// Plus is the quorum that needs both q and other. Parts that ask the same groups
// are joined to the one that needs more people.
func (q Quorum) Plus(other Quorum) Quorum {
	var all []Quorum
	for _, p := range append(q.Parts(), other.Parts()...) {
		i := slices.IndexFunc(all, func(have Quorum) bool { return sameGroups(have.Groups, p.Groups) })
		if i < 0 {
			all = append(all, p)
			continue
		}
		all[i].Count = max(all[i].Count, p.Count)
	}
	sum := all[0]
	sum.And = all[1:]
	if len(sum.And) == 0 {
		sum.And = nil
	}
	return sum
}

// Possible reports whether anybody could ever meet the quorum: each part names a
// group.
func (q Quorum) Possible() bool {
	for _, p := range q.Parts() {
		if !slices.ContainsFunc(p.Groups, func(g string) bool { return g != "" }) {
			return false
		}
	}
	return true
}

// Met reports whether the granting votes are enough for every part.
func (q Quorum) Met(votes []Vote) bool {
	for _, p := range q.Parts() {
		if p.granted(votes) < p.Count {
			return false
		}
	}
	return q.Possible()
}

// String is the quorum for people: "1 of dba", "2 of dba or security and 1 of audit".
func (q Quorum) String() string {
	var s []string
	for _, p := range q.Parts() {
		s = append(s, fmt.Sprintf("%d of %s", p.Count, strings.Join(p.Groups, " or ")))
	}
	return strings.Join(s, " and ")
}

func (q Quorum) clone() Quorum {
	q.Groups, q.And = slices.Clone(q.Groups), slices.Clone(q.And)
	for i := range q.And {
		q.And[i] = q.And[i].clone()
	}
	return q
}

func (q Quorum) need() int { return max(q.Count, 1) }

// granted counts the distinct people of the part's groups who agreed.
func (q Quorum) granted(votes []Vote) int {
	var people []identity.Identity
	for _, v := range votes {
		known := slices.ContainsFunc(people, func(p identity.Identity) bool { return samePerson(p, v.Who) })
		if v.Grant && q.asks(v.Who) && !known {
			people = append(people, v.Who)
		}
	}
	return len(people)
}

func (q Quorum) asks(who identity.Identity) bool {
	return slices.ContainsFunc(q.Groups, who.In)
}

func sameGroups(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// MayAnswer is nil if who may vote on the ask at now, and says why not otherwise.
// It does not look at votes already given.
func (a Ask) MayAnswer(who identity.Identity, now time.Time) error {
	switch {
	case !who.Valid(now):
		return ErrExpired
	case who.Kind != identity.Person:
		return fmt.Errorf("%w: %s is of kind %s", ErrNoPerson, who.Name(), who.Kind)
	case ownAsk(a.Who, who):
		return fmt.Errorf("%w: %s asked", ErrOwn, a.Who.Name())
	}
	for _, p := range a.Quorum.Parts() {
		if p.asks(who) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s needs %s", ErrGroup, a.ID, a.Quorum)
}

// ownAsk reports whether voter is the asker, or the person an asking agent acts
// for. An owner is compared without the issuer, because an agent's issuer need not
// be its owner's: where in doubt it is their own.
func ownAsk(asker, voter identity.Identity) bool {
	if samePerson(asker, voter) || asker.Owner != "" && asker.Owner == voter.Subject {
		return true
	}
	return asker.OwnerName != "" && strings.EqualFold(asker.OwnerName, voter.Email)
}

// samePerson compares issuer and subject. An equal address counts as the same
// person too: one human known to two issuers is still one human, and this
// comparison only ever takes rights away.
func samePerson(a, b identity.Identity) bool {
	if a.Issuer == b.Issuer && a.Subject == b.Subject {
		return true
	}
	return a.Email != "" && strings.EqualFold(a.Email, b.Email)
}
