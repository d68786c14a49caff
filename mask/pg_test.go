package mask_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/mask"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var samplesByType = map[string]string{
	"text": "jane@acme.com", "varchar": "jane@acme.com", "bpchar": "jane@acme.com", "name": "jane@acme.com",
	"json": `{"a":"jane@acme.com"}`, "jsonb": `{"a":"jane@acme.com"}`, "xml": "<a>jane@acme.com</a>", "bytea": `\x6a616e65`,
	"bool": "true", "int2": "7", "int4": "52000", "int8": "4111111111111111", "float4": "1.5", "float8": "1.5", "numeric": "4111111111111111.50",
	"money": "12.50", "oid": "77", "date": "1984-07-19", "timestamp": "1984-07-19 10:11:12.5", "timestamptz": "1984-07-19 10:11:12.5+02",
	"time": "10:11:12", "timetz": "10:11:12+02", "interval": "3 days", "uuid": "550e8400-e29b-41d4-a716-446655440000", "inet": "203.0.113.77",
	"cidr": "203.0.113.0/24", "macaddr": "00:1b:44:11:3a:b7", "macaddr8": "00:1b:44:11:3a:b7:01:02", "text[]": "{jane@acme.com,NULL}",
	"int8[]": "{1,4111111111111111}", "point": "(1,2)", "int4range": "[1,2)", "tsvector": "jane", "bit": "1", "\"char\"": "x", "date[]": "{1984-07-19}",
}

// TestMaskedValuesAreValid sends every masked value back to PostgreSQL, which must
// take it for the type, in the format that it came in.
func TestMaskedValuesAreValid(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for typ, value := range samplesByType {
		for _, format := range []int16{0, 1} {
			oid, raw := fetch(t, conn, typ, value, format)
			for _, c := range []mask.Column{{State: mask.Hide}, {State: mask.PII, Type: mask.Email}, {State: mask.PII, Type: mask.BirthDate},
				{State: mask.PII, Type: mask.Card}, {State: mask.Unknown}} {
				c.TypeOID, c.Binary = oid, format == 1
				out := apply(c, raw)
				if c.State != mask.Unknown && bytes.Equal(out, raw) {
					t.Errorf("%s, format %d, state %d: passes as it is: %q", typ, format, c.State, raw)
				}
				if out == nil {
					continue
				}
				r := conn.PgConn().ExecParams(t.Context(), fmt.Sprintf("select $1::%s", typ), [][]byte{out}, []uint32{oid}, []int16{format}, nil).Read()
				if r.Err != nil {
					t.Errorf("%s, format %d, state %d: %q is refused: %v", typ, format, c.State, out, r.Err)
				}
			}
		}
	}
}

func fetch(t *testing.T, conn *pgx.Conn, typ, value string, format int16) (uint32, []byte) {
	t.Helper()
	r := conn.PgConn().ExecParams(t.Context(), fmt.Sprintf("select '%s'::%s", value, typ), nil, nil, nil, []int16{format}).Read()
	if r.Err != nil {
		t.Fatalf("%s: %v", typ, r.Err)
	}
	return r.FieldDescriptions[0].DataTypeOID, bytes.Clone(r.Rows[0][0])
}

// TestCopyOfPostgreSQL masks what a real server sends, and has the server read it back.
func TestCopyOfPostgreSQL(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `create table p (id int, email text, note text); create table q (like p);
		insert into p values (1, 'jane@acme.com', e'tab\there, "quoted", back\\slash,\nbob@acme.com\r\n.'), (2, null, ''), (3, '', null), (4, '\.', '\N')`)
	if err != nil {
		t.Fatal(err)
	}
	for options, format := range map[string]mask.CopyFormat{
		"":                             {},
		"(delimiter '|', null 'none')": {Delimiter: '|', Null: "none", NullSet: true},
		"(format csv)":                 {Kind: mask.CopyCSV},
		"(format csv, header, quote '''', escape '\\', delimiter ';', force_quote *)": {Kind: mask.CopyCSV, Header: true, Quote: '\'', Escape: '\\', Delimiter: ';'},
		"(format binary)": {Kind: mask.CopyBinary},
	} {
		t.Run(options, func(t *testing.T) {
			var sent bytes.Buffer
			if _, err := conn.PgConn().CopyTo(t.Context(), &sent, "copy p to stdout "+options); err != nil {
				t.Fatal(err)
			}
			out, err := copyAll(mask.NewCopy(copyColumns, format), sent.Bytes(), 11)
			if err != nil {
				t.Fatal(err)
			}
			gone(t, out, "jane@", "bob@", "acme")
			if _, err := conn.Exec(t.Context(), "truncate q"); err != nil {
				t.Fatal(err)
			}
			back := strings.ReplaceAll(options, ", force_quote *", "")
			if _, err := conn.PgConn().CopyFrom(t.Context(), bytes.NewReader(out), "copy q from stdin "+back); err != nil {
				t.Fatalf("the server refuses its own data, masked: %v\n%q", err, out)
			}
			var same int
			err = conn.QueryRow(t.Context(), `select count(*) from p join q using (id) where (p.email is null) = (q.email is null)
				and q.note is not distinct from replace(p.note, 'bob@acme.com', 'b•••@masked.invalid')`).Scan(&same)
			if err != nil || same != 4 {
				t.Errorf("%d of 4 rows came back as they should: %v\n%q", same, err, out)
			}
		})
	}
}
