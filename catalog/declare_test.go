package catalog

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/query"
)

var update = flag.Bool("update", false, "rewrite the list of functions")

// The list of functions that are harmless without a server is what a server says.
func TestDeclaredFunctions(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	s, err := Load(t.Context(), conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		var names []string
		for key, ok := range s.harmless {
			if name, system := strings.CutPrefix(key, "pg_catalog\x00"); ok && system {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if err := os.WriteFile("functions.txt", []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	declared, there := Declare(nil), 0
	for key := range declared.harmless {
		ok, known := s.harmless[key]
		if known && !ok {
			t.Errorf("%q is not harmless", key)
		}
		if known {
			there++
		}
	}
	if there < 4000 { // with and without the schema; versions differ by some dozens
		t.Errorf("only %d of %d names are on the server", there, len(declared.harmless))
	}
}

func TestDeclareKnowsItsTablesOnly(t *testing.T) {
	s := Declare([]Declared{{"public", "people", []Column{{Name: "id"}, {Name: "email"}}}, {"shop", "people", []Column{{Name: "n"}}}})
	in := s.InPath([]string{"public"})
	if found := in.Lookup("", "people"); len(found) != 1 || found[0].Schema != "public" || len(found[0].Columns) != 2 {
		t.Errorf("people is %+v", found)
	}
	if found := in.Lookup("shop", "people"); len(found) != 1 || found[0].Columns[0] != "n" {
		t.Errorf("shop.people is %+v", found)
	}
	if found := in.Lookup("", "pg_class"); len(found) != 0 {
		t.Errorf("pg_class is %+v", found)
	}
	for sql, unknown := range map[string]bool{"select lower(email), count(*) from people group by 1": false, "select purge(id) from people": true, "select pg_read_file('x')": false} {
		st := query.Analyze(sql, in)
		if st[0].Has(query.UnknownRoutine) != unknown {
			t.Errorf("%s: %v", sql, st[0].Signs)
		}
	}
}
