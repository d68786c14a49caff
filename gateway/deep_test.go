package gateway_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/identity"
)

// deepTexts are made to exhaust whoever reads them.
func deepTexts() map[string]string {
	const many = 100_000
	around := func(start, open, middle, shut, end string) string {
		return start + strings.Repeat(open, many) + middle + strings.Repeat(shut, many) + end
	}
	return map[string]string{
		"parentheses":      around("select ", "(", "1", ")", ""),
		"subqueries":       around("", "select * from (", "select 1", ") x", ""),
		"cases":            around("select ", "case when true then ", "1", " end", ""),
		"arrays":           around("select ", "array[", "1", "]", ""),
		"casts":            around("select 1", "::int", "", "", ""),
		"joins":            around("select * from cities", " join cities on true", "", "", ""),
		"union all":        around("select 1", " union all select 1", "", "", ""),
		"sums":             around("select 1", "+1", "", "", ""),
		"signs":            around("select ", "+", "1", "", ""),
		"literals":         around("select 'a'", "\n'a'", "", "", ""),
		"comments":         around("", "/*", "", "*/", " select 1"),
		"open comment":     around("select 1 ", "/*", "", "", ""),
		"dollar quotes":    around("select ", "$a$", "", "", ""),
		"null chain":       around("select a", " is null", "", "", ""),
		"bad bytes":        around("select '", "\xff\xfe", "", "", "'"),
		"eight megabytes":  "select '" + strings.Repeat("a", 8<<20-100) + "'",
		"eight of signs":   "select " + strings.Repeat("+", 8<<20-100) + "1",
		"beyond the limit": "select '" + strings.Repeat("a", 9<<20) + "'",
		"a zero":           "select 1\x00; drop table cities",
	}
}

// Attack: texts that are too deep, too long or no text at all. Each gets an answer or
// loses its own session; a session beside it goes on all the while, and the memory is
// given back.
func TestDeepTextsHarmNoNeighbour(t *testing.T) {
	th := start(t, "dev", "create table cities (id int); insert into cities values (1)", nil)
	mallory := person("mallory")
	mallory.Kind = identity.Job // nobody is asked: what is not understood is refused
	dsn, neighbour := th.as(mallory), th.as(person("ada"))
	work(t, neighbour)
	before := heap()
	for name, sql := range deepTexts() {
		t.Run(name, func(t *testing.T) {
			var done atomic.Bool
			beside := make(chan struct{})
			go func() {
				defer close(beside)
				for ok := true; ok; ok = !done.Load() {
					work(t, neighbour)
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			conn, err := pgconn.Connect(ctx, dsn)
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.Exec(ctx, sql).ReadAll()
			conn.Close(context.WithoutCancel(ctx))
			if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
				t.Errorf("no answer: %v", err)
			}
			t.Logf("%.200v", err)
			done.Store(true)
			<-beside
		})
	}
	var cities int
	if err := connect(t, th.direct).QueryRow(t.Context(), "select count(*) from cities").Scan(&cities); err != nil || cities != 1 {
		t.Errorf("%d cities are left, %v", cities, err)
	}
	eventually(t, "memory is given back", func() bool { return heap() < before+128<<20 })
}
