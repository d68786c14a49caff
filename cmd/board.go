package cmd

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/tui"
)

// board is the approvals screen's view of a gateway: it turns what the gateway says
// into what the screen shows, and intents into calls.
type board struct{ gw *client.Gateway }

// sessionsEvery is how often the list of sessions is asked for: people watch it, and
// nothing hangs on it.
const sessionsEvery = 2 * time.Second

// Watch implements tui.Backend. Asks are shown as they change, sessions every two
// seconds.
func (b board) Watch(ctx context.Context, show func(tui.State)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan []api.Ask)
	lost := make(chan error, 1) // one result, read below
	go func() {
		lost <- b.gw.Watch(ctx, api.AsksWatchPath, func(line []byte) error {
			var asks []api.Ask
			if err := json.Unmarshal(line, &asks); err != nil {
				return err
			}
			select {
			case changed <- asks:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	tick := time.NewTicker(sessionsEvery)
	defer tick.Stop()
	var asks []api.Ask
	for {
		select {
		case asks = <-changed:
		case <-tick.C:
		case err := <-lost:
			return err
		}
		if err := b.show(ctx, asks, show); err != nil {
			cancel()
			<-lost
			return err
		}
	}
}

func (b board) show(ctx context.Context, asks []api.Ask, show func(tui.State)) error {
	var sessions []api.Session
	if err := b.gw.Call(ctx, http.MethodGet, api.SessionsPath, nil, &sessions); err != nil {
		return err
	}
	state := tui.State{Me: b.gw.Identity.Name()}
	for _, a := range asks {
		state.Asks = append(state.Asks, b.ask(a))
	}
	for _, s := range sessions {
		state.Sessions = append(state.Sessions, boardSession(s))
	}
	show(state)
	return nil
}

// Decide implements tui.Backend.
func (b board) Decide(ctx context.Context, a tui.Answer) error {
	return b.gw.Call(ctx, http.MethodPost, askPath(a.ID), api.AskDecision{Grant: a.Grant, Reason: a.Reason, Seal: a.Seal}, nil)
}

func askPath(id string) string { return strings.Replace(api.AskPath, "{id}", id, 1) }

func (b board) ask(a api.Ask) tui.Ask {
	out := tui.Ask{
		ID: a.ID, Seal: a.Seal, Who: nameOf(a.Who), WhoKind: a.Who.Kind, Connection: a.Connection, Session: a.Session, Kind: a.Kind, SQL: a.SQL,
		Params: a.Params, Rule: a.Rule, Reason: a.Reason, Created: a.Created, Deadline: a.Deadline,
	}
	out.Facts = factsOf(a.Evidence)
	for _, v := range a.Votes {
		out.Votes = append(out.Votes, tui.Vote{Who: v.Who, Grant: v.Grant})
	}
	for _, n := range a.Needs {
		out.Needs = append(out.Needs, tui.Need{Groups: n.Groups, Count: n.Count, Have: n.Have})
	}
	if !a.MayAnswer {
		out.Refusal = "you are not one of those who may answer this"
		if a.Who.Subject == b.gw.Identity.Subject && a.Who.Issuer == b.gw.Identity.Issuer {
			out.Refusal = "nobody answers their own ask"
		}
	}
	return out
}

// factsOf are what an approver should know first.
func factsOf(ev *api.Evidence) (facts []tui.Fact) {
	if ev == nil {
		return nil
	}
	say := func(label string, texts ...string) {
		if text := strings.Join(texts, "; "); text != "" {
			facts = append(facts, tui.Fact{Label: label, Text: text})
		}
	}
	say("They say", ev.Why)
	if ev.Rows != nil {
		say("Estimate", estimate(ev))
	}
	say("Reveals", ev.Clear...)
	say("Locks", ev.Locks...)
	say("Signs", ev.Signs...)
	say("Before", ev.History...)
	return facts
}

func boardSession(s api.Session) tui.Session {
	doing := map[string]string{"active": "running", "waiting": "held"}[s.State]
	if doing == "" {
		doing = s.State
	}
	return tui.Session{ID: s.ID, Who: nameOf(s.Who), WhoKind: s.Who.Kind, Connection: s.Connection, Client: s.Client, Doing: doing, Since: s.Since}
}

func nameOf(w api.WhoAmI) string {
	switch {
	case w.Name != "":
		return w.Name
	case w.Email != "":
		return w.Email
	}
	return w.Subject
}
