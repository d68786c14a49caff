package mcp

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

type nothing struct{}

// reach is what the agent may use.
type reach struct {
	Name    string    `json:"name"`
	ActsFor string    `json:"acts_for"`
	Writes  bool      `json:"may_write"`
	Until   time.Time `json:"until"`

	Connections []usable `json:"connections"`
}

type usable struct {
	Name     string   `json:"name"`
	Env      string   `json:"env,omitempty"`
	Kind     string   `json:"kind"`
	Database string   `json:"database"`
	Rules    []string `json:"rules,omitempty"`
}

func (s *Server) connections(ctx context.Context, _ *sdk.CallToolRequest, _ nothing) (*sdk.CallToolResult, any, error) {
	var list []api.Connection
	var who api.WhoAmI
	if err := s.cfg.Gateway.Call(ctx, http.MethodGet, api.ConnectionsPath, nil, &list); err != nil {
		return failed(err)
	}
	if err := s.cfg.Gateway.Call(ctx, http.MethodGet, api.WhoAmIPath, nil, &who); err != nil {
		return failed(err)
	}
	out := reach{Name: plain(who.Name), ActsFor: plain(who.OwnerName), Writes: who.Writes, Until: who.Expires, Connections: []usable{}}
	says := []string{fmt.Sprintf("You are %s. You may use %s.", out.Name, counted(len(list), "connection"))}
	for _, c := range list {
		u := usable{Name: plain(c.Name), Env: plain(c.Env), Kind: c.Kind, Database: plain(c.Database)}
		says = append(says, fmt.Sprintf("- %s: %s database %s, environment %s. What applies to you there:", u.Name, u.Kind, u.Database, cmp.Or(u.Env, "not said")))
		for _, rule := range c.Rules {
			u.Rules = append(u.Rules, plain(rule))
			says = append(says, "  - "+plain(rule))
		}
		out.Connections = append(out.Connections, u)
	}
	if !who.Writes {
		says = append(says, "You may only read, whatever the rules say.")
	}
	return answer{says: strings.Join(says, "\n"), facts: out}.result()
}

type schemaIn struct {
	Connection string `json:"connection" jsonschema:"name of the connection"`
	Table      string `json:"table,omitempty" jsonschema:"a table, as name or schema.name, to see its columns; without it the tables are listed"`
}

// scanned is what the gateway tells of a column.
type scanned struct {
	PII      bool   `json:"pii"`
	Type     string `json:"type"`
	State    string `json:"state"`
	DataType string `json:"data_type"`
	Comment  string `json:"comment"`
}

type tableOf struct {
	Table    string   `json:"table"`
	Columns  int      `json:"columns"`
	Personal []string `json:"personal_data,omitempty"` // "column: label"
}

type columnOf struct {
	Table    string `json:"table"`
	Column   string `json:"column"`
	DataType string `json:"data_type,omitempty"`
	Personal string `json:"personal_data,omitempty"` // label; "" if it holds none
	Unknown  bool   `json:"values_are_checked,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

// Bounds of what one description holds.
const (
	maxTables  = 500
	maxColumns = 500
	maxComment = 300
)

func (s *Server) schema(ctx context.Context, _ *sdk.CallToolRequest, in schemaIn) (*sdk.CallToolResult, any, error) {
	var found map[string]scanned
	if err := s.cfg.Gateway.Call(ctx, http.MethodPost, api.ScanPath, api.ScanRequest{Connection: in.Connection}, &found); err != nil {
		return failed(err)
	}
	if in.Table != "" {
		return describe(found, in.Table).result()
	}
	tables := map[string]*tableOf{}
	for _, ref := range sorted(found) {
		table, name := parted(ref)
		t := tables[table]
		if t == nil {
			t = &tableOf{Table: table}
			tables[table] = t
		}
		t.Columns++
		if found[ref].PII {
			t.Personal = append(t.Personal, name+": "+found[ref].Type)
		}
	}
	list := []tableOf{}
	for _, name := range sorted(tables) {
		list = append(list, *tables[name])
	}
	says := fmt.Sprintf("%s, views among them. personal_data names the columns whose values are hidden from you unless a rule says otherwise, and what they hold. Give table to see the columns of one.", counted(len(list), "table"))
	if len(list) > maxTables {
		list = list[:maxTables]
		says += fmt.Sprintf(" The first %d are listed.", maxTables)
	}
	return answer{says: says, facts: map[string]int{"tables": len(tables)}, data: list}.result()
}

func describe(found map[string]scanned, table string) answer {
	list := []columnOf{}
	for _, ref := range sorted(found) {
		of, name := parted(ref)
		_, short, _ := strings.Cut(of, ".")
		if of != table && short != table {
			continue
		}
		c := found[ref]
		col := columnOf{Table: of, Column: name, DataType: c.DataType, Unknown: c.State == "unknown", Comment: strings.ToValidUTF8(c.Comment[:min(len(c.Comment), maxComment)], "")}
		if c.PII {
			col.Personal = c.Type
		}
		list = append(list, col)
	}
	if len(list) == 0 {
		return wrong("leave table out to list them", "there is no table %q, or it has no columns", cutName(table)).answer()
	}
	says := fmt.Sprintf("%s. personal_data says what a column holds that is hidden from you unless a rule says otherwise; values_are_checked that nothing is known of it, and its values are looked at one by one.", counted(len(list), "column"))
	if len(list) > maxColumns {
		list = list[:maxColumns]
		says += fmt.Sprintf(" The first %d are listed; name the schema too.", maxColumns)
	}
	return answer{says: says, facts: map[string]int{"columns": len(list)}, data: list}
}

func sorted[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// parted is the table and the column of schema.table.column. A column's name may hold a
// dot; then more of it is taken for the table's, which only a reader could tell.
func parted(ref string) (table, column string) {
	i := strings.LastIndexByte(ref, '.')
	if i < 0 {
		return "", ref
	}
	return ref[:i], ref[i+1:]
}

type explainIn struct {
	Connection string `json:"connection" jsonschema:"name of the connection"`
	SQL        string `json:"sql" jsonschema:"one statement or several; none of them is run"`
}

// explained is the part of the gateway's explanation that is told.
type explained struct {
	Kind      string   `json:"kind"`
	Effect    string   `json:"effect"`
	Rule      string   `json:"rule"`
	Reason    string   `json:"reason"`
	Approvers []string `json:"approvers"`
	MaxRows   int64    `json:"max_rows,omitempty"`
	Problem   string   `json:"problem,omitempty"`

	Reads  []string `json:"reads"`
	Writes []string `json:"writes"`
	Signs  []string `json:"signs"`
	Masks  []hiding `json:"masks"`
}

// judged is what a statement is told of, without what stands in a database.
type judged struct {
	Effect    string   `json:"effect"`
	Rule      string   `json:"rule"`
	Reason    string   `json:"reason"`
	Hint      string   `json:"hint,omitempty"`
	Approvers []string `json:"approvers,omitempty"`
	MaxRows   int64    `json:"max_rows,omitempty"`
}

// touched is what it would read, write and hide: names out of a database.
type touched struct {
	Kind    string   `json:"kind"`
	Reads   []string `json:"reads,omitempty"`
	Writes  []string `json:"writes,omitempty"`
	Signs   []string `json:"signs,omitempty"`
	Hidden  []hiding `json:"hidden,omitempty"`
	Problem string   `json:"problem,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

func (s *Server) explain(ctx context.Context, _ *sdk.CallToolRequest, in explainIn) (*sdk.CallToolResult, any, error) {
	var list []explained
	if err := s.cfg.Gateway.Call(ctx, http.MethodPost, api.ExplainPath, api.ExplainRequest{Connection: in.Connection, SQL: in.SQL}, &list); err != nil {
		return failed(err)
	}
	var says []string
	verdicts, data := []judged{}, []touched{}
	for i, e := range list {
		why, _ := inWords(e.Rule, e.Reason)
		j := judged{Effect: e.Effect, Rule: plain(e.Rule), Reason: why, Approvers: e.Approvers, MaxRows: e.MaxRows}
		line := fmt.Sprintf("Statement %d: ", i+1)
		switch e.Effect {
		case "allow":
			line += fmt.Sprintf("would run (rule %s).", j.Rule)
		case "hold":
			line += fmt.Sprintf("would wait for people (rule %s: %s).", j.Rule, j.Reason)
		default:
			j.Hint = hintFor(e.Rule, hintRefused)
			line += fmt.Sprintf("would be refused by rule %s: %s. What to do instead: %s.", j.Rule, j.Reason, j.Hint)
		}
		if len(e.Masks) > 0 && e.Effect != "deny" {
			line += " Columns under hidden would be hidden; of those labelled unknown, values that look personal."
		}
		says, verdicts = append(says, line), append(verdicts, j)
		data = append(data, touched{Kind: e.Kind, Reads: e.Reads, Writes: e.Writes, Signs: e.Signs, Hidden: e.Masks, Problem: e.Problem, Reason: e.Reason})
	}
	if len(list) == 0 {
		says = append(says, "There is no statement in the text.")
	}
	return answer{says: strings.Join(says, "\n"), facts: map[string]any{"statements": verdicts}, data: data}.result()
}

type recordIn struct {
	Since      string `json:"since,omitempty" jsonschema:"how far back, as a duration such as 30m or 24h; default 24h"`
	Connection string `json:"connection,omitempty" jsonschema:"only on this connection"`
	Effect     string `json:"effect,omitempty" jsonschema:"only what was decided so: allow, hold or deny"`
	Table      string `json:"table,omitempty" jsonschema:"only what read or wrote this table"`
	Text       string `json:"text,omitempty" jsonschema:"only statements that hold this text"`
	Limit      int    `json:"limit,omitempty" jsonschema:"how many at most; default 20"`
}

// entry is one statement of the record, or one other event.
type entry struct {
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"`
	Connection string    `json:"connection,omitempty"`
	SQL        string    `json:"sql,omitempty"`
	Params     []string  `json:"params,omitempty"`
	Effect     string    `json:"effect,omitempty"`
	Rule       string    `json:"rule,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	Approvers  []string  `json:"approvers,omitempty"`
	Outcome    string    `json:"outcome,omitempty"`
	Error      string    `json:"error,omitempty"`
	Rows       int64     `json:"rows,omitempty"`
	Hidden     []string  `json:"hidden,omitempty"`
	ID         string    `json:"id"`
}

// Bounds of a search of the record.
const (
	searchDefault = 24 * time.Hour
	searchEntries = 20
	searchMost    = 200
	maxRecordSQL  = 2000
)

// record searches what the record has of the agent. The gateway gives nobody but
// auditors anything of others, and agents are none.
func (s *Server) record(ctx context.Context, _ *sdk.CallToolRequest, in recordIn) (*sdk.CallToolResult, any, error) {
	back := searchDefault
	if in.Since != "" {
		var err error
		if back, err = time.ParseDuration(in.Since); err != nil || back <= 0 {
			return wrong("write a duration such as 30m or 24h", "since is %q", cutName(in.Since)).answer().result()
		}
	}
	q := api.AuditQuery{
		Since: s.cfg.Now().Add(-back), Kind: audit.Decided, Connection: in.Connection, Effect: in.Effect, Table: in.Table, Text: in.Text,
		Who: s.who.Subject, Whole: true, Limit: min(max(in.Limit, 0), searchMost),
	}
	if q.Limit == 0 {
		q.Limit = searchEntries
	}
	var res api.AuditResult
	if err := s.cfg.Gateway.Call(ctx, http.MethodPost, api.AuditQueryPath, q, &res); err != nil {
		return failed(err)
	}
	list := []entry{}
	for _, ev := range res.Events {
		list = append(list, entry{
			Time: ev.Time, Kind: string(ev.Statement), Connection: ev.Connection, SQL: strings.ToValidUTF8(ev.SQL[:min(len(ev.SQL), maxRecordSQL)], ""), Params: ev.Params,
			Effect: ev.Effect, Rule: ev.Rule, Reason: ev.Reason, Approvers: ev.Approvers, Outcome: ev.Outcome, Error: ev.Error, Rows: ev.Rows, Hidden: ev.MaskedCols, ID: ev.ID,
		})
	}
	says := counted(len(list), "statement") + " of yours, the newest first."
	if res.Next != 0 {
		says += " There are more; narrow the search or raise limit."
	}
	return answer{says: says, facts: map[string]int{"entries": len(list)}, data: list}.result()
}
