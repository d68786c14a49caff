// Package steps sends the steps of a runbook's run over a session of a database: each goes
// out by the extended protocol, so that it is one statement and its values are bound, and
// what went wrong is told by who said so. It starts no goroutine of its own; the settings
// of the connection, and what dials it, are its caller's.
package steps

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/wire/postgres"
)

const (
	maxBytes    = 16 << 20        // of what one step may return, as runbook.MaxResult bounds its rows
	goodbyeTime = 5 * time.Second // for telling the server that a session ends
)

// Limits are the settings of a session that keep what the runbook says of each statement.
func Limits(l runbook.Limits) map[string]string {
	out := map[string]string{}
	for name, d := range map[string]time.Duration{"statement_timeout": l.Statement, "lock_timeout": l.Lock} {
		if d > 0 {
			out[name] = strconv.FormatInt(max(d.Milliseconds(), 1), 10)
		}
	}
	return out
}

// Tell sends a setting that speaks to the gateway, and means nothing to the database.
// value must hold nothing but what a person may see.
func Tell(ctx context.Context, db *pgconn.PgConn, name, value string) error {
	return db.Exec(ctx, fmt.Sprintf("set sluice.%s = '%s'", name, strings.ReplaceAll(value, "'", "''"))).Close()
}

// Session is a runbook.Conn. Its owner is the goroutine of the run.
type Session struct{ DB *pgconn.PgConn }

// Close says goodbye, so that the server ends what is open at once.
func (s *Session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTime)
	defer cancel()
	_ = s.DB.Close(ctx) // one that cannot be told is found out by the server
}

// Do runs one statement. An error is a *runbook.Failure.
func (s *Session) Do(ctx context.Context, sql string, params []*string, most int) (*runbook.Result, error) {
	values := make([][]byte, len(params))
	for i, p := range params {
		if p != nil {
			values[i] = []byte(*p)
		}
	}
	r := s.DB.ExecParams(ctx, sql, values, nil, nil, nil)
	res, size, over := &runbook.Result{}, 0, false
	for _, f := range r.FieldDescriptions() {
		res.Columns = append(res.Columns, runbook.Column{Name: strings.Clone(f.Name), OID: f.DataTypeOID})
	}
	for r.NextRow() {
		if len(res.Rows) >= most || size > maxBytes {
			over = true
			continue
		}
		row := make([]*string, len(r.Values()))
		for i, v := range r.Values() {
			if v != nil {
				text := string(v)
				row[i], size = &text, size+len(text)
			}
		}
		res.Rows = append(res.Rows, row)
	}
	tag, err := r.Close()
	switch {
	case err != nil:
		return nil, s.Failure(err)
	case over:
		return nil, &runbook.Failure{Cause: runbook.TooMany, Sentence: fmt.Sprintf("it returns more than %d rows or %d MiB", most, maxBytes>>20), Hint: "add LIMIT, or count instead"}
	}
	res.Tag, res.Count = tag.String(), tag.RowsAffected()
	if len(res.Columns) > 0 && !tag.Insert() && !tag.Update() && !tag.Delete() {
		res.Count = int64(len(res.Rows))
	}
	return res, nil
}

// Failure says what an error of the session means to its run, in the words of whoever
// said it: these may hold anything, and are cleaned by whoever shows them.
func (s *Session) Failure(err error) *runbook.Failure {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return &runbook.Failure{Cause: runbook.Lost, Sentence: "the session was lost: " + err.Error(), Err: err}
	}
	f := &runbook.Failure{Cause: runbook.Failed, Sentence: pg.Message, Hint: pg.Hint, Code: pg.Code, Err: err}
	switch {
	case pg.Severity == "FATAL" || pg.Severity == "PANIC" || s.DB != nil && s.DB.IsClosed():
		f.Cause = runbook.Lost
	case pg.Routine != postgres.Mark: // code in the database may say what the gateway says
	case pg.Code == "42501" && strings.HasPrefix(pg.Message, "refused by policy"):
		f.Cause = runbook.Refused
	case pg.Code == "42501" && strings.HasPrefix(pg.Message, "not approved"):
		f.Cause = runbook.Denied
	}
	switch {
	case f.Cause == runbook.Refused || f.Cause == runbook.Denied:
		f.Sentence += " (" + pg.Detail + ")" // the rule
		return f
	case pg.Detail != "":
		f.Sentence += "; " + pg.Detail
	}
	f.Sentence += " (SQLSTATE " + pg.Code + ")"
	return f
}
