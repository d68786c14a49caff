package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/sluicehq/sluice/identity"
)

// Limits of a rule's expression.
const (
	// maxWhen is the length of an expression, in bytes: far more than a person reads.
	maxWhen = 4096
	// maxCost bounds an expression with loops, in CEL's cost units: a few
	// milliseconds, enough to look at every column of a very wide statement.
	maxCost = 100_000
)

// compiler turns expressions into programs.
type compiler struct {
	env   *cel.Env
	names map[string]*cel.Type
}

func newCompiler() (*compiler, error) {
	c := &compiler{names: names()}
	opts := []cel.EnvOption{cel.ParserExpressionSizeLimit(maxWhen), cel.ParserRecursionLimit(100)}
	for name, typ := range c.names {
		opts = append(opts, cel.Variable(name, typ))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("prepare the rule language: %w", err)
	}
	c.env = env
	return c, nil
}

// compiled is an expression that was found good.
type compiled struct {
	program cel.Program
	names   []string        // that it speaks of
	kinds   []identity.Kind // that it compares who.kind with
}

// flaw is one thing wrong with an expression, at a place counted from 1.
type flaw struct {
	line, column int
	text         string
}

// compile checks the expression, types included, and prepares it.
func (c *compiler) compile(when string) (compiled, []flaw) {
	if len(when) > maxWhen {
		return compiled{}, []flaw{{1, 1, fmt.Sprintf("when is longer than %d bytes", maxWhen)}}
	}
	ast, issues := c.env.Compile(when)
	if issues.Err() != nil {
		return compiled{}, c.flaws(when, issues)
	}
	if ast.OutputType() != cel.BoolType {
		return compiled{}, []flaw{{1, 1, fmt.Sprintf("when must be true or false, this is of type %s", ast.OutputType())}}
	}
	names, list := c.constants(ast)
	if len(list) > 0 {
		return compiled{}, list
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	// Without a loop the work is bounded by the text; counting it costs as much as
	// doing it.
	if loops(ast) {
		opts = append(opts, cel.CostLimit(maxCost))
	}
	program, err := c.env.Program(ast, opts...)
	if err != nil {
		return compiled{}, []flaw{{1, 1, err.Error()}}
	}
	return compiled{program, names, kindsNamed(ast)}, nil
}

func loops(ast *cel.Ast) bool {
	found := false
	celast.PreOrderVisit(ast.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		found = found || e.Kind() == celast.ComprehensionKind
	}))
	return found
}

// flaws words the compiler's findings. A name that does not exist is reported whole
// and with the nearest one that does, in place of the compiler's view of its parts.
func (c *compiler) flaws(when string, issues *cel.Issues) []flaw {
	list := c.misspelt(when)
	for _, e := range issues.Errors() {
		if undeclaredFamily.MatchString(e.Message) && len(list) > 0 {
			continue
		}
		list = append(list, flaw{e.Location.Line(), e.Location.Column() + 1, plainer(e.Message)})
	}
	return list
}

// plainer leaves out of the compiler's words what only its authors need.
func plainer(message string) string {
	text := strings.TrimPrefix(message, "Syntax error: ")
	text = strings.Replace(text, " (in container '')", "", 1)
	text, _, _ = strings.Cut(text, " expecting ")
	text = strings.TrimPrefix(text, "mismatched input ")
	if m := noOverload.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s does not take (%s)", operator(m[1]), strings.Trim(m[2], "()"))
	}
	if rest, ok := strings.CutPrefix(text, "token recognition error at: "); ok {
		if strings.HasPrefix(rest, "'=") {
			return "unexpected '='; write == to compare"
		}
		text = rest
	}
	text = strings.TrimPrefix(text, "extraneous input ")
	if text == "'<EOF>'" {
		return "the expression ends too early"
	}
	if strings.HasPrefix(text, "'") {
		return "unexpected " + text
	}
	return text
}

// operator is what a rule writes for the compiler's name of an operator or function.
func operator(name string) string {
	return strings.Trim(strings.TrimPrefix(name, "@"), "_")
}

var (
	noOverload = regexp.MustCompile(`^found no matching overload for '(.+)' applied to '(.*)'$`)

	stringLiteral = regexp.MustCompile(`"(\\.|[^"\\])*"|'(\\.|[^'\\])*'`)
	dottedName    = regexp.MustCompile(`\b(statement|connection|who|time)(\.[A-Za-z_][A-Za-z0-9_]*)*`)

	undeclaredFamily = regexp.MustCompile(`^undeclared reference to '(statement|connection|who|time)[.']`)
)

// misspelt finds names of the families that rules speak of which do not exist. It
// only words an error that the compiler has found already.
func (c *compiler) misspelt(when string) []flaw {
	blank := stringLiteral.ReplaceAllStringFunc(when, func(s string) string { return strings.Repeat(" ", len(s)) })
	var list []flaw
	for i, line := range strings.Split(blank, "\n") {
		for _, at := range dottedName.FindAllStringIndex(line, -1) {
			name := line[at[0]:at[1]]
			family, field, _ := strings.Cut(name, ".")
			field, _, _ = strings.Cut(field, ".")
			if c.names[family+"."+field] != nil {
				continue
			}
			if field == "" {
				list = append(list, flaw{i + 1, at[0] + 1, fmt.Sprintf("%s alone is no value; write one of its parts: %s", family, listed(c.fields(family)))})
				continue
			}
			list = append(list, flaw{i + 1, at[0] + 1, fmt.Sprintf("unknown name %q%s", family+"."+field, c.hint(family, field))})
		}
	}
	return list
}

// hint names the nearest field, or all fields of the family.
func (c *compiler) hint(family, field string) string {
	known := c.fields(family)
	if near := nearest(field, known); near != "" {
		return fmt.Sprintf(", did you mean %q?", family+"."+near)
	}
	return fmt.Sprintf("; %s has %s", family, listed(known))
}

func (c *compiler) fields(family string) (known []string) {
	for name := range c.names {
		if rest, ok := strings.CutPrefix(name, family+"."); ok {
			known = append(known, rest)
		}
	}
	return known
}

// errNotBool can only come from a program that was not made by compile.
var errNotBool = errors.New("the expression gave neither true nor false")

// matches works the rule out for one request.
func (r *Rule) matches(f *facts) (bool, error) {
	if r.program == nil {
		return false, errNotBool
	}
	out, _, err := r.program.Eval(f)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, errNotBool
	}
	return bool(b), nil
}
