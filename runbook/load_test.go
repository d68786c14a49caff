package runbook

import (
	"errors"
	"strings"
	"testing"
)

const good = `title: Cancel an order
purpose: Sets an order to cancelled, unless it was sent. Leaves its items.
connection: orders
parameters:
  order: {type: integer, description: number of the order, min: 1, example: 42}
  why: {type: text, max_length: 20, default: asked}
  part: {type: name, choices: [orders, public.carts], default: orders}
  note: {type: text, optional: true}
who: {groups: [support], kinds: [person, job]}
approvals: {ahead: true, groups: [dba], count: 2}
limits: {rows: 1, time: 10m, statement: 30s, lock: 2s}
steps:
  - name: find
    sql: select id, status from :"part" where id = :order
    expect: rows == 1
  - name: cancel
    when: steps.find.row.status != 'sent' && params.order > 0
    sql: |
      update :"part"
      set status = 'cancelled', why = :why, note = coalesce(:note, note)
      where id = :order
    expect: rows == 1
`

func TestLoad(t *testing.T) {
	b, err := Load("runbooks/cancel-order.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "cancel-order" || len(b.Hash) != 71 || len(b.Parameters) != 4 || b.Parameters[0].Name != "order" || b.Transaction != One || len(b.Steps) != 2 {
		t.Errorf("%+v", b)
	}
	bound, err := b.Bind(map[string]any{"order": float64(42), "part": "public.carts"})
	if err != nil {
		t.Fatal(err)
	}
	list := bound.Statements()
	if got := list[1].SQL; got != `update "public"."carts"`+"\n"+`set status = 'cancelled', why = $1, note = coalesce($2, note)`+"\n"+`where id = $3` {
		t.Errorf("%q", got)
	}
	if p := list[1].Params; len(p) != 3 || *p[0] != "asked" || p[1] != nil || *p[2] != "42" {
		t.Errorf("%v", p)
	}
	if got := string(b.Schema()); !strings.Contains(got, `"required":["order"]`) || !strings.Contains(got, `"minimum":1`) {
		t.Error(got)
	}
}

// Each mistake is said with its line, and what was probably meant.
func TestLoadSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"connection: orders", "connexion: orders", `f.yaml:3: unknown key "connexion", did you mean "connection"?`},
		{"title: Cancel an order\n", "", "title is missing"},
		{"    sql: select id", "    sqll: select id", `f.yaml:14: unknown key "sqll", did you mean "sql"?`},
		{"type: integer", "type: int", `:5: type is "int"`},
		{"min: 1,", "min: x,", `:5: min must be a whole number of 64 bits, not "x"`},
		{"where id = :order\n    expect", "where id = :ordre\n    expect", `:14: there is no parameter "ordre", did you mean "order"?`},
		{"why = :why", "why = :whyy", `:20: there is no parameter "whyy", did you mean "why"?`},
		{"why = :why", "why = $1", ":20: parameters are written by name"},
		{`from :"part"`, `from :part`, `:14: part is a name; write :"part"`},
		{`why = :why`, `why = :"why"`, `:20: :"why" is for parameters of type name`},
		{"steps.find.row.status", "steps.fidn.row.status", `:17: the condition speaks of "steps.fidn.row.status"`},
		{"params.order > 0", "params.orde > 0", `the condition speaks of "params.orde", did you mean "params.order"?`},
		{"expect: rows == 1\n  - name: cancel", "expect: rws == 1\n  - name: cancel", `:15: there is no "rws", did you mean "rows"?`},
		{"expect: rows == 1\n  - name: cancel", "expect: steps.cancel.rows == 1\n  - name: cancel", `:15: the condition speaks of "steps.cancel.rows"`},
		{"expect: rows == 1\n  - name: cancel", "expect: rows\n  - name: cancel", "must be true or false, this is of type int"},
		{"when: steps", "when: rows == 1 && steps", `there is no "rows"`},
		{"name: cancel", "name: find", `two steps are called "find"`},
		{"name: cancel", "name: Cancel", "must be a word in lower case"},
		{"select id, status from", "select id, status from from", ":14: the statement cannot be read: it cannot be parsed near"},
		{"where id = :order\n    expect", "where id = :order; drop table orders\n    expect", ":14: a step is one statement, this is 2"},
		{"sql: select id, status from :\"part\" where id = :order", "sql: commit", "COMMIT is the runner's"},
		{"sql: select id, status from :\"part\" where id = :order", "sql: copy orders to stdout", "carries no COPY data"},
		{"sql: select id, status from :\"part\" where id = :order", "sql: set role postgres", "SET reaches beyond its step"},
		{"sql: select id, status from :\"part\" where id = :order", "sql: set local sluice.request = 'r-1'", "between the runner and the gateway"},
		{"sql: select id, status from :\"part\" where id = :order", "sql: execute p", "relies on what a session remembers"},
		{"choices: [orders, public.carts]", `choices: ['orders"; drop table x --']`, "is no name of a table or column"},
		{"choices: [orders, public.carts], default: orders", "choices: []", "a name must have choices"},
		{"default: orders", "default: people", `the default must be orders or public.carts, not "people"`},
		{"rows: 1,", "rows: 0,", "rows is 0, must be at least 1"},
		{"kinds: [person, job]", "kinds: [robot]", `kinds is "robot"`},
		{"ahead: true, ", "", "add ahead: true"},
		{"limits: {rows: 1, time: 10m", "limits: {rows: 1, time: 99h", "a run takes at most 24h"},
		{"note = coalesce(:note, note)", "note = null", `:8: no step uses the parameter "note"`},
		{"    sql: |", "    undo: select 1\n    sql: |", "undo is for transaction: each"},
		{"who: {groups: [support]", "who: {groups: []", "groups is empty, so nobody could run it"},
		{"steps:", "steps: &a", "anchors and aliases are not allowed"},
	} {
		text := strings.Replace(good, tt.from, tt.to, 1)
		if text == good {
			t.Fatalf("%q is not there", tt.from)
		}
		_, err := Load("f.yaml", []byte(text))
		var bad *LoadError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %s", tt.to, err, tt.want)
		}
	}
}
