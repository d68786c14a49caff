package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/runbook"
)

// Runbooks are the statements that were reviewed once and are run by name.
type Runbooks interface {
	// Names lists them. No other name is opened.
	Names(context.Context) ([]string, error)
	// Open reads one of them. An error means that its file is not as it must be.
	Open(ctx context.Context, name string) (Book, error)
}

// Book is a runbook, and what runs it.
type Book struct {
	*runbook.Runbook
	// Run runs it as the agent, and returns when it has ended, which it does when the
	// context ends. The state is nil if the run did not begin.
	Run func(ctx context.Context, b *runbook.Bound, reason string, l Listener) (*runbook.State, error)
}

// Listener is told of a run while it goes on; its functions may be called from several
// goroutines, never two at once.
type Listener struct {
	Event  func(runbook.Event)
	Notice func(*pgconn.Notice) // of the database or the gateway
	Asked  func(*api.Request)   // people are asked about the whole run; nil when that is over
}

// shownBook is a runbook as the agent is told of it.
type shownBook struct {
	Name       string          `json:"name"`
	Title      string          `json:"title,omitempty"`
	Purpose    string          `json:"purpose,omitempty"`
	Connection string          `json:"connection,omitempty"`
	Groups     []string        `json:"groups,omitempty"` // whose members may run it; without any everybody's
	Kinds      []string        `json:"kinds,omitempty"`  // that may run it; without any all
	MayRun     bool            `json:"may_run"`
	Ahead      bool            `json:"approved_ahead,omitempty"`
	Parts      string          `json:"transaction,omitempty"`
	Parameters json.RawMessage `json:"parameters,omitempty"` // JSON Schema
	Problem    string          `json:"problem,omitempty"`
}

// listBooks tells of the runbooks for connections that the agent may open. What their
// files say is their author's text.
func (s *Server) listBooks(ctx context.Context, _ *sdk.CallToolRequest, _ nothing) (*sdk.CallToolResult, any, error) {
	names, err := s.cfg.Runbooks.Names(ctx)
	if err != nil {
		return failed(err)
	}
	var open []api.Connection
	if err := s.cfg.Gateway.Call(ctx, http.MethodGet, api.ConnectionsPath, nil, &open); err != nil {
		return failed(err)
	}
	list, elsewhere := []shownBook{}, 0
	for _, name := range names {
		b, err := s.cfg.Runbooks.Open(ctx, name)
		if err != nil {
			list = append(list, shownBook{Name: plain(name), Problem: "its file has mistakes; for the person you act for: sluice runbook lint"})
			continue
		}
		if !slices.ContainsFunc(open, func(c api.Connection) bool { return c.Name == b.Connection }) {
			elsewhere++
			continue
		}
		shown, err := s.showBook(b)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, shown)
	}
	says := []string{counted(len(list), "runbook") + " for connections that you may use."}
	if s.who.Writes {
		says[0] += " Run one with run_runbook."
	} else {
		says[0] += " You may only read: the person you act for runs one with: sluice runbook run NAME."
	}
	for _, b := range list {
		says = append(says, b.words()...)
	}
	if elsewhere > 0 {
		says = append(says, fmt.Sprintf("%d more for connections that you may not use.", elsewhere))
	}
	return answer{says: strings.Join(says, "\n"), facts: map[string]any{"runbooks": list}}.result()
}

func (s *Server) showBook(b Book) (shownBook, error) {
	schema, err := visible(b.Schema())
	if err != nil {
		return shownBook{}, err
	}
	out := shownBook{
		Name: plain(b.Name), Title: plain(b.Title), Purpose: plain(b.Purpose), Connection: plain(b.Connection),
		Ahead: b.Approvals.Ahead, Parts: string(b.Transaction), Parameters: schema,
		MayRun: s.who.Writes && (len(b.Who.Kinds) == 0 || slices.Contains(b.Who.Kinds, string(identity.Agent))) &&
			(len(b.Who.Groups) == 0 || slices.ContainsFunc(b.Who.Groups, func(g string) bool { return slices.Contains(s.who.Groups, g) })),
	}
	for _, g := range b.Who.Groups {
		out.Groups = append(out.Groups, plain(g))
	}
	for _, k := range b.Who.Kinds {
		out.Kinds = append(out.Kinds, plain(k))
	}
	return out, nil
}

func (b shownBook) words() []string {
	if b.Problem != "" {
		return []string{"- " + b.Name + ": " + b.Problem}
	}
	on := "connection " + b.Connection
	if b.Parts == string(runbook.One) {
		on += "; one transaction, all of it or nothing"
	} else {
		on += "; each step by itself"
	}
	if len(b.Groups) > 0 {
		on += "; for members of " + strings.Join(b.Groups, " or ")
	}
	if len(b.Kinds) > 0 {
		on += "; for callers of kind " + strings.Join(b.Kinds, " or ")
	}
	if b.Ahead {
		on += "; people may have to agree before it begins"
	}
	if !b.MayRun {
		on += "; not for you"
	}
	return []string{"- " + b.Name + ": " + b.Title, "  " + on, "  " + b.Purpose, "  params: " + string(b.Parameters)}
}

type bookIn struct {
	Name   string         `json:"name" jsonschema:"name of the runbook, as list_runbooks gives it"`
	Params map[string]any `json:"params,omitempty" jsonschema:"its parameters by name, as their schema in list_runbooks says: strings, numbers, booleans or null"`
	Reason string         `json:"reason" jsonschema:"why this is needed, in a sentence, for approvers and the record"`
}

func (s *Server) runRunbook(ctx context.Context, req *sdk.CallToolRequest, in bookIn) (*sdk.CallToolResult, any, error) {
	if plain(in.Reason) == "" {
		return wrong("say in reason what it is for", "there is no reason").answer().result()
	}
	names, err := s.cfg.Runbooks.Names(ctx)
	if err != nil {
		return failed(err)
	}
	if !slices.Contains(names, in.Name) { // what is no name here is no path either
		return wrong("list_runbooks says which there are", "there is no runbook %q", cutName(in.Name)).answer().result()
	}
	book, err := s.cfg.Runbooks.Open(ctx, in.Name)
	if err != nil {
		return wrong("tell the person you act for, who finds them with: sluice runbook lint", "the file of the runbook %s has mistakes", in.Name).answer().result()
	}
	values, err := valuesOf(req.Params.Arguments)
	if err != nil {
		return wrong("send an object with strings, numbers, booleans or null", "%v", err).answer().result()
	}
	bound, err := book.Bind(values)
	if err != nil {
		return wrong("give its parameters as list_runbooks says", "%v", err).answer().result()
	}
	return s.begin(ctx, order{connection: book.Connection, reason: in.Reason, writes: true, book: &book, bound: bound}, 0)
}

// valuesOf reads the parameters of a runbook from the arguments as they came: numbers
// keep every digit.
func valuesOf(arguments json.RawMessage) (map[string]any, error) {
	var in struct {
		Params map[string]any `json:"params"`
	}
	dec := json.NewDecoder(bytes.NewReader(arguments))
	dec.UseNumber()
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("the arguments cannot be read: %w", err)
	}
	return in.Params, nil
}
