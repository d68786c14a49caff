package cmd

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
)

// watched is one line of approvals watch.
type watched struct {
	Event string  `json:"event"` // waiting: new, or more is known of it; ended: it waits no more
	ID    string  `json:"id"`
	Ask   api.Ask `json:"ask"` // as it was last
}

func (a *app) watchCommand(addr *string) *cobra.Command {
	return &cobra.Command{
		Use: "watch", Short: "print what waits as it changes, a line of JSON each; for bots", Args: noArgs, Example: "  sluice approvals watch | jq .id",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), *addr, func(gw *client.Gateway) error { return a.watchAsks(c.Context(), gw) })
		},
	}
}

func (a *app) watchAsks(ctx context.Context, gw *client.Gateway) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	var before []api.Ask
	return gw.Watch(ctx, api.AsksWatchPath, func(line []byte) error {
		var now []api.Ask
		if err := json.Unmarshal(line, &now); err != nil {
			return err
		}
		for _, w := range changesOf(before, now) {
			if err := enc.Encode(w); err != nil {
				return err
			}
		}
		before = now
		return nil
	})
}

// changesOf is what differs between two lists, in order.
func changesOf(before, now []api.Ask) (out []watched) {
	was, is := map[string]string{}, map[string]bool{}
	for _, k := range before {
		was[k.ID] = asJSON(k)
	}
	for _, k := range now {
		is[k.ID] = true
		if was[k.ID] != asJSON(k) {
			out = append(out, watched{Event: "waiting", ID: k.ID, Ask: k})
		}
	}
	for _, k := range before {
		if !is[k.ID] {
			out = append(out, watched{Event: "ended", ID: k.ID, Ask: k})
		}
	}
	return out
}

func asJSON(k api.Ask) string {
	b, err := json.Marshal(k)
	if err != nil {
		return "" // and so it counts as changed
	}
	return string(b)
}
