package policy

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/sluicehq/sluice/identity"
)

// unmasks reports whether the rule shows personal data to callers of kind at all. A
// rule written for people must not open a column to programs that happen to be in
// the same group: an agent has the groups of its owner.
func (r *Rule) unmasks(kind identity.Kind) bool {
	return kind == identity.Person || slices.Contains(r.kinds, kind)
}

// kindsNamed are the kinds of caller that an expression compares who.kind with, by ==
// or in. That it matches them is for its evaluation to say.
func kindsNamed(ast *cel.Ast) (kinds []identity.Kind) {
	celast.PreOrderVisit(ast.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() != celast.CallKind {
			return
		}
		call := e.AsCall()
		args := call.Args()
		if name := call.FunctionName(); len(args) != 2 || name != operators.Equals && name != operators.In {
			return
		}
		for i, arg := range args {
			if arg.Kind() == celast.IdentKind && arg.AsIdent() == "who.kind" {
				kinds = append(kinds, kindLiterals(args[1-i])...)
			}
		}
	}))
	return kinds
}

func kindLiterals(e celast.Expr) (kinds []identity.Kind) {
	switch e.Kind() {
	case celast.LiteralKind:
		if s, ok := e.AsLiteral().(types.String); ok {
			kinds = append(kinds, identity.Kind(s))
		}
	case celast.ListKind:
		for _, x := range e.AsList().Elements() {
			kinds = append(kinds, kindLiterals(x)...)
		}
	}
	return kinds
}

// Applies lists the rules that may match a statement of who on a connection: all but
// those that are false for them whatever the statement is, and whenever it comes.
func (r *Rules) Applies(who identity.Identity, conn Connection, at time.Time) (out []Rule) {
	if !who.Valid(at) {
		return nil
	}
	f := facts{req: &Request{Who: who, Connection: conn, At: at}, zone: r.Zone, lacks: map[string]bool{}}
	for name := range names() {
		if !strings.HasPrefix(name, "who.") && !strings.HasPrefix(name, "connection.") {
			f.lacks[name] = true
		}
	}
	for _, rule := range r.List {
		// What cannot be worked out without a statement may match one.
		if matches, known, err := rule.matchesPartly(&f); known && err == nil && !matches {
			continue
		}
		if !rule.Decides && rule.MaxRows == 0 && len(rule.Calls) == 0 && !rule.unmasks(who.Kind) {
			continue // it would only have shown something
		}
		out = append(out, rule)
	}
	return out
}
