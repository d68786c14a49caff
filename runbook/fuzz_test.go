package runbook

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a file has, reading it ends, with a runbook that can be bound or with
// mistakes that have their lines.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{good, "", "---", "title: a\nsteps: [{name: a, sql: 'select :a'}]", strings.Replace(good, "transaction", "x", 1), "parameters: {a: {type: name, choices: [a]}}",
		strings.Replace(good, "rows == 1", "row.a.b[0] == params.note", 2), "a: *b", "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Load("a.yaml", data)
		if err != nil {
			var bad *LoadError
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("%v", err)
			}
			for _, p := range bad.Problems {
				if p.Line < 1 || p.Line > strings.Count(string(data), "\n")+2 || p.Text == "" {
					t.Errorf("line %d: %q", p.Line, p.Text)
				}
			}
			return
		}
		b.Advice()
		if !json.Valid(b.Schema()) {
			t.Errorf("schema: %s", b.Schema())
		}
		if _, err := b.Bind(map[string]any{}); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}

// Whatever is given for a parameter, what is let through is bound as it is, and the
// statements stay the same.
func FuzzBind(f *testing.F) {
	for _, seed := range []string{"x", "'", "1; drop", "\x00", "\u202e", "NaN", "1e9", "0x1", "true", "2026-02-30", "infinity"} {
		f.Add(seed, seed)
	}
	b, err := Load("a.yaml", []byte(good))
	if err != nil {
		f.Fatal(err)
	}
	plain, err := b.Bind(map[string]any{"order": "1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, order, why string) {
		bound, err := b.Bind(map[string]any{"order": order, "why": why})
		if err != nil {
			return
		}
		for i, st := range bound.Statements() {
			if st.SQL != plain.list[i].SQL {
				t.Fatalf("%q and %q changed a statement: %s", order, why, st.SQL)
			}
			for _, p := range st.Params {
				if p != nil && (!utf8.ValidString(*p) || strings.ContainsRune(*p, 0)) {
					t.Fatalf("%q is let through", *p)
				}
			}
		}
		if got := bound.list[1].Params; *got[0] != why || *got[2] != order {
			t.Fatalf("%q and %q are bound as %q and %q", why, order, *got[0], *got[2])
		}
	})
}
