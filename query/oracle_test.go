//go:build conformance

package query

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/multigres/multigres/go/common/parser/ast"
	pgquery "github.com/wasilibs/go-pgquery"
)

// TestOracle holds the grammar that we read with against PostgreSQL's own, which is
// too slow to start and too easily broken to serve: what both accept, of how many
// statements, and which relations they name. REGRESS is the folder of PostgreSQL's
// regression tests; our own corpora are always asked. Part of make conformance.
func TestOracle(t *testing.T) {
	var texts []string
	for _, c := range readCases(t) {
		texts = append(texts, c.SQL)
	}
	texts = append(append(append(texts, fuzzSeeds...), resultSQL...), interferenceSQL...)
	if dir := os.Getenv("REGRESS"); dir != "" {
		files, err := filepath.Glob(filepath.Join(dir, "sql", "*.sql"))
		if err != nil || len(files) < 100 {
			t.Fatalf("%d regression tests in %s, %v", len(files), dir, err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, chunks(string(data))...)
		}
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	o := &oracle{t: t}
	for _, sql := range texts {
		o.ask(sql)
	}
	t.Logf("%d texts, both accept %d; rejected by us only %d, accepted by us only %d, counted otherwise %d, other relations %d", len(texts), o.both, o.rejected, o.accepted, o.counts, o.relations)
	// What is rejected is refused, and what is accepted the server rejects: both are
	// safe, and few. Statements counted otherwise would be a hole.
	if o.counts > 0 || o.rejected*1000 > o.both || o.accepted*200 > o.both || o.relations*1000 > o.both {
		t.Error("the grammars differ in more than is known")
	}
}

// onlyTheirs are texts of our own corpora that our grammar is known to refuse.
var onlyTheirs = map[string]bool{
	"SELECT * FROM ((a JOIN b ON true)) x": true,
	`SELECT x COLLATE "C" IS NULL`:         true,
}

type oracle struct {
	t                                           *testing.T
	both, rejected, accepted, counts, relations int
}

func (o *oracle) ask(sql string) {
	if refuse(sql) != "" {
		return
	}
	text, err := pgquery.ParseToJSON(sql)
	list, problem := parse(sql)
	if onlyTheirs[sql] {
		if err != nil || problem == "" {
			o.t.Errorf("no longer refused by us only: take it from the list: %s", sql)
		}
		return
	}
	switch {
	case err != nil && problem != "":
		return
	case err != nil:
		o.accepted++
		return
	case problem != "":
		o.rejected++
		o.t.Logf("rejected by us only: %s\n%.300s", problem, sql)
		return
	}
	o.both++
	var tree struct{ Stmts []any }
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		o.t.Fatal(err)
	}
	if len(tree.Stmts) != len(list) {
		o.counts++
		o.t.Errorf("%d statements are %d for us: %.300s", len(tree.Stmts), len(list), sql)
		return
	}
	theirs, ours := map[string]bool{}, map[string]bool{}
	namedIn(tree.Stmts, theirs)
	for _, p := range list {
		ast.Rewrite(p.node, func(c *ast.Cursor) bool {
			if rv, ok := c.Node().(*ast.RangeVar); ok && rv != nil {
				ours[rv.SchemaName+"."+rv.RelName] = true
			}
			return true
		}, nil)
	}
	for name := range theirs {
		if !ours[name] {
			o.relations++
			o.t.Logf("%s is not seen by us: %.300s", name, sql)
			return
		}
	}
}

// namedIn collects the relations in a tree of PostgreSQL's.
func namedIn(n any, into map[string]bool) {
	switch n := n.(type) {
	case []any:
		for _, x := range n {
			namedIn(x, into)
		}
	case map[string]any:
		if name, ok := n["relname"].(string); ok && n["relpersistence"] != nil {
			schema, _ := n["schemaname"].(string)
			into[schema+"."+name] = true
		}
		for _, x := range n {
			namedIn(x, into)
		}
	}
}

var tags = regexp.MustCompile(`\$[a-zA-Z_]*\$`)

// chunks cuts a script where a line ends in a semicolon that is in no dollar quotes.
// It need not be right: what is cut wrongly both must refuse.
func chunks(script string) []string {
	var out []string
	var open strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, `\`) {
			continue
		}
		open.WriteString(line)
		if strings.HasSuffix(strings.TrimSpace(line), ";") && len(tags.FindAllString(open.String(), -1))%2 == 0 {
			out = append(out, strings.TrimSpace(open.String()))
			open.Reset()
		}
	}
	return out
}
