package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/policy"
)

const (
	// askFile ends the name of a file that stands for an ask that waits, or whose end not
	// every webhook was told of.
	askFile = ".ask.json"
	// toldFile is askFile once every webhook was told that it waits.
	toldFile = ".told" + askFile
)

// lostReason is what the record says of an ask that ended with its gateway.
const lostReason = "the gateway stopped while it waited, so it never ran"

// askNote is what is on disk of an ask: how it ends if the gateway does, as the event of
// its answer, and what webhooks are told of it. What a gateway that is killed can no
// longer record and tell, the next one does. It holds no text of the statement.
type askNote struct {
	audit.Event
	Told *Told `json:"told,omitempty"`

	path string // "" if nothing survives the gateway
	told bool   // webhooks know that it waits
}

// keepAsk puts a note of an ask on disk. Without a directory for state there is nothing
// that survives the gateway, and nothing is kept.
func (g *Gateway) keepAsk(a approval.Ask, ev audit.Event) (*askNote, error) {
	ev.Effect, ev.Outcome, ev.Reason = policy.Deny.String(), "lost", lostReason
	asked := askedOf(a)
	n := &askNote{Event: ev, Told: &asked}
	if g.cfg.StateDir == "" {
		return n, nil
	}
	data, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("keep ask %s: %w", a.ID, err)
	}
	// It has the session in it, because the ids of asks are given out again.
	n.path = filepath.Join(g.cfg.StateDir, ev.Session+"-"+a.ID+askFile)
	return n, durable.WriteFile(n.path, data, 0o600)
}

// toldPath is where a note is once webhooks were told that its ask waits.
func (n *askNote) toldPath() string { return strings.TrimSuffix(n.path, askFile) + toldFile }

// tellAsked tells the webhooks that an ask waits. That they were is in the name of its
// note, which costs no write to disk: after a power cut they may be told again.
func (g *Gateway) tellAsked(n *askNote) {
	if len(g.hooks) == 0 {
		return
	}
	g.tell(deliveryID(n.Of, n.Told.ID, "asked"), *n.Told, func() {
		if n.path == "" {
			return
		}
		if err := os.Rename(n.path, n.toldPath()); err != nil {
			g.cfg.Log.Warn("note that webhooks were told of an ask", "ask", n.Told.ID, "error", err)
		}
	})
}

// tellEnded tells the webhooks how an ask ended, which is in the record. Its note goes
// when they were told.
func (g *Gateway) tellEnded(n *askNote, end audit.Event) {
	id := n.Told.ID
	t := n.Told.ended(end.Effect == policy.Allow.String(), strings.HasSuffix(end.Detail, breakGlassMark), end.Reason, "sluice audit query --text "+id)
	g.tell(deliveryID(n.Of, id, "answered"), t, func() { g.forget(n) })
}

// forget removes the note of an ask.
func (g *Gateway) forget(n *askNote) {
	if n.path == "" {
		return
	}
	for _, path := range []string{n.path, n.toldPath()} {
		// One that stays is looked up in the record at the next start.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			g.cfg.Log.Warn("remove the note of an ask that ended", "ask", n.Told.ID, "error", err)
		}
	}
}

// endLost records the end of the asks that waited when an earlier gateway stopped, and
// goes on with what that gateway had still to tell.
func (g *Gateway) endLost(ctx context.Context) error {
	if g.cfg.StateDir == "" {
		return nil
	}
	if err := durable.MkdirAll(g.cfg.StateDir, 0o700); err != nil {
		return err
	}
	notes, err := g.notes()
	if err != nil {
		return err
	}
	if len(notes) > 0 {
		ends, err := g.endsSince(ctx, notes[0].Time)
		if err != nil {
			return err
		}
		for _, n := range notes {
			if n.Told == nil {
				if err := errors.Join(g.note(n.Event), os.Remove(n.path)); err != nil {
					return err
				}
				continue
			}
			// It may have been answered in the moment between the record and the file.
			end, ok := ends[n.Of+" "+n.Detail]
			if !ok {
				end = n.Event
				if err := g.note(end); err != nil {
					return fmt.Errorf("end the ask in %s: %w", filepath.Base(n.path), err)
				}
			}
			if !n.told {
				g.tellAsked(n)
			}
			g.tellEnded(n, end)
		}
	}
	for _, r := range g.book.List() {
		for _, state := range r.Untold {
			g.tellRequest(r, state)
		}
	}
	return nil
}

// notes are those that an earlier gateway left, the oldest first. Of one that is damaged
// only that is known.
func (g *Gateway) notes() (list []*askNote, err error) {
	names, err := os.ReadDir(g.cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("read the state of the gateway: %w", err)
	}
	for _, name := range names {
		base, told := strings.CutSuffix(name.Name(), toldFile)
		if !told {
			base = strings.TrimSuffix(name.Name(), askFile)
		}
		if base == name.Name() || strings.HasPrefix(base, ".") {
			continue
		}
		at := filepath.Join(g.cfg.StateDir, name.Name())
		n, err := readNote(at)
		if err != nil {
			return nil, fmt.Errorf("end the ask in %s: %w", name.Name(), err)
		}
		n.path, n.told = filepath.Join(g.cfg.StateDir, base+askFile), told
		if n.Told == nil {
			n.path = at
			n.Event = audit.Event{Time: g.cfg.Now(), Kind: audit.Answered, Outcome: "lost", Effect: policy.Deny.String(), Reason: lostReason, Detail: "a damaged note of it: " + name.Name()}
		}
		list = append(list, n)
	}
	slices.SortStableFunc(list, func(a, b *askNote) int { return a.Time.Compare(b.Time) })
	return list, nil
}

// readNote is empty if what is in the file is no note.
func readNote(path string) (*askNote, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	n := &askNote{}
	if json.Unmarshal(data, n) != nil || n.Kind != audit.Answered {
		n = &askNote{}
	}
	return n, nil
}

// endsSince are the ends of asks in the record, by what they belong to and their detail,
// read once for all notes.
func (g *Gateway) endsSince(ctx context.Context, since time.Time) (map[string]audit.Event, error) {
	ends := map[string]audit.Event{}
	f := audit.Filter{Kind: audit.Answered, Since: since, Limit: 10_000}
	for {
		res, err := g.cfg.Record.Query(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, ev := range res.Events {
			ends[ev.Of+" "+strings.TrimSuffix(ev.Detail, breakGlassMark)] = ev
		}
		if res.Next == 0 {
			return ends, nil
		}
		f.Before = res.Next
	}
}
