package mcp

import (
	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// addTools registers the tools that fit the agent. One that may not write is not even
// shown the tool that would.
func (s *Server) addTools() {
	add(s, "list_connections", "List connections", "List the databases you may use, and in a sentence each the rules that apply to you there. Begin here.", reads, s.connections)
	add(s, "describe_schema", "Describe schema", "List the tables of a connection, or with table the columns of one, with data types and what personal data they hold.", reads, s.schema)
	add(s, "explain", "Explain a statement", "Say what would be done with a statement, and what it would read, write and hide, without running it.", reads, s.explain)
	add(s, "query", "Query", "Run one statement that reads, in a read-only session of its own, and return its rows. Values go into params for $1, $2 …, never into the text. If a rule holds it for approval, the answer has a statement_id to poll.", reads, s.query)
	if s.who.Writes {
		add(s, "execute", "Execute", "Run one statement that changes data, as a transaction of its own. Values go into params for $1, $2 …. Rules may refuse it or hold it for approval; then the answer has a statement_id to poll.", changes, s.execute)
	}
	if s.cfg.Runbooks != nil {
		add(s, "list_runbooks", "List runbooks", "List the runbooks: statements that were reviewed once and are run by name, with what each is for and the JSON schema of its params. Prefer one that fits to statements of your own.", reads, s.listBooks)
	}
	if s.cfg.Runbooks != nil && s.who.Writes {
		add(s, "run_runbook", "Run a runbook", "Run a runbook by its name, with params as its schema says and a reason. Rules and the runbook itself may hold it for approval; then the answer has a statement_id to poll.", changes, s.runRunbook)
	}
	add(s, "statement_status", "Status of a statement", "The outcome of a statement or a run that waited for approval or took long; with wait_seconds it waits for it.", reads, s.status)
	add(s, "cancel_statement", "Cancel a statement", "Withdraw a statement or a run that waits for approval, or end one that runs.", ends, s.withdraw)
	add(s, "request_approval", "Request approval", "Ask people ahead of time for approval of a script that a rule would hold. Nothing runs; the answer has a request_id.", asks, s.request)
	add(s, "request_status", "Status of a request", "Whether a request was granted.", reads, s.requestStatus)
	add(s, "run_approved", "Run an approved script", "Run a script that was approved ahead of time, once, as it was approved.", changes, s.runApproved)
	add(s, "cancel_request", "Cancel a request", "Take back a request for approval.", ends, s.endRequest)
	add(s, "search_record", "Search your record", "Search what you did before: statements, what was decided and why, rows, hidden columns.", reads, s.record)
}

// What a tool does to the world, as clients show it. They are told nothing that the
// gateway does not make true.
var (
	reads   = sdk.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true, DestructiveHint: new(false), OpenWorldHint: new(false)}
	changes = sdk.ToolAnnotations{DestructiveHint: new(true), OpenWorldHint: new(false)}
	asks    = sdk.ToolAnnotations{DestructiveHint: new(false), OpenWorldHint: new(false)}
	ends    = sdk.ToolAnnotations{IdempotentHint: true, DestructiveHint: new(false), OpenWorldHint: new(false)}
)

func add[In any](s *Server, name, title, description string, hints sdk.ToolAnnotations, f sdk.ToolHandlerFor[In, any]) {
	hints.Title = title
	t := &sdk.Tool{Name: name, Title: title, Description: description, Annotations: &hints}
	if schema, err := jsonschema.For[In](nil); err == nil {
		if p := schema.Properties["params"]; p != nil {
			value := &jsonschema.Schema{Types: []string{"string", "number", "boolean", "null"}}
			if p.Type == "object" {
				p.Type, p.Types, p.AdditionalProperties = "", []string{"null", "object"}, value
			} else {
				p.Items = value
			}
		}
		t.InputSchema = schema
	}
	sdk.AddTool(s.tools, t, f)
}
