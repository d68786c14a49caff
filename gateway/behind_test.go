package gateway_test

import (
	"testing"

	"github.com/sluicehq/sluice/internal/pgtest"
)

// What another client has just made is known to the first statement that names it: it
// is neither refused nor hidden until the next poll.
func TestWhatIsMadeElsewhereIsKnownAtOnce(t *testing.T) {
	for name, tt := range map[string]struct{ made, sql, want string }{
		"table":         {"create table rivers (id int, length int); insert into rivers values (1, 1234)", "select length from rivers", "1234\n"},
		"column":        {"alter table cities add column height int; update cities set height = 77 where id = 1", "select height from cities where id = 1", "77\n"},
		"function":      {"create function twice(int) returns int immutable language sql as 'select $1 * 2'", "select id from cities where id = twice(3)", "6\n"},
		"to be written": {"create table rivers (id int, length int)", "insert into rivers values (7, 1) returning id", "7\n"},
	} {
		t.Run(name, func(t *testing.T) {
			th := start(t, "prod", shop, nil)
			conn := connect(t, th.as(person("ada")))
			if _, err := run(conn, "select id from cities where id = 1"); err != nil { // the catalogue is read
				t.Fatal(err)
			}
			pgtest.Exec(t, th.direct, tt.made)
			if out, err := run(conn, tt.sql); err != nil || out != tt.want {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}
