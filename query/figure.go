package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// figure is the name that PostgreSQL gives a column without one.
func figure(n ast.Node) string {
	if name, _ := figureAt(n, 0); name != "" {
		return name
	}
	return "?column?"
}

// figureAt answers a name and how good it is: 1 for a type's name or CASE, which
// a better one inside replaces, 2 for the rest.
func figureAt(n ast.Node, depth int) (name string, strength int) {
	if depth > 1000 {
		return "", 0
	}
	switch n := bare(n).(type) {
	case *ast.ColumnRef:
		return lastName(n.Fields), 2
	case *ast.A_Indirection:
		if name := lastName(n.Indirection); name != "" {
			return name, 2
		}
		return figureAt(n.Arg, depth+1)
	case *ast.FuncCall:
		return lastName(n.Funcname), 2
	case *ast.A_Expr:
		if n.Kind == ast.AEXPR_NULLIF {
			return "nullif", 2
		}
	case *ast.TypeCast:
		if name, strength := figureAt(n.Arg, depth+1); strength > 1 {
			return name, strength
		}
		if n.TypeName != nil {
			return lastName(n.TypeName.Names), 1
		}
	case *ast.CollateClause:
		return figureAt(n.Arg, depth+1)
	case *ast.CaseExpr:
		if name, strength := figureAt(n.Defresult, depth+1); strength > 1 {
			return name, strength
		}
		return "case", 1
	case *ast.SubLink:
		return figureSubLink(n, depth)
	case *ast.A_ArrayExpr, *ast.ArrayExpr:
		return "array", 2
	case *ast.RowExpr:
		return "row", 2
	case *ast.CoalesceExpr:
		return "coalesce", 2
	case *ast.GroupingFunc:
		return "grouping", 2
	case *ast.MergeSupportFunc:
		return "merge_action", 2
	case *ast.MinMaxExpr:
		if n.Op == ast.IS_LEAST {
			return "least", 2
		}
		return "greatest", 2
	case *ast.SQLValueFunction:
		return valueFunctionName(n.Op), 2
	case *ast.XmlSerialize:
		return "xmlserialize", 2
	case *ast.XmlExpr:
		return xmlName(n.Op), 2
	case *ast.JsonFuncExpr, *ast.JsonObjectConstructor, *ast.JsonArrayConstructor, *ast.JsonArrayQueryConstructor,
		*ast.JsonObjectAgg, *ast.JsonArrayAgg, *ast.JsonParseExpr, *ast.JsonScalarExpr, *ast.JsonSerializeExpr:
		return jsonName(n), 2
	}
	return "", 0
}

func figureSubLink(n *ast.SubLink, depth int) (string, int) {
	switch n.SubLinkType {
	case ast.EXISTS_SUBLINK:
		return "exists", 2
	case ast.ARRAY_SUBLINK:
		return "array", 2
	case ast.EXPR_SUBLINK:
		sel, ok := n.Subselect.(*ast.SelectStmt)
		for ok && sel.Op != ast.SETOP_NONE && sel.Larg != nil {
			sel = sel.Larg
		}
		if !ok || sel == nil {
			return "", 0
		}
		if t := items(sel.TargetList); len(t) > 0 {
			if rt, ok := t[0].(*ast.ResTarget); ok {
				if rt.Name != "" {
					return rt.Name, 2
				}
				return figureAt(rt.Val, depth+1)
			}
		}
		if sel.ValuesLists != nil {
			return "column1", 2
		}
	}
	return "", 0
}

// lastName is the last part of a list that is a name.
func lastName(l *ast.NodeList) string {
	list := items(l)
	for _, n := range slices.Backward(list) {
		if s, ok := n.(*ast.String); ok {
			return s.SVal
		}
	}
	return ""
}

func valueFunctionName(op ast.SQLValueFunctionOp) string {
	switch op {
	case ast.SVFOP_CURRENT_DATE:
		return "current_date"
	case ast.SVFOP_CURRENT_TIME, ast.SVFOP_CURRENT_TIME_N:
		return "current_time"
	case ast.SVFOP_CURRENT_TIMESTAMP, ast.SVFOP_CURRENT_TIMESTAMP_N:
		return "current_timestamp"
	case ast.SVFOP_LOCALTIME, ast.SVFOP_LOCALTIME_N:
		return "localtime"
	case ast.SVFOP_LOCALTIMESTAMP, ast.SVFOP_LOCALTIMESTAMP_N:
		return "localtimestamp"
	case ast.SVFOP_CURRENT_ROLE:
		return "current_role"
	case ast.SVFOP_CURRENT_USER:
		return "current_user"
	case ast.SVFOP_USER:
		return "user"
	case ast.SVFOP_SESSION_USER:
		return "session_user"
	case ast.SVFOP_CURRENT_CATALOG:
		return "current_catalog"
	case ast.SVFOP_CURRENT_SCHEMA:
		return "current_schema"
	}
	return ""
}

func xmlName(op ast.XmlExprOp) string {
	switch op {
	case ast.IS_XMLCONCAT:
		return "xmlconcat"
	case ast.IS_XMLELEMENT:
		return "xmlelement"
	case ast.IS_XMLFOREST:
		return "xmlforest"
	case ast.IS_XMLPARSE:
		return "xmlparse"
	case ast.IS_XMLPI:
		return "xmlpi"
	case ast.IS_XMLROOT:
		return "xmlroot"
	}
	return ""
}

func jsonName(n ast.Node) string {
	switch n := n.(type) {
	case *ast.JsonFuncExpr:
		switch n.Op {
		case ast.JSON_EXISTS_OP:
			return "json_exists"
		case ast.JSON_QUERY_OP:
			return "json_query"
		case ast.JSON_VALUE_OP:
			return "json_value"
		}
	case *ast.JsonObjectConstructor:
		return "json_object"
	case *ast.JsonArrayConstructor, *ast.JsonArrayQueryConstructor:
		return "json_array"
	case *ast.JsonObjectAgg:
		return "json_objectagg"
	case *ast.JsonArrayAgg:
		return "json_arrayagg"
	case *ast.JsonParseExpr:
		return "json"
	case *ast.JsonScalarExpr:
		return "json_scalar"
	case *ast.JsonSerializeExpr:
		return "json_serialize"
	}
	return ""
}
