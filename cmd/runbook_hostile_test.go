package cmd

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/runbook"
)

const noteBook = `title: Keep a note
purpose: For tests.
connection: orders
parameters:
  text: {type: text, max_length: 65536}
  into: {type: name, choices: [notes, public.notes, "Odd \u0022 one"], default: notes}
steps:
  - name: keep
    sql: insert into :"into" (body) values (:text)
    expect: rows == 1
  - name: look
    sql: select count(*) as kept, max(length(body)) as longest from :"into" where body = :text and ':text' <> $$:text$$ || :text
    expect: row.kept == 1
`

// Attack: whatever a text parameter holds, it is either refused or kept as it is; it
// never becomes part of a statement.
func TestHostileParametersDoNothing(t *testing.T) {
	r := newRig(t)
	pgtest.Exec(t, r.dsn, "create table notes (body text)")
	book := strings.Replace(noteBook, `, "Odd \u0022 one"`, "", 1)
	for _, value := range []string{
		"'", "''", `"`, `\`, `\'`, "'; drop table people; --", "'); delete from people; --", "$1", "$$", "$tag$; drop table people", "/*", "*/", "--", ":text", ":'text'", `:"into"`,
		"1 or true", "null", "NULL", "", " ", "\n", "\t", "'\n;drop table people\n", "E'\\047'", "U&'\\0027'", "%s%n", "{{.}}", "${HOME}", "`id`", "$(id)", "../../etc/passwd",
		"\x00", "a\x00'; drop table people --", "\x1b]0;evil\x07", "\x7f", "\u202e'; elbat pord", "\u2066", "ʼ; drop table people --", "＇", "\u0027\u0301", "ﬀ", "🏴‍☠️", "\ufeff", "\uffff",
		"\xff", "\xc0\xa7", "\xed\xa0\x80", strings.Repeat("'", 65536), strings.Repeat("x", 65537), strings.Repeat("🙂", 16384), strings.Repeat("\\", 1000) + "'",
		"commit; drop table people; begin", "set sluice.runbook = 'x'", "•••",
	} {
		pgtest.Exec(t, r.dsn, "truncate notes")
		b, err := runbook.Load("note.yaml", []byte(book))
		if err != nil {
			t.Fatal(err)
		}
		bound, err := b.Bind(map[string]any{"text": value})
		if err == nil {
			for _, st := range bound.Statements() {
				if value != "" && len(value) > 8 && strings.Contains(st.SQL, value) {
					t.Fatalf("%.40q is part of a statement", value)
				}
			}
			run := r.runner(book, map[string]any{"text": value})
			if _, err = run.run(t.Context(), nil, runbook.Options{}); err == nil {
				if got := r.notes(); len(got) != 1 || got[0] != value {
					t.Errorf("%.40q is kept as %.80q", value, got)
				}
			}
		}
		if err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("%.40q: the error is not text: %q", value, err)
			}
			if got := r.notes(); len(got) != 0 {
				t.Errorf("%.40q is refused, and there is %.80q: %v", value, got, err)
			}
		}
		if got := r.ages(); got != asTheyWere {
			t.Fatalf("%.40q: people are %s", value, got)
		}
	}
}

func (r *rig) notes() []string {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(r.t.Context())
	rows, err := conn.Query(r.t.Context(), "select body from notes")
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// Attack: an identifier is one that the file declares, or nothing.
func TestHostileIdentifiersDoNothing(t *testing.T) {
	r := newRig(t)
	pgtest.Exec(t, r.dsn, `create table notes (body text); create table "Notes" (body text)`)
	book := strings.Replace(noteBook, `, "Odd \u0022 one"`, ", Notes", 1)
	for _, name := range []string{"people", "Notes\"; drop table people; --", "notes ", "NOTES", "public.people", "pg_catalog.pg_class", "notes\x00", "", "nоtes", `"notes"`, "notes (body) values ('x'); --"} {
		if _, err := mustLoad(t, book).Bind(map[string]any{"text": "x", "into": name}); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	for _, name := range []string{"notes", "public.notes", "Notes"} {
		s, err := r.runner(book, map[string]any{"text": "it's " + name, "into": name}).run(t.Context(), nil, runbook.Options{})
		if err != nil || s.Status != runbook.Done {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.notes(); len(got) != 2 || r.ages() != asTheyWere {
		t.Errorf("%q", got)
	}
	if _, err := runbook.Load("note.yaml", []byte(noteBook)); err == nil {
		t.Error("a choice with a quote is taken")
	}
	// Values that are no text, as a program or a model may send them.
	for _, raw := range []string{`{"text": {"a": 1}}`, `{"text": ["x"]}`, `{"text": "x", "into": ["notes"]}`, `{"text": null}`, `{"text": "x", "__proto__": "y"}`, `{"Text": "x"}`} {
		var values map[string]any
		if err := json.Unmarshal([]byte(raw), &values); err != nil {
			t.Fatal(err)
		}
		if _, err := mustLoad(t, book).Bind(values); err == nil {
			t.Errorf("%s is taken", raw)
		}
	}
}

// Attack, by accident: a condition takes a mask for the value behind it, and holds.
func TestConditionOnAMaskedColumnDoesNotHold(t *testing.T) {
	r := newRig(t)
	const book = `title: Look
purpose: For tests.
connection: orders
steps:
  - {name: look, sql: 'select id, email, count(*) over () as n from people where id = 1'}
  - {name: age, when: CONDITION, sql: 'update people set age = 99 where id = 1'}
`
	for condition, why := range map[string]string{
		"steps.look.row.email != 'x'":      "looks at email",
		"steps.look.row['email'] != 'x'":   "looks at email",
		"'email' in steps.look.row":        "looks at email",
		"steps.look.row.n == 1 && 1 == 2":  "",
		"steps.look.row.id == 1 && 1 == 2": "",
	} {
		s, err := r.runner(strings.Replace(book, "CONDITION", `"`+condition+`"`, 1), nil).run(t.Context(), nil, runbook.Options{})
		if why == "" {
			r.ends(s, err, runbook.Done, "", asTheyWere)
			continue
		}
		r.ends(s, err, runbook.Unchanged, runbook.Refused, asTheyWere)
		if !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", condition, err)
		}
	}
}
