package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// rangeFunction resolves functions in FROM.
func (r *resolver) rangeFunction(n *ast.RangeFunction, sc *scope) *item {
	it := &item{}
	list := items(n.Functions)
	for _, f := range list {
		parts, ok := f.(*ast.NodeList)
		if !ok || len(items(parts)) == 0 {
			it.cols, it.open = append(it.cols, openOutput.cols...), true
			continue
		}
		defs := n.ColDefList
		if len(parts.Items) > 1 {
			if l, ok := parts.Items[1].(*ast.NodeList); ok {
				defs = l
			}
		}
		r.functionColumns(it, parts.Items[0], defs, sc)
	}
	single := len(list) == 1 && len(it.cols) == 1 && !it.open
	if single && it.name == "" {
		it.name = it.cols[0].name
	}
	if n.Ordinality {
		it.cols = append(it.cols, column{name: "ordinality"})
	}
	if n.Alias != nil && single && it.cols[0].name != "value" {
		// A function that gives one unnamed column takes the alias for its name.
		it.cols[0].name = n.Alias.AliasName
	}
	if n.Alias != nil && len(names(n.Alias.ColNames)) >= len(it.cols) && !it.open {
		it.loose = false
	}
	if n.Alias == nil && it.name == "" && len(list) == 1 {
		it.name = functionName(list[0])
	}
	return aliased(it, n.Alias)
}

func functionName(n ast.Node) string {
	if l, ok := n.(*ast.NodeList); ok && len(l.Items) > 0 {
		return figure(l.Items[0])
	}
	return ""
}

// functionColumns adds the columns that one function in FROM gives.
func (r *resolver) functionColumns(it *item, fn ast.Node, defs *ast.NodeList, sc *scope) {
	if call, ok := fn.(*ast.FuncCall); ok {
		if out, ok := r.inlined(call, sc); ok && (len(items(defs)) == 0 || len(items(defs)) == len(out.cols)) {
			for i, c := range out.cols {
				if def, ok := itemAt(defs, i).(*ast.ColumnDef); ok {
					c.name = def.Colname
				}
				it.cols = append(it.cols, column{c.name, c.flow.through()})
			}
			it.name = figure(call)
			return
		}
	}
	f := r.expr(fn, sc).through()
	r.sways(f) // how many rows there are follows from the arguments
	r.probe(f) // how many rows it gives tells of what it was given
	if len(items(defs)) > 0 {
		for _, d := range items(defs) {
			if def, ok := d.(*ast.ColumnDef); ok {
				it.cols = append(it.cols, column{def.Colname, f})
			} else {
				it.open = true
			}
		}
		return
	}
	call, ok := fn.(*ast.FuncCall)
	if !ok {
		it.cols = append(it.cols, column{figure(fn), f})
		return
	}
	name := ""
	if parts := names(call.Funcname); len(parts) > 0 {
		name = parts[len(parts)-1]
	}
	it.name = name
	switch {
	case name == "unnest":
		// Each array gives its own column; an array of rows gives theirs.
		it.loose = true
		for _, arg := range items(call.Args) {
			g := r.expr(arg, sc).through()
			g.unknown = g.unknown || f.unknown && !r.known(call)
			it.cols = append(it.cols, column{name, g})
		}
	case !r.known(call) && !recordFunctions[name] && r.a.plain(call) && r.result(call) != nil:
		list := r.result(call)
		it.loose = len(list) == 1 // it may be of another type elsewhere
		for _, out := range list {
			it.cols = append(it.cols, column{out, f})
		}
	case !r.known(call), recordFunctions[name]:
		f.unknown = true
		it.cols, it.open = append(it.cols, column{Star, f}), true
	case outNames[name] != nil:
		for _, out := range outNames[name] {
			it.cols = append(it.cols, column{out, f})
		}
	default:
		it.cols = append(it.cols, column{name, f})
	}
}

// result are the columns of a users' function in FROM, if all that may be meant have the
// same.
func (r *resolver) result(n *ast.FuncCall) []string {
	rs, ok := r.a.schema.(Routiner)
	parts := names(n.Funcname)
	if !ok || len(parts) == 0 {
		return nil
	}
	schema := ""
	if len(parts) == 2 {
		schema = parts[0]
	}
	list, _ := rs.Routines(schema, parts[len(parts)-1])
	var out []string
	for _, x := range list {
		switch {
		case !x.takes(arityOf(n.Args)):
		case len(x.Result) == 0 || out != nil && !slices.Equal(out, x.Result):
			return nil
		default:
			out = x.Result
		}
	}
	return out
}

func itemAt(l *ast.NodeList, i int) ast.Node {
	if list := items(l); i < len(list) {
		return list[i]
	}
	return nil
}

// outNames are the columns of functions that name them.
var outNames = map[string][]string{
	"json_each": {"key", "value"}, "jsonb_each": {"key", "value"},
	"json_each_text": {"key", "value"}, "jsonb_each_text": {"key", "value"},
	"json_array_elements": {"value"}, "jsonb_array_elements": {"value"},
	"json_array_elements_text": {"value"}, "jsonb_array_elements_text": {"value"},
	"ts_token_type": {"tokid", "alias", "description"}, "pg_options_to_table": {"option_name", "option_value"},
	"aclexplode": {"grantor", "grantee", "privilege_type", "is_grantable"},
}

// recordFunctions give rows whose columns their name does not tell.
var recordFunctions = wordSet(`
json_populate_record jsonb_populate_record json_populate_recordset jsonb_populate_recordset
json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset
ts_debug ts_parse pg_get_keywords pg_partition_tree
pg_stat_get_activity pg_sequence_parameters pg_identify_object pg_identify_object_as_address pg_get_object_address
lag lead first_value last_value nth_value min max any_value mode array_agg
`)

func (r *resolver) xmlTable(n *ast.RangeTableFunc, sc *scope) *item {
	f := r.expr(n.DocExpr, sc)
	f = f.plus(r.expr(n.RowExpr, sc))
	for _, ns := range items(n.Namespaces) {
		f = f.plus(r.expr(ns, sc))
	}
	it := &item{name: "xmltable"}
	for _, c := range items(n.Columns) {
		col, ok := c.(*ast.RangeTableFuncCol)
		switch {
		case !ok:
			it.open = true
		case col.ForOrdinality:
			it.cols = append(it.cols, column{name: col.ColName})
		default:
			g := f.plus(r.expr(col.ColExpr, sc)).plus(r.expr(col.ColDefExpr, sc))
			it.cols = append(it.cols, column{col.ColName, g.through()})
		}
	}
	return aliased(it, n.Alias)
}

func (r *resolver) jsonTable(n *ast.JsonTable, sc *scope) *item {
	var f flow
	if n.ContextItem != nil {
		f = r.expr(n.ContextItem, sc)
	}
	for _, p := range items(n.Passing) {
		f = f.plus(r.expr(p, sc))
	}
	it := &item{name: "json_table"}
	r.jsonColumns(it, n.Columns, f.through(), sc)
	return aliased(it, n.Alias)
}

func (r *resolver) jsonColumns(it *item, l *ast.NodeList, f flow, sc *scope) {
	for _, c := range items(l) {
		col, ok := c.(*ast.JsonTableColumn)
		switch {
		case !ok:
			it.open = true
		case col.Coltype == ast.JTC_NESTED:
			r.jsonColumns(it, col.Columns, f, sc)
		case col.Coltype == ast.JTC_FOR_ORDINALITY:
			it.cols = append(it.cols, column{name: col.Name})
		default:
			g := f
			for _, b := range []*ast.JsonBehavior{col.OnEmpty, col.OnError} {
				if b != nil {
					g = g.plus(r.expr(b, sc))
				}
			}
			it.cols = append(it.cols, column{col.Name, g.through()})
		}
	}
	it.cols = slices.Clip(it.cols)
}
