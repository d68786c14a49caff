package gateway_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// largeObjects lets psql and drivers work with large objects.
const largeObjects = `rules:
  - {name: large-objects, when: 'true', function_calls: [lo_creat, lo_create, lo_open, lo_close, loread, lowrite, lo_lseek, lo_lseek64, lo_tell, lo_tell64, lo_truncate, lo_truncate64, lo_unlink]}
  - {name: dba-sees-all, when: '"dba" in who.groups', unmask: [all]}
`

// numberOf is the OID of a function.
func numberOf(t *testing.T, th *through, signature string) uint32 {
	t.Helper()
	return uint32(count(t, th, "select '"+signature+"'::regprocedure::oid::int"))
}

func int4(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// psql's commands for large objects work where the policy lets them, and a caller who
// may see everything gets back what was put in.
func TestLargeObjectsByPsql(t *testing.T) {
	th := start(t, "dev", shop, rules(t, largeObjects))
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	data := bytes.Repeat([]byte("ada@example.com \x00\xff\n"), 10_000)
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	who := person("boss")
	who.Groups = []string{"dba"}
	script := "\\lo_import " + in + "\n\\lo_export :LASTOID " + out + "\n\\lo_unlink :LASTOID\n"
	cmd := exec.Command("psql", "-X", "-v", "ON_ERROR_STOP=1", th.as(who))
	cmd.Stdin = strings.NewReader(script)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(data), err)
	}
	if n := count(t, th, "select count(*) from pg_largeobject_metadata"); n != 0 {
		t.Errorf("%d large objects are left", n)
	}
	var calls int
	for _, ev := range th.events(audit.Decided) {
		if ev.Statement == "function_call" && ev.SQL == `select "pg_catalog"."loread"($1, $2)` && ev.Effect == "allow" && len(ev.Params) == 2 {
			calls++
		}
	}
	if calls == 0 {
		t.Error("no call of loread is in the record")
	}
	th.balanced()
}

// Without a rule that names it no function is called by number; the transaction fails
// as after any error, and the session goes on.
func TestFunctionByNumberNeedsARule(t *testing.T) {
	setup := shop + "; create schema mine; create function mine.lo_open(oid, int) returns int language sql as 'select 1'; create function mine.grant_me() returns int language sql as 'select 7'"
	th := start(t, "dev", setup, rules(t, "rules:\n  - {name: some, when: 'true', function_calls: [lo_open, mine.grant_me]}\n"))
	f := raw(t, th.as(person("ada")))
	for name, signature := range map[string]string{
		"a file of the server":           "pg_read_file(text)",
		"another one's backend":          "pg_terminate_backend(int,bigint)",
		"the same name, another schema":  "mine.lo_open(oid,int)",
		"a setting":                      "set_config(text,text,boolean)",
		"a function of large objects":    "loread(int,int)",
		"one that would write to a file": "lo_export(oid,text)",
	} {
		out := say(t, f, 'Z', &pgproto3.FunctionCall{Function: numberOf(t, th, signature)})
		if len(out) != 2 || out[0] != "E42501" || out[1] != "ZI" {
			t.Errorf("%s: %q", name, out)
		}
	}
	pgtest.Exec(t, th.direct, "create function made_since() returns int language sql as 'select 1'")
	if out := say(t, f, 'Z', &pgproto3.FunctionCall{Function: numberOf(t, th, "made_since()")}); len(out) != 2 || out[0] != "E42501" {
		t.Errorf("a function that was made since: %q", out)
	}
	if out := say(t, f, 'Z', &pgproto3.FunctionCall{Function: 4_000_000_000}); len(out) != 2 || out[0] != "E42501" {
		t.Errorf("no function: %q", out)
	}
	say(t, f, 'Z', &pgproto3.Query{String: "begin"})
	if out := say(t, f, 'Z', &pgproto3.FunctionCall{Function: numberOf(t, th, "loread(int,int)")}); len(out) != 2 || out[1] != "ZE" {
		t.Errorf("in a transaction: %q", out)
	}
	if out := say(t, f, 'Z', &pgproto3.FunctionCall{Function: numberOf(t, th, "lo_open(oid,int)"), Arguments: [][]byte{int4(1), int4(1)}, ArgFormatCodes: []uint16{1}}); len(out) != 2 || out[0] != "E25P02" || out[1] != "ZE" {
		t.Errorf("in a transaction that failed: %q", out)
	}
	say(t, f, 'Z', &pgproto3.Query{String: "rollback"})
	if out := say(t, f, 'Z', &pgproto3.Query{String: "select 1"}); !has(out, "D1") {
		t.Errorf("afterwards: %q", out)
	}
	th.balanced()
}

// Attack: read by large object what would be hidden in a row. The number of the
// descriptor passes, the bytes do not.
func TestBytesOfLargeObjectsAreHidden(t *testing.T) {
	th := start(t, "dev", shop, rules(t, largeObjects))
	oid := uint32(count(t, th, "select lo_from_bytea(0, 'ada@example.com')::int"))
	f := raw(t, th.as(person("ada")))
	say(t, f, 'Z', &pgproto3.Query{String: "begin"})
	call := func(signature string, args ...uint32) *pgproto3.FunctionCallResponse {
		t.Helper()
		m := &pgproto3.FunctionCall{Function: numberOf(t, th, signature), ArgFormatCodes: []uint16{1}, ResultFormatCode: 1}
		for _, a := range args {
			m.Arguments = append(m.Arguments, int4(a))
		}
		f.Send(m)
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		var got *pgproto3.FunctionCallResponse
		for {
			m, err := f.Receive()
			if err != nil {
				t.Fatal(err)
			}
			switch m := m.(type) {
			case *pgproto3.FunctionCallResponse:
				got = &pgproto3.FunctionCallResponse{Result: bytes.Clone(m.Result)}
			case *pgproto3.ErrorResponse:
				t.Errorf("%s: %s", signature, m.Message)
			case *pgproto3.ReadyForQuery:
				return got
			}
		}
	}
	fd := call("lo_open(oid,int)", oid, 0x40000)
	if fd == nil || !bytes.Equal(fd.Result, int4(0)) {
		t.Fatalf("opened as %v", fd)
	}
	if got := call("loread(int,int)", 0, 100); got == nil || got.Result != nil {
		t.Errorf("read %+v", got)
	}
	// An error of a call is the database's, and ends what was asked for with it.
	if out := say(t, f, 'Z', &pgproto3.FunctionCall{Function: numberOf(t, th, "loread(int,int)"), ArgFormatCodes: []uint16{1}, Arguments: [][]byte{int4(99), int4(1)}}); len(out) != 2 || out[0] != "E42704" || out[1] != "ZE" {
		t.Errorf("a descriptor that is none: %q", out)
	}
	th.balanced()
}
