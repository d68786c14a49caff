package gateway_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

const typeVoid = 2278

const overloads = shop + `create table kept (i int); insert into kept select generate_series(1, 3);
create function wipe() returns int language sql as 'delete from kept; select 1';
create function wipe(int) returns int language sql as 'select $1';
create function twice(int) returns int language sql as 'select $1 * 2';`

// Attack: give a parameter the type void, and the server leaves it out of the call: what
// reads as wipe(int), which does nothing, is then wipe(), which deletes.
func TestVoidParameterDoesNotPickAnotherFunction(t *testing.T) {
	th := start(t, "dev", overloads, nil)
	f := raw(t, th.as(person("ada")))
	for _, sql := range []string{"select wipe($1)", "select wipe(($1))", "select wipe($1::void)", "select * from wipe($1)", "select 1 where wipe($1) = 1", "values (wipe($1))"} {
		out := say(t, f, 'Z', &pgproto3.Parse{Query: sql, ParameterOIDs: []uint32{typeVoid}}, &pgproto3.Bind{Parameters: [][]byte{nil}}, &pgproto3.Execute{}, &pgproto3.Sync{})
		if len(out) != 2 || out[0] != "E42501" {
			t.Errorf("%s: %q", sql, out)
		}
		if n := count(t, th, "select count(*) from kept"); n != 3 {
			t.Fatalf("%s deleted: %d rows are left", sql, n)
		}
	}
	th.balanced()
}

// JDBC calls functions in this way: the parameter for the result is void, and the call
// is of the function without it. Nobody is asked about that.
func TestFunctionCalledByJDBC(t *testing.T) {
	th := start(t, "prod", overloads, nil)
	f := raw(t, th.as(person("ada")))
	out := say(t, f, 'Z', &pgproto3.Parse{Query: "select * from twice($1,$2) as result", ParameterOIDs: []uint32{typeVoid, 23}},
		&pgproto3.Bind{Parameters: [][]byte{nil, []byte("21")}}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if out[len(out)-1] != "ZI" || !has(out, "CSELECT 1") {
		t.Errorf("got %q", out)
	}
	th.balanced()
}
