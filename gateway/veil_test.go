package gateway_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

var veilKey = bytes.Repeat([]byte{7}, 32)

func veiled(mode string) func(*gateway.Config) {
	return func(c *gateway.Config) { c.Literals = gateway.Literals{Mode: mode, Key: veilKey} }
}

// lookups are ways to name one person, none of which may leave the name in the record.
var lookups = []struct {
	sql  string
	args []any
}{
	{"select id from people where email = 'zoe77@corp.test'", nil},
	{"select id from people where email in ('a', 'zoe77@corp.test') and id < 100000", nil},
	{"select id from people where lower(email) like '%ZOE77@corp.test%' limit 5", nil},
	{"select id from people where email = $1", []any{"zoe77@corp.test"}},
	{"select id from people where email = any($1)", []any{[]string{"a", "zoe77@corp.test"}}},
	{"select id from contacts where reach = 'zoe77@corp.test'", nil},
	{"select * from (select email as e from people) q where e = 'zoe77@corp.test'", nil},
	{"with q(e) as (values ('zoe77@corp.test')) select id from people, q where email = q.e", nil},
	{"insert into people (id, email) values (9001, 'zoe77@corp.test')", nil},
	{"insert into people values (9002, 'n', 'zoe77@corp.test', 3, 'Berlin')", nil},
	{"update people set email = 'zoe77@corp.test' where id = 9002", nil},
	{"explain select id from people where email = 'zoe77@corp.test'", nil},
	{"prepare byname as select id from people where email = 'zoe77@corp.test'", nil},
	{"prepare byvalue(text) as select id from people where email = $1", nil},
	{"execute byvalue('zoe77@corp.test')", nil},
	{"declare c cursor with hold for select id from people where email = 'zoe77@corp.test'", nil},
	{"copy (select id from people where email = 'zoe77@corp.test') to stdout", nil},
	{"do $$ begin perform id from people where email = 'zoe77@corp.test'; end $$", nil},
	{"select id from people where id = 'zoe77@corp.test' and email = 'zoe77@corp.test'", nil}, // an error that quotes it
	{"selct id from people where email = 'zoe77@corp.test'", nil},
	{"select id from people where email = 'zoe77@corp.test", nil},
	{"select id from nowhere where email = 'zoe77@corp.test'", nil},
	{"select id from people where email = E'zoe77\\100corp.test'", nil},
	{"select id from people where email = $q$zoe77@corp.test$q$", nil},
}

// What people look for and write in personal columns is nowhere on the gateway's disk:
// not in the record and not in its index. Who has the key still learns who looked.
func TestValuesOfPeopleAreNotInTheRecord(t *testing.T) {
	for _, mode := range []string{gateway.PseudonymiseLiterals, gateway.DropLiterals} {
		t.Run(mode, func(t *testing.T) {
			th := start(t, "dev", shop, nil, veiled(mode))
			conn := connect(t, th.as(person("ada")))
			for _, l := range lookups {
				if l.args == nil {
					_, _ = run(conn, l.sql) // whether it fails or not
					continue
				}
				rows, err := conn.Query(context.Background(), l.sql, l.args...)
				if err == nil {
					rows.Close()
				}
			}
			aud := person("aud", "audit")
			res, err := th.AuditQuery(t.Context(), aud, api.AuditQuery{Kind: audit.Decided, Limit: 1000})
			if err != nil || len(res.Events) < len(lookups) {
				t.Fatalf("%d statements are in the record, %v", len(res.Events), err)
			}
			for _, path := range filesBelow(t, filepath.Dir(th.record)) {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if at := strings.Index(strings.ToLower(string(text)), "zoe77"); at >= 0 {
					t.Errorf("%s has the name: %.200s", filepath.Base(path), text[max(0, at-150):])
				}
			}
			if mode == gateway.DropLiterals {
				if _, err := th.AuditQuery(t.Context(), aud, api.AuditQuery{About: "zoe77@corp.test"}); err == nil {
					t.Error("a question about a dropped value has an answer")
				}
				return
			}
			about, err := th.AuditQuery(t.Context(), aud, api.AuditQuery{About: " Zoe77@corp.test", Whole: true, Limit: 1000})
			if err != nil || len(about.Events) < len(lookups)-5 { // those that no program reads, or a value that is written in another way
				t.Errorf("%d of %d statements about the person are found: %v", len(about.Events), len(lookups), err)
			}
			// A pseudonym of a result is a value like any other: who used it is found, not whose it is.
			const shown = "u-0123456789ab@masked.invalid"
			_, _ = run(conn, "select id from people where email = '"+shown+"'")
			used, err := th.AuditQuery(t.Context(), aud, api.AuditQuery{About: shown, Kind: audit.Decided})
			if err != nil || len(used.Events) != 1 || strings.Contains(used.Events[0].SQL, shown) {
				t.Errorf("a pseudonym that was shown and used: %+v, %v", used.Events, err)
			}
			asked, err := th.AuditQuery(t.Context(), aud, api.AuditQuery{Kind: audit.Questioned, Limit: 3})
			if err != nil || strings.Contains(strings.ToLower(asked.Events[2].Detail), "zoe77") || !strings.Contains(asked.Events[2].Detail, audit.PseudonymMark) {
				t.Errorf("of the question the record has %+v, %v", asked.Events, err)
			}
		})
	}
}

func filesBelow(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) < 4 {
		t.Fatal(paths, err)
	}
	return paths
}

// What tells of nobody stays readable, or the record would be of little use.
func TestOtherValuesStayInTheRecord(t *testing.T) {
	th := start(t, "dev", shop, nil, veiled(gateway.PseudonymiseLiterals))
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{
		"select id from people where id = 4711 limit 33",
		"update people set age = 77 where id = 4712",
		"select 'a label' as l, email from people where id between 4713 and 4714",
		"insert into cities values (4715, 'Rome')",
		"select id from people where email = 'x@corp.test' and age > 4716",
	} {
		if _, err := run(conn, sql); err != nil {
			t.Fatal(err)
		}
	}
	res, err := th.AuditQuery(t.Context(), person("aud", "audit"), api.AuditQuery{Kind: audit.Decided, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, ev := range res.Events {
		all.WriteString(ev.SQL + "\n")
	}
	for _, want := range []string{"4711", "33", "77", "4712", "a label", "4713", "4714", "4715", "4716", audit.PseudonymMark} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not in the record:\n%s", want, all.String())
		}
	}
}
