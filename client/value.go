package client

import (
	"encoding/json"

	"github.com/jackc/pgx/v5/pgtype"
)

// JSONValue is a value that came as text: numbers, truth values and JSON stay what they
// are. A number that JSON does not have, such as NaN or one that was masked, is text.
func JSONValue(oid uint32, v []byte) json.RawMessage {
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
			return append(json.RawMessage{}, v...)
		}
	}
	return JSONText(string(v))
}

// JSONText is a string as JSON.
func JSONText(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`) // a string always marshals
	}
	return b
}
