package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// classify sets the kind, the tag, the written relations and the signs that the
// type of statement alone shows. A type it does not know stays Unknown.
func (a *analysis) classify(n ast.Node) {
	st := a.st
	switch n := n.(type) {
	case *ast.SelectStmt:
		st.Kind, st.Tag = Select, "SELECT"
		if into := intoOf(n); into != nil {
			a.creates(into.Rel, "SELECT INTO")
		}
	case *ast.InsertStmt:
		st.Kind, st.Tag = Insert, "INSERT"
	case *ast.UpdateStmt:
		st.Kind, st.Tag = Update, "UPDATE"
	case *ast.DeleteStmt:
		st.Kind, st.Tag = Delete, "DELETE"
	case *ast.MergeStmt:
		st.Kind, st.Tag = Merge, "MERGE"
	case *ast.CopyStmt:
		a.copy(n)
	case *ast.CallStmt:
		st.Kind, st.Tag = Call, "CALL"
	case *ast.DoStmt:
		st.Kind, st.Tag = Do, "DO"
		a.do(n)
	case *ast.ExplainStmt:
		a.explain(n)
	case *ast.PrepareStmt:
		st.Kind, st.Tag, st.Name = Prepare, "PREPARE", n.Name
		st.Inner = a.inner(n.Query)
	case *ast.DeclareCursorStmt:
		st.Kind, st.Tag, st.Name = Declare, "DECLARE CURSOR", n.PortalName
		st.Inner = a.inner(n.Query)
		st.Writes = st.Inner.Writes
	case *ast.ExecuteStmt:
		st.Kind, st.Tag, st.Name = Execute, "EXECUTE", n.Name
	case *ast.DeallocateStmt:
		st.Kind, st.Tag = Deallocate, "DEALLOCATE"
		if !n.IsAll {
			st.Name = n.Name
		}
	case *ast.FetchStmt:
		st.Kind, st.Tag, st.Name = Fetch, "FETCH", n.PortalName
		if n.IsMove {
			st.Tag = "MOVE"
		}
	case *ast.ClosePortalStmt:
		st.Kind, st.Tag, st.Name = Close, "CLOSE", n.PortalName
	case *ast.ListenStmt:
		st.Kind, st.Tag = Listen, "LISTEN"
	case *ast.UnlistenStmt:
		st.Kind, st.Tag = Listen, "UNLISTEN"
	case *ast.NotifyStmt:
		st.Kind, st.Tag = Listen, "NOTIFY"
	case *ast.LockStmt:
		st.Kind, st.Tag = Lock, "LOCK"
		a.targets(n.Relations)
	case *ast.TruncateStmt:
		st.Kind, st.Tag, st.Writes = Truncate, "TRUNCATE", true
		a.sign(Destructive)
		a.targets(n.Relations)
		for _, x := range items(n.Relations) {
			if rv, ok := x.(*ast.RangeVar); ok {
				a.removes(rv, Truncate, n.Behavior)
			}
		}
	default:
		if a.session(n) || a.drop(n) || a.privilege(n) || a.maintain(n) || a.define(n) {
			return
		}
		st.Kind, st.Writes, st.Problem = Unknown, true, "statement of a kind that is not known"
	}
}

func (a *analysis) targets(list *ast.NodeList) {
	for _, n := range items(list) {
		if rv, ok := n.(*ast.RangeVar); ok {
			a.target(rv)
		}
	}
}

// creates makes the statement one that makes relation rv and fills it.
func (a *analysis) creates(rv *ast.RangeVar, tag string) {
	a.st.Kind, a.st.Tag, a.st.Writes = DDL, tag, true
	if rv != nil {
		a.st.Targets = append(a.st.Targets, a.places(rv))
	}
}

// intoOf finds the INTO of a SELECT, which a set operation keeps in its first branch.
func intoOf(n *ast.SelectStmt) *ast.IntoClause {
	for ; n != nil; n = n.Larg {
		if n.IntoClause != nil {
			return n.IntoClause
		}
	}
	return nil
}

func (a *analysis) copy(n *ast.CopyStmt) {
	st := a.st
	if n.IsFrom {
		st.Kind, st.Tag, st.Writes = CopyFrom, "COPY FROM", true
		a.changes(n.Relation)
		a.writes(n.Relation, Insert, nil)
	} else {
		st.Kind, st.Tag = CopyTo, "COPY TO"
	}
	switch {
	case n.IsProgram:
		a.sign(Program)
	case n.Filename != "":
		a.sign(ServerFile)
	}
	st.Options = options(n.Options)
	if n.Query != nil && !n.IsFrom {
		st.Inner = a.inner(n.Query)
		st.Writes = st.Inner.Writes
		st.Targets = append(st.Targets, st.Inner.Targets...)
	}
}

// explain takes the kind of the statement inside if ANALYZE runs it. Whether it
// does is decided by the last analyze option, as the server does.
func (a *analysis) explain(n *ast.ExplainStmt) {
	st := a.st
	st.Kind, st.Tag = Explain, "EXPLAIN"
	runs := false
	for _, o := range items(n.Options) {
		if d, ok := o.(*ast.DefElem); ok && strings.EqualFold(d.Defname, "analyze") {
			runs = !isOff(d.Arg)
		}
	}
	before := len(a.written)
	in := a.inner(n.Query)
	if !runs {
		a.written = a.written[:before]
		// Planning reads nothing and folds immutable calls only: of the signs
		// inside, those of called functions remain.
		st.Relations, st.Reads, st.Indirect, st.Partial = in.Relations, in.Reads, in.Indirect, in.Partial
		st.Roles = in.Roles
		st.Probes, st.Orders, st.Equals, st.Joins, st.Fails, st.Barred = in.Probes, in.Orders, in.Equals, in.Joins, in.Fails, in.Barred
		if in.Kind == Execute {
			st.Name = in.Name
		}
		return
	}
	st.Inner, st.Kind, st.Tag = in, in.Kind, "EXPLAIN ANALYZE "+in.Tag
	st.Writes, st.Targets, st.Signs = in.Writes, in.Targets, append(st.Signs, in.Signs...)
	st.Name, st.Problem = in.Name, in.Problem
	st.Relations, st.Reads, st.Indirect, st.Partial = in.Relations, in.Reads, in.Indirect, in.Partial
	st.Roles = in.Roles
}

// isOff reads a boolean option; one without a value is on, and in doubt it is on.
func isOff(n ast.Node) bool {
	switch v := n.(type) {
	case *ast.String:
		s := strings.ToLower(v.SVal)
		return s == "off" || s == "false" || s == "0" || s == "no"
	case *ast.Integer:
		return v.IVal == 0
	case *ast.Boolean:
		return !v.BoolVal
	}
	return false
}

// session classifies what begins, ends or changes transactions and settings.
func (a *analysis) session(n ast.Node) bool {
	st := a.st
	switch n := n.(type) {
	case *ast.TransactionStmt:
		st.Kind, st.Tag = Transaction, n.Kind.String()
	case *ast.ConstraintsSetStmt:
		st.Kind, st.Tag = Transaction, "SET CONSTRAINTS"
	case *ast.VariableSetStmt:
		st.Kind = Set
		a.set(n)
	case *ast.VariableShowStmt:
		st.Kind, st.Tag, st.SetName = Show, "SHOW", strings.ToLower(n.Name)
	case *ast.DiscardStmt:
		st.Kind, st.Tag, st.SetName = Set, "DISCARD", strings.ToLower(n.Target.String())
		if n.Target == ast.DISCARD_ALL {
			st.SetName = "all"
			a.sign(SessionState)
		}
	default:
		return false
	}
	return true
}

func (a *analysis) set(n *ast.VariableSetStmt) {
	st := a.st
	st.Tag, st.SetName = "SET", strings.ToLower(n.Name)
	st.SetTo = setTo(n)
	switch n.Kind {
	case ast.VAR_RESET:
		st.Tag = "RESET"
	case ast.VAR_RESET_ALL:
		st.Tag, st.SetName = "RESET", "all"
	}
	if changesSession(st.SetName) {
		a.sign(SessionState)
	}
}

// changesSession tells the parameters that change who acts, what names mean,
// how text is read or which guards apply from those that only tune.
func changesSession(name string) bool {
	switch name {
	case "all", "role", "session_authorization", "search_path", "row_security", "catalog",
		"standard_conforming_strings", "backslash_quote", "client_encoding", "session_replication_role",
		"default_transaction_read_only", "transaction_read_only", "allow_system_table_mods",
		"local_preload_libraries", "session_preload_libraries", "dynamic_library_path",
		"lo_compat_privileges", "zero_damaged_pages", "ignore_system_indexes",
		"transaction", "session characteristics as transaction", "transaction_snapshot",
		"check_function_bodies", "event_triggers", "restrict_nonsystem_relation_kind":
		return true
	}
	return false
}

func (a *analysis) maintain(n ast.Node) bool {
	st := a.st
	switch n := n.(type) {
	case *ast.VacuumStmt:
		st.Kind, st.Tag = Maintain, "ANALYZE"
		if n.IsVacuumcmd {
			st.Tag = "VACUUM"
		}
		for _, r := range items(n.Rels) {
			if v, ok := r.(*ast.VacuumRelation); ok {
				a.target(v.Relation)
			}
		}
	case *ast.ReindexStmt:
		st.Kind, st.Tag = Maintain, "REINDEX"
		a.target(n.Relation)
	case *ast.ClusterStmt:
		st.Kind, st.Tag = Maintain, "CLUSTER"
		a.target(n.Relation)
	case *ast.CheckPointStmt:
		st.Kind, st.Tag = Maintain, "CHECKPOINT"
	case *ast.RefreshMatViewStmt:
		st.Kind, st.Tag, st.Writes = Maintain, "REFRESH MATERIALIZED VIEW", true
		a.target(n.Relation)
	default:
		return false
	}
	return true
}

// privilege classifies what changes who may do what.
func (a *analysis) privilege(n ast.Node) bool {
	tag := ""
	switch n := n.(type) {
	case *ast.GrantStmt:
		tag = grantTag(n.IsGrant)
		a.granted(n)
	case *ast.GrantRoleStmt:
		tag = grantTag(n.IsGrant)
	case *ast.AlterDefaultPrivilegesStmt:
		tag = "ALTER DEFAULT PRIVILEGES"
	case *ast.CreateRoleStmt:
		tag = "CREATE ROLE"
	case *ast.AlterRoleStmt:
		tag = "ALTER ROLE"
	case *ast.AlterRoleSetStmt:
		tag = "ALTER ROLE SET"
	case *ast.ReassignOwnedStmt:
		tag = "REASSIGN OWNED"
	default:
		return false
	}
	a.st.Kind, a.st.Tag, a.st.Writes = Grant, tag, true
	a.sign(Privilege)
	return true
}

func grantTag(grants bool) string {
	if grants {
		return "GRANT"
	}
	return "REVOKE"
}

func items(l *ast.NodeList) []ast.Node {
	if l == nil {
		return nil
	}
	return l.Items
}

// names reads a list of name parts; it is nil if any part is not a name.
func names(l *ast.NodeList) []string {
	var out []string
	for _, n := range items(l) {
		s, ok := n.(*ast.String)
		if !ok {
			return nil
		}
		out = append(out, s.SVal)
	}
	return out
}
