package cmd

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/mcp"
	"github.com/sluicehq/sluice/runbook"
)

// agentBooks are the runbooks of a shelf as an agent runs them.
type agentBooks struct {
	a  *app
	gw *client.Gateway // as the agent
	sh shelf

	limit time.Duration // of one statement
}

// agentBooks is nil if there are no runbooks here, and none were spoken of.
func (a *app) agentBooks(ctx context.Context, gw *client.Gateway, dir string, limit time.Duration) (mcp.Runbooks, error) {
	sh, there, err := a.shelfHere(ctx, dir)
	if err != nil || !there {
		return nil, err
	}
	return agentBooks{a, gw, sh, limit}, nil
}

func (b agentBooks) Names(ctx context.Context) ([]string, error) {
	list, err := b.sh.names(ctx)
	if err != nil {
		return nil, &api.Error{Sentence: "the runbooks cannot be listed", Hint: "for the person you act for: sluice runbook ls", Code: api.CodeError}
	}
	return list, nil
}

func (b agentBooks) Open(ctx context.Context, name string) (mcp.Book, error) {
	book, file, err := b.sh.open(ctx, name)
	if err != nil {
		return mcp.Book{}, err
	}
	run := func(ctx context.Context, bound *runbook.Bound, reason string, l mcp.Listener) (*runbook.State, error) {
		var asked *api.Request
		r := &runner{a: b.a, gw: b.gw, book: book, file: file, id: runbook.NewRunID(), bound: bound, tell: b.a.progress}
		r.o = runFlags{reason: reason, wait: runbook.MaxTime, statement: b.limit} // what the runbook limits ends the wait before
		r.notice = l.Notice
		r.asked = func(q *api.Request) { asked = q; l.Asked(q) }
		state, err := r.run(ctx, nil, runbook.Options{Tell: l.Event})
		if asked != nil {
			b.withdraw(asked.ID)
		}
		return state, err
	}
	return mcp.Book{Runbook: book, Run: run}, nil
}

// withdraw takes back what was asked for a run that has ended: nobody would run it when
// it is granted.
func (b agentBooks) withdraw(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTime)
	defer cancel()
	if err := b.gw.Call(ctx, http.MethodPost, strings.Replace(api.RequestEndPath, "{id}", url.PathEscape(id), 1), nil, nil); err != nil {
		b.a.progress("the request %s could not be taken back: %v", id, err)
	}
}
