package catalog

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/query"
)

// functionsText are the names of PostgreSQL's own functions that are harmless, one a
// line, as builtInHarmless finds them on a server (TestDeclaredFunctions writes it).
//
//go:embed functions.txt
var functionsText string

// Declared is a table that somebody says there is.
type Declared struct {
	Schema, Table string
	Columns       []Column
}

// Declare is the catalogue of a database that has these tables and nothing else but
// PostgreSQL's own harmless functions: to try statements on without a server. Every
// other function is unknown, and so are the relations of the system.
func Declare(tables []Declared) *Snapshot {
	s := &Snapshot{
		Version: 1, harmless: map[string]bool{}, functions: map[uint32]Function{},
		routines: map[string][]*query.Routine{}, operators: map[string][]*query.Routine{}, doubtful: map[string]bool{}, bodies: &query.Bodies{},
		base: map[uint32]uint32{},
	}
	for name := range strings.Lines(functionsText) {
		name = strings.TrimSpace(name)
		s.harmless[name], s.harmless[routineKey("pg_catalog", name)] = true, true
	}
	for i, t := range tables {
		e := &entry{rel: query.Relation{Schema: t.Schema, Name: t.Table, Kind: query.Table}, oid: uint32(firstOID + i), rows: -1, stored: true}
		for n, c := range t.Columns {
			c.num = int16(n + 1)
			e.columns = append(e.columns, c)
			e.rel.Columns = append(e.rel.Columns, c.Name)
		}
		e.sum = e.digest()
		s.ordered = append(s.ordered, e)
	}
	slices.SortStableFunc(s.ordered, compareEntries)
	s.index()
	s.sum = s.digest()
	return s
}

// firstOID is PostgreSQL's first for objects of users.
const firstOID = 16384
