package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// truth is what is known of a condition before any row is seen.
type truth int

const (
	byRow  truth = iota // rows decide
	always              // true for every row (a NULL column aside)
	never               // false or NULL for every row
	byText              // the same for all rows, but only the run or a parameter tells which
)

// unbounded reports whether a WHERE lets every row of rel through, or would for
// some value of a parameter: then nobody has said which rows are meant.
func unbounded(where ast.Node, rel *ast.RangeVar, others []ast.Node) bool {
	if where == nil {
		return true
	}
	f := folder{rel: rel, alone: len(others) == 0}
	t := f.cond(where, 0)
	return t == always || t == byText
}

// mergeUnbounded reports whether a MERGE changes or deletes rows that no
// condition has chosen.
func mergeUnbounded(n *ast.MergeStmt) bool {
	f := folder{rel: n.Relation}
	on := f.cond(n.JoinCondition, 0)
	for _, w := range items(n.MergeWhenClauses) {
		when, ok := w.(*ast.MergeWhenClause)
		if !ok || when.CommandType != ast.CMD_UPDATE && when.CommandType != ast.CMD_DELETE {
			continue
		}
		free := when.Condition == nil
		if !free {
			t := f.cond(when.Condition, 0)
			free = t == always || t == byText
		}
		if free && (when.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE || on == always || on == byText) {
			return true
		}
	}
	return false
}

// folder folds the condition of a change of rel.
type folder struct {
	rel   *ast.RangeVar
	alone bool // no FROM or USING beside rel
}

// maxFold bounds the recursion. What lies deeper counts as let through: a
// condition nobody can read has not said which rows are meant.
const maxFold = 200

func (f folder) cond(n ast.Node, depth int) truth {
	if depth > maxFold {
		return byText
	}
	n = bare(n)
	switch n := n.(type) {
	case *ast.BoolExpr:
		return f.logic(n, depth)
	case *ast.NullTest:
		return f.nullTest(n)
	case *ast.BooleanTest:
		return f.boolTest(n, depth)
	case *ast.A_Expr:
		if t := f.compare(n, depth); t != byRow {
			return t
		}
	case *ast.A_Const, *ast.TypeCast:
		if b, ok := boolConst(n); ok {
			return truthOf(b)
		}
	case *ast.SubLink:
		if f.wholeSelf(n) {
			return always
		}
	case *ast.CoalesceExpr:
		// coalesce(a, true): the last argument decides when the others are NULL.
		for _, x := range items(n.Args) {
			if t := f.cond(x, depth+1); t == always || t == byText {
				return byText
			}
		}
	case *ast.CaseExpr:
		return f.caseExpr(n, depth)
	case *ast.CurrentOfExpr:
		return byRow
	}
	if !f.mentionsRow(n) {
		return byText
	}
	return byRow
}

func truthOf(b bool) truth {
	if b {
		return always
	}
	return never
}

func (f folder) logic(n *ast.BoolExpr, depth int) truth {
	args := items(n.Args)
	switch n.Boolop {
	case ast.NOT_EXPR:
		if len(args) != 1 {
			return byRow
		}
		switch t := f.cond(args[0], depth+1); t {
		case always:
			return never
		case never:
			return always
		default:
			return t
		}
	case ast.AND_EXPR:
		out := always
		for _, x := range args {
			switch f.cond(x, depth+1) {
			case never:
				return never
			case byRow:
				out = byRow
			case byText:
				if out == always {
					out = byText
				}
			}
		}
		return out
	}
	out := never
	for _, x := range args {
		switch f.cond(x, depth+1) {
		case always:
			return always
		case byText:
			// One branch that a parameter can make true opens the whole OR.
			out = byText
		case byRow:
			if out == never {
				out = byRow
			}
		}
	}
	if out != byText && complementary(args) {
		return always
	}
	return out
}

// complementary finds x and not-x among the branches of an OR.
func complementary(args []ast.Node) bool {
	const most = 50 // pairs are compared one by one
	if len(args) > most {
		args = args[:most]
	}
	for i, a := range args {
		for _, b := range args[i+1:] {
			if opposite(bare(a), bare(b)) || opposite(bare(b), bare(a)) {
				return true
			}
		}
	}
	return false
}

func opposite(a, b ast.Node) bool {
	switch x := a.(type) {
	case *ast.NullTest:
		y, ok := b.(*ast.NullTest)
		return ok && x.Nulltesttype != y.Nulltesttype && same(x.Arg, y.Arg)
	case *ast.BoolExpr:
		return x.Boolop == ast.NOT_EXPR && len(items(x.Args)) == 1 && same(x.Args.Items[0], b)
	case *ast.A_Expr:
		y, ok := b.(*ast.A_Expr)
		if !ok || !same(x.Lexpr, y.Lexpr) || !same(x.Rexpr, y.Rexpr) {
			return false
		}
		switch opName(x) + " " + opName(y) {
		case "= <>", "= !=", "< >=", "> <=", "<= >", ">= <", "<= >=", "~~ !~~", "~ !~":
			return true
		}
	}
	return false
}

func (f folder) nullTest(n *ast.NullTest) truth {
	arg := bare(n.Arg)
	if c, ok := arg.(*ast.A_Const); ok {
		return truthOf((n.Nulltesttype == ast.IS_NULL) == c.Isnull)
	}
	if !f.mentionsRow(n) {
		return byText
	}
	return byRow
}

func (f folder) boolTest(n *ast.BooleanTest, depth int) truth {
	t := f.cond(n.Arg, depth+1)
	switch n.Booltesttype {
	case ast.IS_TRUE, ast.IS_NOT_FALSE:
		return t
	case ast.IS_FALSE, ast.IS_NOT_TRUE:
		switch t {
		case always:
			return never
		case never:
			return always
		}
	}
	return t
}

func (f folder) caseExpr(n *ast.CaseExpr, depth int) truth {
	if !f.mentionsRow(n) {
		return byText
	}
	all := true
	for _, w := range items(n.Args) {
		if when, ok := w.(*ast.CaseWhen); ok && f.cond(when.Result, depth+1) != always {
			all = false
		}
	}
	if all && n.Defresult != nil && f.cond(n.Defresult, depth+1) == always {
		return always
	}
	return byRow
}

// compare folds a comparison.
func (f folder) compare(n *ast.A_Expr, depth int) truth {
	l, r := bare(n.Lexpr), bare(n.Rexpr)
	switch n.Kind {
	case ast.AEXPR_OP:
	case ast.AEXPR_NOT_DISTINCT:
		if same(l, r) {
			return always
		}
		return byRow
	case ast.AEXPR_LIKE, ast.AEXPR_ILIKE:
		if s, ok := stringConst(r); ok && s != "" && strings.Trim(s, "%") == "" && opName(n)[0] != '!' {
			return always
		}
		return byRow
	case ast.AEXPR_IN, ast.AEXPR_BETWEEN, ast.AEXPR_BETWEEN_SYM, ast.AEXPR_OP_ANY:
		if opName(n) == "<>" {
			return byRow
		}
		return f.among(l, r)
	default:
		return byRow
	}
	op := opName(n)
	if t, ok := constCompare(op, l, r); ok {
		return t
	}
	switch op {
	case "=", ">=", "<=":
		if same(l, r) {
			return always
		}
		if f.yields(l, r) || f.yields(r, l) {
			return byText
		}
	case "~":
		if s, ok := stringConst(r); ok && (s == "" || s == ".*" || s == "^" || s == "$") {
			return always
		}
	}
	return byRow
}

// among finds the column itself in an IN list, an array or both ends of BETWEEN.
func (f folder) among(l, r ast.Node) truth {
	var list []ast.Node
	switch r := r.(type) {
	case *ast.NodeList:
		list = items(r)
	case *ast.A_ArrayExpr:
		list = items(r.Elements)
	case *ast.ArrayExpr:
		list = items(r.Elements)
	default:
		return byRow
	}
	for _, x := range list {
		if same(l, bare(x)) {
			return always
		}
		if f.yields(bare(x), l) {
			return byText
		}
	}
	return byRow
}

// yields reports whether expr may become x itself by a parameter's choice, as
// coalesce($1, x) and case when $1 then x … end do.
func (f folder) yields(expr, x ast.Node) bool {
	switch e := expr.(type) {
	case *ast.CoalesceExpr:
		for _, a := range items(e.Args) {
			if same(bare(a), x) {
				return true
			}
		}
	case *ast.CaseExpr:
		if e.Defresult != nil && same(bare(e.Defresult), x) {
			return true
		}
		for _, w := range items(e.Args) {
			if when, ok := w.(*ast.CaseWhen); ok && same(bare(when.Result), x) {
				return true
			}
		}
	}
	return false
}

// wholeSelf finds x IN (SELECT x FROM the same relation).
func (f folder) wholeSelf(n *ast.SubLink) bool {
	sel, ok := n.Subselect.(*ast.SelectStmt)
	if !ok || n.SubLinkType != ast.ANY_SUBLINK || f.rel == nil || len(items(n.OperName)) > 0 {
		return false
	}
	from, targets := items(sel.FromClause), items(sel.TargetList)
	if sel.Op != ast.SETOP_NONE || len(from) != 1 || len(targets) != 1 || sel.LimitCount != nil ||
		sel.LimitOffset != nil || sel.GroupClause != nil || sel.HavingClause != nil || sel.WithClause != nil {
		return false
	}
	rv, ok := from[0].(*ast.RangeVar)
	if !ok || rv.RelName != f.rel.RelName {
		return false
	}
	t, ok := targets[0].(*ast.ResTarget)
	if !ok || lastField(bare(t.Val)) == "" || lastField(bare(t.Val)) != lastField(bare(n.Testexpr)) {
		return false
	}
	return unbounded(sel.WhereClause, rv, nil)
}

// mentionsRow reports whether anything in n can depend on the row: a column
// outside of sub-selects, or one inside that may belong to the row.
func (f folder) mentionsRow(n ast.Node) bool {
	found := false
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.ColumnRef:
			if x != nil {
				found = true
			}
		case *ast.CurrentOfExpr:
			if x != nil {
				found = true
			}
		}
		return !found
	}, nil)
	return found
}

func bare(n ast.Node) ast.Node {
	for {
		p, ok := n.(*ast.ParenExpr)
		if !ok || p == nil {
			return n
		}
		n = p.Expr
	}
}

func opName(n *ast.A_Expr) string {
	parts := names(n.Name)
	if len(parts) == 0 {
		return "?"
	}
	return parts[len(parts)-1]
}

func lastField(n ast.Node) string {
	ref, ok := n.(*ast.ColumnRef)
	if !ok {
		return ""
	}
	if parts := names(ref.Fields); len(parts) > 0 {
		return parts[len(parts)-1]
	}
	return ""
}
