package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
)

func (a *app) auditSQLCommand(addr, dir *string) *cobra.Command {
	var in api.AuditSQL
	var f format
	c := &cobra.Command{
		Use: "sql SELECT", Short: "ask the index of the record in SQL, read-only", Args: oneArg,
		Long: `Ask the index of the record in SQL (of SQLite). The view events has a row for each
statement and other event, the view touches what each reads and writes, and the table
member the groups of callers. Values are not in it: sluice audit show ID has them, an
ID being that of the record and seq. A gateway answers its auditors, for a minute at
most, and records the question.`,
		Example: `  sluice audit sql "select who, count(*) from events where effect = 'deny' group by 1 order by 2 desc"` + "\n" +
			`  sluice audit sql "select name, sql from sqlite_schema"`,
		RunE: func(c *cobra.Command, args []string) error {
			in.SQL = args[0]
			res, err := a.askSQL(c.Context(), *addr, *dir, in)
			if err != nil {
				return err
			}
			if res.More {
				fmt.Fprintln(a.err, "There is more: raise --limit.")
			}
			return f.print(a.out, sqlTable(res))
		},
	}
	c.Flags().IntVar(&in.Limit, "limit", 0, "rows at most; 0 is 1,000")
	addFormat(c, &f, "table", "json", "csv", "jsonl")
	return c
}

func (a *app) askSQL(ctx context.Context, addr, dir string, in api.AuditSQL) (res api.AuditRows, err error) {
	if dir == "" {
		err = a.call(ctx, addr, http.MethodPost, api.AuditSQLPath, in, &res)
		return res, err
	}
	x, err := a.offlineIndex(ctx, dir)
	if err != nil {
		return res, err
	}
	defer x.Close()
	rows, err := x.SQL(ctx, in.SQL, in.Limit)
	if err != nil {
		return res, gateway.SQLError(err)
	}
	return api.AuditRows(rows), nil
}

func sqlTable(res api.AuditRows) table {
	t := table{head: res.Columns}
	objects := make([]json.RawMessage, 0, len(res.Rows))
	for _, row := range res.Rows {
		var object strings.Builder // in the order of the columns, two of which may have one name
		cells := make([]string, len(row))
		for i, v := range row {
			if v != nil {
				cells[i] = fmt.Sprint(v)
			}
			name, _ := json.Marshal(res.Columns[i]) // text
			value, err := json.Marshal(v)
			if err != nil { // an infinity
				value = []byte("null")
			}
			fmt.Fprintf(&object, ",%s:%s", name, value)
		}
		t.rows = append(t.rows, cells)
		objects = append(objects, json.RawMessage("{"+strings.TrimPrefix(object.String(), ",")+"}"))
	}
	t.value = objects
	return t
}
