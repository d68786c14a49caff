package query

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// Made is a table that a statement makes, if its text and the catalogue say all
// columns of it. What a query fills it with is in the statement's Output.
type Made struct {
	Relation Relation
	Like     []Ref // for each column, the column it is declared to be like; the zero Ref if there is none
	Fleeting bool  // it is gone when the transaction ends
	Maybe    bool  // IF NOT EXISTS: one of another shape may be there already
}

// making notes which table n makes, or that it leaves the meaning of all names as it is.
func (a *analysis) making(n ast.Node) {
	st := a.st
	if st.Kind != DDL {
		return
	}
	switch n := n.(type) {
	case *ast.SelectStmt:
		a.madeOf(intoOf(n), false)
	case *ast.CreateTableAsStmt:
		if n.ObjType != ast.OBJECT_MATVIEW && st.Inner == nil {
			a.madeOf(n.Into, n.IfNotExists)
		}
	case *ast.CreateStmt:
		a.declared(n)
	case *ast.IndexStmt, *ast.CommentStmt, *ast.CreateEnumStmt, *ast.CreateDomainStmt, *ast.CreateStatsStmt:
		st.Still = true
	case *ast.AlterTableStmt:
		st.Still = still(n)
	}
	st.Still = st.Still && !slices.ContainsFunc(st.Signs, func(s Sign) bool { return s != TableLock && s != RowLock })
}

// still reports whether an ALTER TABLE changes no name and no column's values.
func still(n *ast.AlterTableStmt) bool {
	for _, c := range items(n.Cmds) {
		cmd, ok := c.(*ast.AlterTableCmd)
		if !ok {
			return false
		}
		switch cmd.Subtype {
		case ast.AT_AddConstraint, ast.AT_ValidateConstraint, ast.AT_DropConstraint, ast.AT_ColumnDefault, ast.AT_DropNotNull,
			ast.AT_SetNotNull, ast.AT_SetStatistics, ast.AT_SetStorage, ast.AT_SetRelOptions, ast.AT_ResetRelOptions:
		default:
			return false
		}
	}
	return true
}

// madeOf is the table that the result of a query is put into.
func (a *analysis) madeOf(into *ast.IntoClause, maybe bool) {
	if into == nil || into.Rel == nil {
		return
	}
	m := &Made{Relation: a.newTable(into.Rel), Maybe: maybe, Fleeting: into.OnCommit == ast.ONCOMMIT_DROP}
	for _, c := range a.st.Output {
		if c.Name == Star {
			return
		}
		m.column(c.Name, "", Ref{})
	}
	a.st.Made = m
}

func (a *analysis) newTable(rv *ast.RangeVar) Relation {
	ref := a.places(rv)
	return Relation{Schema: ref.Schema, Name: ref.Table, Kind: Table}
}

func (m *Made) column(name, typ string, like Ref) {
	m.Relation.Columns = append(m.Relation.Columns, name)
	m.Relation.Types = append(m.Relation.Types, typ)
	m.Like = append(m.Like, like)
}

// declared is the table of CREATE TABLE with a list of columns.
func (a *analysis) declared(n *ast.CreateStmt) {
	if n.Relation == nil || len(items(n.InhRelations)) > 0 || n.OfTypename != nil || n.PartBound != nil {
		return
	}
	m := &Made{Relation: a.newTable(n.Relation), Maybe: n.IfNotExists, Fleeting: n.OnCommit == ast.ONCOMMIT_DROP}
	for _, e := range items(n.TableElts) {
		switch e := e.(type) {
		case *ast.Constraint:
		case *ast.ColumnDef:
			if e.TypeName == nil || generated(e) {
				return
			}
			m.column(e.Colname, typeText(e.TypeName), Ref{})
		case *ast.TableLikeClause:
			if !a.like(m, e.Relation) {
				return
			}
		default:
			return
		}
	}
	m.declares(n)
	a.st.Made = m
}

// like adds the columns of the table that LIKE names, if it is clear which that is.
func (a *analysis) like(m *Made, rv *ast.RangeVar) bool {
	if rv == nil || a.schema == nil {
		return false
	}
	found := a.schema.Lookup(rv.SchemaName, rv.RelName)
	if len(found) != 1 {
		return false
	}
	for i, name := range found[0].Columns {
		typ := ""
		if i < len(found[0].Types) {
			typ = found[0].Types[i]
		}
		m.column(name, typ, Ref{found[0].Schema, found[0].Name, name})
	}
	return true
}

// generated reports whether a column's values are computed from others.
func generated(c *ast.ColumnDef) bool {
	for _, x := range items(c.Constraints) {
		if k, ok := x.(*ast.Constraint); ok && k.Contype == ast.CONSTR_GENERATED {
			return true
		}
	}
	return c.Generated != 0
}

// typeText is a type as the catalogue writes it, as far as its name says.
func typeText(t *ast.TypeName) string {
	parts := names(t.Names)
	if len(parts) == 0 {
		return ""
	}
	name := parts[len(parts)-1]
	if long := catalogueNames[name]; long != "" {
		name = long
	}
	return name + strings.Repeat("[]", min(len(items(t.ArrayBounds)), 1))
}

var catalogueNames = map[string]string{
	"int2": "smallint", "int4": "integer", "int8": "bigint", "serial": "integer", "bigserial": "bigint", "smallserial": "smallint",
	"serial4": "integer", "serial8": "bigint", "serial2": "smallint",
	"float4": "real", "float8": "double precision", "bool": "boolean", "varchar": "character varying", "bpchar": "character",
	"timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone",
	"time": "time without time zone", "timetz": "time with time zone", "varbit": "bit varying",
}
