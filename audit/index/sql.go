package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Rows is what a question in SQL found.
type Rows struct {
	Columns []string
	Rows    [][]any // text, int64, float64 or nil
	More    bool    // there are more than were asked for
}

const (
	defaultRows = 1000
	// maxValue bounds one value in memory: whoever may ask in SQL could build any.
	maxValue = 1 << 20
)

// ErrNotSelect says that a statement does more than select from the index.
var ErrNotSelect = errors.New("only one select over the tables of the index is allowed")

// SQL answers a select over the index, whose tables and views the schema has. Nothing
// can be written by it, no other file reached, and no setting changed. It takes in what
// the record has got, but does not read the record: what the index does not have, it
// does not answer.
func (x *Index) SQL(ctx context.Context, text string, limit int) (Rows, error) {
	if limit <= 0 {
		limit = defaultRows
	}
	limit = min(limit, maxLimit)
	if done, err := x.catchUp(ctx, answerEntries); err != nil || !done {
		if err == nil {
			err = errBehind
		}
		return Rows{}, fmt.Errorf("ask the index: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(x.cfg.Path, "ro", []string{"query_only(1)", "trusted_schema(0)", "busy_timeout(10000)"}))
	if err != nil {
		return Rows{}, fmt.Errorf("ask the index: %w", err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return Rows{}, fmt.Errorf("ask the index: %w", err)
	}
	defer conn.Close()
	if err := fence(conn); err != nil {
		return Rows{}, fmt.Errorf("ask the index: %w", err)
	}
	rows, err := conn.QueryContext(ctx, text)
	if err != nil {
		return Rows{}, said(err)
	}
	return collect(rows, limit)
}

// fence lets a connection do nothing but select.
func fence(conn *sql.Conn) error {
	if _, err := sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_LENGTH, maxValue); err != nil {
		return err
	}
	if _, err := sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_ATTACHED, 0); err != nil {
		return err
	}
	return conn.Raw(func(c any) error {
		r, ok := c.(interface {
			RegisterAuthorizer(sqlite.AuthorizerFn) error
		})
		if !ok {
			return errors.New("the SQLite driver has no authorizer")
		}
		return r.RegisterAuthorizer(mayAsk)
	})
}

// mayAsk is what a select consists of. Functions that reach outside of it are not there.
func mayAsk(action sqlite.AuthorizerActionCode, first, second, _, _ string) sqlite.AuthorizerReturnCode {
	switch action {
	case sqlite.AuthSelect, sqlite.AuthRead, sqlite.AuthRecursive:
		return sqlite.AuthorizerOK
	case sqlite.AuthFunction:
		switch second {
		case "load_extension", "fts3_tokenizer", "fts5", "readfile", "writefile", "edit":
			return sqlite.AuthorizerDeny
		}
		return sqlite.AuthorizerOK
	case sqlite.AuthPragma:
		if first == "data_version" && second == "" { // the full-text search asks for it
			return sqlite.AuthorizerOK
		}
	}
	return sqlite.AuthorizerDeny
}

// said is an error in the words of whoever wrote the SQL.
func said(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_AUTH {
		return ErrNotSelect
	}
	return fmt.Errorf("ask the index: %w", err)
}

func collect(rows *sql.Rows, limit int) (Rows, error) {
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return Rows{}, said(err)
	}
	out := Rows{Columns: cols, Rows: [][]any{}}
	size := 0
	for rows.Next() {
		if len(out.Rows) == limit || size > maxListBytes/4 {
			out.More = true
			break
		}
		row, to := make([]any, len(cols)), make([]any, len(cols))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return Rows{}, said(err)
		}
		for i, v := range row {
			switch v := v.(type) {
			case []byte:
				row[i] = fmt.Sprintf("%x", v)
				size += 2 * len(v)
			case string:
				size += len(v)
			case int64, float64, nil:
			default: // a column that was declared to be a time
				row[i] = fmt.Sprint(v)
			}
			size += 16
		}
		out.Rows = append(out.Rows, row)
	}
	if out.More {
		return out, nil
	}
	if err := rows.Err(); err != nil {
		return Rows{}, said(err)
	}
	return out, nil
}
