package query

import (
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
// some value of a parameter: then nobody has said which rows are meant. others are
// what FROM or USING puts beside rel.
func (a *analysis) unbounded(where ast.Node, rel *ast.RangeVar, others []ast.Node) bool {
	if where == nil {
		return true
	}
	t := a.folder(rel, others, where).cond(where, 0)
	return t == always || t == byText
}

// mergeUnbounded reports whether a MERGE changes or deletes rows that no
// condition has chosen.
func (a *analysis) mergeUnbounded(n *ast.MergeStmt) bool {
	f := a.folder(n.Relation, []ast.Node{n.SourceRelation}, n.JoinCondition)
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

// conflictUnbounded reports whether an INSERT offers a table all of its own rows, to
// update each of them.
func (a *analysis) conflictUnbounded(n *ast.InsertStmt) bool {
	c := n.OnConflictClause
	if c == nil || c.Action != ast.ONCONFLICT_UPDATE || n.Relation == nil {
		return false
	}
	f := a.folder(n.Relation, nil, nil)
	if shown := f.faceOfQuery(n.SelectStmt, 0); shown == nil || len(shown.columns) == 0 && !shown.open {
		return false
	}
	t := always
	if c.WhereClause != nil {
		t = f.cond(c.WhereClause, 0)
	}
	return t == always || t == byText
}

// maxFold bounds the recursion. What lies deeper counts as let through: a
// condition nobody can read has not said which rows are meant.
const maxFold = 200

// maxFolds bounds how often queries in conditions are looked at: each is in several
// ways, and in each of them so are the queries in its own condition.
const maxFolds = 3000

func (f folder) cond(n ast.Node, depth int) truth {
	if depth > maxFold || f.a.folds > maxFolds {
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
		if t := f.subLink(n, depth); t != byRow {
			return t
		}
	case *ast.FuncCall:
		if args := items(n.Args); lastName(n.Funcname) == "starts_with" && len(args) == 2 && emptyText(args[1]) {
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
	if !f.mentions(n) {
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
	args := flat(n)
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
		if out == byRow && anyTwo(args, opposite) {
			return never
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
	if out != byText && anyTwo(args, func(a, b ast.Node) bool { return opposite(a, b) || overlap(a, b) }) {
		return always
	}
	return out
}

// flat lists what AND or OR joins, through brackets and further ones of the kind.
func flat(n *ast.BoolExpr) []ast.Node { return flatten(n, n.Boolop, nil, 0) }

func flatten(n ast.Node, op ast.BoolExprType, out []ast.Node, depth int) []ast.Node {
	n = bare(n)
	b, ok := n.(*ast.BoolExpr)
	if !ok || b.Boolop != op || depth > 0 && op == ast.NOT_EXPR || depth > maxFold {
		return append(out, n)
	}
	for _, x := range items(b.Args) {
		out = flatten(x, op, out, depth+1)
	}
	return out
}

// anyTwo looks for two branches of which is holds, in either order.
func anyTwo(args []ast.Node, is func(a, b ast.Node) bool) bool {
	const most = 50 // pairs are compared one by one
	if len(args) > most {
		args = args[:most]
	}
	for i, a := range args {
		for _, b := range args[i+1:] {
			if is(bare(a), bare(b)) || is(bare(b), bare(a)) {
				return true
			}
		}
	}
	return false
}

// opposite reports whether one of two conditions holds just where the other does not.
func opposite(a, b ast.Node) bool {
	if x, yes := polarity(a); x != nil {
		if y, no := polarity(b); y != nil && yes != no && same(x, y) {
			return true
		}
	}
	switch x := a.(type) {
	case *ast.NullTest:
		y, ok := b.(*ast.NullTest)
		return ok && x.Nulltesttype != y.Nulltesttype && same(x.Arg, y.Arg)
	case *ast.A_Expr:
		y, ok := b.(*ast.A_Expr)
		if !ok || !same(x.Lexpr, y.Lexpr) || !same(x.Rexpr, y.Rexpr) {
			return false
		}
		switch opName(x) + " " + opName(y) {
		case "= <>", "= !=", "< >=", "> <=", "~~ !~~", "~~* !~~*", "~ !~", "~* !~*":
			return true
		}
	}
	return false
}

// polarity reads a condition that says of something only that it is true or false.
func polarity(n ast.Node) (of ast.Node, yes bool) {
	switch n := bare(n).(type) {
	case *ast.BoolExpr:
		if args := items(n.Args); n.Boolop == ast.NOT_EXPR && len(args) == 1 {
			of, yes = polarity(args[0])
			return of, !yes
		}
	case *ast.BooleanTest:
		switch n.Booltesttype {
		case ast.IS_TRUE, ast.IS_NOT_FALSE:
			return n.Arg, true
		case ast.IS_FALSE, ast.IS_NOT_TRUE:
			return n.Arg, false
		}
	case *ast.A_Expr:
		if c, ok := bare(n.Rexpr).(*ast.A_Const); ok && !c.Isnull && n.Kind == ast.AEXPR_OP {
			b, ok := c.Val.(*ast.Boolean)
			switch op := opName(n); {
			case ok && op == "=":
				return n.Lexpr, b.BoolVal
			case ok && (op == "<>" || op == "!="):
				return n.Lexpr, !b.BoolVal
			}
		}
		return n, true
	case *ast.ColumnRef, *ast.FuncCall, *ast.TypeCast, *ast.SubLink:
		return n, true
	}
	return nil, false
}

// overlap reports whether two comparisons of the same with constants leave nothing
// out: x < 10 or x > 5, x <> 1 or x <> 2.
func overlap(a, b ast.Node) bool {
	x, ok1 := a.(*ast.A_Expr)
	y, ok2 := b.(*ast.A_Expr)
	if !ok1 || !ok2 || x.Kind != ast.AEXPR_OP || y.Kind != ast.AEXPR_OP || !same(x.Lexpr, y.Lexpr) {
		return false
	}
	var op string
	switch opName(x) {
	case "<", "<=":
		if o := opName(y); o == ">" || o == ">=" {
			op = ">"
		}
	case "<>", "!=":
		if o := opName(y); o == "<>" || o == "!=" {
			op = "<>"
		}
	}
	if op == "" {
		return false
	}
	t, ok := constCompare(op, x.Rexpr, y.Rexpr)
	return ok && t == always
}

func (f folder) nullTest(n *ast.NullTest) truth {
	arg := bare(n.Arg)
	if c, ok := arg.(*ast.A_Const); ok {
		return truthOf((n.Nulltesttype == ast.IS_NULL) == c.Isnull)
	}
	switch {
	case !f.mentions(n):
		return byText
	case f.filled(arg, 0):
		return truthOf(n.Nulltesttype != ast.IS_NULL)
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
	case ast.IS_UNKNOWN, ast.IS_NOT_UNKNOWN:
		if f.mentions(n) && f.filled(n.Arg, 0) {
			return truthOf(n.Booltesttype == ast.IS_NOT_UNKNOWN)
		}
	}
	return t
}

func (f folder) caseExpr(n *ast.CaseExpr, depth int) truth {
	if !f.mentions(n) {
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
