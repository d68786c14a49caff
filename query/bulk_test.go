package query

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// loaded is an INSERT of rows until it has size bytes.
func loaded(head, row, tail string, size int) string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString(row)
	for b.Len() < size-len(tail)-len(row)-2 {
		b.WriteString(",\n")
		b.WriteString(row)
	}
	return b.String() + tail
}

// sameFinding compares what was found of two texts, but for the texts.
func sameFinding(a, b Statement) string {
	return cmp.Diff(a, b, cmpopts.IgnoreFields(Statement{}, "SQL", "Fingerprint", "Like"), cmp.AllowUnexported(Statement{}, Ref{}))
}

// What jobs load in one INSERT, up to what the gateway takes in, is understood as the
// same INSERT of one row is, and costs next to nothing.
func TestBulkInsertIsUnderstood(t *testing.T) {
	for name, c := range map[string]struct{ head, row, tail string }{
		"plain":      {"insert into users (id, name, email) values ", "(1, 'Ada ''the first''', 'ada@example.com')", ""},
		"narrow":     {"insert into users (id) values ", "(1)", ";"},
		"no columns": {"INSERT INTO public.users VALUES\n", "( -1 , NULL, DEFAULT, TRUE, 1.5, 1e-05, 12345678901234567890 )", " ;\n"},
		"quoted":     {`insert into "public"."users" ("id", "email")values`, "(1,E'it\\'s')", ""},
		"casts":      {"insert into users (id, name) values ", "(1::bigint, '2026-01-01'::date), (2, '{a,b}'::text[]), (3, null::timestamptz), (4, now())", ""},
		"overriding": {"insert into users as u (id) overriding system value values ", "(1)", ""},
		"returning":  {"insert into users (id, email) values ", "(1, 'x')", " on conflict (id) do update set email = excluded.email returning id, email"},
	} {
		t.Run(name, func(t *testing.T) {
			want := Analyze(c.head+c.row+c.tail, people())[0]
			if want.Kind != Insert {
				t.Fatalf("one row is %s: %s", want.Kind, want.Problem)
			}
			sql := loaded(c.head, c.row, c.tail, MaxBulk)
			var got []Statement
			heap := heapDuring(t, func() { got = NewCache(Config{}).Analyze(sql, people(), 1) })
			if len(got) != 1 || got[0].Kind != Insert {
				t.Fatalf("%d statements, the first is %s: %s", len(got), got[0].Kind, got[0].Problem)
			}
			if d := sameFinding(want, got[0]); d != "" {
				t.Error(d)
			}
			if text := strings.TrimSpace(strings.TrimRight(sql, "; \n")); got[0].SQL != text {
				t.Errorf("its text has %d bytes, not %d, and ends in %q", len(got[0].SQL), len(text), got[0].SQL[len(got[0].SQL)-20:])
			}
			if heap > 32<<20 {
				t.Errorf("%d MiB were taken", heap>>20)
			}
		})
	}
}

// One row may be what makes it long.
func TestBulkInsertOfOneDocument(t *testing.T) {
	sql := "insert into users (id, name) values (7, '" + strings.Repeat("x''y ", 1<<20) + "') returning id"
	got := Analyze(sql, people())[0]
	if d := sameFinding(Analyze("insert into users (id, name) values (7, 'x') returning id", people())[0], got); d != "" || got.SQL != sql {
		t.Error(d)
	}
}

// Whatever hides in megabytes of constants is not understood, for all that surrounds it.
func TestDoorHiddenInABulkInsert(t *testing.T) {
	const head = "insert into users (id, name) values "
	rows := loaded("", "(1, 'x')", "", MaxSQL)
	for name, sql := range map[string]string{
		"subselect":                 head + rows + ", (2, (select email from users limit 1)), " + rows,
		"function":                  head + rows + ", (2, pg_read_file('/etc/passwd')), " + rows,
		"function with no brackets": head + rows + ", (2, pg_read_file '/etc/passwd'), " + rows,
		"function of now":           head + rows + ", (2, now(1)), " + rows,
		"another now":               head + rows + ", (2, evil.now()), " + rows,
		"sequence":                  head + rows + ", (2, nextval('s')), " + rows,
		"object's name":             head + rows + ", (2, 'users'::regclass), " + rows,
		"own type":                  head + rows + ", (2, 'x'::evil), " + rows,
		"type in a schema":          head + rows + ", (2, 'x'::text.evil), " + rows,
		"operator":                  head + rows + ", (2, 'x' || current_user), " + rows,
		"column":                    head + rows + ", (2, email), " + rows,
		"parameter":                 head + rows + ", (2, $1), " + rows,
		"second statement":          head + rows + "; drop table users",
		"statement in the middle":   head + rows + "; drop table users; " + head + rows,
		"in a comment":              head + rows + " /* " + rows + " */ ; drop table users",
		"comment between rows":      head + rows + ", /* */ " + rows,
		"line comment":              head + rows + ", -- \n" + rows,
		"escape that is none":       head + rows + `, (2, '\'), (select 1), '), ` + rows,
		"escape that is escaped":    head + rows + `, (2, E'\\'), (3, (select email from users)), (4, E''), ` + rows,
		"continued literal":         head + rows + ", (2, 'x'\n'y'), " + rows,
		"dollar quotes":             head + rows + ", (2, $$x$$), " + rows,
		"bit string":                head + rows + ", (2, b'1'), " + rows,
		"unicode escapes":           head + rows + `, (2, u&'\0041'), ` + rows,
		"open literal":              head + rows + ", (2, '" + rows[:8],
		"open row":                  head + rows + ", (2",
		"comma at the end":          head + rows + ",",
		"select of the rows":        "insert into users (id, name) select * from (values " + rows + ") v",
		"with":                      "with gone as (delete from users returning 1) " + head + rows,
		"select":                    "select * from (values " + rows + ") v",
		"explain":                   "explain analyze " + head + rows,
		"update":                    "update users set name = '" + strings.Repeat("x", MaxSQL) + "'",
		"invalid utf-8":             head + rows + ", (2, '\xff'), " + rows,
		"zero byte":                 head + rows + ", (2, '\x00'), " + rows,
		"too long":                  loaded(head, "(1, 'x')", "", MaxBulk) + strings.Repeat(" ", 100),
		"forms without end":         head + manyForms(maxForms+1) + ", " + rows,
		"long tail":                 head + rows + "/*" + strings.Repeat(" ", maxEdge) + "*/ on conflict do nothing",
	} {
		t.Run(name, func(t *testing.T) {
			list := Analyze(sql, people())
			st := list[0]
			if len(list) != 1 || st.Kind != Unknown || !st.Has(Unparsable) || !strings.HasPrefix(st.Problem, ProblemTooLong) || st.SQL != sql {
				t.Errorf("it is %s, %q", st.Kind, st.Problem)
			}
		})
	}
}

// manyForms are rows of n forms.
func manyForms(n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, "(1"+strings.Repeat(", 1", i)+")")
	}
	return strings.Join(rows, ", ")
}

// The short text means what the whole one does, wherever one is made.
func FuzzBulk(f *testing.F) {
	for _, s := range []string{
		"insert into users (id, name) values (1, 'x'), (2, 'y'), (3, null)",
		"insert into users values (1, 'x'), (2, E'\\'y') on conflict do nothing returning *",
		"INSERT INTO public.users AS u (id) OVERRIDING USER VALUE VALUES (1), (-2), (+3), (1e5), (12345678901) RETURNING u.email;",
		"insert into users (id) values (default), (now()), ('1'::int), ('{}'::text[]), (true); ;",
		"insert into users (id) values (1), (2); drop table users",
		"insert into users (id) values (1), (2) -- x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		short, ok := bulk(sql)
		if !ok || len(sql) > 4096 {
			return
		}
		whole, part := Analyze(sql, people()), Analyze(short, people())
		if len(whole) != len(part) {
			t.Fatalf("%d statements became %d: %q", len(whole), len(part), short)
		}
		for i := range whole {
			if whole[i].Kind == Unknown && part[i].Kind == Unknown {
				continue // the sentence that says why may quote a place
			}
			if d := sameFinding(whole[i], part[i]); d != "" {
				t.Errorf("%q is read as %q: %s", sql, short, d)
			}
		}
	})
}
