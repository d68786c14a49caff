package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
)

// poll is an ask with the votes on it, and the answer once there is one. It is the
// whole state machine of an ask, apart from who waits and where it is kept: waiting,
// then granted, denied, or given up, once and for ever.
type poll struct {
	ask    Ask
	votes  []Vote
	done   bool
	answer Answer // meaningful once done
}

// vote takes in one vote at v.At. Whether its author still has the right is looked at
// now, and so it is of everybody who agreed before: barred says of whom it was taken.
func (p *poll) vote(v Vote, barred func(identity.Identity) error) error {
	if err := p.mayVote(v, barred); err != nil {
		return err
	}
	p.votes = append(p.votes, v)
	switch {
	case !v.Grant:
		p.end(Answer{Why: said("denied by ", v)})
	case v.BreakGlass:
		p.end(Answer{Granted: true, BreakGlass: true, Why: said("break-glass by ", v)})
	case p.ask.Quorum.Met(p.standing(barred), p.ask.Created):
		p.end(Answer{Granted: true, Why: "approved by " + names(p.standing(barred))})
	}
	return nil
}

func (p *poll) mayVote(v Vote, barred func(identity.Identity) error) error {
	if p.done || !v.At.Before(p.ask.Deadline) {
		return fmt.Errorf("%w: %q", ErrUnknown, p.ask.ID)
	}
	may := p.ask.MayAnswer
	if v.BreakGlass {
		may = p.ask.MayBreakGlass
	}
	if err := may(v.Who, v.At); err != nil {
		return err
	}
	if err := barred(v.Who); err != nil {
		return err
	}
	// Who agreed may still change their mind to no, never the other way round.
	agreed := slices.ContainsFunc(p.votes, func(have Vote) bool { return samePerson(have.Who, v.Who) })
	switch {
	case v.Grant && v.Saw == "":
		return ErrUnseen
	case v.Grant && v.Saw != p.ask.Seal:
		return fmt.Errorf("%w: %s is another than what was looked at", ErrUnseen, p.ask.ID)
	case v.BreakGlass && !v.Grant:
		return fmt.Errorf("%w: it can only release; to take it back, cancel it where it waits", ErrGlass)
	case v.BreakGlass && strings.TrimSpace(v.Reason) == "":
		return ErrReason
	case v.Grant && agreed:
		return fmt.Errorf("%w: %s", ErrTwice, v.Who.Name())
	}
	return nil
}

// standing are the votes of those who still may.
func (p *poll) standing(barred func(identity.Identity) error) []Vote {
	return slices.DeleteFunc(slices.Clone(p.votes), func(v Vote) bool { return barred(v.Who) != nil })
}

// end sets the answer, once.
func (p *poll) end(a Answer) {
	a.Hash, a.Votes = p.ask.Hash, slices.Clone(p.votes)
	p.answer, p.done = a, true
}

// giveUp ends a poll that nobody decided.
func (p *poll) giveUp(cancelled bool) {
	switch waited := p.ask.Deadline.Sub(p.ask.Created).Round(time.Second); {
	case p.done:
	case cancelled:
		p.end(Answer{Why: "cancelled"})
	case len(p.votes) > 0:
		p.end(Answer{Why: fmt.Sprintf("not enough people answered in %s: needs %s, approved by %s so far", howlong.Text(waited), p.ask.Quorum, names(p.votes))})
	default:
		p.end(Answer{Why: fmt.Sprintf("nobody answered in %s", howlong.Text(waited))})
	}
}

func said(what string, v Vote) string {
	if v.Reason == "" {
		return what + v.Who.Name()
	}
	return what + v.Who.Name() + ": " + v.Reason
}

// names lists who agreed, each once, in order.
func names(votes []Vote) string {
	var s []string
	for _, v := range votes {
		if v.Grant {
			s = append(s, v.Who.Name())
		}
	}
	return strings.Join(s, ", ")
}

func cut(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
