package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/policy"
)

// askFile ends the name of a file that stands for an ask that waits.
const askFile = ".ask.json"

// lostReason is what the record says of an ask that ended with its gateway.
const lostReason = "the gateway stopped while it waited, so it never ran"

// keepAsk puts on disk how an ask ends if the gateway does: what a gateway that is
// killed can no longer record, the next one does. ev is the answer's event. Without a
// directory for state there is nothing that survives the gateway, and nothing is kept.
func (g *Gateway) keepAsk(id string, ev audit.Event) error {
	if g.cfg.StateDir == "" {
		return nil
	}
	ev.Effect, ev.Outcome, ev.Reason = policy.Deny.String(), "lost", lostReason
	data, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("keep ask %s: %w", id, err)
	}
	return durable.WriteFile(g.askPath(ev.Session, id), data, 0o600)
}

// forgetAsk is called when the end of an ask is in the record.
func (g *Gateway) forgetAsk(session, id string) {
	if g.cfg.StateDir == "" {
		return
	}
	// One that stays is looked up in the record at the next start.
	if err := os.Remove(g.askPath(session, id)); err != nil {
		g.cfg.Log.Warn("remove the note of an ask that ended", "ask", id, "error", err)
	}
}

// askPath has the session in it, because the ids of asks are given out again.
func (g *Gateway) askPath(session, id string) string {
	return filepath.Join(g.cfg.StateDir, session+"-"+id+askFile)
}

// endLost records the end of the asks that waited when an earlier gateway stopped.
func (g *Gateway) endLost(ctx context.Context) error {
	if g.cfg.StateDir == "" {
		return nil
	}
	if err := durable.MkdirAll(g.cfg.StateDir, 0o700); err != nil {
		return err
	}
	names, err := os.ReadDir(g.cfg.StateDir)
	if err != nil {
		return fmt.Errorf("read the state of the gateway: %w", err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name.Name(), askFile) || strings.HasPrefix(name.Name(), ".") {
			continue
		}
		path := filepath.Join(g.cfg.StateDir, name.Name())
		if err := g.endLostAsk(ctx, path); err != nil {
			return fmt.Errorf("end the ask in %s: %w", name.Name(), err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (g *Gateway) endLostAsk(ctx context.Context, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var ev audit.Event
	if err := json.Unmarshal(data, &ev); err != nil || ev.Kind != audit.Answered {
		return g.note(audit.Event{Kind: audit.Answered, Outcome: "lost", Effect: policy.Deny.String(), Reason: lostReason, Detail: "a damaged note of it: " + filepath.Base(path)})
	}
	// It may have been answered in the moment between the record and the file.
	res, err := g.cfg.Record.Query(ctx, audit.Filter{Kind: audit.Answered, Of: ev.Of, Since: ev.Time})
	if err != nil {
		return err
	}
	for _, have := range res.Events {
		if strings.HasPrefix(have.Detail, ev.Detail) {
			return nil
		}
	}
	if err := g.note(ev); err != nil {
		return err
	}
	id := strings.TrimPrefix(ev.Detail, "ask ")
	g.tell(Told{Event: "answered", ID: id, Who: ev.Who, WhoKind: ev.CallerKind, Connection: ev.Connection, Rule: ev.Rule, Why: lostReason, Command: "sluice audit query --text " + id})
	return nil
}
