package cmd

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/tui"
	"github.com/sluicehq/sluice/wire/postgres"
)

// screenBooks are the runbooks of a shelf on the screen, run as whoever is logged in.
type screenBooks struct {
	a  *app
	gw *client.Gateway
	sh shelf
}

// screenBooks is nil if there are no runbooks here, and none were spoken of.
func (a *app) screenBooks(ctx context.Context, gw *client.Gateway, dir string) (tui.Books, error) {
	sh, there, err := a.shelfHere(ctx, dir)
	if err != nil || !there {
		return nil, err
	}
	return screenBooks{a, gw, sh}, nil
}

// List reads those that the person may run. What a file with mistakes is for is not known,
// so it is listed.
func (b screenBooks) List(ctx context.Context) (list []tui.Book, others int, err error) {
	names, err := b.sh.names(ctx)
	if err != nil {
		return nil, 0, err
	}
	var open []api.Connection
	if err := b.gw.Call(ctx, http.MethodGet, api.ConnectionsPath, nil, &open); err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		book, v, err := b.sh.open(ctx, name)
		if err != nil {
			list = append(list, tui.Book{Name: name, Problem: err.Error()})
			continue
		}
		if !slices.ContainsFunc(open, func(c api.Connection) bool { return c.Name == book.Connection }) || !isFor(book, b.gw.Identity) {
			others++
			continue
		}
		list = append(list, tui.Book{Runbook: book, Name: name, File: v.File, Text: v.Text, Commit: shortCommit(v.Commit)})
	}
	return list, others, nil
}

// isFor reports whether a runbook is for who; the gateway says so again when it is run.
func isFor(b *runbook.Runbook, who identity.Identity) bool {
	return (len(b.Who.Groups) == 0 || slices.ContainsFunc(b.Who.Groups, who.In)) && (len(b.Who.Kinds) == 0 || slices.Contains(b.Who.Kinds, string(who.Kind)))
}

func (b screenBooks) runner(ctx context.Context, book tui.Book, bound *runbook.Bound) *runner {
	file := volume{File: book.File, Text: book.Text, Commit: b.sh.commit(ctx, book.File)}
	if b.sh.ref != "" {
		file.Commit = b.sh.ref
	}
	return &runner{a: b.a, gw: b.gw, book: book.Runbook, file: file, id: runbook.NewRunID(), bound: bound, tell: func(string, ...any) {}}
}

// Plan asks the gateway what would run.
func (b screenBooks) Plan(ctx context.Context, book tui.Book, bound *runbook.Bound) ([]tui.Planned, error) {
	list, err := b.runner(ctx, book, bound).explained(ctx)
	if err != nil {
		return nil, err
	}
	var out []tui.Planned
	for i := range list {
		out = append(out, shownPlan(&list[i]))
	}
	return out, nil
}

func shownPlan(p *planned) tui.Planned {
	out := tui.Planned{
		Statement: p.Runs, Effect: p.Effect.String(), Rule: p.Rule, Reason: p.Reason, Approvers: p.Approvers, Reads: p.Reads, Writes: itself(p.Explained), Problem: p.Problem,
	}
	if p.Effect != policy.Hold {
		out.Approvers = nil
	}
	for _, s := range p.Signs {
		out.Signs = append(out.Signs, string(s))
	}
	for _, m := range p.Masks {
		out.Masks = append(out.Masks, m.Column+": "+m.Label)
	}
	return out
}

// Run runs it. What waits for people is told, and waits as long as the runbook lets it.
func (b screenBooks) Run(ctx context.Context, book tui.Book, bound *runbook.Bound, reason string, tell func(tui.BookNews)) (*runbook.State, error) {
	r := b.runner(ctx, book, bound)
	r.o = runFlags{reason: reason, wait: runbook.MaxTime} // what the runbook limits ends it before
	r.notice = func(n *pgconn.Notice) {
		if n.Routine == postgres.Mark && n.Code == "01000" && strings.HasPrefix(n.Message, "waiting for approval ") {
			tell(tui.BookNews{Event: runbook.Event{What: held}, Held: n.Message + "; " + n.Detail})
		}
	}
	r.asked = func(q *api.Request) {
		news := tui.BookNews{Event: runbook.Event{What: held}}
		if q != nil {
			news.Held = fmt.Sprintf("before it begins: waiting for approval %s by %s; rule %s: %s", q.ID, needsOf(q.Ask), q.Rule, q.Reason)
		}
		tell(news)
	}
	state, err := r.run(ctx, nil, runbook.Options{Tell: func(e runbook.Event) { tell(tui.BookNews{Event: e}) }})
	return state, err
}

// held is told of a run that waits for people: no step of it began or ended.
const held runbook.What = "held"
