package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
)

// Why a vote is refused. Decide wraps these with the details.
var (
	ErrUnknown  = errors.New("no such ask is waiting")
	ErrOwn      = errors.New("nobody answers their own ask")
	ErrGroup    = errors.New("not in a group that may answer")
	ErrTwice    = errors.New("already answered by this person")
	ErrExpired  = errors.New("the identity has expired or names nobody")
	ErrNoPerson = errors.New("only people answer asks")
	ErrUnseen   = errors.New("the vote does not say what was looked at")
	ErrGlass    = errors.New("the glass cannot be broken")
	ErrReason   = errors.New("a reason is needed")
)

// Parts are the quorums that must each be met: q itself and those in And.
func (q Quorum) Parts() []Quorum {
	parts := []Quorum{{Groups: q.Groups, Count: q.need(), Escalate: q.Escalate, BreakGlass: q.BreakGlass}}
	for _, a := range q.And {
		parts = append(parts, a.Parts()...)
	}
	return parts
}

// Plus is the quorum that needs both q and other. Parts that ask the same groups,
// now and later, are joined to the one that needs more people.
func (q Quorum) Plus(other Quorum) Quorum {
	var all []Quorum
	for _, p := range append(q.Parts(), other.Parts()...) {
		i := slices.IndexFunc(all, func(have Quorum) bool { return samePart(have, p) })
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

// Met reports whether the granting votes on an ask made at that time are enough for
// every part.
func (q Quorum) Met(votes []Vote, asked time.Time) bool {
	for _, p := range q.Parts() {
		if p.granted(votes, asked) < p.Count {
			return false
		}
	}
	return q.Possible()
}

// String is the quorum for people: "1 of dba", "2 of dba or security and 1 of audit",
// "1 of dba (after 5m0s also of leads)".
func (q Quorum) String() string {
	var s []string
	for _, p := range q.Parts() {
		text := fmt.Sprintf("%d of %s", p.Count, strings.Join(p.Groups, " or "))
		if e := p.Escalate; e != nil {
			text += fmt.Sprintf(" (after %s also of %s)", howlong.Text(e.After), strings.Join(e.Groups, " or "))
		}
		s = append(s, text)
	}
	return strings.Join(s, " and ")
}

func (q Quorum) clone() Quorum {
	q.Groups, q.And, q.BreakGlass = slices.Clone(q.Groups), slices.Clone(q.And), slices.Clone(q.BreakGlass)
	if q.Escalate != nil {
		q.Escalate = &Escalation{After: q.Escalate.After, Groups: slices.Clone(q.Escalate.Groups)}
	}
	for i := range q.And {
		q.And[i] = q.And[i].clone()
	}
	return q
}

func (q Quorum) need() int { return max(q.Count, 1) }

// Have is how many distinct people of those that q itself asks have agreed.
func (q Quorum) Have(votes []Vote, asked time.Time) int { return q.granted(votes, asked) }

// granted counts the distinct people of the part's groups who agreed, each by what was
// in force when they did.
func (q Quorum) granted(votes []Vote, asked time.Time) int {
	var people []identity.Identity
	for _, v := range votes {
		known := slices.ContainsFunc(people, func(p identity.Identity) bool { return samePerson(p, v.Who) })
		if v.Grant && q.asks(v.Who, v.At.Sub(asked)) && !known {
			people = append(people, v.Who)
		}
	}
	return len(people)
}

// asks reports whether who may answer this part of an ask so long after it was made.
func (q Quorum) asks(who identity.Identity, after time.Duration) bool {
	if slices.ContainsFunc(q.Groups, who.In) {
		return true
	}
	return q.Escalate != nil && after >= q.Escalate.After && slices.ContainsFunc(q.Escalate.Groups, who.In)
}

// Escalates is when more people are asked than at first, the soonest first, for an ask
// made at that time.
func (q Quorum) Escalates(asked time.Time) (times []time.Time) {
	for _, p := range q.Parts() {
		if p.Escalate != nil {
			times = append(times, asked.Add(p.Escalate.After))
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// samePart reports whether two parts ask the same people, now and later.
func samePart(a, b Quorum) bool {
	switch {
	case !sameGroups(a.Groups, b.Groups), !sameGroups(a.BreakGlass, b.BreakGlass), (a.Escalate == nil) != (b.Escalate == nil):
		return false
	}
	return a.Escalate == nil || a.Escalate.After == b.Escalate.After && sameGroups(a.Escalate.Groups, b.Escalate.Groups)
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
		if p.asks(who, now.Sub(a.Created)) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s needs %s", ErrGroup, a.ID, a.Quorum)
}

// MayBreakGlass is nil if who may release the ask alone at now: it is their own, they
// are a person, and every rule that holds it names a group of theirs. Here, where a
// right is given, nothing but the very same issuer and subject is the same person.
func (a Ask) MayBreakGlass(who identity.Identity, now time.Time) error {
	switch {
	case !who.Valid(now):
		return ErrExpired
	case who.Kind != identity.Person || a.Who.Kind != identity.Person:
		return fmt.Errorf("%w: %w", ErrGlass, ErrNoPerson)
	case who.Issuer != a.Who.Issuer || who.Subject != a.Who.Subject:
		return fmt.Errorf("%w: %s asked, and only who asked may", ErrGlass, a.Who.Name())
	}
	for _, p := range a.Quorum.Parts() {
		if !slices.ContainsFunc(p.BreakGlass, who.In) {
			return fmt.Errorf("%w: rule %s does not let you", ErrGlass, a.Rule)
		}
	}
	return nil
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
