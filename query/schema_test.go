package query

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// testSchema is a catalogue in memory, searched along a fixed path.
type testSchema struct {
	path     []string
	rels     map[[2]string]*Relation
	routines map[string]bool // names of functions outside pg_catalog
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
