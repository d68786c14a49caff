package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// define classifies CREATE and ALTER of anything but roles.
func (a *analysis) define(n ast.Node) bool {
	if ext, ok := n.(*ast.CreateExtensionStmt); ok && a.isThere(ext) {
		a.st.Kind, a.st.Tag = Maintain, "CREATE EXTENSION"
		return true
	}
	if tag, ok := a.defineRelation(n); ok {
		a.st.Kind, a.st.Tag, a.st.Writes = DDL, tag, true
		return true
	}
	if tag, signs := defineOther(n); tag != "" {
		a.st.Kind, a.st.Tag, a.st.Writes = DDL, tag, true
		a.sign(signs...)
		return true
	}
	return false
}

// isThere reports whether CREATE EXTENSION IF NOT EXISTS does nothing, as the programs
// that send it at each start expect.
func (a *analysis) isThere(n *ast.CreateExtensionStmt) bool {
	at, ok := a.schema.(Attacher)
	return ok && n.IfNotExists && at.Extension(n.Extname)
}

// defineRelation knows the statements that make or change relations.
func (a *analysis) defineRelation(n ast.Node) (tag string, ok bool) {
	switch n := n.(type) {
	case *ast.CreateStmt:
		a.creates(n.Relation, "")
		return "CREATE TABLE", true
	case *ast.CreateForeignTableStmt:
		if n.Base != nil {
			a.creates(n.Base.Relation, "")
		}
		a.files(n.Options)
		return "CREATE FOREIGN TABLE", true
	case *ast.CreateTableAsStmt:
		if n.Into != nil {
			a.creates(n.Into.Rel, "")
		}
		if e, ok := n.Query.(*ast.ExecuteStmt); ok {
			a.st.Inner = a.inner(e)
			a.sign(DynamicSQL)
		}
		switch {
		case n.ObjType == ast.OBJECT_MATVIEW:
			return "CREATE MATERIALIZED VIEW", true
		case n.IsSelectInto:
			return "SELECT INTO", true
		}
		return "CREATE TABLE AS", true
	case *ast.ViewStmt:
		a.creates(n.View, "")
		return "CREATE VIEW", true
	case *ast.CreateSeqStmt:
		a.creates(n.Sequence, "")
		return "CREATE SEQUENCE", true
	case *ast.AlterSeqStmt:
		a.target(n.Sequence)
		return "ALTER SEQUENCE", true
	case *ast.AlterTableStmt:
		a.alterTable(n)
		return "ALTER " + n.Objtype.String(), true
	case *ast.IndexStmt:
		a.target(n.Relation)
		return "CREATE INDEX", true
	case *ast.CreateTriggerStmt:
		a.target(n.Relation)
		a.sign(ServerCode)
		return "CREATE TRIGGER", true
	case *ast.RuleStmt:
		// The grammar's port can lose a rule's actions, so what they are is never looked at.
		a.target(n.Relation)
		a.sign(ServerCode)
		return "CREATE RULE", true
	case *ast.CreatePolicyStmt:
		a.target(n.Table)
		a.sign(Privilege)
		return "CREATE POLICY", true
	case *ast.AlterPolicyStmt:
		a.target(n.Table)
		a.sign(Privilege)
		return "ALTER POLICY", true
	case *ast.RenameStmt:
		a.renamed(n)
		return "ALTER " + n.RenameType.String() + " RENAME", true
	case *ast.AlterOwnerStmt:
		a.target(n.Relation)
		a.sign(Privilege)
		return "ALTER " + n.ObjectType.String() + " OWNER", true
	case *ast.AlterObjectSchemaStmt:
		a.moved(n)
		return "ALTER " + n.ObjectType.String() + " SET SCHEMA", true
	case *ast.CreateSchemaStmt:
		for _, e := range items(n.SchemaElts) {
			b := &analysis{schema: a.schema, st: &Statement{}}
			b.classify(e)
			a.st.Targets = append(a.st.Targets, b.st.Targets...)
			a.sign(b.st.Signs...)
		}
		return "CREATE SCHEMA", true
	}
	return "", false
}

// alterTable looks at what an ALTER TABLE takes away or opens.
func (a *analysis) alterTable(n *ast.AlterTableStmt) {
	a.target(n.Relation)
	a.writes(n.Relation, DDL, nil) // and what inherits from it
	for _, c := range items(n.Cmds) {
		cmd, ok := c.(*ast.AlterTableCmd)
		if !ok {
			continue
		}
		switch cmd.Subtype {
		case ast.AT_DropColumn, ast.AT_AlterColumnType, ast.AT_DropExpression, ast.AT_DetachPartition,
			ast.AT_DetachPartitionFinalize, ast.AT_SetUnLogged:
			a.sign(Destructive)
		case ast.AT_ChangeOwner, ast.AT_EnableRowSecurity, ast.AT_DisableRowSecurity,
			ast.AT_ForceRowSecurity, ast.AT_NoForceRowSecurity:
			a.sign(Privilege)
		case ast.AT_EnableTrig, ast.AT_EnableAlwaysTrig, ast.AT_EnableReplicaTrig, ast.AT_DisableTrig,
			ast.AT_EnableTrigAll, ast.AT_DisableTrigAll, ast.AT_EnableTrigUser, ast.AT_DisableTrigUser,
			ast.AT_EnableRule, ast.AT_EnableAlwaysRule, ast.AT_EnableReplicaRule, ast.AT_DisableRule:
			a.sign(ServerCode)
		case ast.AT_GenericOptions, ast.AT_AlterColumnGenericOptions:
			if list, ok := cmd.Def.(*ast.NodeList); ok {
				a.files(list)
			}
		}
	}
}

// files knows the options by which a foreign table reads files or runs programs.
func (a *analysis) files(options *ast.NodeList) {
	for _, o := range items(options) {
		if d, ok := o.(*ast.DefElem); ok {
			switch strings.ToLower(d.Defname) {
			case "program":
				a.sign(Program)
			case "filename":
				a.sign(ServerFile)
			}
		}
	}
}

// defineOther knows the statements whose type alone says all.
func defineOther(n ast.Node) (tag string, signs []Sign) {
	switch n := n.(type) {
	case *ast.CreateFunctionStmt:
		if n.IsProcedure {
			return "CREATE PROCEDURE", []Sign{ServerCode}
		}
		return "CREATE FUNCTION", []Sign{ServerCode}
	case *ast.AlterFunctionStmt:
		return "ALTER FUNCTION", []Sign{ServerCode}
	case *ast.CreateExtensionStmt:
		return "CREATE EXTENSION", []Sign{ServerCode}
	case *ast.AlterExtensionStmt, *ast.AlterExtensionContentsStmt:
		return "ALTER EXTENSION", []Sign{ServerCode}
	case *ast.CreatePLangStmt:
		return "CREATE LANGUAGE", []Sign{ServerCode}
	case *ast.LoadStmt:
		return "LOAD", []Sign{ServerCode}
	case *ast.CreateEventTrigStmt:
		return "CREATE EVENT TRIGGER", []Sign{ServerCode}
	case *ast.AlterEventTrigStmt:
		return "ALTER EVENT TRIGGER", []Sign{ServerCode}
	case *ast.CreateAmStmt:
		return "CREATE ACCESS METHOD", []Sign{ServerCode}
	case *ast.CreateCastStmt:
		return "CREATE CAST", []Sign{ServerCode}
	case *ast.CreateConversionStmt:
		return "CREATE CONVERSION", []Sign{ServerCode}
	case *ast.CreateTransformStmt:
		return "CREATE TRANSFORM", []Sign{ServerCode}
	case *ast.CreateOpClassStmt, *ast.CreateOpFamilyStmt, *ast.AlterOpFamilyStmt:
		return "CREATE OPERATOR CLASS", []Sign{ServerCode}
	case *ast.DefineStmt:
		// Aggregates, operators and types bind functions to new names.
		return "CREATE " + n.Kind.String(), []Sign{ServerCode}
	case *ast.AlterOperatorStmt:
		return "ALTER OPERATOR", []Sign{ServerCode}
	case *ast.AlterSystemStmt:
		return "ALTER SYSTEM", []Sign{Privilege}
	case *ast.AlterDatabaseSetStmt:
		return "ALTER DATABASE SET", []Sign{Privilege}
	case *ast.SecLabelStmt:
		return "SECURITY LABEL", []Sign{Privilege}
	case *ast.CreateForeignServerStmt:
		return "CREATE SERVER", []Sign{Privilege}
	case *ast.AlterForeignServerStmt:
		return "ALTER SERVER", []Sign{Privilege}
	case *ast.CreateFdwStmt:
		return "CREATE FOREIGN DATA WRAPPER", []Sign{ServerCode}
	case *ast.AlterFdwStmt:
		return "ALTER FOREIGN DATA WRAPPER", []Sign{ServerCode}
	case *ast.CreateUserMappingStmt:
		return "CREATE USER MAPPING", []Sign{Privilege}
	case *ast.AlterUserMappingStmt:
		return "ALTER USER MAPPING", []Sign{Privilege}
	case *ast.ImportForeignSchemaStmt:
		return "IMPORT FOREIGN SCHEMA", nil
	case *ast.CreatePublicationStmt:
		return "CREATE PUBLICATION", []Sign{Privilege}
	case *ast.AlterPublicationStmt:
		return "ALTER PUBLICATION", []Sign{Privilege}
	case *ast.CreateSubscriptionStmt:
		return "CREATE SUBSCRIPTION", []Sign{Privilege}
	case *ast.AlterSubscriptionStmt:
		return "ALTER SUBSCRIPTION", []Sign{Privilege}
	}
	return definePlain(n), nil
}

// definePlain knows the statements that define things and nothing worse.
func definePlain(n ast.Node) string {
	switch n.(type) {
	case *ast.CommentStmt:
		return "COMMENT"
	case *ast.CreatedbStmt:
		return "CREATE DATABASE"
	case *ast.AlterDatabaseStmt, *ast.AlterDatabaseRefreshCollStmt:
		return "ALTER DATABASE"
	case *ast.CreateTableSpaceStmt:
		return "CREATE TABLESPACE"
	case *ast.AlterTableSpaceStmt, *ast.AlterTableMoveAllStmt:
		return "ALTER TABLESPACE"
	case *ast.CreateDomainStmt:
		return "CREATE DOMAIN"
	case *ast.AlterDomainStmt:
		return "ALTER DOMAIN"
	case *ast.CreateEnumStmt, *ast.CompositeTypeStmt, *ast.CreateRangeStmt:
		return "CREATE TYPE"
	case *ast.AlterEnumStmt, *ast.AlterTypeStmt, *ast.AlterCompositeTypeStmt:
		return "ALTER TYPE"
	case *ast.CreateStatsStmt:
		return "CREATE STATISTICS"
	case *ast.AlterStatsStmt:
		return "ALTER STATISTICS"
	case *ast.AlterCollationStmt:
		return "ALTER COLLATION"
	case *ast.AlterTSConfigurationStmt:
		return "ALTER TEXT SEARCH CONFIGURATION"
	case *ast.AlterTSDictionaryStmt:
		return "ALTER TEXT SEARCH DICTIONARY"
	case *ast.AlterObjectDependsStmt:
		return "ALTER DEPENDS ON EXTENSION"
	case *ast.CreateAssertionStmt:
		return "CREATE ASSERTION"
	}
	return ""
}
