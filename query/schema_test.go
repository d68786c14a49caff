package query

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// testSchema is a catalogue in memory, searched along a fixed path.
type testSchema struct {
	path     []string
	rels     map[[2]string]*Relation
	routines map[string]bool // names of functions outside pg_catalog
	bodies   []*Routine      // of those in SQL and PL/pgSQL
}

func (s *testSchema) Lookup(schema, name string) []*Relation {
	if schema != "" {
		if rel := s.rels[[2]string{schema, name}]; rel != nil {
			return []*Relation{rel}
		}
		return nil
	}
	for _, p := range append([]string{"pg_catalog"}, s.path...) {
		if rel := s.rels[[2]string{p, name}]; rel != nil {
			return []*Relation{rel}
		}
	}
	return nil
}

func (s *testSchema) Harmless(schema, name string) bool {
	if schema == "pg_catalog" {
		return pure(name)
	}
	return schema == "" && pure(name) && !s.routines[name]
}

// Routines, like the rest of Routiner, knows what loadBodies has read.
func (s *testSchema) Routines(schema, name string) (list []*Routine, all bool) {
	path := s.path
	if schema != "" {
		path = []string{schema}
	}
	for _, r := range s.bodies {
		if r.Name == name && slices.Contains(path, r.Schema) {
			list = append(list, r)
		}
	}
	return list, schema != "pg_catalog"
}

func (s *testSchema) Operators(string) []*Routine { return nil }
func (s *testSchema) Casts(string) []*Routine     { return nil }
func (s *testSchema) Bodies() *Bodies             { return nil }

func (s *testSchema) Along(path []string) Schema {
	other := *s
	other.path = path
	return &other
}

// loadBodies reads functions whose arguments are all given by a call.
func (s *testSchema) loadBodies(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	rows, err := conn.Query(context.Background(), `
		SELECT n.nspname, p.proname, l.lanname::text, p.prosrc, p.pronargs::int,
		       coalesce(p.proargnames, '{}'), coalesce(p.proargmodes::text[], '{}')
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
		WHERE l.lanname IN ('sql', 'plpgsql') AND n.nspname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		r := &Routine{Volatile: true}
		var names, modes []string
		if err := rows.Scan(&r.Schema, &r.Name, &r.Language, &r.Body, &r.Most, &names, &modes); err != nil {
			t.Fatal(err)
		}
		r.Least, r.Args = r.Most, make([]string, r.Most)
		copy(r.Args, names)
		for i, mode := range modes {
			if mode == "t" {
				r.Out = append(r.Out, names[i])
			}
		}
		for _, name := range names {
			if name != "" {
				r.Names = append(r.Names, name)
			}
		}
		s.bodies = append(s.bodies, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func (s *testSchema) Creates() string {
	if len(s.path) == 0 {
		return ""
	}
	return s.path[0]
}

// newSchema makes a catalogue from "schema.table: a b c" lines.
func newSchema(tables map[string][]string) *testSchema {
	s := &testSchema{path: []string{"public"}, rels: map[[2]string]*Relation{}, routines: map[string]bool{}}
	for name, cols := range tables {
		s.rels[[2]string{"public", name}] = &Relation{Schema: "public", Name: name, Kind: Table, Columns: cols}
	}
	return s
}

// loadSchema reads the catalogue of a real database.
func loadSchema(t testing.TB, conn *pgx.Conn, path []string) *testSchema {
	t.Helper()
	s := &testSchema{path: path, rels: map[[2]string]*Relation{}, routines: map[string]bool{}}
	rows, err := conn.Query(context.Background(), `
		SELECT n.nspname, c.relname, c.relkind::text,
		       coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
		                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}'),
		       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) ELSE '' END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT IN ('pg_toast', 'pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]RelationKind{"r": Table, "p": Table, "v": View, "m": MaterializedView, "f": ForeignTable}
	for rows.Next() {
		var rel Relation
		var kind string
		if err := rows.Scan(&rel.Schema, &rel.Name, &kind, &rel.Columns, &rel.Definition); err != nil {
			t.Fatal(err)
		}
		rel.Kind = kinds[kind]
		s.rels[[2]string{rel.Schema, rel.Name}] = &rel
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	s.loadBodies(t, conn)
	rows, err = conn.Query(context.Background(), `
		SELECT DISTINCT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		s.routines[name] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}
