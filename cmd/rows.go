package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
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
			o.values = append(o.values, jsonValue(r.FieldDescriptions[i].DataTypeOID, v))
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
		b.Write(jsonText(name))
		b.WriteByte(':')
		b.Write(o.values[i])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// jsonValue keeps numbers, truth values and JSON as what they are. A number that
// JSON does not have, such as NaN or one that was masked, is text.
func jsonValue(oid uint32, v []byte) json.RawMessage {
	if v == nil {
		return json.RawMessage("null")
	}
	switch oid {
	case pgtype.BoolOID:
		switch string(v) {
		case "t":
			return json.RawMessage("true")
		case "f":
			return json.RawMessage("false")
		}
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID,
		pgtype.JSONOID, pgtype.JSONBOID:
		if json.Valid(v) {
			return v
		}
	}
	return jsonText(string(v))
}

func jsonText(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // a string always marshals
	}
	return b
}
