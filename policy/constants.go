package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that a time zone means the same on every machine

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// words are all values that some names have. A rule that compares one with another
// word never matches, or always does.
var words = map[string][]string{
	"time.weekday": {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"},
	"who.kind":     {"person", "job", "agent"},
}

// constants finds what the types allow and what still cannot be meant: words that a
// name never is, and time zones that there are not. It also collects the names.
func (c *compiler) constants(ast *cel.Ast) (names []string, list []flaw) {
	info := ast.NativeRep().SourceInfo()
	say := func(e celast.Expr, format string, args ...any) {
		at := info.GetStartLocation(e.ID())
		list = append(list, flaw{at.Line(), at.Column() + 1, fmt.Sprintf(format, args...)})
	}
	celast.PreOrderVisit(ast.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		switch e.Kind() {
		case celast.IdentKind:
			if name := e.AsIdent(); c.names[name] != nil && !slices.Contains(names, name) {
				names = append(names, name)
			}
		case celast.CallKind:
			call := e.AsCall()
			if call.IsMemberFunction() && strings.HasPrefix(call.FunctionName(), "get") && len(call.Args()) == 1 {
				if zone, ok := constant(call.Args()[0]); ok && !clockZone(zone) {
					say(call.Args()[0], "there is no time zone %q; write a name such as Europe/Berlin, or an offset such as +02:00", zone)
				}
			}
			for _, wrong := range compared(call) {
				say(wrong.at, "%s is never %q%s", wrong.name, wrong.word, didYouMean(wrong.word, words[wrong.name]))
			}
		}
	}))
	return names, list
}

type mismatch struct {
	at         celast.Expr
	name, word string
}

// compared finds the constants that a call compares a name with, and that it never is.
func compared(call celast.CallExpr) (wrong []mismatch) {
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
	default:
		return nil
	}
	for i, arg := range call.Args() {
		if arg.Kind() != celast.IdentKind || words[arg.AsIdent()] == nil {
			continue
		}
		name, other := arg.AsIdent(), call.Args()[1-i]
		all := []celast.Expr{other}
		if other.Kind() == celast.ListKind {
			all = other.AsList().Elements()
		}
		for _, e := range all {
			if word, ok := constant(e); ok && !slices.Contains(words[name], word) {
				wrong = append(wrong, mismatch{e, name, word})
			}
		}
	}
	return wrong
}

func constant(e celast.Expr) (string, bool) {
	if e.Kind() != celast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().Value().(string)
	return text, ok
}

var offset = regexp.MustCompile(`^[+-]?\d\d:\d\d$`)

// clockZone reports whether CEL's getHours and the like take zone.
func clockZone(zone string) bool {
	if strings.Contains(zone, ":") {
		return offset.MatchString(zone)
	}
	_, err := location(zone)
	return err == nil
}

// location is the time zone of a name. "Local" is that of the machine, which means
// something else elsewhere.
func location(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone", name)
	}
	return time.LoadLocation(name)
}
