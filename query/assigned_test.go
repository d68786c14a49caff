package query

import "testing"

func TestAssigned(t *testing.T) {
	for sql, want := range map[string]string{
		"SET application_name = 'A''b'": "A'b", "set local a.b to MiXed": "mixed local", "set x = 7": "7", "set session x to on;": "on",
		"set x = E'a\\'b'": "a'b", "set x to default": "no", "reset x": "no", "set x = 'a', 'b'": "no", "set x = 'a'; select 1": "no",
		"select 1": "no", "set x = 'a": "no", "": "no", "set local x = ''": " local",
	} {
		got, local, ok := Assigned(sql)
		if local {
			got += " local"
		}
		if !ok {
			got = "no"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", sql, got, want)
		}
	}
}
