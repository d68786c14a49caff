package query

import (
	"slices"
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser"
	"github.com/multigres/multigres/go/common/parser/ast"
)

// Meets says, for each constant and each parameter of a statement, which columns it is
// compared with, computed with, or written into: whoever keeps the text can tell what of
// it tells of a person. Names are the last parts of columns, as written; AnyColumn stands
// for what could be any. It errs to the side of more: what stands in one comparison, one
// assignment or one result column meets all the columns there.
type Meets struct {
	Constants [][]string // of each constant, in the order of the text
	Params    [][]string // of $1, $2, …
}

// AnyColumn is a name that Meets gives for what may be any column.
const AnyColumn = "*"

// Values reads what the constants of one statement meet. ok is false if that cannot be
// told.
func Values(sql string, s Schema) (m Meets, ok bool) {
	defer func() {
		if v := recover(); v != nil {
			m, ok = Meets{}, false
		}
	}()
	tokens, whole := lex(sql)
	if !whole || refuse(sql) != "" {
		return Meets{}, false
	}
	marked, n := markConstants(sql, tokens)
	nodes, err := parser.ParseSQL(marked)
	if err != nil || len(nodes) != 1 || nodes[0] == nil {
		return Meets{}, false
	}
	w := meeting{schema: s}
	w.out.Constants = make([][]string, n)
	w.whole(nodes[0])
	return w.out, true
}

// isConstant reports whether a token is one that Values counts.
func isConstant(t token) bool {
	return t.kind == parser.SCONST || t.kind == parser.USCONST || t.kind == parser.ICONST || t.kind == parser.FCONST
}

// ReplaceConstants gives the text with some constants replaced: with is given the number
// of each and its own text, and says what stands there instead; false leaves it. Of a text
// that cannot be read word by word only the part before that place is given, and cut is
// true.
func ReplaceConstants(sql string, with func(n int, text string) (string, bool)) (out string, cut bool) {
	tokens, whole := lex(sql)
	if !whole && len(tokens) > 0 && isConstant(tokens[len(tokens)-1]) {
		tokens = tokens[:len(tokens)-1] // it may go on
	}
	var b strings.Builder
	last, n := 0, 0
	for i, t := range tokens {
		if !isConstant(t) {
			continue
		}
		end := len(sql)
		if i+1 < len(tokens) {
			end = tokens[i+1].at
		} else if !whole {
			break
		}
		text := strings.TrimRight(sql[t.at:end], " \t\r\n")
		if to, ok := with(n, text); ok {
			b.WriteString(sql[last:t.at])
			b.WriteString(to)
			last = t.at + len(text)
		}
		n++
	}
	if !whole {
		end := last
		if len(tokens) > 0 {
			end = max(end, tokens[len(tokens)-1].at)
		}
		return b.String() + sql[last:end], true
	}
	b.WriteString(sql[last:])
	return b.String(), false
}

// A constant stands in the marked text as another of the same sort that tells its number.
const (
	markText   = "@constant "
	markNumber = 1_000_000_000
)

func markConstants(sql string, tokens []token) (marked string, n int) {
	var b strings.Builder
	last := 0
	for i, t := range tokens {
		if !isConstant(t) {
			continue
		}
		end := len(sql)
		if i+1 < len(tokens) {
			end = tokens[i+1].at
		}
		b.WriteString(sql[last:t.at])
		switch t.kind {
		case parser.ICONST:
			b.WriteString(strconv.Itoa(markNumber + n))
		case parser.FCONST:
			b.WriteString(strconv.Itoa(markNumber+n) + ".5")
		default:
			b.WriteString("'" + markText + strconv.Itoa(n) + "'")
		}
		b.WriteByte(' ')
		last = end
		n++
	}
	b.WriteString(sql[last:])
	return b.String(), n
}

// met is what stands together: numbers of constants and parameters, and columns.
type met struct {
	constants, params []int
	names             []string
}

func (m *met) merge(o met) {
	m.constants, m.params = append(m.constants, o.constants...), append(m.params, o.params...)
	m.name(o.names...)
}

func (m *met) name(names ...string) {
	for _, n := range names {
		if !slices.Contains(m.names, n) {
			m.names = append(m.names, n)
		}
	}
}

// meeting is the reading of one statement.
type meeting struct {
	schema Schema
	out    Meets
}

// bind writes down what met.
func (w *meeting) bind(m met) {
	for _, c := range m.constants {
		if c >= 0 && c < len(w.out.Constants) {
			w.out.Constants[c] = addNames(w.out.Constants[c], m.names)
		}
	}
	for _, p := range m.params {
		for p > len(w.out.Params) && p <= maxMarked {
			w.out.Params = append(w.out.Params, nil)
		}
		if p >= 1 && p <= len(w.out.Params) {
			w.out.Params[p-1] = addNames(w.out.Params[p-1], m.names)
		}
	}
}

// maxMarked is the most parameters that a statement of PostgreSQL has.
const maxMarked = 65535

func addNames(list, more []string) []string {
	for _, n := range more {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// whole reads a statement of its own: the columns of a result do not meet each other.
func (w *meeting) whole(n ast.Node) {
	switch n := n.(type) {
	case *ast.SelectStmt:
		w.query(n)
	case *ast.ExplainStmt:
		w.whole(n.Query)
	case *ast.PrepareStmt:
		w.whole(n.Query)
	case *ast.DeclareCursorStmt:
		w.whole(n.Query)
	case *ast.CreateTableAsStmt:
		w.whole(n.Query)
	case *ast.CopyStmt:
		if n.Query != nil {
			w.whole(n.Query)
		}
		w.each(n.WhereClause)
	default:
		w.bind(w.frame(n))
	}
}

func (w *meeting) each(nodes ...ast.Node) {
	for _, n := range nodes {
		w.bind(w.frame(n))
	}
}

// frame collects what stands together below n. What has parts that do not meet each other
// is taken apart on the way.
func (w *meeting) frame(n ast.Node) (m met) {
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch n := c.Node().(type) {
		case *ast.BoolExpr:
			if n != nil {
				w.each(items(n.Args)...)
			}
			return false
		case *ast.JoinExpr:
			if n != nil {
				w.each(n.Larg, n.Rarg, n.Quals)
			}
			return false
		case *ast.RangeSubselect:
			if n != nil {
				w.unnamed(n.Subquery)
			}
			return false
		case *ast.CommonTableExpr:
			if n != nil {
				w.unnamed(n.Ctequery)
			}
			return false
		case *ast.SelectStmt:
			if n != nil {
				for _, out := range w.query(n) {
					m.merge(out)
				}
			}
			return false
		case *ast.InsertStmt, *ast.UpdateStmt, *ast.DeleteStmt, *ast.MergeStmt:
			w.write(n)
			return false
		case *ast.ExecuteStmt:
			m.name(AnyColumn)
		default:
			w.leaf(&m, n)
		}
		return true
	}, nil)
	return m
}

// leaf takes a constant, a parameter or a column.
func (w *meeting) leaf(m *met, n ast.Node) {
	switch n := n.(type) {
	case *ast.ColumnRef:
		if n != nil {
			m.name(columnName(n))
		}
	case *ast.FuncCall:
		if n == nil {
			return
		}
		parts := names(n.Funcname)
		schema := ""
		if len(parts) == 2 {
			schema = parts[0]
		}
		if len(parts) == 0 || w.schema == nil || !w.schema.Harmless(schema, parts[len(parts)-1]) {
			m.name(AnyColumn) // it may look for what it is given
		}
	case *ast.ParamRef:
		if n != nil {
			m.params = append(m.params, n.Number)
		}
	case *ast.String:
		if n == nil {
			return
		}
		if number, ok := strings.CutPrefix(n.SVal, markText); ok {
			m.mark(number, 0)
		}
	case *ast.Integer:
		if n != nil && n.IVal >= markNumber {
			m.constants = append(m.constants, n.IVal-markNumber)
		}
	case *ast.Float:
		if n != nil {
			m.mark(strings.TrimSuffix(n.FVal, ".5"), markNumber)
		}
	}
}

func (m *met) mark(number string, less int) {
	if i, err := strconv.Atoi(number); err == nil {
		m.constants = append(m.constants, i-less)
	}
}

// columnName is the last part of a column's name.
func columnName(n *ast.ColumnRef) string {
	list := items(n.Fields)
	if len(list) == 0 {
		return AnyColumn
	}
	if s, ok := list[len(list)-1].(*ast.String); ok && s != nil {
		return s.SVal
	}
	return AnyColumn
}

// unnamed reads a query whose columns get names: which of them a constant in it comes to
// meet is not followed.
func (w *meeting) unnamed(n ast.Node) {
	m := w.frame(n)
	m.name(AnyColumn)
	w.bind(m)
}

// query reads a SELECT, and gives what stands in each of its columns.
func (w *meeting) query(n *ast.SelectStmt) (out []met) {
	at := func(i int, m met) {
		for i >= len(out) {
			out = append(out, met{})
		}
		out[i].merge(m)
		w.bind(m)
	}
	if n.WithClause != nil {
		w.each(n.WithClause)
	}
	for i, t := range items(n.TargetList) {
		at(i, w.frame(t))
	}
	for _, row := range items(n.ValuesLists) {
		list, ok := row.(*ast.NodeList)
		if !ok {
			at(0, w.frame(row))
			continue
		}
		for i, cell := range items(list) {
			at(i, w.frame(cell))
		}
	}
	for _, side := range []*ast.SelectStmt{n.Larg, n.Rarg} {
		if side == nil {
			continue
		}
		for i, m := range w.query(side) {
			at(i, m)
		}
	}
	for _, list := range []*ast.NodeList{n.DistinctClause, n.FromClause, n.GroupClause, n.WindowClause, n.SortClause} {
		w.each(items(list)...)
	}
	w.each(n.WhereClause, n.HavingClause, n.LimitCount, n.LimitOffset)
	return out
}

// write reads a statement that writes: what is written meets the column it goes to.
func (w *meeting) write(n ast.Node) {
	switch n := n.(type) {
	case *ast.InsertStmt:
		if n == nil {
			return
		}
		if n.WithClause != nil {
			w.each(n.WithClause)
		}
		if source, ok := n.SelectStmt.(*ast.SelectStmt); ok && source != nil {
			into := w.columns(n)
			for i, m := range w.query(source) {
				if i < len(into) {
					m.name(into[i])
				} else {
					m.name(AnyColumn)
				}
				w.bind(m)
			}
		}
		if c := n.OnConflictClause; c != nil {
			if c.Infer != nil {
				w.each(c.Infer)
			}
			w.assign(items(c.TargetList))
			w.each(c.WhereClause)
		}
		w.each(items(n.ReturningList)...)
	case *ast.UpdateStmt:
		if n == nil {
			return
		}
		if n.WithClause != nil {
			w.each(n.WithClause)
		}
		w.assign(items(n.TargetList))
		w.each(items(n.FromClause)...)
		w.each(n.WhereClause)
		w.each(items(n.ReturningList)...)
	case *ast.DeleteStmt:
		if n == nil {
			return
		}
		if n.WithClause != nil {
			w.each(n.WithClause)
		}
		w.each(items(n.UsingClause)...)
		w.each(n.WhereClause)
		w.each(items(n.ReturningList)...)
	case *ast.MergeStmt:
		if n != nil {
			w.merge(n)
		}
	}
}

func (w *meeting) assign(targets []ast.Node) {
	for _, t := range targets {
		target, ok := t.(*ast.ResTarget)
		if !ok || target == nil {
			w.each(t)
			continue
		}
		m := w.frame(target.Val)
		m.name(target.Name)
		w.bind(m)
	}
}

func (w *meeting) merge(n *ast.MergeStmt) {
	if n.WithClause != nil {
		w.each(n.WithClause)
	}
	w.each(n.SourceRelation, n.JoinCondition)
	for _, c := range items(n.MergeWhenClauses) {
		when, ok := c.(*ast.MergeWhenClause)
		if !ok || when == nil {
			continue
		}
		w.each(when.Condition)
		values := items(when.Values)
		for i, target := range when.TargetList {
			m := met{}
			if target.Val != nil {
				m = w.frame(target.Val)
			} else if i < len(values) {
				m = w.frame(values[i])
			}
			m.name(target.Name)
			w.bind(m)
		}
		for i := len(when.TargetList); i < len(values); i++ {
			m := w.frame(values[i])
			m.name(AnyColumn)
			w.bind(m)
		}
	}
	w.each(items(n.ReturningList)...)
}

// columns are the names of what an INSERT writes, in order.
func (w *meeting) columns(n *ast.InsertStmt) (out []string) {
	for _, c := range items(n.Cols) {
		if target, ok := c.(*ast.ResTarget); ok && target != nil {
			out = append(out, target.Name)
		}
	}
	if len(out) > 0 || n.Relation == nil || w.schema == nil {
		return out
	}
	if found := w.schema.Lookup(n.Relation.SchemaName, n.Relation.RelName); len(found) == 1 {
		return found[0].Columns
	}
	return nil
}
