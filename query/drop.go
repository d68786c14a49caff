package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// drop knows the statements that remove things.
func (a *analysis) drop(n ast.Node) bool {
	tag := ""
	switch n := n.(type) {
	case *ast.DropStmt:
		tag = "DROP " + n.RemoveType.String()
		a.dropped(n)
		switch n.RemoveType {
		case ast.OBJECT_POLICY, ast.OBJECT_ROLE:
			a.sign(Privilege)
		case ast.OBJECT_TRIGGER, ast.OBJECT_RULE, ast.OBJECT_EVENT_TRIGGER:
			// What guarded or copied every write is gone.
			a.sign(ServerCode)
		}
	case *ast.DropdbStmt:
		tag = "DROP DATABASE"
	case *ast.DropTableSpaceStmt:
		tag = "DROP TABLESPACE"
	case *ast.DropUserMappingStmt:
		tag = "DROP USER MAPPING"
		a.sign(Privilege)
	case *ast.DropRoleStmt:
		tag = "DROP ROLE"
		a.sign(Privilege)
	case *ast.DropOwnedStmt:
		tag = "DROP OWNED"
		a.sign(Privilege)
	case *ast.DropReplicationSlotCmd:
		tag = "DROP REPLICATION SLOT"
	default:
		return false
	}
	a.st.Kind, a.st.Tag, a.st.Writes = Drop, tag, true
	a.sign(Destructive)
	return true
}

// dropped names the relations of a DROP, and those that go with other things.
func (a *analysis) dropped(n *ast.DropStmt) {
	of := ObjectKind("")
	switch n.RemoveType {
	case ast.OBJECT_TABLE, ast.OBJECT_VIEW, ast.OBJECT_MATVIEW, ast.OBJECT_FOREIGN_TABLE,
		ast.OBJECT_SEQUENCE, ast.OBJECT_INDEX:
		of = RelationObject
	case ast.OBJECT_SCHEMA:
		of = SchemaObject
	case ast.OBJECT_TYPE, ast.OBJECT_DOMAIN:
		of = TypeObject
	case ast.OBJECT_FUNCTION, ast.OBJECT_PROCEDURE, ast.OBJECT_ROUTINE, ast.OBJECT_AGGREGATE:
		of = RoutineObject
	case ast.OBJECT_EXTENSION:
		of = ExtensionObject
	}
	for _, o := range items(n.Objects) {
		parts := objectName(o)
		switch {
		case len(parts) == 0 || of == "":
		case of == RelationObject:
			rv := &ast.RangeVar{RelName: parts[len(parts)-1], Inh: true}
			if len(parts) > 1 {
				rv.SchemaName = parts[len(parts)-2]
			}
			a.target(rv)
			a.removes(rv, Drop, n.Behavior)
		case n.Behavior == ast.DropCascade:
			a.takes(of, parts)
		}
	}
}

// objectName reads the name of something that is not a relation.
func objectName(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.String:
		return []string{n.SVal}
	case *ast.NodeList:
		return names(n)
	case *ast.TypeName:
		return names(n.Names)
	case *ast.ObjectWithArgs:
		return names(n.Objname)
	}
	return nil
}

// takes notes the relations that go with something, or lose what depends on it.
func (a *analysis) takes(of ObjectKind, parts []string) {
	at, ok := a.schema.(Attacher)
	if !ok {
		return
	}
	schema, name := "", parts[len(parts)-1]
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	for _, ref := range at.Dependents(of, schema, name) {
		w := written{schema: a.schema, along: a.along, name: ref, kind: DDL, why: "it depends on " + string(of) + " " + strings.Join(parts, ".")}
		if of == SchemaObject && ref.Schema == name {
			w.kind, w.cascade, w.why = Drop, true, "it is in schema "+name
		}
		a.written = append(a.written, w)
	}
}

// granted names the relations of a GRANT or REVOKE, be they said one by one or by
// their schema.
func (a *analysis) granted(n *ast.GrantStmt) {
	a.targets(n.Objects)
	at, ok := a.schema.(Attacher)
	if !ok || n.Targtype != ast.ACL_TARGET_ALL_IN_SCHEMA || n.Objtype != ast.OBJECT_TABLE {
		return
	}
	for _, o := range items(n.Objects) {
		if s, ok := o.(*ast.String); ok {
			for _, ref := range at.Dependents(SchemaObject, "", s.SVal) {
				if ref.Schema == s.SVal {
					a.st.Targets = append(a.st.Targets, ref)
				}
			}
		}
	}
}

// renamed names a relation by its new name too, since a rule may be about that.
func (a *analysis) renamed(n *ast.RenameStmt) {
	a.target(n.Relation)
	switch n.RenameType {
	case ast.OBJECT_COLUMN:
		a.writes(n.Relation, DDL, nil) // and what inherits from it
	case ast.OBJECT_TABLE, ast.OBJECT_VIEW, ast.OBJECT_MATVIEW, ast.OBJECT_FOREIGN_TABLE, ast.OBJECT_SEQUENCE, ast.OBJECT_INDEX:
		if n.Relation != nil {
			for _, ref := range a.place(n.Relation) {
				a.st.Targets = append(a.st.Targets, Ref{Schema: ref.Schema, Table: n.Newname})
			}
		}
	case ast.OBJECT_SCHEMA:
		at, ok := a.schema.(Attacher)
		if !ok {
			return
		}
		for _, ref := range at.Dependents(SchemaObject, "", n.Subname) {
			if ref.Schema == n.Subname {
				a.st.Targets = append(a.st.Targets, ref, Ref{Schema: n.Newname, Table: ref.Table})
			}
		}
	}
}

// moved names a relation in its new schema too.
func (a *analysis) moved(n *ast.AlterObjectSchemaStmt) {
	if n.Relation == nil {
		return
	}
	for _, ref := range a.place(n.Relation) {
		a.st.Targets = append(a.st.Targets, ref, Ref{Schema: n.NewSchema, Table: ref.Table})
	}
}
