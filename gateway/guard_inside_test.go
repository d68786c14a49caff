package gateway

import (
	"testing"

	"github.com/sluicehq/sluice/query"
)

// Attack: take data to another server while the catalogue cannot be read, so that
// nothing tells a foreign table from one that is here.
func TestWriteWhileTheCatalogueCannotBeRead(t *testing.T) {
	blind := view{known: &known{}}
	for sql, stays := range map[string]bool{
		"insert into elsewhere select * from customers":        false,
		"update elsewhere set a = b from customers":            false,
		"insert into notes (text) values ('seen by the shop')": true,
		"select * from customers":                              true,
	} {
		st := query.Analyze(sql, nil)[0]
		if why := blind.escapes(&st); (why == "") != stays {
			t.Errorf("%s: %q", sql, why)
		}
	}
}
