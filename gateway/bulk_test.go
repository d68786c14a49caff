package gateway_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
)

// What a job loads in one INSERT of five megabytes runs in prod as a small one would,
// and its beginning, length and hash are in the record.
func TestBulkInsertOfAJobRuns(t *testing.T) {
	th := start(t, "prod", "create table loaded (id int, name text)", nil)
	job := person("loader")
	job.Kind = identity.Job // nobody is asked: what is not understood is refused
	conn := connect(t, th.as(job))
	var b strings.Builder
	b.WriteString("insert into loaded (id, name) values ")
	n := 0
	for ; b.Len() < 5<<20; n++ {
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + strconv.Itoa(n) + ", 'somebody''s name" + strings.Repeat(", and more of it", 20) + "')")
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec} {
		tag, err := conn.Exec(context.Background(), b.String(), mode)
		if err != nil || tag.RowsAffected() != int64(n) {
			t.Errorf("%v: %v, %.200v", mode, tag, err)
		}
	}
	for _, ev := range th.events(audit.Decided) {
		if ev.Effect != "allow" || ev.Statement != "insert" || len(ev.Writes) == 0 || len(ev.SQL) > 1<<20 || ev.SQLHash == "" {
			t.Errorf("recorded as %s %s of %q, %d bytes, hash %q", ev.Effect, ev.Statement, ev.Writes, len(ev.SQL), ev.SQLHash)
		}
	}
	th.balanced()
}
