package query

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deepForms are statements that grow without end: what is repeated before the middle,
// the middle, and what is repeated after it.
var deepForms = []struct{ name, start, open, middle, shut, end string }{
	{"parentheses", "select ", "(", "1", ")", ""},
	{"brackets", "select ", "a[", "1", "]", ""},
	{"arrays", "select ", "array[", "1", "]", ""},
	{"rows", "select ", "row(", "1", ")", ""},
	{"calls", "select ", "lower(", "'a'", ")", ""},
	{"casts", "select 1", "::int", "", "", ""},
	{"cast calls", "select ", "cast(", "1", " as int)", ""},
	{"cases", "select ", "case when true then ", "1", " end", ""},
	{"else", "select ", "case when a then 1 else ", "1", " end", ""},
	{"whens", "select case", " when a then 1", "", "", " end"},
	{"subqueries", "", "select * from (", "select 1", ") x", ""},
	{"scalar subqueries", "", "select (", "select 1", ")", ""},
	{"exists", "select 1 where ", "exists (select 1 where ", "true", ")", ""},
	{"lateral", "select * from users", ", lateral (select 1) l", "", "", ""},
	{"with in with", "", "with a as (", "select 1", ") select * from a", ""},
	{"with lists", "with a as (select 1)", ", a as (select 1)", "", "", " select 1"},
	{"joins", "select * from users", " join users on true", "", "", ""},
	{"natural joins", "select * from users", " natural join users", "", "", ""},
	{"nested joins", "select * from ", "(users join ", "users", " on true)", ""},
	{"union all", "select 1", " union all select 1", "", "", ""},
	{"except", "select id from users", " except select 1", "", "", ""},
	{"nested unions", "", "(select 1 union ", "select 1", ")", ""},
	{"sums", "select 1", "+1", "", "", ""},
	{"products", "select a", "*b", "", "", ""},
	{"unspaced plus", "select ", "+", "1", "", ""},
	{"unspaced minus", "select 1 ", "+-", "1", "", ""},
	{"operator", "select 1 ", "@", "1", "", ""},
	{"spaced signs", "select ", "- ", "1", "", ""},
	{"ands", "delete from users where id = 1", " and id = 1", "", "", ""},
	{"ors", "delete from users where id = 1", " or id = 1", "", "", ""},
	{"nots", "delete from users where ", "not ", "true", "", ""},
	{"concatenations", "select 'a'", "||'a'", "", "", ""},
	{"in lists", "select 1 where 1 in (1", ",1", "", "", ")"},
	{"values", "insert into scratch values (1)", ",(1)", "", "", ""},
	{"columns", "select id", ",id", "", "", " from users"},
	{"stars", "select *", ",*", "", "", " from users"},
	{"names", "select a", ".a", "", "", ""},
	{"subscripts", "select a", "[1]", "", "", ""},
	{"collations", "select a", " collate \"C\"", "", "", ""},
	{"time zones", "select a", " at time zone 'utc'", "", "", ""},
	{"is null", "select a", " is null", "", "", ""},
	{"continued literals", "select 'a'", "\n'a'", "", "", ""},
	{"continued escapes", "select e'a'", "\n'\\''", "", "", ""},
	{"long literal", "select '", "a", "", "", "'"},
	{"doubled quotes", "select '", "''", "", "", "'"},
	{"backslashes", "select e'", "\\\\", "", "", "'"},
	{"long name", "select \"", "a", "", "", "\""},
	{"long number", "select ", "1", "", "", ""},
	{"nested comments", "", "/*", "", "*/", " select 1"},
	{"open comments", "select 1 ", "/*", "", "", ""},
	{"line comments", "", "--\n", "select 1", "", ""},
	{"dollar quotes", "select ", "$a$", "", "", ""},
	{"dollar literals", "select $a$$a$", ",$a$$a$", "", "", ""},
	{"tags", "select ", "$a", "", "", ""},
	{"nested dollars", "do $x$ begin ", "execute $a$ ", "", " $a$;", " end $x$"},
	{"statements", "", "select 1;", "", "", ""},
	{"semicolons", "", ";", "", "", ""},
	{"spaces", "select", " ", "1", "", ""},
	{"blocks", "do $x$ ", "begin ", "", "end; ", "$x$"},
	{"ifs", "do $x$ begin ", "if a then ", "", "end if; ", "end $x$"},
	{"assignments", "do $x$ begin ", "a := 1; ", "", "", "end $x$"},
	{"body parentheses", "do $x$ begin a := ", "(", "1", ")", "; end $x$"},
	{"atomic bodies", "create function f() returns int ", "begin atomic ", "select 1;", " end;", ""},
	{"grouping sets", "select 1 group by ", "grouping sets (", "1", ")", ""},
	{"order", "select 1 order by 1", ",1", "", "", ""},
	{"windows", "select 1 window w as ()", ", w as ()", "", "", ""},
	{"drops", "drop table a", ",a", "", "", ""},
	{"sets", "update users set id = 1", ",id = 1", "", "", ""},
	{"merge", "merge into users using users u on true", " when matched then do nothing", "", "", ""},
	{"explains", "", "explain ", "select 1", "", ""},
	{"unclosed", "select ", "(", "1", "", ""},
	{"unopened", "select ", ")", "1", "", ""},
	{"bad bytes", "select '", "\xff", "", "", "'"},
	{"cut characters", "select '", "\xe2\x82", "", "", "'"},
	{"overlong", "select ", "\xc0\xaf", "", "", ""},
	{"surrogates", "select ", "\xed\xa0\x80", "", "", ""},
	{"zeros", "select 1", "\x00", "", "", ""},
	{"controls", "select 1 ", "\x01", "", "", ""},
	{"not spaces", "select 1 ", "\u00a0", "", "", ""},
	{"unicode escapes", "select u&'", "\\0041", "", "", "'"},
	{"bad unicode escapes", "select u&'", "\\d83d", "", "", "'"},
	{"parameters", "select $1", "+$1", "", "", ""},
	{"chained nulls", "select a", " isnull is not null", "", "", ""},
	{"unique", "select 1 where true", " and unique (select 1)", "", "", ""},
	{"encodings", "select 1", ", json_object('a': b format json encoding c)", "", "", ""},
	{"set null", "create table t (a int", ", foreign key (a) references c on update set null (a)", "", "", ")"},
	{"numbers", "select 1", ", 1__1", "", "", ""},
	{"escapes", "select 1", ", e'\\ud83d'", "", "", ""},
	{"columns set", "update users set id = 1", ", a# = 1", "", "", ""},
	{"from list", "select 1 from users", ", users a#", "", "", ""},
}

// atFull are the forms that are made a hundred thousand times in every run of the tests;
// what is refused before it is parsed always is. The rest have a tenth of it.
var atFull = []string{"casts", "sums", "ors", "nots", "in lists", "chained nulls", "numbers", "columns set", "from list"}

var deep = flag.Bool("deep", false, "repeat everything a hundred thousand times, and up to the longest text that is read")

// grown is a form repeated n times; # in it is a number that is different each time.
func grown(i, n int) string {
	f := deepForms[i]
	open := strings.Repeat(f.open, n)
	if strings.Contains(f.open, "#") {
		var b strings.Builder
		for at := range n {
			b.WriteString(strings.ReplaceAll(f.open, "#", strconv.Itoa(at)))
		}
		open = b.String()
	}
	return f.start + open + f.middle + strings.Repeat(f.shut, n) + f.end
}

const (
	// deepHeap is the memory that one text may take, from what it is parsed to until
	// it is answered. A gateway reads one such text at a time (Cache.big).
	deepHeap = 512 << 20
	// deepTime is when an answer counts as none: a hundred times what it takes.
	deepTime = 2 * time.Minute
)

// TestDeepAndLong: whatever a text repeats a hundred thousand times, or up to eight
// megabytes, it is answered in bounded memory, and nobody dies of it.
func TestDeepAndLong(t *testing.T) {
	for i, f := range deepForms {
		most := (MaxSQL - len(f.start) - len(f.middle) - len(f.end)) / (len(f.open) + len(f.shut))
		counts := []int{10_000, 9 * most}
		if slices.Contains(atFull, f.name) || refuse(grown(i, 100_000)) != "" {
			counts[0] = 100_000
		}
		if *deep {
			counts = []int{100_000, most, 9 * most}
		}
		for _, n := range counts {
			t.Run(fmt.Sprintf("%s %d", strings.ReplaceAll(f.name, " ", "-"), n), func(t *testing.T) { answered(t, grown(i, n)) })
		}
	}
}

func answered(t *testing.T, sql string) {
	t.Helper()
	heap := heapDuring(t, func() {
		list := Analyze(sql, people())
		if len(list) == 0 {
			t.Error("no answer")
		}
		st := &list[0]
		if len(sql) > MaxSQL && !strings.HasPrefix(st.Problem, ProblemTooLong) {
			t.Errorf("%d bytes are answered as %s, %s", len(sql), st.Kind, st.Problem)
		}
		checkStatement(t, st, people())
	})
	if heap > deepHeap {
		t.Errorf("%d MiB were taken for %d bytes", heap>>20, len(sql))
	}
}

// heapDuring is the most memory of heap and stacks that f takes beyond what was there
// before.
func heapDuring(t *testing.T, f func()) uint64 {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // what is garbage is not counted for long
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc+m.StackInuse, uint64(0)
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; {
		select {
		case <-done:
			if d := time.Since(start); testing.Verbose() && d > 100*time.Millisecond {
				t.Logf("%v, %d MiB", d.Round(time.Millisecond), most>>20)
			}
			return most
		case <-tick.C:
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc+m.StackInuse-min(before, m.HeapAlloc+m.StackInuse))
			if time.Since(start) > deepTime {
				t.Fatal("no answer in time")
			}
		}
	}
}

// What applications send a lot of is none of it.
func TestLongButPlain(t *testing.T) {
	rows := strings.TrimSuffix(strings.Repeat("($1, $2, $3), ", 65535/3), ", ")
	for name, sql := range map[string]string{
		"parameters": "insert into scratch values " + rows,
		"defaults":   "insert into scratch (a) values " + strings.TrimSuffix(strings.Repeat("(default), ", 50_000), ", "),
		"functions":  strings.Repeat("create function f() returns int language sql as $body$ select 1 $body$; ", 2000),
		"nulls":      "select 1 where true" + strings.Repeat(" and a is null and b is not null", 5000),
	} {
		if st := Analyze(sql, people())[0]; st.Kind == Unknown {
			t.Errorf("%s: %s", name, st.Problem)
		}
	}
}
