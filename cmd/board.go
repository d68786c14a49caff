package cmd

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/tui"
)

// board is the approvals screen's view of a gateway: it turns what the gateway says
// into what the screen shows, and intents into calls.
type board struct{ gw *client.Gateway }

// Watch implements tui.Backend. Sessions are asked for with each change of the asks.
func (b board) Watch(ctx context.Context, show func(tui.State)) error {
	return b.gw.Watch(ctx, api.AsksWatchPath, func(line []byte) error {
		var asks []api.Ask
		if err := json.Unmarshal(line, &asks); err != nil {
			return err
		}
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
	})
}

// Decide implements tui.Backend.
func (b board) Decide(ctx context.Context, id string, grant bool, reason string) error {
	return b.gw.Call(ctx, http.MethodPost, askPath(id), api.AskDecision{Grant: grant, Reason: reason}, nil)
}

func askPath(id string) string { return strings.Replace(api.AskPath, "{id}", id, 1) }

func (b board) ask(a api.Ask) tui.Ask {
	out := tui.Ask{
		ID: a.ID, Who: nameOf(a.Who), WhoKind: a.Who.Kind, Connection: a.Connection, Session: a.Session, Kind: a.Kind, SQL: a.SQL,
		Params: a.Params, Rule: a.Rule, Reason: a.Reason, Created: a.Created, Deadline: a.Deadline,
	}
	have := 0
	for _, v := range a.Votes {
		out.Votes = append(out.Votes, tui.Vote{Who: v.Who, Grant: v.Grant})
		if v.Grant {
			have++
		}
	}
	out.Needs = []tui.Need{{Groups: a.Groups, Count: a.Needed, Have: have}}
	if !a.MayAnswer {
		out.Refusal = "you are not one of those who may answer this"
		if a.Who.Subject == b.gw.Identity.Subject {
			out.Refusal = "nobody answers their own ask"
		}
	}
	return out
}

func boardSession(s api.Session) tui.Session {
	doing := map[string]string{"active": "running", "waiting": "held"}[s.State]
	if doing == "" {
		doing = s.State
	}
	return tui.Session{ID: s.ID, Who: nameOf(s.Who), WhoKind: s.Who.Kind, Connection: s.Connection, Client: s.Client, Doing: doing, Since: s.Since}
}

func nameOf(w api.WhoAmI) string {
	if w.Email != "" {
		return w.Email
	}
	return w.Subject
}
