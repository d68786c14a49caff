package gateway_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgcluster"
)

// psql runs commands in the client that most people use, and returns what it prints.
func psql(t *testing.T, dsn string, commands ...string) (string, error) {
	t.Helper()
	dir, err := pgcluster.Find()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "psql")
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("psql"); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-X", "-v", "ON_ERROR_STOP=1", "-d", dsn}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8", "PAGER=", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What psql says of the database is the same as without a gateway.
func TestPsqlDescribesAsIfDirect(t *testing.T) {
	th := start(t, "dev", shop+"create type mood as enum ('calm', 'busy'); create function twice(int) returns int language sql as 'select $1 * 2';"+
		"create index on cities (name); comment on table cities is 'where shops are'", nil)
	port := th.as(person("ada"))
	for _, command := range []string{
		`\d`, `\d+`, `\d people`, `\d+ people`, `\d cities`, `\d contacts`, `\d+ contacts`, `\dt`, `\dt+ cities`, `\di`, `\dv`, `\dn`, `\df`,
		`\dT`, `\l`, `\du`, `\dp`, `\dx`, `\dd`,
	} {
		t.Run(command, func(t *testing.T) {
			want, err := psql(t, th.direct, command)
			if err != nil {
				t.Fatalf("directly: %v: %s", err, want)
			}
			got, err := psql(t, port, command)
			if err != nil || got != want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

// \copy is COPY TO STDOUT and COPY FROM STDIN.
func TestPsqlCopies(t *testing.T) {
	th := start(t, "dev", shop, nil)
	port := th.as(person("ada"))
	out := filepath.Join(t.TempDir(), "cities.csv")
	for name, command := range map[string]string{
		"rows": `\copy (select id, name from cities order by id) to stdout csv header`, "table": `\copy cities to stdout`,
	} {
		want, err := psql(t, th.direct, command)
		if err != nil || strings.Count(want, "\n") < 300 {
			t.Fatalf("%s directly: %v: %.200s", name, err, want)
		}
		if got, err := psql(t, port, command); err != nil || got != want {
			t.Errorf("%s: %v: %.200s", name, err, got)
		}
	}
	got, err := psql(t, port, `\copy (select id, email from people order by id) to stdout`)
	if err != nil || strings.Count(got, "\n") != 500 || strings.Contains(got, "ada7@") || !strings.HasPrefix(got, "1\t") {
		t.Errorf("personal: %v: %.200s", err, got)
	}
	if err := os.WriteFile(out, []byte("1001,Köln\n1002,\"a, b\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := psql(t, port, `\copy cities from '`+out+`' csv`); err != nil || strings.TrimSpace(got) != "COPY 2" {
		t.Errorf("from a file: %v: %s", err, got)
	}
	if n := count(t, th, "select count(*) from cities where (id, name) in ((1001, 'Köln'), (1002, 'a, b'))"); n != 2 {
		t.Errorf("%d rows came in", n)
	}
	th.balanced()
}

const clean = `
create type mood as enum ('calm', 'busy');
create domain small as int check (value < 100);
create table things (id int primary key, ok bool, f8 float8, f4 float4, amount numeric(20,6), at timestamptz, day date, span interval,
	key uuid, doc json, docb jsonb, tags text[], counts int[], state mood, few small, raw bytea, big bigint, nothing text);
insert into things select i, i % 2 = 0, i / 3.0, i / 7.0, i * 1234567.654321, timestamptz '2024-02-29 12:34:56.789+02' + i * interval '1 hour',
	date '1999-12-31' + i, i * interval '1 day 02:03:04.5', ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, json_build_object('n', i, 'a', array[1, null]),
	jsonb_build_object('n', i), array['red', 'a"b', null], array[i, null, -i], (array['calm', 'busy'])[1 + i % 2]::mood, i % 100,
	decode(lpad(to_hex(i), 8, '0'), 'hex'), i * 10000000000, null from generate_series(1, 400) i;
insert into things (id, ok, f8, f4, amount, at) values (1000, null, 'NaN', 'Infinity', 'NaN', '-infinity');
analyze things;`

// Values that are not personal pass byte for byte, in both formats, whatever their type.
func TestCleanValuesAreUntouched(t *testing.T) {
	th := start(t, "dev", clean, nil)
	direct, through := connect(t, th.direct), connect(t, th.as(person("ada")))
	// The type of an enum is not known outside its database, so that its binary form
	// cannot be read: it passes as text, as drivers ask for it unless told otherwise.
	const columns = "id, ok, f8, f4, amount, at, day, span, key, doc, docb, tags, counts, few, raw, big, nothing"
	for name, format := range map[string][]int16{"text": {0}, "binary": {1}} {
		all := map[string]string{"text": "*", "binary": columns}[name]
		for _, sql := range []string{
			"select " + all + " from things order by id", "select id, tags, raw, doc from things where state = 'busy' order by id",
			"select ok, count(*), sum(amount), avg(f8), max(at) from things group by ok order by ok",
		} {
			want := rowsOf(t, direct, sql, format)
			got := rowsOf(t, through, sql, format)
			if len(want) == 0 || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: %s", name, sql, firstDifference(got, want))
			}
		}
	}
	for _, sql := range []string{"copy things to stdout", "copy things to stdout (format csv, header)", "copy things (" + columns + ") to stdout (format binary)"} {
		var got, want bytes.Buffer
		if _, err := direct.PgConn().CopyTo(context.Background(), &want, sql); err != nil {
			t.Fatal(err)
		}
		if _, err := through.PgConn().CopyTo(context.Background(), &got, sql); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: %v, %s", sql, err, firstDifference(got.Bytes(), want.Bytes()))
		}
	}
}

// rowsOf are the descriptions and values of a result, as they came.
func rowsOf(t *testing.T, conn *pgx.Conn, sql string, format []int16) []byte {
	t.Helper()
	var b bytes.Buffer
	rr := conn.PgConn().ExecParams(context.Background(), sql, nil, nil, nil, format)
	for _, f := range rr.FieldDescriptions() {
		b.WriteString(f.Name)
		b.WriteByte(byte(f.Format))
		b.WriteByte('\n')
	}
	for rr.NextRow() {
		for _, v := range rr.Values() {
			if v == nil {
				b.WriteString("\\N")
			}
			b.Write(v)
			b.WriteByte(0)
		}
	}
	tag, err := rr.Close()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	b.WriteString(tag.String())
	return b.Bytes()
}

func firstDifference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	from := max(0, i-40)
	return string(got[from:min(len(got), i+40)]) + " / " + string(want[from:min(len(want), i+40)])
}
