package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/tui"
)

// replayPage is how many events of a session are read at once: one with a million
// statements takes no more memory than one with a hundred.
const replayPage = 200

// replayOptions are how a session is shown again.
type replayOptions struct {
	session, speed string
	since, until   string
	step           bool
	format         format
}

func (a *app) auditReplayCommand(addr, dir *string) *cobra.Command {
	var o replayOptions
	c := &cobra.Command{
		Use: "replay SESSION", Short: "show a session again as it happened", Args: oneArg,
		Long: `Print what happened in a session, in its order and at its pace: each statement with how
it was decided and by which rule, who answered, rows, values hidden, and how it ended.
Values are as the record keeps them. While nothing happened for long it waits two
seconds, and says so. Without a terminal nothing is waited for.

Ids of sessions are in: sluice audit query --kind connected
R on the screen of sluice approvals does the same with keys to pause, step and jump, and
the command replay of sluice approvals --plain in lines.

A gateway answers its auditors about everyone, and others about themselves; it records
each page that is read. With --record a copy is read, without a gateway.`,
		Example: "  sluice audit replay s-k2fj4x7qmzpd --speed 10x\n  sluice audit replay s-k2fj4x7qmzpd --since 2026-01-31T15:04:05Z --step\n  sluice audit replay s-k2fj4x7qmzpd --record /backup/record -o jsonl",
		RunE: func(c *cobra.Command, args []string) error {
			o.session = args[0]
			return a.auditReplay(c.Context(), *addr, *dir, o)
		},
	}
	s := c.Flags()
	s.StringVar(&o.speed, "speed", "", "1x, 10x or another number, or instant; 1x on a terminal, else instant")
	s.StringVar(&o.since, "since", "", "begin there: a time ago such as 24h, a day, or a time as RFC 3339")
	s.StringVar(&o.until, "until", "", "end there, as --since")
	s.BoolVar(&o.step, "step", false, "wait for Enter after each event")
	addFormat(c, &o.format, "text", "json", "jsonl")
	return c
}

func (a *app) auditReplay(ctx context.Context, addr, dir string, o replayOptions) error {
	q := api.AuditQuery{Session: o.session, Whole: true, Oldest: true, Limit: replayPage}
	var err error
	if q.Since, err = readTime("since", o.since, a.now()); err != nil {
		return err
	}
	if q.Until, err = readTime("until", o.until, a.now()); err != nil {
		return err
	}
	if o.speed == "" {
		o.speed = "instant"
		if a.terminal && o.format.name == "text" && !o.step {
			o.speed = "1x"
		}
	}
	pace, err := tui.ReadPace(o.speed)
	if err != nil {
		return usageError{err}
	}
	show := a.shower(o, pace)
	if dir != "" {
		x, err := a.offlineIndex(ctx, dir)
		if err != nil {
			return err
		}
		defer x.Close()
		return sawEnough(replaySession(ctx, q, func(q api.AuditQuery) (api.AuditResult, error) { return gateway.Inquire(ctx, dir, x, q) }, show))
	}
	return a.with(ctx, addr, func(gw *client.Gateway) error {
		err := replaySession(ctx, q, func(q api.AuditQuery) (res api.AuditResult, err error) {
			err = gw.Call(ctx, http.MethodPost, api.AuditQueryPath, q, &res)
			return res, err
		}, show)
		return sawEnough(err)
	})
}

// sawEnough is nil for who did not want to see more.
func sawEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// replayShow is given the events of a session one after the other, and nil at their end.
type replayShow func(ctx context.Context, ev *audit.Event) error

// errEnough ends a replay before the session does.
var errEnough = errors.New("enough was seen")

// replaySession reads a session page by page.
func replaySession(ctx context.Context, q api.AuditQuery, ask func(api.AuditQuery) (api.AuditResult, error), show replayShow) error {
	for any := false; ; {
		res, err := ask(q)
		if err != nil {
			return err
		}
		for i := range res.Events {
			any = true
			if err := show(ctx, &res.Events[i]); err != nil {
				return err
			}
		}
		switch {
		case res.Next > 0:
			q.From = res.Next
		case any:
			return show(ctx, nil)
		default:
			return tell(exitError, "ids of sessions are in: sluice audit query --kind connected", "the record has nothing of a session %q in that time, or it is not yours", q.Session)
		}
	}
}

// shower prints as the options say.
func (a *app) shower(o replayOptions, pace tui.Pace) replayShow {
	text := &tui.ReplayText{Pace: pace}
	plain := o.format.name == "text"
	print := jsonEvents(a.out, o.format.name == "json")
	if plain {
		print = func(ev *audit.Event) error { return printLines(a.out, text.Lines(ev)) }
	}
	enter := bufio.NewScanner(a.in)
	return func(ctx context.Context, ev *audit.Event) error {
		if ev == nil {
			return print(nil)
		}
		gap, later := text.Gap(ev)
		if later != "" && plain {
			if err := printLines(a.out, []string{later}); err != nil {
				return err
			}
		}
		wait, _ := pace.Wait(gap)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := print(ev); err != nil {
			return err
		}
		if o.step && !enter.Scan() {
			return errors.Join(enter.Err(), print(nil), errEnough)
		}
		return nil
	}
}

func printLines(w io.Writer, lines []string) error {
	_, err := io.WriteString(w, strings.Join(append(lines, ""), "\n"))
	return err
}

// jsonEvents prints events a line each, or as one list that is written as it comes.
func jsonEvents(w io.Writer, list bool) func(*audit.Event) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	between := "[\n"
	return func(ev *audit.Event) error {
		switch {
		case ev == nil && list:
			_, err := io.WriteString(w, "]\n")
			return err
		case ev == nil:
			return nil
		case list:
			if _, err := io.WriteString(w, between); err != nil {
				return err
			}
			between = ","
		}
		return enc.Encode(ev)
	}
}
