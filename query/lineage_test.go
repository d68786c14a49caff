package query

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
)

// lineageCase is one line of testdata/lineage/cases.jsonl.
type lineageCase struct {
	ID         string       `json:"id"`
	SchemaSQL  string       `json:"schema_sql"`
	SQL        string       `json:"sql"`
	SearchPath []string     `json:"search_path"`
	Expected   lineageTruth `json:"expected"`
	Opaque     bool         `json:"opaque"`
}

type lineageTruth struct {
	Target     *string             `json:"target"`
	Columns    map[string][]string `json:"columns"`
	AltColumns map[string][]string `json:"alt_columns"`
	Indirect   []string            `json:"indirect"`
	Optional   map[string][]string `json:"optional"`
}

// What is reached on the corpus; better is welcome and raises the bar.
const (
	wantExact          = 263 // the rest call functions whose bodies are not followed
	wantIndirectRecall = 0.99
)

// score is what the corpus test counts.
type score struct {
	exact, unknown, missed, invented   int
	indirectFound, indirectAll, opaque int
	opaqueAll                          int
}

func TestLineageCorpus(t *testing.T) {
	var sc score
	cases := readCases(t)
	for _, c := range cases {
		runCase(t, c, &sc)
	}
	t.Logf("%d cases: %d exact, %d with an unknown column, missed sources %d, invented %d, indirect %d of %d, opaque %d of %d",
		len(cases), sc.exact, sc.unknown, sc.missed, sc.invented, sc.indirectFound, sc.indirectAll, sc.opaque, sc.opaqueAll)
	if sc.missed != 0 {
		t.Errorf("%d sources missed on columns that are said to be known: each is a leak", sc.missed)
	}
	if sc.opaque != sc.opaqueAll {
		t.Errorf("%d of %d opaque cases answered as if they could be analysed", sc.opaqueAll-sc.opaque, sc.opaqueAll)
	}
	if sc.exact < wantExact {
		t.Errorf("%d cases exact, were %d", sc.exact, wantExact)
	}
	if r := float64(sc.indirectFound) / float64(sc.indirectAll); r < wantIndirectRecall {
		t.Errorf("indirect recall %.3f, want at least %.3f", r, wantIndirectRecall)
	}
}

func readCases(t *testing.T) []lineageCase {
	t.Helper()
	data, err := os.ReadFile("testdata/lineage/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var cases []lineageCase
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c lineageCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return cases
}

// runCase makes the case's schema in a transaction that is rolled back, so that
// all cases share one database.
func runCase(t *testing.T, c lineageCase, sc *score) {
	t.Helper()
	conn := lineageConn(t)
	ctx := context.Background()
	exec := func(sql string) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v\n%s", c.ID, err, sql)
		}
	}
	path := c.SearchPath
	if path == nil {
		path = []string{"public"}
	}
	exec("BEGIN")
	defer exec("ROLLBACK")
	if c.SchemaSQL != "" {
		exec(c.SchemaSQL)
	}
	exec("SET LOCAL search_path TO ''") // view definitions are then printed with every schema
	s := loadSchema(t, conn, path)
	statements := Analyze(c.SQL, s)
	st := statements[len(statements)-1]
	judge(t, c, &st, sc)
}

var shared *pgx.Conn

func lineageConn(t *testing.T) *pgx.Conn {
	t.Helper()
	if shared != nil {
		return shared
	}
	conn, err := pgx.Connect(context.Background(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared = nil; conn.Close(context.Background()) })
	shared = conn
	return conn
}

func judge(t *testing.T, c lineageCase, st *Statement, sc *score) {
	t.Helper()
	got := map[string]Column{}
	seen := map[string]int{}
	for _, col := range st.Output {
		seen[col.Name]++
		key := col.Name
		if n := seen[key]; n > 1 {
			key += "#" + strconv.Itoa(n)
		}
		got[key] = col
	}
	if c.Opaque {
		sc.opaqueAll++
		if st.Partial {
			sc.opaque++
		}
		return
	}
	exact, unknown := len(got) == len(c.Expected.Columns), false
	anyUnknown := slices.ContainsFunc(st.Output, func(c Column) bool { return !c.Known })
	for name, want := range c.Expected.Columns {
		col, ok := got[name]
		if !ok {
			exact = false
			if !anyUnknown {
				sc.missed += max(len(want), 1)
				t.Logf("%s: column %s is not reported; got %v", c.ID, name, st.Output)
			}
			continue
		}
		unknown = unknown || !col.Known
		var sources []string
		for _, s := range col.Sources {
			sources = append(sources, s.Ref.String())
		}
		missed, invented := difference(want, sources), difference(sources, append(slices.Clone(c.Expected.Optional[name]), want...))
		if alt := c.Expected.AltColumns[name]; alt != nil && len(difference(alt, sources)) == 0 && len(difference(sources, alt)) == 0 {
			continue
		}
		if !col.Known || len(missed)+len(invented) > 0 {
			exact = false
		}
		if col.Known && len(missed) > 0 {
			sc.missed += len(missed)
			t.Logf("%s: %s misses %v\n  %s", c.ID, name, missed, c.SQL)
		}
		if col.Known && len(invented) > 0 {
			sc.invented += len(invented)
			t.Logf("%s: %s invents %v\n  %s", c.ID, name, invented, c.SQL)
		}
	}
	if c.Expected.Target != nil && (st.Target == nil || st.Target.String() != *c.Expected.Target) {
		exact = false
		t.Logf("%s: target %v, want %s", c.ID, st.Target, *c.Expected.Target)
	}
	var indirect []string
	for _, r := range st.Indirect {
		indirect = append(indirect, r.String())
	}
	lost := difference(c.Expected.Indirect, indirect)
	if !st.Partial {
		// What steers a function's body is asked of statements only that say they are whole.
		sc.indirectAll += len(c.Expected.Indirect)
		sc.indirectFound += len(c.Expected.Indirect) - len(lost)
	}
	if len(lost) > 0 && !st.Partial {
		t.Logf("%s: indirect misses %v of %v\n  %s", c.ID, lost, c.Expected.Indirect, c.SQL)
	}
	if exact {
		sc.exact++
	} else {
		t.Logf("%s: not exact: kind %q, want %v, got %v\n  %s", c.ID, st.Kind, c.Expected.Columns, st.Output, strings.TrimSpace(c.SQL))
	}
	if unknown || anyUnknown {
		sc.unknown++
	}
}

func difference(a, b []string) []string {
	var out []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}
