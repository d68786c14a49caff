package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/query"
)

type queryIn struct {
	Connection string `json:"connection" jsonschema:"name of the connection, as list_connections gives it"`
	SQL        string `json:"sql" jsonschema:"one SQL statement of PostgreSQL, with $1, $2 … where values go"`
	Params     []any  `json:"params,omitempty" jsonschema:"the values for $1, $2 … in order: strings, numbers, booleans or null"`
	Reason     string `json:"reason,omitempty" jsonschema:"why this is needed, in a sentence, for approvers and the record"`
	MaxRows    int    `json:"max_rows,omitempty" jsonschema:"how many rows to return at most"`
}

type statementRef struct {
	ID string `json:"statement_id" jsonschema:"as query, execute or run_runbook gave it"`
}

type statementIn struct {
	ID   string `json:"statement_id" jsonschema:"as query, execute or run_runbook gave it"`
	Wait int    `json:"wait_seconds,omitempty" jsonschema:"wait so long for the outcome, at most 50"`
}

// maxWait is how long one call waits at most: clients give up after a minute.
const maxWait = 50 * time.Second

func (s *Server) query(ctx context.Context, req *sdk.CallToolRequest, in queryIn) (*sdk.CallToolResult, any, error) {
	return s.statement(ctx, req, in, false)
}

func (s *Server) execute(ctx context.Context, req *sdk.CallToolRequest, in queryIn) (*sdk.CallToolResult, any, error) {
	return s.statement(ctx, req, in, true)
}

func (s *Server) statement(ctx context.Context, req *sdk.CallToolRequest, in queryIn, writes bool) (*sdk.CallToolResult, any, error) {
	if no := s.lone(in.SQL, writes); no != nil {
		return no.answer().result()
	}
	params, err := paramsOf(req.Params.Arguments)
	if err != nil {
		return wrong("send strings, numbers, booleans or null", "%v", err).answer().result()
	}
	o := order{connection: in.Connection, sql: in.SQL, params: params, reason: in.Reason, writes: writes}
	return s.begin(ctx, o, in.MaxRows)
}

// begin runs o, and returns when it has ended, when it waits for people, or when the
// call has waited long enough. A call that its client gives up takes its statement along.
func (s *Server) begin(ctx context.Context, o order, rows int) (*sdk.CallToolResult, any, error) {
	o.rows, o.bytes = s.cfg.Rows, s.cfg.Bytes
	if rows > 0 {
		o.rows = min(rows, MaxRows)
	}
	conn, err := s.connection(ctx, o.connection)
	if err != nil {
		return failed(err)
	}
	o.database = conn.Database
	st := s.statements.start(o)
	if st == nil {
		return wrong("ask statement_status for those that you began, or end some with cancel_statement", "%d statements run or wait already", maxLive).answer().result()
	}
	st.await(ctx, s.cfg.Patience, true)
	if ctx.Err() != nil {
		st.cancel()
		return nil, nil, ctx.Err()
	}
	return st.tell(s.cfg.Now()).result()
}

func (s *Server) status(ctx context.Context, _ *sdk.CallToolRequest, in statementIn) (*sdk.CallToolResult, any, error) {
	st := s.statements.get(in.ID)
	if st == nil {
		return noStatement(in.ID).answer().result()
	}
	if wait := min(time.Duration(max(in.Wait, 0))*time.Second, maxWait); wait > 0 {
		st.await(ctx, wait, false)
	}
	return st.tell(s.cfg.Now()).result()
}

func (s *Server) withdraw(ctx context.Context, _ *sdk.CallToolRequest, in statementRef) (*sdk.CallToolResult, any, error) {
	st := s.statements.get(in.ID)
	if st == nil {
		return noStatement(in.ID).answer().result()
	}
	st.cancel()
	st.await(ctx, maxWait, false)
	return st.tell(s.cfg.Now()).result()
}

func noStatement(id string) refusal {
	return wrong("send the statement again if it is still wanted", "there is no statement %q here, or its outcome was forgotten", cutName(id))
}

func cutName(s string) string { return strings.ToValidUTF8(s[:min(len(s), 80)], "") }

// failed is the answer for what could not be done.
func failed(err error) (*sdk.CallToolResult, any, error) {
	r, data := told(err)
	a := r.answer()
	a.data = errorData(data, nil)
	return a.result()
}

// lone says what is wrong with a text that is not one statement that stands for itself:
// each call has a session of its own, in which nothing is left for the next.
func (s *Server) lone(sql string, writes bool) *refusal {
	var found []query.Statement
	for _, st := range query.Analyze(sql, nil) {
		if st.Kind != query.Empty {
			found = append(found, st)
		}
	}
	no := func(hint, format string, args ...any) *refusal {
		r := wrong(hint, format, args...)
		return &r
	}
	switch {
	case len(found) == 0:
		return no("send one SQL statement", "there is no statement in the text")
	case len(found) > 1:
		return no("send one statement in each call; several that belong together go through request_approval, or into one WITH", "the text holds %s", counted(len(found), "statement"))
	}
	switch st := found[0]; st.Kind {
	case query.CopyFrom, query.CopyTo:
		return no("use SELECT to read and INSERT to write", "COPY is not carried here")
	case query.Transaction:
		return no("send the statement by itself: it is a transaction of its own", "%s would have no effect, because every call is a session of its own", st.Tag)
	case query.Set:
		return no("leave it out", "a setting would end with this call, because every call is a session of its own")
	case query.Prepare, query.Execute, query.Deallocate, query.Declare, query.Fetch, query.Close, query.Listen:
		return no("send the statement itself, with params", "%s would be of no use, because every call is a session of its own", st.Tag)
	case query.Insert, query.Update, query.Delete, query.Merge, query.DDL, query.Drop, query.Truncate, query.Grant:
		if !writes && s.who.Writes {
			return no("use execute", "query only reads")
		}
	}
	return nil
}

// paramsOf reads the values beside a statement from the arguments as they came: numbers
// keep every digit.
func paramsOf(arguments json.RawMessage) ([]*string, error) {
	var in struct {
		Params []any `json:"params"`
	}
	if len(arguments) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(arguments))
	dec.UseNumber()
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("the arguments cannot be read: %w", err)
	}
	out := make([]*string, len(in.Params))
	for i, p := range in.Params {
		switch p := p.(type) {
		case nil:
		case string:
			if strings.ContainsRune(p, 0) {
				return nil, fmt.Errorf("params[%d] holds a NUL character, which PostgreSQL has not", i)
			}
			out[i] = &p
		case bool:
			out[i] = new(fmt.Sprint(p))
		case json.Number:
			out[i] = new(p.String())
		default:
			return nil, fmt.Errorf("params[%d] is neither a string nor a number, a boolean or null; write arrays and JSON as text", i)
		}
	}
	return out, nil
}

// connection finds one that the agent may open.
func (s *Server) connection(ctx context.Context, name string) (api.Connection, error) {
	var list []api.Connection
	if err := s.cfg.Gateway.Call(ctx, http.MethodGet, api.ConnectionsPath, nil, &list); err != nil {
		return api.Connection{}, err
	}
	for _, c := range list {
		if c.Name == name {
			return c, nil
		}
	}
	return api.Connection{}, &api.Error{Sentence: fmt.Sprintf("there is no connection %q for you", cutName(name)), Code: api.CodeUsage}
}

type requestIn struct {
	Connection string `json:"connection" jsonschema:"name of the connection"`
	SQL        string `json:"sql" jsonschema:"the exact text that is to be approved; it may hold several statements, which then run in one transaction"`
	Reason     string `json:"reason" jsonschema:"why this is needed, for the people who decide"`
}

type requestRef struct {
	ID string `json:"request_id" jsonschema:"as request_approval gave it"`
}

type approvedIn struct {
	ID   string `json:"request_id" jsonschema:"as request_approval gave it"`
	Rows int    `json:"max_rows,omitempty" jsonschema:"how many rows to return at most"`
}

// asked is what programs are told of a request.
type asked struct {
	Status string    `json:"status"` // waiting, granted, denied, expired, cancelled, used
	ID     string    `json:"request_id"`
	Needs  string    `json:"needs,omitempty"`
	Rule   string    `json:"rule,omitempty"`
	Why    string    `json:"why,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

func (s *Server) request(ctx context.Context, _ *sdk.CallToolRequest, in requestIn) (*sdk.CallToolResult, any, error) {
	var r api.Request
	err := s.cfg.Gateway.Call(ctx, http.MethodPost, api.RequestsPath, api.NewRequest{Connection: in.Connection, SQL: in.SQL, Reason: in.Reason}, &r)
	if err != nil {
		return failed(err)
	}
	return tellRequest(r).result()
}

func (s *Server) requestStatus(ctx context.Context, _ *sdk.CallToolRequest, in requestRef) (*sdk.CallToolResult, any, error) {
	r, err := s.ownRequest(ctx, in.ID)
	if err != nil {
		return failed(err)
	}
	return tellRequest(r).result()
}

func (s *Server) runApproved(ctx context.Context, _ *sdk.CallToolRequest, in approvedIn) (*sdk.CallToolResult, any, error) {
	r, err := s.ownRequest(ctx, in.ID)
	if err != nil {
		return failed(err)
	}
	if r.State != "granted" {
		return tellRequest(r).result()
	}
	return s.begin(ctx, order{connection: r.Connection, sql: r.SQL, request: r.ID, writes: s.who.Writes}, in.Rows)
}

func (s *Server) ownRequest(ctx context.Context, id string) (api.Request, error) {
	var list []api.Request
	if err := s.cfg.Gateway.Call(ctx, http.MethodGet, api.RequestsPath, nil, &list); err != nil {
		return api.Request{}, err
	}
	for _, r := range list {
		if r.ID == id && r.Who.Subject == s.who.Subject && r.SQL != "" {
			return r, nil
		}
	}
	return api.Request{}, &api.Error{Sentence: fmt.Sprintf("you have no request %q", cutName(id)), Code: api.CodeUsage}
}

func tellRequest(r api.Request) answer {
	facts := asked{Status: r.State, ID: r.ID, Rule: plain(r.Rule), Why: plain(r.Why), Until: r.Until, Needs: needed(r.Needs)}
	says := fmt.Sprintf("Request %s is %s.", r.ID, plain(r.State))
	switch r.State {
	case "waiting":
		says = fmt.Sprintf("Asked as %s; it needs %s. Tell the person you act for; people answer with: sluice approvals. Ask request_status later.", r.ID, facts.Needs)
	case "granted":
		says += fmt.Sprintf(" Run it, once, with run_approved until %s.", r.Until.UTC().Format(time.RFC3339))
	case "denied", "expired":
		says += " " + hintDenied + "."
	}
	return answer{says: says, facts: facts}
}

// needed says who must agree: "1 of dba".
func needed(list []api.Need) string {
	var words []string
	for _, n := range list {
		words = append(words, fmt.Sprintf("%d of %s", n.Count, plain(strings.Join(n.Groups, " or "))))
	}
	return strings.Join(words, ", ")
}

// endRequest takes a request back.
func (s *Server) endRequest(ctx context.Context, _ *sdk.CallToolRequest, in requestRef) (*sdk.CallToolResult, any, error) {
	if _, err := s.ownRequest(ctx, in.ID); err != nil {
		return failed(err)
	}
	var r api.Request
	path := strings.Replace(api.RequestEndPath, "{id}", url.PathEscape(in.ID), 1)
	if err := s.cfg.Gateway.Call(ctx, http.MethodPost, path, nil, &r); err != nil {
		return failed(err)
	}
	return tellRequest(r).result()
}
