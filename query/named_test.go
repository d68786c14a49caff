package query

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		sql      string
		want     []string
		numbered int
	}{
		{"select :a, :b", []string{":a", ":b"}, 0},
		{"select a::int, ':a', $$:a$$, e'\\':a', \":a\" -- :a\n /* :a */", nil, 0},
		{`update :"t" set x = :x where y[1:2] = :y`, []string{`:"t"`, ":x", ":y"}, 0},
		{"select :a::int", []string{":a"}, 0},
		{"select :table, $1, $2", []string{":table"}, 2},
		{"select : a", nil, 0},
		{`select :"a b"`, nil, 0},
		{"select :a'b'", []string{":a"}, 0},
	} {
		list, numbered, ok := Places(tt.sql)
		var got []string
		for _, p := range list {
			got = append(got, tt.sql[p.At:p.End])
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || !ok || len(numbered) != tt.numbered {
			t.Errorf("%s: %s %v %v", tt.sql, diff, numbered, ok)
		}
	}
	for _, bad := range []string{"select 'a", "select /* a", strings.Repeat("/*", 5000)} {
		if _, _, ok := Places(bad); ok {
			t.Errorf("%.20s is read", bad)
		}
	}
}

// Whatever the text, its places are pieces of it that begin with a colon.
func FuzzPlaces(f *testing.F) {
	for _, seed := range []string{"select :a", `:"`, ":", "::", ":'a'", "a[:b]", ":\xff", ":=1", "$1:a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		list, _, _ := Places(sql)
		end := 0
		for _, p := range list {
			if p.At < end || p.End > len(sql) || sql[p.At] != ':' || p.Name == "" {
				t.Fatalf("%+v of %q", p, sql)
			}
			end = p.End
		}
	})
}
