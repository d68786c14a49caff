package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/client"
)

// rowsTable makes a list of a result, whose values are text.
func rowsTable(r *pgconn.Result, format string) table {
	var t table
	null := "NULL"
	if format == "csv" {
		null = "" // as PostgreSQL writes it
	}
	names := make([]string, len(r.FieldDescriptions))
	for i, f := range r.FieldDescriptions {
		names[i] = f.Name
		for n := 2; slices.Contains(names[:i], names[i]); n++ {
			names[i] = fmt.Sprintf("%s_%d", f.Name, n) // objects have each key once
		}
		t.head = append(t.head, f.Name)
	}
	objects := make([]object, 0, len(r.Rows))
	for _, row := range r.Rows {
		o, cells := object{names: names}, make([]string, len(row))
		for i, v := range row {
			cells[i] = null
			if v != nil {
				cells[i] = string(v)
			}
			o.values = append(o.values, client.JSONValue(r.FieldDescriptions[i].DataTypeOID, v))
		}
		t.rows, objects = append(t.rows, cells), append(objects, o)
	}
	t.value = objects
	return t
}

// object is a row with its columns in their order.
type object struct {
	names  []string
	values []json.RawMessage
}

// MarshalJSON writes the keys in the order of the columns.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(client.JSONText(name))
		b.WriteByte(':')
		b.Write(o.values[i])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
